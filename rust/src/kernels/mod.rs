//! The arithmetic of a soup: `round(Σ numerators[i]·x_i / whole)` for a chunk of elements, exact inside, rounded once.
//!
//! `exact` defines the result; `vector` computes the same bits fast, in one generic loop compiled for several
//! instruction sets. Inputs and output are little-endian bytes without alignment. Deliberately not here: files,
//! threads, and any hardware narrowing instruction (AVX-512-BF16 flushes subnormals).

mod bf16;
#[cfg(test)]
mod counts;
pub mod difference;
mod exact;
pub(crate) mod float_env;
mod format;
mod sets;
#[cfg(test)]
mod suite;
mod vector;

use std::borrow::Cow;
use std::ffi::OsStr;

use crate::dtype::Dtype;
use crate::error::{Problem, ProblemKind, Result};
use crate::escape::shown;
use format::{Format, Value};

/// The environment variable that names a set where the caller names none.
const VARIABLE: &str = "SOCE_KERNELS";
/// What the fastest set is called where a name is asked for.
const FASTEST: &str = "auto";

/// One implementation of the hot loop. Sets differ in speed, never in a bit.
pub struct Kernels {
    /// Its name: `scalar`, `avx2`, `avx512` or `neon`.
    pub name: &'static str,
    run: fn(&Request<'_>, &mut [u8], &mut Tally),
    difference: fn(&difference::Pair<'_>, f64) -> f64,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A chunk to be averaged: the same elements of every ingredient that takes part.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Bytes of each ingredient; all hold the same number of elements.
    pub inputs: &'a [&'a [u8]],
    /// Their float dtypes.
    pub dtypes: &'a [Dtype],
    /// Their numerators, none of them zero.
    pub numerators: &'a [i64],
    /// The common denominator.
    pub whole: u64,
    /// A float dtype.
    pub output_dtype: Dtype,
}

/// Non-finite values met, per ingredient of a [`Request`], and created by rounding to the output dtype.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// One entry per ingredient of the request.
    pub inputs: Vec<NonFinite>,
    /// Outputs that are infinite although every input was finite.
    pub created: u64,
    /// Smallest element index, within the tally's tensor, of such an output.
    pub first_created: Option<u64>,
    /// Added to element indices of the current chunk.
    pub base: u64,
}

/// Counts of one ingredient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NonFinite {
    /// NaNs.
    pub nan: u64,
    /// Positive infinities.
    pub positive: u64,
    /// Negative infinities.
    pub negative: u64,
    /// Smallest element index, within the tally's tensor, of any of these.
    pub first: Option<u64>,
}

impl NonFinite {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.nan + self.positive + self.negative
    }

    fn add(&mut self, other: &Self) {
        self.nan += other.nan;
        self.positive += other.positive;
        self.negative += other.negative;
        self.first = earlier(self.first, other.first);
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    [a, b].into_iter().flatten().min()
}

impl Tally {
    /// Nothing counted yet, for `ingredients` inputs.
    pub fn new(ingredients: usize) -> Self {
        Self { inputs: vec![NonFinite::default(); ingredients], ..Self::default() }
    }

    /// Nothing was counted.
    pub fn is_clean(&self) -> bool {
        self.first_created.is_none() && self.inputs.iter().all(|counts| counts.first.is_none())
    }

    /// Add the counts of another chunk of the same tensor.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.inputs.iter_mut().zip(&other.inputs) {
            mine.add(theirs);
        }
        self.created += other.created;
        self.first_created = earlier(self.first_created, other.first_created);
    }

    /// Add the counts of a request whose input `k` was ingredient `ingredients[k]` here.
    pub(crate) fn spread(&mut self, request: &Self, ingredients: &[usize]) {
        let mut counts = Self::new(self.inputs.len());
        for (&ingredient, &found) in ingredients.iter().zip(&request.inputs) {
            counts.inputs[ingredient] = found;
        }
        counts.created = request.created;
        counts.first_created = request.first_created;
        self.merge(&counts);
    }

    fn input(&mut self, ingredient: usize, index: usize, value: Value) {
        let counts = &mut self.inputs[ingredient];
        match value {
            Value::Finite { .. } => return,
            Value::Nan => counts.nan += 1,
            Value::Infinity { negative: false } => counts.positive += 1,
            Value::Infinity { negative: true } => counts.negative += 1,
        }
        counts.first = earlier(counts.first, Some(self.base + index as u64));
    }

    fn created(&mut self, index: usize) {
        self.created += 1;
        self.first_created = earlier(self.first_created, Some(self.base + index as u64));
    }
}

impl Kernels {
    /// Every set this CPU runs, slowest first.
    pub fn available() -> Vec<&'static Self> {
        sets::available()
    }

    /// The set called `name`, else the one that the environment variable [`VARIABLE`] names, else the fastest. The
    /// fastest may also be asked for by name: `auto`.
    ///
    /// # Errors
    /// This CPU lacks the named set, or there is none of that name.
    pub fn choose(name: Option<&str>) -> Result<&'static Self> {
        Self::choose_from(name, std::env::var_os(VARIABLE).as_deref())
    }

    fn choose_from(name: Option<&str>, environment: Option<&OsStr>) -> Result<&'static Self> {
        let available = Self::available();
        let (name, place) = match (name, environment.map(OsStr::to_string_lossy)) {
            (Some(name), _) => (Cow::Borrowed(name), String::new()),
            (None, Some(name)) if !name.is_empty() => (name, format!("`{VARIABLE}`: ")),
            _ => (Cow::Borrowed(FASTEST), String::new()),
        };
        let found = match name.as_ref() {
            FASTEST => available.last(),
            name => available.iter().find(|set| set.name == name),
        };
        found.copied().ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|set| set.name).collect();
            let message = format!("{place}no kernel set `{}` on this CPU", shown(&name));
            let hint = format!("available: {FASTEST}, {}", names.join(", "));
            Problem::new(ProblemKind::Recipe, message).hint(hint).into()
        })
    }

    /// Average a chunk into `output` and count what is not finite.
    ///
    /// # Panics
    /// If lengths and dtypes do not fit each other: a bug in the caller.
    pub fn mean(&self, request: &Request<'_>, output: &mut [u8], tally: &mut Tally) {
        let format = Format::of(request.output_dtype).expect("a float output dtype");
        let elements = output.len() / format.bytes;
        assert_eq!(output.len(), elements * format.bytes, "whole output elements");
        assert!(
            request.inputs.len() == request.dtypes.len() && request.inputs.len() == request.numerators.len()
        );
        assert!(
            tally.inputs.len() == request.inputs.len() && !request.inputs.is_empty() && request.whole > 0
        );
        for (input, &dtype) in request.inputs.iter().zip(request.dtypes) {
            let bytes = Format::of(dtype).expect("a float input dtype").bytes;
            assert_eq!(input.len(), elements * bytes, "as many elements in as out");
        }
        (self.run)(request, output, tally);
    }
}

impl Request<'_> {
    /// `Σ |numerators|`, at most [`crate::mix::MAX_PARTS`].
    fn parts_sum(&self) -> u64 {
        self.numerators.iter().map(|n| n.unsigned_abs()).sum()
    }

    /// Element `index` by the definition.
    fn exact_element(&self, index: usize, output: &mut [u8], tally: &mut Tally) {
        const FEW: usize = 16;
        let output_format = Format::of(self.output_dtype).expect("checked by `Kernels::mean`");
        let mut few = [Value::Nan; FEW];
        let mut many = Vec::new();
        let values = if self.inputs.len() <= FEW {
            &mut few[..self.inputs.len()]
        } else {
            many.resize(self.inputs.len(), Value::Nan);
            &mut many[..]
        };
        let mut finite = true;
        for (k, (input, &dtype)) in self.inputs.iter().zip(self.dtypes).enumerate() {
            let format = Format::of(dtype).expect("checked by `Kernels::mean`");
            values[k] = format.decode(format.load(input, index));
            if !matches!(values[k], Value::Finite { .. }) {
                finite = false;
                tally.input(k, index, values[k]);
            }
        }
        let bits = exact::mean(values, self.numerators, self.whole, output_format);
        if finite && bits & (output_format.sign() - 1) >= output_format.infinity {
            tally.created(index);
        }
        output_format.store(output, index, bits);
    }
}

/// Count the non-finite values of a chunk that is copied as it is; integers have none.
pub fn count_non_finite(bytes: &[u8], dtype: Dtype, tally: &mut Tally) {
    const BLOCK: usize = 4096;
    let Some(format) = Format::of(dtype) else { return };
    for (block, bytes) in bytes.chunks(BLOCK * format.bytes).enumerate() {
        let infinity = format.infinity;
        let suspicious = match format.bytes {
            2 => any(bytes, |b| u16::from_le_bytes(b) & (u16::MAX >> 1) >= infinity as u16),
            4 => any(bytes, |b| u32::from_le_bytes(b) & (u32::MAX >> 1) >= infinity as u32),
            _ => any(bytes, |b| u64::from_le_bytes(b) & (u64::MAX >> 1) >= infinity),
        };
        if suspicious {
            for i in 0..bytes.len() / format.bytes {
                tally.input(0, block * BLOCK + i, format.decode(format.load(bytes, i)));
            }
        }
    }
}

/// Whether any element passes; without a way out in the middle, so that it vectorises.
fn any<const N: usize>(bytes: &[u8], test: impl Fn([u8; N]) -> bool) -> bool {
    bytes.as_chunks::<N>().0.iter().fold(false, |any, &element| any | test(element))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(name: Option<&str>, environment: Option<&str>) -> Result<&'static str> {
        Kernels::choose_from(name, environment.map(OsStr::new)).map(|set| set.name)
    }

    #[test]
    fn the_environment_names_the_set_where_the_caller_does_not() {
        let fastest = Kernels::available().last().expect("there is a scalar set").name;
        for (name, environment, expected) in [
            (None, None, fastest),
            (None, Some(""), fastest),
            (None, Some("auto"), fastest),
            (None, Some("scalar"), "scalar"),
            (Some("scalar"), Some("unknown"), "scalar"),
            (Some("auto"), Some("scalar"), fastest),
        ] {
            assert_eq!(chosen(name, environment).expect("a set"), expected, "{name:?} {environment:?}");
        }
    }

    #[test]
    fn a_set_that_is_not_there_is_refused_with_those_that_are() {
        let missing = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
        for (name, environment) in [(None, Some(missing)), (Some("sse9"), None), (Some(""), Some("scalar"))] {
            let error = chosen(name, environment).expect_err("there is no such set").to_string();
            assert!(error.contains("available: auto, scalar"), "{error}");
            assert_eq!(error.contains(VARIABLE), name.is_none(), "{error}");
        }
    }
}
