//! Canonical JSON: keys sorted, no white space, numbers are integers. So equal values have equal bytes, and a digest.

use serde::Serialize;

use crate::digest::Digest;

/// The text of plain data.
///
/// # Panics
/// If keys are not strings: a bug.
pub(crate) fn canonical(value: &impl Serialize) -> String {
    let mut value = serde_json::to_value(value).expect("plain data with strings as keys");
    value.sort_all_objects();
    value.to_string()
}

/// BLAKE3 of the text.
pub(crate) fn digest_of(value: &impl Serialize) -> Digest {
    Digest::of(canonical(value).as_bytes())
}
