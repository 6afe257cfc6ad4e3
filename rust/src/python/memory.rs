//! Memory of Python objects: numpy arrays, torch CPU tensors, whatever offers it.
#![allow(unsafe_code, reason = "memory that Python owns, reached through the buffer protocol or DLPack")]

use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::dtype::Dtype;

/// What memory is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

/// Memory of a Python object, held until dropped.
pub(super) enum Memory {
    Buffer(PyUntypedBuffer),
    Tensor(DlpackTensor),
}

impl Memory {
    /// The memory of the object that is the argument `name`, through the buffer protocol where it is offered, else through
    /// `DLPack`.
    pub(super) fn of(object: &Bound<'_, PyAny>, name: &str, wanted: Use) -> PyResult<Self> {
        if let Ok(buffer) = PyUntypedBuffer::get(object) {
            if wanted == Use::Write && buffer.readonly() {
                return Err(unusable(name, "is read-only; pass a writable buffer"));
            }
            if !buffer.is_c_contiguous() {
                return Err(unusable(name, "is not contiguous; pass a C-contiguous buffer"));
            }
            return Ok(Self::Buffer(buffer));
        }
        if object.hasattr("__dlpack__")? {
            return DlpackTensor::of(object, name).map(Self::Tensor);
        }
        let kind = object.get_type().name()?;
        let buffer = if wanted == Use::Write { "a writable buffer" } else { "a buffer" };
        Err(PyTypeError::new_err(format!(
            "`{name}` must offer {buffer} or DLPack memory on the CPU, got {kind}"
        )))
    }

    /// The float format of its elements; `None` for all others.
    pub(super) fn dtype(&self, name: &str) -> PyResult<Option<Dtype>> {
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
                    return Err(unusable(name, "is big-endian; pass a little-endian buffer"));
                }
                Ok(Some(dtype))
            }
            Self::Tensor(tensor) => Ok(tensor.dtype),
        }
    }

    pub(super) fn region(&self) -> Region<'_> {
        let (start, length) = match self {
            Self::Buffer(buffer) => (buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()),
            Self::Tensor(tensor) => (tensor.start, tensor.length),
        };
        Region { start, length, held: PhantomData }
    }
}

fn unusable(name: &str, why: &str) -> PyErr {
    PyBufferError::new_err(format!("`{name}` {why}"))
}

/// Where the memory lies. There is never a reference to it, for while the GIL is released any thread of Python may read
/// and write there: it is only loaded from and stored to, by [`Region::read`] and [`Region::write`].
#[derive(Clone, Copy)]
pub(super) struct Region<'a> {
    start: *mut u8,
    pub(super) length: usize,
    held: PhantomData<&'a Memory>,
}

// SAFETY: all that threads can do with a region is to load from it and to store to it atomically.
unsafe impl Send for Region<'_> {}
// SAFETY: as above.
unsafe impl Sync for Region<'_> {}

impl Region<'_> {
    /// Load `bytes` from `place` on, eight at a time where that is aligned.
    pub(super) fn read(&self, place: usize, bytes: &mut [u8]) {
        let end = place.checked_add(bytes.len());
        assert!(end.is_some_and(|end| end <= self.length), "a block within the memory");
        let source = self.start.wrapping_add(place);
        let head = source.align_offset(size_of::<u64>()).min(bytes.len());
        let (head, rest) = bytes.split_at_mut(head);
        let (words, tail) = rest.as_chunks_mut::<{ size_of::<u64>() }>();
        let aligned = source.wrapping_add(head.len());
        let byte = |source: *mut u8| {
            // SAFETY: within the `length` bytes that the exporter keeps in place while it is held, as for `write`; memory that
            // is mapped read-only may be loaded from, for no load of a byte or of a word writes.
            unsafe { AtomicU8::from_ptr(source) }.load(Ordering::Relaxed)
        };
        for (i, value) in head.iter_mut().enumerate() {
            *value = byte(source.wrapping_add(i));
        }
        for (i, word) in words.iter_mut().enumerate() {
            // SAFETY: as above, and aligned behind `head`.
            let source = unsafe { AtomicU64::from_ptr(aligned.wrapping_add(8 * i).cast()) };
            *word = source.load(Ordering::Relaxed).to_ne_bytes();
        }
        for (i, value) in tail.iter_mut().enumerate() {
            *value = byte(aligned.wrapping_add(8 * words.len() + i));
        }
    }

    /// Store `bytes` from `place` on, eight at a time where that is aligned. Whoever reads or writes there meanwhile
    /// spoils numbers: stores race with nothing that the compiler could have assumed.
    pub(super) fn write(&self, place: usize, bytes: &[u8]) {
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
pub(super) struct DlpackTensor {
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
    fn of(object: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        /// `kDLCPU` of dlpack.h.
        const CPU: i64 = 1;
        let (device, _): (i64, i64) = object.call_method0("__dlpack_device__")?.extract()?;
        if device != CPU {
            return Err(unusable(name, "is not on the CPU; use a CPU tensor, and copy"));
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
            return Err(unusable(name, "is not contiguous; pass a contiguous tensor"));
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
                return Err(unusable(name, "has no memory"));
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
