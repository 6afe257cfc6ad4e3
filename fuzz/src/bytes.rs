//! Choices taken from the fuzzer's bytes, and from a generator seeded with them when they are used up.

/// A source of choices that never ends.
pub struct Bytes<'a> {
    bytes: &'a [u8],
    state: u64,
}

impl<'a> Bytes<'a> {
    /// Choices from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        let state = bytes.iter().fold(bytes.len() as u64, |state, &byte| mixed(state ^ u64::from(byte)));
        Self { bytes, state }
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        if let Some((&first, rest)) = self.bytes.split_first() {
            self.bytes = rest;
            return first;
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mixed(self.state) >> 32) as u8
    }

    /// Any word.
    pub fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        let wide = if end <= 256 { u64::from(self.byte()) } else { self.word() };
        wide % end
    }

    /// One of several.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn mixed(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}
