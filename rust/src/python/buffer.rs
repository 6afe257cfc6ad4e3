//! The class `Mixer`: tensors straight into a numpy array or a torch CPU tensor.
#![allow(unsafe_code, reason = "memory that Python owns, reached through the buffer protocol or DLPack")]

use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::adapters::{self, Adapting};
use super::args::{self, Numerators};
use super::interrupt::run_interruptible;
use super::remote::{self, RemoteShard};
use crate::checkpoint::OpenOptions;
use crate::dtype::{Dtype, DtypeClass};
use crate::error::{Error, Problem, ProblemKind};
use crate::io::remote::Objects;
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
        whole: u64,
        out: &Bound<'_, PyAny>,
        dtype: Option<&str>,
        start: Option<u64>,
        num_threads: Option<usize>,
    ) -> PyResult<()> {
        let mixture = numerators.over(whole)?;
        let dtype = args::float_dtype(dtype)?;
        let memory = Memory::of(out)?;
        self.check_dtype(name, memory.dtype()?, dtype)?;
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
    ) -> PyResult<Vec<(u64, u64)>> {
        let memory = Memory::of(out)?;
        if memory.dtype()? != Some(Dtype::F64) {
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
        Ok(tally.inputs.iter().map(|found| (found.nan, found.positive + found.negative)).collect())
    }

    fn states(&self) -> Vec<(String, i128)> {
        self.mixer.states().into_iter().map(|(state, changed)| (state.to_string(), changed)).collect()
    }
}

impl PyMixer {
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

/// Writable memory of a Python object, held until dropped.
enum Memory {
    Buffer(PyUntypedBuffer),
    Tensor(DlpackTensor),
}

impl Memory {
    /// The object's memory, through the buffer protocol where it is offered, else through `DLPack`.
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(buffer) = PyUntypedBuffer::get(object) {
            if buffer.readonly() {
                return Err(PyBufferError::new_err("`out` is read-only; pass a writable buffer"));
            }
            if !buffer.is_c_contiguous() {
                return Err(PyBufferError::new_err("`out` is not contiguous; pass a C-contiguous buffer"));
            }
            return Ok(Self::Buffer(buffer));
        }
        if object.hasattr("__dlpack__")? {
            return DlpackTensor::of(object).map(Self::Tensor);
        }
        let kind = object.get_type().name()?;
        Err(PyTypeError::new_err(format!(
            "`out` must offer a writable buffer or DLPack memory on the CPU, got {kind}"
        )))
    }

    /// The float format of its elements; `None` for all others.
    fn dtype(&self) -> PyResult<Option<Dtype>> {
        match self {
            Self::Buffer(buffer) => {
                let format = buffer.format().to_bytes();
                let (order, code) = format.split_at(format.len().saturating_sub(1));
                let dtype = match code {
                    b"e" => Dtype::F16,
                    b"f" => Dtype::F32,
                    b"d" => Dtype::F64,
                    _ => return Ok(None),
                };
                if matches!(order, b">" | b"!") {
                    return Err(PyBufferError::new_err("`out` is big-endian; pass a little-endian buffer"));
                }
                Ok(Some(dtype))
            }
            Self::Tensor(tensor) => Ok(tensor.dtype),
        }
    }

    fn region(&self) -> Region<'_> {
        let (start, length) = match self {
            Self::Buffer(buffer) => (buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()),
            Self::Tensor(tensor) => (tensor.start, tensor.length),
        };
        Region { start, length, held: PhantomData }
    }
}

/// Where the memory lies. There is never a reference to it, for while the GIL is released any thread of Python may read
/// and write there: it is only stored to, by [`Region::write`].
#[derive(Clone, Copy)]
struct Region<'a> {
    start: *mut u8,
    length: usize,
    held: PhantomData<&'a Memory>,
}

// SAFETY: all that threads can do with a region is to store to it atomically.
unsafe impl Send for Region<'_> {}
// SAFETY: as above.
unsafe impl Sync for Region<'_> {}

impl Region<'_> {
    /// Store `bytes` from `place` on, eight at a time where that is aligned. Whoever reads or writes there meanwhile
    /// spoils numbers: stores race with nothing that the compiler could have assumed.
    fn write(&self, place: usize, bytes: &[u8]) {
        let end = place.checked_add(bytes.len());
        assert!(end.is_some_and(|end| end <= self.length), "a block within the memory");
        let target = self.start.wrapping_add(place);
        let head = target.align_offset(size_of::<u64>()).min(bytes.len());
        let (head, rest) = bytes.split_at(head);
        let (words, tail) = rest.as_chunks::<{ size_of::<u64>() }>();
        let aligned = target.wrapping_add(head.len());
        let byte = |target: *mut u8, byte: u8| {
            // SAFETY: within the `length` bytes that the exporter keeps writable and in place while it is held, which
            // it is for `'a`: resizing fails, or is by the exporter's own words forbidden until it is given back.
            unsafe { AtomicU8::from_ptr(target) }.store(byte, Ordering::Relaxed);
        };
        for (i, &value) in head.iter().enumerate() {
            byte(target.wrapping_add(i), value);
        }
        for (i, &word) in words.iter().enumerate() {
            // SAFETY: as above, and aligned behind `head`.
            let target = unsafe { AtomicU64::from_ptr(aligned.wrapping_add(8 * i).cast()) };
            target.store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
        for (i, &value) in tail.iter().enumerate() {
            byte(aligned.wrapping_add(8 * words.len() + i), value);
        }
    }
}

/// A tensor taken over from a `DLPack` capsule.
struct DlpackTensor {
    managed: *mut Managed,
    start: *mut u8,
    length: usize,
    /// Its float format; `None` for all others.
    dtype: Option<Dtype>,
}

/// `DLManagedTensor` of dlpack.h, versions before 1.0, which every exporter still gives by default.
#[repr(C)]
struct Managed {
    data: *mut c_void,
    device: [c_int; 2],
    dimensions: c_int,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Managed)>,
}

impl DlpackTensor {
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        /// `kDLCPU` of dlpack.h.
        const CPU: i64 = 1;
        let (device, _): (i64, i64) = object.call_method0("__dlpack_device__")?.extract()?;
        if device != CPU {
            return Err(PyBufferError::new_err(
                "`out` is not on the CPU; mix into a CPU tensor and copy that",
            ));
        }
        let capsule = object.call_method0("__dlpack__")?;
        let capsule = capsule.cast::<PyCapsule>()?;
        let managed = capsule.pointer_checked(Some(c"dltensor"))?.as_ptr().cast::<Managed>();
        // SAFETY: a capsule of this name holds a live `DLManagedTensor`, and renaming it makes us its owner.
        let renamed = unsafe { pyo3::ffi::PyCapsule_SetName(capsule.as_ptr(), USED.as_ptr()) };
        if renamed != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        let mut owned = Self { managed, start: std::ptr::null_mut(), length: 0, dtype: None };
        // SAFETY: owned above and not yet deleted.
        let tensor = unsafe { &*managed };
        let dimensions = usize::try_from(tensor.dimensions).unwrap_or(0);
        let read = |pointer: *const i64| -> &[i64] {
            if dimensions == 0 || pointer.is_null() {
                return &[];
            }
            // SAFETY: dlpack.h: shape and strides hold one entry per dimension, strides may be null.
            unsafe { std::slice::from_raw_parts(pointer, dimensions) }
        };
        let (shape, strides) = (read(tensor.shape), read(tensor.strides));
        let mut elements = 1i64;
        let mut contiguous = true;
        for axis in (0..shape.len()).rev() {
            contiguous &= strides.get(axis).is_none_or(|&stride| shape[axis] <= 1 || stride == elements);
            // Within a tensor that exists nothing overflows, but for one that is empty.
            elements = elements.saturating_mul(shape[axis].max(0));
        }
        if elements > 0 && !contiguous {
            return Err(PyBufferError::new_err("`out` is not contiguous; pass a contiguous tensor"));
        }
        let bits = u64::from(tensor.bits) * u64::from(tensor.lanes);
        // `kDLFloat` and `kDLBfloat` of dlpack.h.
        owned.dtype = match (tensor.code, bits) {
            (2, 16) => Some(Dtype::F16),
            (2, 32) => Some(Dtype::F32),
            (2, 64) => Some(Dtype::F64),
            (4, 16) => Some(Dtype::BF16),
            _ => None,
        };
        owned.length = (elements.unsigned_abs().saturating_mul(bits) / 8) as usize;
        if owned.length > 0 {
            if tensor.data.is_null() {
                return Err(PyBufferError::new_err("`out` has no memory"));
            }
            owned.start = tensor.data.cast::<u8>().wrapping_add(tensor.byte_offset as usize);
        }
        Ok(owned)
    }
}

/// The name that a consumed capsule takes.
const USED: &std::ffi::CStr = c"used_dltensor";
const _: *const c_char = USED.as_ptr();

impl Drop for DlpackTensor {
    fn drop(&mut self) {
        // SAFETY: owned since the capsule was renamed, and deleted once, here; the GIL is held, as exporters expect.
        unsafe {
            if let Some(deleter) = (*self.managed).deleter {
                deleter(self.managed);
            }
        }
    }
}
