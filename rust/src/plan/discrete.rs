//! Tensors that must be equal, compared byte for byte by streaming reads: integers and booleans, and (from
//! [`super::tied`]) a tied head with its embedding. The only place where planning reads tensor data.

use crate::checkpoint::{Checkpoint, LocatedTensor, reopen};
use crate::dtype::Dtype;
use crate::error::{Problem, ProblemKind, Result};
use crate::escape::quoted;
use crate::io::Buffer;

use super::remarks::Remarks;

/// Bytes read at a time from each of two files.
const BLOCK: usize = 4 << 20;

/// Compare the tensors `names` of every ingredient that is `used` with the first's; they agree in dtype and shape
/// wherever they are compared.
pub(super) fn check(
    checkpoints: &[Checkpoint],
    used: &[bool],
    names: &[&str],
    remarks: &mut Remarks,
) -> Result<()> {
    let Some((first, others)) = checkpoints.split_first() else { return Ok(()) };
    for (checkpoint, _) in others.iter().zip(used.iter().skip(1)).filter(|(_, used)| **used) {
        let mut problems = Vec::new();
        for name in names {
            let (Some(expected), Some(got)) = (first.locate(name), checkpoint.locate(name)) else {
                continue;
            };
            let comparable =
                expected.tensor.dtype == got.tensor.dtype && expected.tensor.shape == got.tensor.shape;
            if !comparable {
                continue;
            }
            if let Some(difference) = first_difference(expected, got)? {
                problems.push(differs(expected, got, &difference));
            }
        }
        remarks.tensors(&checkpoint.root, problems, "integer tensors differ");
    }
    Ok(())
}

/// Whether a tensor that all ingredients have is the same in all of them.
pub(super) fn is_equal(name: &str, checkpoints: &[Checkpoint]) -> Result<bool> {
    let mut found = checkpoints.iter().filter_map(|checkpoint| checkpoint.locate(name));
    let Some(first) = found.next() else { return Ok(true) };
    for other in found {
        let alike = first.tensor.dtype == other.tensor.dtype && first.tensor.shape == other.tensor.shape;
        if !alike || first_difference(first, other)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn differs(expected: LocatedTensor<'_>, got: LocatedTensor<'_>, at: &Difference) -> Problem {
    let dtype = got.tensor.dtype;
    let message = format!(
        "differs from {} at index {}: expected {}, got {}",
        quoted(&expected.shard.path),
        at.index,
        value(dtype, &at.expected),
        value(dtype, &at.got),
    );
    Problem::new(ProblemKind::Incompatible, message).at(&got.shard.path).tensor(&got.tensor.name).hint(
        "integers and booleans are not averaged, so they must be equal in all ingredients, unless \
             `--take PATTERN=INGREDIENT` takes them from one or `--leave-out PATTERN` leaves them out",
    )
}

/// The first element in which two tensors differ.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Counted in elements, in memory order.
    pub(super) index: u64,
    expected: Vec<u8>,
    got: Vec<u8>,
}

/// Where two tensors of one dtype and one length first differ.
pub(super) fn first_difference(
    expected: LocatedTensor<'_>,
    got: LocatedTensor<'_>,
) -> Result<Option<Difference>> {
    let same_place = expected.shard.identity.same_place(&got.shard.identity);
    let length = expected.tensor.length;
    if length == 0 || same_place && expected.tensor.offset == got.tensor.offset {
        return Ok(None);
    }
    let (expected_source, got_source) = (reopen(expected.shard)?, reopen(got.shard)?);
    let block = usize::try_from(length).unwrap_or(BLOCK).min(BLOCK);
    let mut buffers = (Buffer::default(), Buffer::default());
    let mut done = 0;
    while done < length {
        let now = usize::try_from(length - done).unwrap_or(block).min(block);
        let a = expected_source.read(expected.tensor.offset + done, now, &mut buffers.0)?;
        let b = got_source.read(got.tensor.offset + done, now, &mut buffers.1)?;
        if let Some(byte) = a.iter().zip(b).position(|(a, b)| a != b) {
            // Blocks are a multiple of every element size, so the element lies in this block.
            let size = expected.tensor.dtype.bytes().unwrap_or(1);
            let start = byte / size * size;
            let index = (done + start as u64) / size as u64;
            let element = |block: &[u8]| block[start..(start + size).min(now)].to_vec();
            return Ok(Some(Difference { index, expected: element(a), got: element(b) }));
        }
        done += now as u64;
    }
    Ok(None)
}

/// One element as a number; a boolean as its byte unless that is 0 or 1.
fn value(dtype: Dtype, bytes: &[u8]) -> String {
    let mut wide = [0; 8];
    let size = bytes.len().min(8);
    wide[..size].copy_from_slice(&bytes[..size]);
    let unsigned = u64::from_le_bytes(wide);
    let unused_bits = 64 - 8 * size.clamp(1, 8) as u32;
    match dtype {
        Dtype::BOOL if unsigned == 0 => "false".to_owned(),
        Dtype::BOOL if unsigned == 1 => "true".to_owned(),
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => {
            ((unsigned << unused_bits) as i64 >> unused_bits).to_string()
        }
        _ => unsigned.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::value;
    use crate::dtype::Dtype;

    #[test]
    fn elements_are_shown_as_numbers() {
        let check =
            |dtype: Dtype, bytes: &[u8], expected: &str| assert_eq!(value(dtype, bytes), expected, "{dtype}");
        check(Dtype::BOOL, &[0], "false");
        check(Dtype::BOOL, &[1], "true");
        check(Dtype::BOOL, &[2], "2");
        check(Dtype::U8, &[255], "255");
        check(Dtype::I8, &[255], "-1");
        check(Dtype::I16, &[0, 128], "-32768");
        check(Dtype::U16, &[0, 128], "32768");
        check(Dtype::I32, &[254, 255, 255, 255], "-2");
        check(Dtype::U32, &[254, 255, 255, 255], "4294967294");
        check(Dtype::I64, &[255; 8], "-1");
        check(Dtype::U64, &[255; 8], "18446744073709551615");
    }
}
