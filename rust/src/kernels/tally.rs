//! What is counted while the bytes pass: values that are not finite.

use super::format::{Format, Value};
use crate::dtype::Dtype;

/// Non-finite values met, per ingredient of a [`super::Request`], and created by rounding to the output dtype.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// One entry per ingredient of the request.
    pub inputs: Vec<NonFinite>,
    /// Outputs that are infinite although every input was finite.
    pub created: u64,
    /// Smallest element index, within the tally's tensor, of such an output.
    pub first_created: Option<u64>,
    /// Added to element indices of the current chunk.
    pub base: u64,
}

/// Counts of one ingredient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NonFinite {
    /// NaNs.
    pub nan: u64,
    /// Positive infinities.
    pub positive: u64,
    /// Negative infinities.
    pub negative: u64,
    /// Smallest element index, within the tally's tensor, of any of these.
    pub first: Option<u64>,
}

impl NonFinite {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.nan + self.positive + self.negative
    }

    fn add(&mut self, other: &Self) {
        self.nan += other.nan;
        self.positive += other.positive;
        self.negative += other.negative;
        self.first = earlier(self.first, other.first);
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    [a, b].into_iter().flatten().min()
}

impl Tally {
    /// Nothing counted yet, for `ingredients` inputs.
    pub fn new(ingredients: usize) -> Self {
        Self { inputs: vec![NonFinite::default(); ingredients], ..Self::default() }
    }

    /// Nothing was counted.
    pub fn is_clean(&self) -> bool {
        self.first_created.is_none() && self.inputs.iter().all(|counts| counts.first.is_none())
    }

    /// Add the counts of another chunk of the same tensor.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.inputs.iter_mut().zip(&other.inputs) {
            mine.add(theirs);
        }
        self.created += other.created;
        self.first_created = earlier(self.first_created, other.first_created);
    }

    /// Add the counts of a request whose input `k` was ingredient `ingredients[k]` here.
    pub(crate) fn spread(&mut self, request: &Self, ingredients: &[usize]) {
        let mut counts = Self::new(self.inputs.len());
        for (&ingredient, &found) in ingredients.iter().zip(&request.inputs) {
            counts.inputs[ingredient] = found;
        }
        counts.created = request.created;
        counts.first_created = request.first_created;
        self.merge(&counts);
    }

    pub(super) fn input(&mut self, ingredient: usize, index: usize, value: Value) {
        let counts = &mut self.inputs[ingredient];
        match value {
            Value::Finite { .. } => return,
            Value::Nan => counts.nan += 1,
            Value::Infinity { negative: false } => counts.positive += 1,
            Value::Infinity { negative: true } => counts.negative += 1,
        }
        counts.first = earlier(counts.first, Some(self.base + index as u64));
    }

    pub(super) fn created(&mut self, index: usize) {
        self.created += 1;
        self.first_created = earlier(self.first_created, Some(self.base + index as u64));
    }
}

/// Count the non-finite values of a chunk that is copied as it is; integers have none.
pub fn count_non_finite(bytes: &[u8], dtype: Dtype, tally: &mut Tally) {
    const BLOCK: usize = 4096;
    let Some(format) = Format::of(dtype) else { return };
    for (block, bytes) in bytes.chunks(BLOCK * format.bytes).enumerate() {
        let infinity = format.infinity;
        let suspicious = match format.bytes {
            2 => any(bytes, |b| u16::from_le_bytes(b) & (u16::MAX >> 1) >= infinity as u16),
            4 => any(bytes, |b| u32::from_le_bytes(b) & (u32::MAX >> 1) >= infinity as u32),
            _ => any(bytes, |b| u64::from_le_bytes(b) & (u64::MAX >> 1) >= infinity),
        };
        if suspicious {
            for i in 0..bytes.len() / format.bytes {
                tally.input(0, block * BLOCK + i, format.decode(format.load(bytes, i)));
            }
        }
    }
}

/// Whether any element passes; without a way out in the middle, so that it vectorises.
fn any<const N: usize>(bytes: &[u8], test: impl Fn([u8; N]) -> bool) -> bool {
    bytes.as_chunks::<N>().0.iter().fold(false, |any, &element| any | test(element))
}
