//! The class `Mixer`: tensors straight into a numpy array or a torch CPU tensor.

use std::path::PathBuf;

use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;

use super::adapters::{self, Adapting};
use super::args::{self, Numerators, Whole};
use super::interrupt::run_interruptible;
use super::memory::{Memory, Use};
use super::remote::{self, RemoteShard};
use crate::checkpoint::OpenOptions;
use crate::control::Control;
use crate::dtype::{Dtype, DtypeClass};
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::io::remote::Objects;
use crate::kernels::Tally;
use crate::mixing;
use crate::plan::Choices;

#[pyclass(frozen, subclass, name = "Mixer", module = "soce._core")]
pub(super) struct PyMixer {
    mixer: mixing::Mixer,
    objects: Objects,
}

#[pymethods]
impl PyMixer {
    #[new]
    #[pyo3(
        signature = (
            ingredients, *, io = "auto", follow_links = false, ignore_unreferenced = false,
            leave_out = Vec::new(), take = Vec::new(), adapters = Vec::new(), remote = Vec::new(), refresh = None
        ),
        text_signature = "(ingredients, *, io='auto', follow_links=False, ignore_unreferenced=False, leave_out=(), take=(), adapters=(), remote=(), refresh=None)"
    )]
    #[allow(clippy::too_many_arguments, reason = "arguments of a Python class")]
    fn new(
        py: Python<'_>,
        ingredients: Vec<PathBuf>,
        io: &str,
        follow_links: bool,
        ignore_unreferenced: bool,
        leave_out: Vec<String>,
        take: Vec<(String, usize)>,
        adapters: Vec<Adapting>,
        remote: Vec<RemoteShard>,
        refresh: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let backend = args::backend(io)?;
        let options = OpenOptions { follow_links, ignore_unreferenced };
        let choices = Choices { leave_out, take };
        let adapters = adapters::adapters(adapters, ingredients.len())?;
        let objects = remote::objects(remote, refresh)?;
        let open = |control: &_| {
            let _session = objects.session(control);
            mixing::Mixer::open(&ingredients, &objects, adapters, backend, options, choices)
        };
        Ok(Self { mixer: run_interruptible(py, |_, _| Ok(()), open)?, objects })
    }

    fn tensors(&self) -> Vec<(String, &'static str, Vec<u64>)> {
        self.mixer
            .tensors()
            .map(|(name, dtype, shape)| (name.to_owned(), dtype.name(), shape.to_vec()))
            .collect()
    }

    fn giver(&self, name: &str) -> Option<usize> {
        self.mixer.giver(name)
    }

    #[pyo3(signature = (name, numerators, whole, out, *, dtype = None, start = None, num_threads = None))]
    #[allow(clippy::too_many_arguments, reason = "arguments of a Python method")]
    fn mix(
        &self,
        name: &str,
        numerators: Numerators,
        whole: Whole,
        out: &Bound<'_, PyAny>,
        dtype: Option<&str>,
        start: Option<u64>,
        num_threads: Option<usize>,
    ) -> PyResult<()> {
        let mixture = numerators.over(whole)?;
        let dtype = args::float_dtype(dtype)?;
        let memory = Memory::of(out, "out", Use::Write)?;
        self.check_dtype(name, memory.dtype("out")?, dtype)?;
        let region = memory.region();
        let options = mixing::MixOptions { dtype, start, num_threads };
        let write = |place: usize, bytes: &[u8]| region.write(place, bytes);
        let work = |control: &_| {
            let _session = self.objects.session(control);
            self.mixer.mix(name, &mixture, options, region.length, &write, control).map(drop)
        };
        run_interruptible(out.py(), |_, _| Ok(()), work)
    }

    #[pyo3(
        signature = (name, out, *, beside = Vec::new(), filters = false, num_threads = None),
        text_signature = "($self, name, out, *, beside=(), filters=False, num_threads=None)"
    )]
    fn squares(
        &self,
        name: &str,
        out: &Bound<'_, PyAny>,
        beside: Vec<Bound<'_, Self>>,
        filters: bool,
        num_threads: Option<usize>,
    ) -> PyResult<Counts> {
        let memory = Memory::of(out, "out", Use::Write)?;
        if memory.dtype("out")? != Some(Dtype::F64) {
            return Err(PyBufferError::new_err(
                "`out` must hold float64, as np.zeros(n * (n + 1) // 2) does",
            ));
        }
        let region = memory.region();
        let write = |place: usize, sums: &[f64]| {
            let bytes: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
            region.write(place * size_of::<f64>(), &bytes);
        };
        let options = mixing::SquaresOptions { filters, num_threads };
        let length = region.length / size_of::<f64>();
        let beside: Vec<&Self> = beside.iter().map(Bound::get).collect();
        let work = |control: &_| {
            let everyone = beside.iter().copied().chain([self]);
            let _sessions: Vec<_> = everyone.map(|one| one.objects.session(control)).collect();
            let beside: Vec<_> = beside.iter().map(|one| &one.mixer).collect();
            self.mixer.squares(name, &beside, options, length, &write, control)
        };
        let tally = run_interruptible(out.py(), |_, _| Ok(()), work)?;
        Ok(counts(&tally))
    }

    #[pyo3(signature = (name, base, ranks, *, num_threads = None))]
    fn edges(
        &self,
        py: Python<'_>,
        name: &str,
        base: usize,
        ranks: Vec<(usize, u64)>,
        num_threads: Option<usize>,
    ) -> PyResult<(Vec<(f64, u64)>, Counts)> {
        let rank = |(ingredient, rank): (usize, u64)| mixing::Rank { ingredient, rank };
        let ranks: Vec<_> = ranks.into_iter().map(rank).collect();
        let look = |control: &_| self.mixer.edges(name, base, &ranks, num_threads, control);
        let (edges, counts) = self.look(py, look)?;
        Ok((edges.iter().map(|edge| (f64::from_bits(edge.magnitude), edge.index)).collect(), counts))
    }

    #[pyo3(signature = (name, base, *, num_threads = None))]
    fn contents(
        &self,
        py: Python<'_>,
        name: &str,
        base: usize,
        num_threads: Option<usize>,
    ) -> PyResult<(Vec<(String, f64)>, Counts)> {
        let look = |control: &_| self.mixer.contents(name, base, num_threads, control);
        let (contents, counts) = self.look(py, look)?;
        Ok((contents.iter().map(|one| (one.digest.to_string(), one.farthest)).collect(), counts))
    }

    #[pyo3(
        signature = (name, gradient, out, *, of, reference, num_threads = None),
        text_signature = "($self, name, gradient, out, *, of, reference, num_threads=None)"
    )]
    #[allow(clippy::too_many_arguments, reason = "arguments of a Python method")]
    fn inner_products(
        &self,
        name: &str,
        gradient: &Bound<'_, PyAny>,
        out: &Bound<'_, PyAny>,
        of: Vec<usize>,
        reference: usize,
        num_threads: Option<usize>,
    ) -> PyResult<()> {
        let given = Memory::of(gradient, "gradient", Use::Read)?;
        let Some(dtype) = given.dtype("gradient")? else {
            return Err(PyBufferError::new_err("`gradient` must hold floats"));
        };
        let memory = Memory::of(out, "out", Use::Write)?;
        if memory.dtype("out")? != Some(Dtype::F64) || memory.region().length != of.len() * size_of::<f64>() {
            return Err(PyBufferError::new_err("`out` must hold a float64 for each of `of`"));
        }
        let (region, found) = (given.region(), memory.region());
        let read = |place: usize, bytes: &mut [u8]| region.read(place, bytes);
        let gradient = mixing::Gradient { dtype, length: region.length, read: &read };
        let work = |control: &_| {
            let _session = self.objects.session(control);
            self.mixer.inner_products(name, gradient, &of, reference, num_threads, control)
        };
        let sums = run_interruptible(out.py(), |_, _| Ok(()), work)?;
        let bytes: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        found.write(0, &bytes);
        Ok(())
    }

    fn states(&self) -> Vec<(String, i128)> {
        self.mixer.states().into_iter().map(|(state, changed)| (state.to_string(), changed)).collect()
    }
}

/// NaN and infinities of each ingredient.
type Counts = Vec<(u64, u64)>;

fn counts(tally: &Tally) -> Counts {
    tally.inputs.iter().map(|found| (found.nan, found.positive + found.negative)).collect()
}

impl PyMixer {
    fn look<T: Send>(
        &self,
        py: Python<'_>,
        look: impl FnOnce(&Control) -> Result<(T, Tally)> + Send,
    ) -> PyResult<(T, Counts)> {
        let work = |control: &_| {
            let _session = self.objects.session(control);
            look(control)
        };
        let (found, tally) = run_interruptible(py, |_, _| Ok(()), work)?;
        Ok((found, counts(&tally)))
    }

    /// Refuse memory that would show the result's bits as floats of another format. Integers are bits anyway, so they
    /// hold any dtype: numpy has no BF16.
    fn check_dtype(&self, name: &str, holds: Option<Dtype>, wanted: Option<Dtype>) -> PyResult<()> {
        let (Some(holds), Some(own)) = (holds, self.mixer.dtype(name)) else { return Ok(()) };
        let averaged = own.class() == DtypeClass::Float && self.mixer.giver(name).is_none();
        let written = if averaged { wanted.unwrap_or(own) } else { own };
        if holds == written {
            return Ok(());
        }
        let problem =
            Problem::new(ProblemKind::Recipe, format!("expected a buffer of {written}, got one of {holds}"));
        let hint = "pass a buffer of that dtype, or say with `dtype` what is to be written";
        Err(Error::from(problem.tensor(name).hint(hint)).into())
    }
}
