//! Every kernel set against the definition, and the definition against exact arithmetic.

#![allow(clippy::float_cmp, reason = "differences are defined to the bit")]

use proptest::prelude::*;

use super::*;
use crate::kernels::difference::{BLOCK, widened};
use crate::kernels::format::{Format, Value};

/// A whole number of vectors of any instruction set; with fewer, only the loop for the rest would see an element.
const LANES: usize = 64;
const FLOATS: [Dtype; 4] = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64];

fn bytes_of(dtype: Dtype, words: &[u64]) -> Vec<u8> {
    let size = dtype.bytes().unwrap();
    words.iter().flat_map(|word| word.to_le_bytes()[..size].to_vec()).collect()
}

/// Bits of `value` in `dtype`, truncated.
fn bits(dtype: Dtype, value: f64) -> u64 {
    let f64_format = Format::of(Dtype::F64).unwrap();
    let Value::Finite { negative, mantissa, exponent } = f64_format.decode(value.to_bits()) else {
        panic!("a finite value")
    };
    Format::of(dtype).unwrap().encode(negative, u128::from(mantissa), false, exponent)
}

fn difference(set: &Kernels, output: (Dtype, &[u64]), input: (Dtype, &[u64]), known: f64) -> f64 {
    let (o, i) = (bytes_of(output.0, output.1), bytes_of(input.0, input.1));
    // One byte in front: nothing may depend on alignment.
    let (o, i) = ([&[7], &o[..]].concat(), [&[7], &i[..]].concat());
    let pair = Pair { output: &o[1..], output_dtype: output.0, input: &i[1..], input_dtype: input.0 };
    set.difference(pair, known)
}

/// Elements of any bits, or near each other, or nearly all equal.
fn words() -> impl Strategy<Value = (Dtype, Dtype, Vec<u64>, Vec<u64>)> {
    let dtypes = (prop::sample::select(&FLOATS[..]), prop::sample::select(&FLOATS[..]));
    (dtypes, 0..5 * BLOCK / 2, any::<u64>(), 0..4u8).prop_map(|((output, input), count, seed, kind)| {
        let mut state = seed | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d)
        };
        let mut pair = |_| {
            let (a, b, c) = (random(), random(), random());
            let uniform = |word: u64| (word >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
            match kind {
                0 => (a, b),
                1 => (bits(output, uniform(a)), bits(input, uniform(a) + 1e-3 * uniform(b))),
                2 if c % 512 == 0 => (bits(output, uniform(a)), bits(input, uniform(b))),
                2 => (bits(output, 0.5), bits(input, 0.5)),
                _ => {
                    let scale = 2f64.powi((c % 40) as i32 - 30);
                    (bits(output, scale * uniform(a)), bits(input, uniform(b) / 64.0))
                }
            }
        };
        let (o, i): (Vec<u64>, Vec<u64>) = (0..count).map(&mut pair).unzip();
        (output, input, o, i)
    })
}

proptest! {
    #[test]
    fn every_set_gives_the_bits_of_the_definition((output, input, o, i) in words(), known in 0..3u8) {
        let known = [0.0, 1e-4, 0.25][known as usize];
        let sets = Kernels::available();
        let expected = difference(sets[0], (output, &o), (input, &i), known);
        prop_assert!(expected.is_finite() && expected >= known);
        for set in &sets[1..] {
            let got = difference(set, (output, &o), (input, &i), known);
            prop_assert_eq!(got.to_bits(), expected.to_bits(), "{} {} {}", set.name, output, input);
        }
    }

    #[test]
    fn chunks_can_be_cut_and_merged_anywhere((output, input, o, i) in words(), cut in 0..1000usize) {
        let (o_bytes, i_bytes) = (bytes_of(output, &o), bytes_of(input, &i));
        let whole = max_difference(&o_bytes, output, &i_bytes, input);
        let cut = cut * o.len() / 1000;
        let (o_cut, i_cut) = (cut * output.bytes().unwrap(), cut * input.bytes().unwrap());
        let mut first = Differences::new(2);
        let mut second = first.clone();
        second.record(1, &o_bytes[o_cut..], output, &i_bytes[i_cut..], input);
        first.record(1, &o_bytes[..o_cut], output, &i_bytes[..i_cut], input);
        first.merge(&second);
        prop_assert_eq!(first.values(), &[0.0, whole]);
    }

    #[test]
    fn f16_differences_are_exact(o in prop::collection::vec(any::<u16>(), 1..200), seed in any::<u16>()) {
        // In units of 2^-24 every F16 is an integer.
        let units = |word: u16| match Format::of(Dtype::F16).unwrap().decode(u64::from(word)) {
            Value::Finite { negative, mantissa, exponent } => {
                let magnitude = (mantissa << (exponent + 24)) as i64;
                Some(if negative { -magnitude } else { magnitude })
            }
            _ => None,
        };
        let i: Vec<u16> = o.iter().map(|word| word.rotate_left(3) ^ seed).collect();
        let differences = o.iter().zip(&i).filter_map(|(&a, &b)| Some((units(a)? - units(b)?).abs()));
        let expected = differences.max().unwrap_or(0) as f64 / f64::from(1 << 24);
        let wide = |words: &[u16]| words.iter().map(|&word| u64::from(word)).collect::<Vec<_>>();
        for set in Kernels::available() {
            prop_assert_eq!(difference(set, (Dtype::F16, &wide(&o)), (Dtype::F16, &wide(&i)), 0.0), expected);
        }
    }

    #[test]
    fn texts_are_read_back_as_the_same_number(word in any::<u64>()) {
        let value = f64::from_bits(word & (u64::MAX >> 1));
        if value.is_finite() {
            let text = text(value);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
            // No shorter run of digits is: `{:e}` gives the shortest.
            let digits = |text: &str| {
                let mantissa = text.split('e').next().unwrap().replace('.', "");
                mantissa.trim_matches('0').len()
            };
            prop_assert_eq!(digits(&text), digits(&format!("{value:e}")));
        }
    }
}

#[test]
fn every_half_float_is_as_far_from_zero_as_it_is_large() {
    for dtype in [Dtype::F16, Dtype::BF16] {
        for word in 0..=u64::from(u16::MAX) {
            let expected = match Format::of(dtype).unwrap().decode(word) {
                Value::Finite { mantissa, exponent, .. } => widened(false, mantissa, exponent),
                _ => 0.0,
            };
            let words = [word; LANES];
            for set in Kernels::available() {
                assert_eq!(difference(set, (dtype, &words), (dtype, &[0; LANES]), 0.0), expected);
                assert_eq!(difference(set, (dtype, &words[..1]), (Dtype::F64, &[0]), 0.0), expected);
            }
        }
    }
}

#[test]
fn a_difference_that_f32_rounds_away_is_found() {
    // Both round to the same f32; the second is larger by the last bit of the smaller side.
    let first = (1.0f32, -(2f32.powi(-30)));
    let second = (1.0f32, -(2f32.powi(-29)));
    for order in [[first, second], [second, first]] {
        for distance in [1, BLOCK] {
            let mut o = vec![u64::from(1f32.to_bits()); distance + 1];
            let mut i = o.clone();
            for (place, (output, input)) in [0, distance].into_iter().zip(order) {
                o[place] = u64::from(output.to_bits());
                i[place] = u64::from(input.to_bits());
            }
            for set in Kernels::available() {
                let got = difference(set, (Dtype::F32, &o), (Dtype::F32, &i), 0.0);
                assert_eq!(got, 1.0 + 2f64.powi(-29), "{}", set.name);
            }
        }
    }
}

#[test]
fn what_is_not_finite_is_skipped() {
    for output in FLOATS {
        for input in FLOATS {
            let specials = |dtype| {
                let format = Format::of(dtype).unwrap();
                [format.infinity, format.infinity | format.sign(), format.nan, format.infinity + 1]
            };
            let mut o = vec![bits(output, 1.0); 3 * LANES];
            let mut i = vec![bits(input, 1.0); 3 * LANES];
            for (k, special) in specials(output).into_iter().enumerate() {
                o[k] = special;
                o[LANES + k] = special;
            }
            for (k, special) in specials(input).into_iter().enumerate() {
                i[10 + k] = special;
                i[LANES + k] = special;
            }
            o[3 * LANES - 1] = bits(output, 1.5);
            for set in Kernels::available() {
                let name = set.name;
                assert_eq!(difference(set, (output, &o), (input, &i), 0.0), 0.5, "{name} {output} {input}");
            }
        }
    }
}

#[test]
fn differences_end_at_the_largest_f64() {
    let (o, i) = ([f64::MAX.to_bits(); LANES], [f64::MIN.to_bits(); LANES]);
    for set in Kernels::available() {
        assert_eq!(difference(set, (Dtype::F64, &o), (Dtype::F64, &i), 0.0), f64::MAX);
        let (o, i) = (vec![u64::from(f32::MAX.to_bits()); LANES], vec![u64::from(f32::MIN.to_bits()); LANES]);
        let expected = 2.0 * f64::from(f32::MAX);
        assert_eq!(difference(set, (Dtype::F32, &o), (Dtype::F32, &i), 0.0), expected, "{}", set.name);
    }
}

#[test]
fn integers_and_empty_chunks_add_nothing() {
    let mut differences = Differences::new(3);
    differences.record(0, &[1, 2], Dtype::U8, &[3, 4], Dtype::U8);
    differences.record(1, &[], Dtype::F32, &[], Dtype::BF16);
    differences.record(2, &1.5f32.to_le_bytes(), Dtype::F32, &0.25f64.to_le_bytes(), Dtype::F64);
    assert_eq!(differences.texts(), ["0", "0", "1.25"]);
}

#[test]
fn texts_are_short() {
    for (value, expected) in [
        (0.0, "0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (0.003_906_25, "0.00390625"),
        (2f64.powi(-20), "9.5367431640625e-7"),
        (5e-324, "5e-324"),
        (65504.0, "65504"),
        (1e16, "1e16"),
        (f64::MAX, "1.7976931348623157e308"),
    ] {
        assert_eq!(text(value), expected);
    }
}
