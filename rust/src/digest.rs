//! Digests: of bytes, of files, and of tensors from chunks in any order.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use sha2::{Digest as _, Sha256};

use crate::escape::shown;

/// 32 bytes of a digest, in hexadecimal wherever it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The BLAKE3 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        blake3::hash(bytes).into()
    }

    /// The SHA-256 of some bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        Sha256::digest(bytes).into()
    }

    /// The SHA-256 of all that can still be read; an error comes with how much that was.
    ///
    /// # Errors
    /// The reader's.
    pub fn sha256_of(mut reader: impl Read) -> Result<Self, (u64, io::Error)> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut offset = 0_u64;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finalize().into()),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((offset, error)),
            }
        }
    }
}

impl From<sha2::digest::Output<Sha256>> for Digest {
    fn from(hash: sha2::digest::Output<Sha256>) -> Self {
        Self(hash.into())
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

/// 64 hexadecimal digits in lower case: a digest is compared as text, too, so there is one way to write it.
impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let hash = blake3::Hash::from_hex(text).ok().filter(|_| lower);
        hash.map(Into::into).ok_or_else(|| format!("expected 64 hexadecimal digits, got `{}`", shown(text)))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How the BLAKE3 of one tensor is put together from chunks of equal length, hashed anywhere in any order.
///
/// ```
/// use _core::digest::ChunkDigest;
/// let tensor = vec![7_u8; 5000];
/// let digest = ChunkDigest::new(5000, 2048);
/// let leaves: Vec<_> = (0..digest.leaves()).map(|i| {
///     let start = i * 2048;
///     digest.leaf(&tensor[start..5000.min(start + 2048)], start as u64)
/// }).collect();
/// assert_eq!(digest.combine(&leaves), blake3::hash(&tensor));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkDigest {
    tensor_length: u64,
    chunk_length: u64,
}

/// What one chunk adds to its tensor's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf([u8; 32]);

impl ChunkDigest {
    /// For a tensor of `tensor_length` bytes, cut into chunks of `chunk_length`; the last may be shorter.
    ///
    /// # Panics
    /// If `chunk_length` is no power of two or less than 1024: such chunks are no subtrees of BLAKE3.
    pub fn new(tensor_length: u64, chunk_length: u64) -> Self {
        assert!(
            chunk_length.is_power_of_two() && chunk_length >= blake3::CHUNK_LEN as u64,
            "a digest chunk of {chunk_length} bytes is no subtree"
        );
        Self { tensor_length, chunk_length }
    }

    /// Number of chunks; an empty tensor has one, empty.
    pub fn leaves(&self) -> usize {
        self.tensor_length.div_ceil(self.chunk_length).max(1) as usize
    }

    /// The leaf of the chunk at `offset_in_tensor`.
    ///
    /// # Panics
    /// If there is no such chunk, or `chunk` has not its length.
    pub fn leaf(&self, chunk: &[u8], offset_in_tensor: u64) -> Leaf {
        let rest = self.tensor_length.checked_sub(offset_in_tensor).expect("a chunk lies within its tensor");
        assert_eq!(
            offset_in_tensor % self.chunk_length,
            0,
            "a chunk begins at a multiple of the chunk length"
        );
        assert_eq!(chunk.len() as u64, rest.min(self.chunk_length), "a chunk is whole");
        if self.leaves() == 1 {
            return Leaf(blake3::hash(chunk).into());
        }
        let mut hasher = Hasher::new();
        hasher.set_input_offset(offset_in_tensor);
        Leaf(hasher.update(chunk).finalize_non_root())
    }

    /// The digest of the tensor: `blake3::hash` of all its bytes. `leaves` in the order of their offsets.
    ///
    /// # Panics
    /// If there are not [`ChunkDigest::leaves`] of them.
    pub fn combine(&self, leaves: &[Leaf]) -> blake3::Hash {
        assert_eq!(leaves.len(), self.leaves(), "a digest needs every leaf");
        if let [only] = leaves {
            return only.0.into();
        }
        let (left, right) = leaves.split_at(left_half(leaves.len()));
        merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash)
    }
}

fn subtree(leaves: &[Leaf]) -> [u8; 32] {
    if let [only] = leaves {
        return only.0;
    }
    let (left, right) = leaves.split_at(left_half(leaves.len()));
    merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
}

/// BLAKE3 gives the left child the largest power of two that leaves something for the right one.
fn left_half(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 31 % 251) as u8).collect()
    }

    fn check(tensor: &[u8], chunk: usize) {
        let digest = ChunkDigest::new(tensor.len() as u64, chunk as u64);
        let mut leaves: Vec<Leaf> = (0..digest.leaves())
            .rev() // any order of hashing will do
            .map(|i| digest.leaf(&tensor[i * chunk..tensor.len().min((i + 1) * chunk)], (i * chunk) as u64))
            .collect();
        leaves.reverse();
        assert_eq!(digest.combine(&leaves), blake3::hash(tensor), "{} bytes in {chunk}", tensor.len());
    }

    #[test]
    fn edge_lengths_give_the_plain_hash() {
        for chunk in [1024, 2048, 4096, 65536] {
            for length in
                [0, 1, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 4096, 5 * 1024, 65536, 65537, 7 * 65536]
            {
                check(&bytes(length), chunk);
            }
        }
    }

    proptest! {
        #[test]
        fn every_length_and_chunk_length_gives_the_plain_hash(length in 0_usize..300_000, power in 10_u32..20) {
            check(&bytes(length), 1 << power);
        }
    }

    #[test]
    #[should_panic(expected = "no subtree")]
    fn chunks_that_are_no_subtrees_are_refused() {
        let _ = ChunkDigest::new(1, 3000);
    }

    #[test]
    fn bytes_and_readers_have_the_sha256_that_sha256sum_prints() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::sha256(b"abc").to_string(), expected);
        assert_eq!(Digest::sha256_of(&b"abc"[..]).unwrap().to_string(), expected);
    }

    #[test]
    fn a_digest_is_written_in_one_way_only() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for text in [digest.to_string().to_uppercase(), "x".to_owned(), "0".repeat(63), "0".repeat(65)] {
            let error = text.parse::<Digest>().unwrap_err();
            assert!(error.starts_with("expected 64 hexadecimal digits, got `"), "{error}");
        }
    }
}
