//! What the fuzz targets share with the tests of the core: the same oracles, so that both ask for the same.

#[path = "../../tests/rust/allocation.rs"]
mod allocation;
#[path = "../../tests/rust/checkpoint/oracle.rs"]
mod oracle;

mod bytes;

pub use bytes::Bytes;

/// See [`oracle::check_file`]. Of a file that is only too short or too long, also the one of the size it says.
pub fn file(file: &[u8]) {
    let Err(problem) = oracle::check_file(file) else { return };
    let header_end = || Some(8 + usize::try_from(u64::from_le_bytes(*file.first_chunk::<8>()?)).ok()?);
    let Some(size) = size_expected(&problem.message) else { return };
    let Some(header) = header_end().and_then(|end| file.get(..end)) else { return };
    if size >= header.len() && size - header.len() <= 1 << 16 {
        let mut whole = header.to_vec();
        whole.resize(size, 0);
        oracle::check_file(&whole).expect("a file of the size that was expected");
    }
}

/// A file with this header, whatever its size has to be.
pub fn header(text: &[u8]) {
    file(&[&(text.len() as u64).to_le_bytes()[..], text].concat());
}

/// See [`oracle::check_index`]. What is accepted is written and read again.
pub fn index(text: &[u8]) {
    let Ok(index) = oracle::check_index(text) else { return };
    let entries = || index.tensors.iter().map(|(name, shard)| (&**name, &*index.shards[*shard as usize]));
    let again = _core::checkpoint::index::write(entries(), index.total_size.unwrap_or_default(), 0);
    let again = oracle::check_index(&again).expect("what soce writes");
    assert_eq!((again.shards, again.tensors), (index.shards.clone(), index.tensors.clone()));
}

/// The size in `expected a file of 66 bytes, got 62`.
fn size_expected(message: &str) -> Option<usize> {
    message.strip_prefix("expected a file of ")?.split(' ').next()?.parse().ok()
}
