//! Means of random ingredients: every kernel set, cut anywhere and in any order of ingredients, gives the bits and
//! the counts of the scalar one.
#![no_main]

use _core::Dtype;
use _core::kernels::{Kernels, Request, Tally, count_non_finite};
use _core::mix::MAX_PARTS;
use soce_fuzz::Bytes;

const FLOATS: [Dtype; 4] = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let case = Case::new(&mut Bytes::new(input));
    let sets = Kernels::available();
    let (expected, counts) = case.run(sets[0]);
    for set in &sets[1..] {
        assert_eq!(case.run(set), (expected.clone(), counts.clone()), "{} on {case:?}", set.name);
        assert_eq!(case.run_in_two(set), (expected.clone(), counts.clone()), "{} in two: {case:?}", set.name);
    }
    for ((input, &dtype), found) in case.inputs.iter().zip(&case.dtypes).zip(&counts.inputs) {
        let mut alone = Tally::new(1);
        count_non_finite(input, dtype, &mut alone);
        assert_eq!(alone.inputs[0], *found, "{case:?}");
    }
    let turned = case.turned();
    let fastest = sets[sets.len() - 1];
    assert_eq!(turned.run(fastest).0, expected, "{} on {case:?} turned", fastest.name);
});

#[derive(Debug)]
struct Case {
    inputs: Vec<Vec<u8>>,
    dtypes: Vec<Dtype>,
    numerators: Vec<i64>,
    whole: u64,
    output: Dtype,
    elements: usize,
    cut: usize,
}

impl Case {
    fn new(bytes: &mut Bytes<'_>) -> Self {
        // Around the lengths at which the loops change hands: 64, 512 and 4096 elements.
        let elements = match bytes.byte() {
            any @ 0..=235 => usize::from(any % 80),
            236..=249 => 120 + bytes.below(20) as usize,
            250..=253 => 505 + bytes.below(16) as usize,
            254 => 1020 + bytes.below(10) as usize,
            _ => 4090 + bytes.below(12) as usize,
        };
        let few = [1, 2, 2, 2, 2, 3, 3, 3];
        let many = [1, 4, 5, 6, 7, 8, 9, 18];
        let choices = if elements > 500 || bytes.below(3) > 0 { &few } else { &many };
        let ingredients = bytes.one_of(choices);
        let same = bytes.one_of(&FLOATS);
        let mixed = bytes.below(4) == 0;
        let dtypes: Vec<Dtype> =
            (0..ingredients).map(|_| if mixed { bytes.one_of(&FLOATS) } else { same }).collect();
        let output = if bytes.below(2) == 0 { same } else { bytes.one_of(&FLOATS) };
        let (numerators, whole) = recipe(bytes, ingredients);
        let style = bytes.byte();
        let inputs = dtypes.iter().map(|&dtype| data(bytes, dtype, elements, style)).collect();
        let cut = bytes.below(elements as u64 + 1) as usize;
        Self { inputs, dtypes, numerators, whole, output, elements, cut }
    }

    fn run(&self, set: &Kernels) -> (Vec<u8>, Tally) {
        let mut output = vec![0xaa; self.elements * size(self.output)];
        let mut tally = Tally::new(self.inputs.len());
        self.run_part(set, 0..self.elements, &mut output, &mut tally);
        (output, tally)
    }

    fn run_in_two(&self, set: &Kernels) -> (Vec<u8>, Tally) {
        let mut output = vec![0xaa; self.elements * size(self.output)];
        let (first, second) = output.split_at_mut(self.cut * size(self.output));
        let (mut before, mut after) = (Tally::new(self.inputs.len()), Tally::new(self.inputs.len()));
        after.base = self.cut as u64;
        self.run_part(set, self.cut..self.elements, second, &mut after);
        self.run_part(set, 0..self.cut, first, &mut before);
        before.merge(&after);
        (output, before)
    }

    fn run_part(&self, set: &Kernels, part: std::ops::Range<usize>, output: &mut [u8], tally: &mut Tally) {
        let inputs: Vec<&[u8]> = (self.inputs.iter().zip(&self.dtypes))
            .map(|(input, &dtype)| &input[part.start * size(dtype)..part.end * size(dtype)])
            .collect();
        let request = Request {
            inputs: &inputs,
            dtypes: &self.dtypes,
            numerators: &self.numerators,
            whole: self.whole,
            output_dtype: self.output,
        };
        set.mean(&request, output, tally);
    }

    /// The same with the ingredients in reverse order.
    fn turned(&self) -> Self {
        fn turned<T: Clone>(list: &[T]) -> Vec<T> {
            list.iter().rev().cloned().collect()
        }
        Self {
            inputs: turned(&self.inputs),
            dtypes: turned(&self.dtypes),
            numerators: turned(&self.numerators),
            ..*self
        }
    }
}

fn size(dtype: Dtype) -> usize {
    dtype.bytes().expect("a float")
}

/// Numerators, none zero, of at most [`MAX_PARTS`] together, over a whole: an average, or anything.
fn recipe(bytes: &mut Bytes<'_>, ingredients: usize) -> (Vec<i64>, u64) {
    let most = MAX_PARTS / ingredients as u64;
    let most = bytes.one_of(&[1, 3, 10, 100, 1 << 12, most]);
    let signed = bytes.below(4) == 0;
    let numerators: Vec<i64> = (0..ingredients)
        .map(|_| {
            let part = 1 + bytes.below(most) as i64;
            if signed && bytes.below(2) == 0 { -part } else { part }
        })
        .collect();
    let sum = numerators.iter().map(|n| n.unsigned_abs()).sum();
    (numerators, if bytes.below(4) == 0 { 1 + bytes.below(MAX_PARTS) } else { sum })
}

/// Elements of one ingredient: special values, values near each other, few significant bits, or anything.
fn data(bytes: &mut Bytes<'_>, dtype: Dtype, elements: usize, style: u8) -> Vec<u8> {
    let (bits, fraction): (usize, u32) = match dtype {
        Dtype::F16 => (16, 10),
        Dtype::BF16 => (16, 7),
        Dtype::F32 => (32, 23),
        _ => (64, 52),
    };
    let sign = 1u64 << (bits - 1);
    let infinity = (sign - 1) >> fraction << fraction;
    let middle = infinity >> 1 >> fraction << fraction;
    let specials = [
        0,
        1,
        2,
        infinity,
        infinity - 1,
        infinity | 1,
        infinity | 1 << (fraction - 1),
        sign - 1,
        1 << fraction,
        (1 << fraction) - 1,
        (1 << fraction) + 1,
        middle,
        infinity - (1 << fraction),
    ];
    let mut data = Vec::with_capacity(elements * bits / 8);
    for _ in 0..elements {
        let control = bytes.byte();
        let kind = if style & 1 == 0 { style >> 1 & 7 } else { control & 7 };
        let word = match kind {
            0 => specials[usize::from(control >> 3) % specials.len()],
            1 => bytes.word() & (sign - 1),
            2 => middle + (u64::from(control >> 3 & 3) << fraction) + (bytes.word() & ((1 << fraction) - 1)),
            3 => middle + (u64::from(control >> 3 & 15) << (fraction - 4)),
            4 => bytes.word() & ((1 << fraction) - 1), // subnormal
            5 => infinity - 1 - (u64::from(control) << fraction.saturating_sub(6)).min(infinity / 2),
            6 => middle.wrapping_add(bytes.word() & 0x3f) & (sign - 1),
            _ => (u64::from(control) << (bits - 9)) & (sign - 1),
        };
        let negative = bytes.byte() & 1 == 1;
        let word = word | if negative { sign } else { 0 };
        data.extend_from_slice(&word.to_le_bytes()[..bits / 8]);
    }
    data
}
