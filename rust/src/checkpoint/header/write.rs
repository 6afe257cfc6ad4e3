//! The header that soce writes, byte for byte as the reference writer makes it.

use super::LENGTH_BYTES;
use crate::dtype::Dtype;

/// Length field and header of a file that holds these tensors side by side in this order, each given by name, dtype,
/// shape and bytes; padded with spaces to a multiple of 8 bytes.
pub fn write<'a>(tensors: impl Iterator<Item = (&'a str, Dtype, &'a [u64], u64)>) -> Vec<u8> {
    let mut header = vec![0; LENGTH_BYTES as usize];
    header.extend_from_slice(br#"{"__metadata__":{"format":"pt"}"#);
    let mut offset = 0u64;
    for (name, dtype, shape, length) in tensors {
        let end = offset.saturating_add(length);
        let name = serde_json::Value::from(name);
        let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
        let shape = shape.join(",");
        let entry =
            format!(r#",{name}:{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{offset},{end}]}}"#);
        header.extend_from_slice(entry.as_bytes());
        offset = end;
    }
    header.push(b'}');
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = header.len() as u64 - LENGTH_BYTES;
    for (slot, byte) in header.iter_mut().zip(length.to_le_bytes()) {
        *slot = byte;
    }
    header
}
