//! Memory for a worker's blocks, straight from the system and back to it.
//!
//! The C library keeps what a thread has freed for the next allocations of some thread, up to tens of megabytes for
//! each thread that ever worked. Workers live for one merge, so in a process that merges for hours that looks like a
//! leak; maps of their own do not stay.

use std::io;

use memmap2::{MmapMut, MmapOptions};

/// Bytes that grow to the largest length asked for.
#[derive(Debug, Default)]
pub struct Buffer(Option<MmapMut>);

impl Buffer {
    /// The first `length` bytes, of any content.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn first(&mut self, length: usize) -> io::Result<&mut [u8]> {
        if self.0.as_ref().is_none_or(|map| map.len() < length) {
            self.0 = None; // given back before more is asked for
            // All of it will be used, and a fault for each page takes longer.
            self.0 = Some(MmapOptions::new().len(length.max(1)).populate().map_anon()?);
        }
        Ok(self.0.as_mut().map_or(&mut [], |map| &mut map[..length]))
    }

    /// All that it has grown to.
    pub(super) fn all(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Buffer;

    #[test]
    fn a_buffer_has_the_length_asked_for() {
        let mut buffer = Buffer::default();
        for length in [0, 1, 5000, 10, 5000, 1 << 20, 0] {
            let bytes = buffer.first(length).expect("there is memory");
            assert_eq!(bytes.len(), length);
            bytes.fill(1);
        }
    }
}
