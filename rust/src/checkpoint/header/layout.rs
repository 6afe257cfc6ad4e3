//! Where the tensors of one file lie: side by side, from the first data byte to the last.

use std::cmp::Ordering;

use crate::checkpoint::TensorInfo;
use crate::error::{Problem, ProblemKind};
use crate::escape::{counted, shown};

/// Sorts the tensors by place, proves that they cover the data without hole or overlap, and makes their offsets count
/// from the start of the file. Returns the number of data bytes.
pub(super) fn lay_out(tensors: &mut [TensorInfo], data: u64) -> Result<u64, Problem> {
    tensors.sort_unstable_by(|a, b| (a.offset, a.length, &a.name).cmp(&(b.offset, b.length, &b.name)));
    let mut end = 0_u64;
    let mut previous = None;
    for tensor in tensors {
        let refuse = |message: String| Err(problem(message).tensor(tensor.name.clone()));
        if tensor.offset != end {
            let after = previous.map_or_else(String::new, |name: &str| format!(", after `{}`", shown(name)));
            let what = if tensor.offset > end { "a hole" } else { "an overlap" };
            let got = tensor.offset;
            return refuse(format!("expected its data to begin at offset {end}{after}, got {got}: {what}"));
        }
        let Some(bits) = bits(tensor) else {
            return refuse(format!("{} {:?} overflows 64 bits", tensor.dtype, tensor.shape));
        };
        if bits % 8 != 0 {
            return refuse(format!("{} {:?} does not end at a whole byte", tensor.dtype, tensor.shape));
        }
        if bits / 8 != tensor.length {
            let (dtype, shape, length) = (tensor.dtype, &tensor.shape, tensor.length);
            return refuse(format!("expected {} for {dtype} {shape:?}, got {length}", count(bits / 8)));
        }
        let (Some(next), Some(offset)) = (end.checked_add(tensor.length), data.checked_add(tensor.offset))
        else {
            return refuse(format!("offset {} overflows 64 bits", tensor.offset));
        };
        (end, tensor.offset, previous) = (next, offset, Some(tensor.name.as_str()));
    }
    Ok(end)
}

/// Size by shape and dtype, without regard to the order of dimensions: zeros must not hide an overflow.
fn bits(tensor: &TensorInfo) -> Option<u64> {
    let bits = tensor
        .shape
        .iter()
        .filter(|dimension| **dimension != 0)
        .try_fold(u64::from(tensor.dtype.bits()), |bits, dimension| bits.checked_mul(*dimension))?;
    Some(if tensor.shape.contains(&0) { 0 } else { bits })
}

/// The file ends where its last tensor ends.
pub(super) fn check_size(expected: u64, file_size: u64) -> Result<(), Problem> {
    let hint = match file_size.cmp(&expected) {
        Ordering::Less => format!("{} missing: download again", count(expected - file_size)),
        Ordering::Greater => format!("{} after the last tensor", count(file_size - expected)),
        Ordering::Equal => return Ok(()),
    };
    Err(problem(format!("expected a file of {expected} bytes, got {file_size}")).hint(hint))
}

/// A header that is not as it should be.
pub(super) fn problem(message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Checkpoint, message)
}

/// A number of bytes in words.
pub(super) fn count(bytes: u64) -> String {
    counted(bytes, "byte", "bytes")
}
