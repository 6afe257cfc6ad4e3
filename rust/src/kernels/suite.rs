//! One suite, run on every set this CPU has: equal bits with `scalar`, and `scalar` equal to an independent reference.

use proptest::prelude::*;

use super::format::{Format, Value};
use super::{Kernels, Request, Tally};
use crate::dtype::Dtype;

const FLOATS: [Dtype; 4] = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64];

/// Run one set on whole inputs.
fn run(
    set: &Kernels,
    inputs: &[Vec<u8>],
    dtypes: &[Dtype],
    numerators: &[i64],
    whole: u64,
    output: Dtype,
) -> (Vec<u8>, Tally) {
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let elements = inputs[0].len() / dtypes[0].bytes().unwrap();
    let mut out = vec![0xaa; elements * output.bytes().unwrap()];
    let mut tally = Tally::new(inputs.len());
    set.mean(
        &Request { inputs: &inputs, dtypes, numerators, whole, output_dtype: output },
        &mut out,
        &mut tally,
    );
    (out, tally)
}

/// All sets give the bits and counts of `scalar`.
fn agree(inputs: &[Vec<u8>], dtypes: &[Dtype], numerators: &[i64], whole: u64, output: Dtype) -> Vec<u8> {
    let sets = Kernels::available();
    let expected = run(sets[0], inputs, dtypes, numerators, whole, output);
    for set in &sets[1..] {
        let got = run(set, inputs, dtypes, numerators, whole, output);
        if got != expected {
            let format = Format::of(output).unwrap();
            for i in 0..expected.0.len() / format.bytes {
                let (a, b) = (format.load(&expected.0, i), format.load(&got.0, i));
                let element: Vec<String> = inputs
                    .iter()
                    .zip(dtypes)
                    .map(|(bytes, &dtype)| format!("{:x}", Format::of(dtype).unwrap().load(bytes, i)))
                    .collect();
                assert_eq!(
                    a, b,
                    "{}: element {i} of {element:?} {dtypes:?} {numerators:?}/{whole} -> {output}",
                    set.name
                );
            }
            panic!("{}: counts differ: {:?} and {:?}", set.name, expected.1, got.1);
        }
    }
    expected.0
}

fn pack16(words: impl IntoIterator<Item = u16>) -> Vec<u8> {
    words.into_iter().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn sets_are_listed_once_and_scalar_is_first() {
    let names: Vec<_> = Kernels::available().iter().map(|set| set.name).collect();
    assert_eq!(names[0], "scalar");
    assert!(Kernels::choose(Some("no such set")).is_err());
    for name in names {
        assert_eq!(Kernels::choose(Some(name)).unwrap().name, name);
    }
}

#[test]
fn every_half_float_with_itself_and_with_others() {
    for dtype in [Dtype::BF16, Dtype::F16] {
        let all = pack16(0..=u16::MAX);
        let format = Format::of(dtype).unwrap();
        for (k, (numerators, whole)) in [
            (vec![5i64, 2, 3], 10u64),
            (vec![1, 1, 1], 3),
            (vec![1, 2, 4], 7),
            (vec![333, 333, 334], 1000),
            (vec![2, -1, 5], 6),
        ]
        .into_iter()
        .enumerate()
        {
            let twisted = pack16((0..=u16::MAX).map(|i| i.rotate_left(k as u32).wrapping_mul(0x9e37)));
            let near = pack16((0..=u16::MAX).map(|i| i ^ (i.wrapping_mul(0x6b43) & 0x1ff)));
            for output in FLOATS {
                agree(&[all.clone(), twisted.clone(), near.clone()], &[dtype; 3], &numerators, whole, output);
                agree(&[all.clone(), all.clone(), near.clone()], &[dtype; 3], &numerators, whole, output);
            }
            if numerators.iter().all(|&n| n > 0) {
                let itself =
                    agree(&[all.clone(), all.clone(), all.clone()], &[dtype; 3], &numerators, whole, dtype);
                for i in 0..=usize::from(u16::MAX) {
                    let bits = i as u64;
                    let expected = if matches!(format.decode(bits), Value::Nan) { format.nan } else { bits };
                    assert_eq!(format.load(&itself, i), expected, "{dtype} {bits:x} souped with itself");
                }
            }
        }
    }
}

#[test]
fn lengths_and_offsets_around_the_block_size() {
    let bytes: Vec<u8> = (0..4u32 * 1200 + 64).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for dtype in FLOATS {
        let size = dtype.bytes().unwrap();
        for elements in (0..=67).chain(505..=520).chain([1023, 1024, 1025]) {
            for offset in [0, 1, 3, 7, 8, 31, 63] {
                let length = elements * size;
                if offset + 8 + length > bytes.len() {
                    continue;
                }
                let inputs = [bytes[offset..][..length].to_vec(), bytes[offset + 8..][..length].to_vec()];
                agree(&inputs, &[dtype; 2], &[3, 4], 7, dtype);
            }
        }
    }
}

/// A float that is likely to make trouble: special values, exponents near each other, or anything.
fn word(dtype: Dtype) -> impl Strategy<Value = u64> {
    let format = Format::of(dtype).unwrap();
    let mask = format.sign() | (format.sign() - 1);
    let fraction = format.precision - 1;
    let specials = vec![
        0,
        format.sign(),
        1,
        format.infinity,
        format.infinity - 1,
        format.nan,
        1 << fraction,
        (1 << fraction) - 1,
    ];
    let middle = format.infinity >> 1 >> fraction << fraction;
    // The significant bits of a code times its scale, and now and then one more.
    let short = move |bits: u64| {
        let dropped = fraction.saturating_sub(27 + (bits >> 13 & 1) as u32);
        bits >> dropped << dropped
    };
    prop_oneof![
        2 => prop::sample::select(specials).prop_flat_map(move |bits| prop_oneof![Just(bits), Just(bits | format.sign())]),
        3 => any::<u64>().prop_map(move |bits| bits & mask),
        1 => any::<u64>().prop_map(move |bits| short(bits) & mask),
        3 => (any::<u64>(), 0..16u64).prop_map(move |(bits, binade)| {
            let binade = (binade << fraction).min((format.infinity - 1 - middle) >> fraction << fraction);
            (middle + binade + short(bits & ((1 << fraction) - 1))) | ((bits >> 63) * format.sign())
        }),
        // Few significant bits near one: ties are common.
        4 => (0..16u64, 0..4u64, any::<bool>()).prop_map(move |(top, binade, negative)| {
            let bits = middle + (binade << fraction) + (top << fraction.saturating_sub(4));
            bits | if negative { format.sign() } else { 0 }
        }),
        4 => (any::<u64>(), 0..3u64).prop_map(move |(bits, binade)| {
            (middle + (binade << fraction) + (bits & ((1 << fraction) - 1))) | ((bits >> 63) * format.sign())
        }),
    ]
}

/// A BF16 of a magnitude from 1 to 8.
fn ordinary() -> impl Strategy<Value = u16> {
    (0..3_u16 << 7, any::<bool>()).prop_map(|(bits, negative)| 0x3f80 + bits + (u16::from(negative) << 15))
}

/// A recipe over `n` ingredients with any mix of dtypes.
fn case() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<Dtype>, Vec<i64>, u64, Dtype)> {
    let dtype = || prop::sample::select(FLOATS.to_vec());
    let same = (dtype(), 1..7usize).prop_map(|(dtype, n)| vec![dtype; n]);
    let mixed = prop::collection::vec(dtype(), 1..5);
    prop_oneof![3 => same, 1 => mixed].prop_flat_map(move |dtypes| {
        let n = dtypes.len();
        let inputs: Vec<_> = dtypes
            .iter()
            .map(|&dtype| {
                prop::collection::vec(word(dtype), 70).prop_map(move |words| {
                    let format = Format::of(dtype).unwrap();
                    let mut bytes = vec![0; words.len() * format.bytes];
                    words.iter().enumerate().for_each(|(i, &word)| format.store(&mut bytes, i, word));
                    bytes
                })
            })
            .collect();
        let average = prop::collection::vec(prop_oneof![1..12i64, 1..100_000i64], n)
            .prop_map(|parts| (parts.iter().sum::<i64>() as u64, parts))
            .prop_map(|(whole, parts)| (parts, whole));
        let signed =
            (prop::collection::vec(prop_oneof![1..9i64, -9..-1i64, -40_000..-1i64], n), 1..1_048_576u64);
        (inputs, Just(dtypes), prop_oneof![average, signed], prop::sample::select(FLOATS.to_vec())).prop_map(
            |(inputs, dtypes, (numerators, whole), output)| (inputs, dtypes, numerators, whole, output),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_set_gives_the_bits_of_scalar((inputs, dtypes, numerators, whole, output) in case()) {
        agree(&inputs, &dtypes, &numerators, whole, output);
    }

    #[test]
    fn groups_without_an_odd_lane_have_the_bits_of_scalar(
        inputs in prop::collection::vec(prop::collection::vec(ordinary(), 150), 1..10),
        parts in prop::collection::vec(prop_oneof![3 => 1..12i64, 1 => -40..-1i64, 1 => 1..900i64], 9),
        whole in prop::option::of(1..2000_u64),
    ) {
        // One lane out of reach has its whole group made again, so anything odd would hide what the fast loop makes.
        let parts = &parts[..inputs.len()];
        let sum = parts.iter().map(|part| part.unsigned_abs()).sum();
        let inputs: Vec<_> = inputs.into_iter().map(pack16).collect();
        agree(&inputs, &vec![Dtype::BF16; inputs.len()], parts, whole.unwrap_or(sum), Dtype::BF16);
    }

    #[test]
    fn order_of_ingredients_does_not_matter((mut inputs, mut dtypes, mut numerators, whole, output) in case()) {
        let forward = agree(&inputs, &dtypes, &numerators, whole, output);
        inputs.reverse();
        dtypes.reverse();
        numerators.reverse();
        prop_assert_eq!(forward, agree(&inputs, &dtypes, &numerators, whole, output));
    }

    #[test]
    fn averages_of_finite_values_lie_between_them((inputs, dtypes, numerators, _, _) in case()) {
        let numerators: Vec<i64> = numerators.iter().map(|n| n.abs()).collect();
        let whole = numerators.iter().sum::<i64>() as u64;
        let mean = agree(&inputs, &dtypes, &numerators, whole, Dtype::F64);
        for i in 0..mean.len() / 8 {
            let values: Vec<f64> = inputs.iter().zip(&dtypes).map(|(bytes, &dtype)| value(bytes, dtype, i)).collect();
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            let mean = value(&mean, Dtype::F64, i);
            prop_assert!(values.iter().any(|v| !v.is_finite()) || low <= mean && mean <= high, "{:?} {}", values, mean);
        }
    }
}

fn value(bytes: &[u8], dtype: Dtype, index: usize) -> f64 {
    let format = Format::of(dtype).unwrap();
    match format.decode(format.load(bytes, index)) {
        Value::Nan => f64::NAN,
        Value::Infinity { negative } => {
            if negative {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            }
        }
        Value::Finite { negative, mantissa, exponent } => {
            // In two steps: 2^-1074 is not representable as a normal.
            let magnitude = mantissa as f64 * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2);
            if negative { -magnitude } else { magnitude }
        }
    }
}
