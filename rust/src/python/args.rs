//! Python's words for options as the core's types.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::dtype::{Dtype, DtypeClass};
use crate::io::{Backend, Cache};
use crate::manifest::Digests;
use crate::mix::{Divisor, Edge, Filters, Keep, Masked, Mix, Mixture};

/// Numerators of a row: one for each ingredient, or as many for each filter, or with masks.
pub(super) enum Numerators {
    One(Vec<i64>),
    Filters(Vec<Vec<i64>>),
    Masked(Masks),
}

/// An object with these attributes: `Masks` of Python.
#[derive(FromPyObject)]
pub(super) struct Masks {
    numerators: Vec<i64>,
    base: usize,
    divisors: Option<Vec<u64>>,
    elects: bool,
    keeps: Vec<Option<Keeping>>,
}

/// The size of a difference, and the number of the element.
type EdgeArguments = (f64, u64);

#[derive(FromPyObject)]
enum Keeping {
    Ranks(EdgeArguments, Option<EdgeArguments>),
    /// Both halves of the key, then the probability.
    Random(u64, u64, u32),
}

impl From<Option<Keeping>> for Keep {
    fn from(keeping: Option<Keeping>) -> Self {
        let edge = |(size, index): EdgeArguments| Edge { magnitude: size.abs().to_bits(), index };
        match keeping {
            None => Self::All,
            Some(Keeping::Ranks(low, high)) => Self::Ranks { low: edge(low), high: high.map(edge) },
            Some(Keeping::Random(first, second, probability)) => {
                Self::Random { key: [first, second], probability }
            }
        }
    }
}

/// What numerators are divided by: those of each filter by their own.
pub(super) enum Whole {
    One(u64),
    Filters(Vec<u64>),
}

impl FromPyObject<'_, '_> for Whole {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        object
            .extract()
            .map(Self::One)
            .or_else(|error| object.extract().map(Self::Filters).map_err(|_| error))
    }
}

impl FromPyObject<'_, '_> for Numerators {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        // Of what is neither, the first error is the one to be told.
        object
            .extract()
            .map(Self::One)
            .or_else(|error: PyErr| object.extract().map(Self::Filters).map_err(|_| error))
            .or_else(|error| object.extract().map(Self::Masked).map_err(|_| error))
    }
}

impl Numerators {
    pub(super) fn over(self, whole: Whole) -> PyResult<Mixture> {
        match (self, whole) {
            (Self::One(numerators), Whole::One(whole)) => Ok(Mix::new(&numerators, whole)?.into()),
            (Self::Filters(filters), Whole::Filters(wholes)) => {
                Ok(Mixture::Filters(Filters::new(&filters, &wholes)?))
            }
            (Self::Masked(masks), Whole::One(whole)) => {
                let Masks { numerators, base, divisors, elects, keeps } = masks;
                let divisor = divisors.map_or(Divisor::Whole(whole), Divisor::Sum);
                let keeps = keeps.into_iter().map(Keep::from).collect();
                Ok(Mixture::Masked(Masked::new(base, &numerators, divisor, elects, keeps)?))
            }
            _ => {
                Err(PyTypeError::new_err("expected one whole for one row of numerators, or as many for many"))
            }
        }
    }
}

/// A float dtype by its safetensors name.
pub(super) fn float_dtype(name: Option<&str>) -> PyResult<Option<Dtype>> {
    let Some(name) = name else { return Ok(None) };
    match Dtype::from_name(name).filter(|dtype| dtype.class() == DtypeClass::Float) {
        Some(dtype) => Ok(Some(dtype)),
        None => Err(one_of("dtype", name, &["F64", "F32", "F16", "BF16"])),
    }
}

pub(super) fn backend(name: &str) -> PyResult<Option<Backend>> {
    match name {
        "auto" => Ok(None),
        "mmap" => Ok(Some(Backend::Mmap)),
        "pread" => Ok(Some(Backend::Pread)),
        _ => Err(one_of("io", name, &["auto", "mmap", "pread"])),
    }
}

pub(super) fn cache(name: &str) -> PyResult<Cache> {
    match name {
        "auto" => Ok(Cache::Auto),
        "keep" => Ok(Cache::Keep),
        "drop" => Ok(Cache::Drop),
        _ => Err(one_of("cache", name, &["auto", "keep", "drop"])),
    }
}

pub(super) fn digests(name: &str) -> PyResult<Digests> {
    let found = Digests::ALL.into_iter().find(|level| level.name() == name);
    found.ok_or_else(|| one_of("digests", name, &Digests::ALL.map(Digests::name)))
}

/// Whether `name` is the second of two words.
pub(super) fn flag(option: &str, name: &str, [off, on]: [&str; 2]) -> PyResult<bool> {
    if name == on || name == off { Ok(name == on) } else { Err(one_of(option, name, &[off, on])) }
}

fn one_of(option: &str, got: &str, expected: &[&str]) -> PyErr {
    PyValueError::new_err(format!("{option}: expected one of {}, got {got:?}", expected.join(", ")))
}
