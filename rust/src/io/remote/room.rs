//! Memory for what comes of a server.

/// Memory that is asked for as bytes come.
pub(super) trait Room {
    /// Where the next ones go; `None` if they are not wanted any more.
    fn room(&mut self) -> Option<&mut [u8]>;
    /// So many came.
    fn filled(&mut self, count: usize);
}

/// Memory that is there.
pub(super) struct Whole<'a> {
    bytes: &'a mut [u8],
    filled: usize,
}

impl<'a> Whole<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, filled: 0 }
    }
}

impl Room for Whole<'_> {
    fn room(&mut self) -> Option<&mut [u8]> {
        Some(&mut self.bytes[self.filled..])
    }

    fn filled(&mut self, count: usize) {
        self.filled += count;
    }
}
