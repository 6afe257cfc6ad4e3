//! What is counted while the bytes pass: by every set, in copies, and put together from chunks.

use super::format::Format;
use super::{Kernels, NonFinite, Request, Tally, count_non_finite};
use crate::dtype::Dtype;

const FLOATS: [Dtype; 4] = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64];

fn nan_at(places: &[u64]) -> NonFinite {
    NonFinite { nan: places.len() as u64, first: places.first().copied(), ..NonFinite::default() }
}

/// Elements of 1, but for those given as bits.
fn elements(dtype: Dtype, count: usize, others: &[(usize, u64)]) -> Vec<u8> {
    let format = Format::of(dtype).unwrap();
    let one = format.encode(false, 1, false, 0);
    let mut bytes = vec![0; count * format.bytes];
    for (i, bits) in (0..count).map(|i| (i, one)).chain(others.iter().copied()) {
        format.store(&mut bytes, i, bits);
    }
    bytes
}

#[test]
fn means_of_few_elements_are_what_one_expects() {
    for dtype in FLOATS {
        let format = Format::of(dtype).unwrap();
        let whole = |n: u128| format.encode(false, n, false, 0);
        let (a, b) =
            (elements(dtype, 70, &[(69, whole(4))]), elements(dtype, 70, &[(0, whole(2)), (69, whole(2))]));
        let expected = elements(dtype, 70, &[(0, format.encode(false, 3, false, -1)), (69, whole(3))]);
        for set in Kernels::available() {
            let mut output = vec![0xaa; a.len()];
            let request = Request {
                inputs: &[&a, &b],
                dtypes: &[dtype; 2],
                numerators: &[1, 1],
                whole: 2,
                output_dtype: dtype,
            };
            let mut tally = Tally::new(2);
            set.mean(&request, &mut output, &mut tally);
            assert_eq!(output, expected, "{}", set.name);
            assert!(tally.is_clean());
        }
    }
}

#[test]
fn many_ingredients_have_a_mean_like_few() {
    for count in [15, 16, 17, 40] {
        let input = elements(Dtype::F64, 3, &[]);
        let request = Request {
            inputs: &vec![&input[..]; count],
            dtypes: &vec![Dtype::F64; count],
            numerators: &vec![1; count],
            whole: count as u64,
            output_dtype: Dtype::F64,
        };
        for set in Kernels::available() {
            let mut output = vec![0; input.len()];
            set.mean(&request, &mut output, &mut Tally::new(count));
            assert_eq!(output, input, "{} of {count}", set.name);
        }
    }
}

#[test]
fn non_finite_values_are_counted_where_they_are() {
    for dtype in FLOATS {
        let format = Format::of(dtype).unwrap();
        let (up, down, nan) = (format.infinity, format.infinity | format.sign(), format.nan | format.sign());
        let first = elements(dtype, 5000, &[(4099, down), (4100, down), (4999, up)]);
        let second =
            elements(dtype, 5000, &[(70, nan), (4099, nan), (4100, up), (4200, format.infinity + 1)]);
        let of_first = NonFinite { nan: 0, positive: 1, negative: 2, first: Some(1000 + 4099) };
        let of_second = NonFinite { nan: 3, positive: 1, negative: 0, first: Some(1000 + 70) };
        for set in Kernels::available() {
            let request = Request {
                inputs: &[&first, &second],
                dtypes: &[dtype; 2],
                numerators: &[1, 2],
                whole: 3,
                output_dtype: dtype,
            };
            let mut tally = Tally { base: 1000, ..Tally::new(2) };
            set.mean(&request, &mut vec![0; first.len()], &mut tally);
            let expected =
                Tally { inputs: vec![of_first, of_second], created: 0, first_created: None, base: 1000 };
            assert_eq!(tally, expected, "{} on {dtype}", set.name);
            assert!(!tally.is_clean());
        }
        for (bytes, expected) in [(&first, of_first), (&second, of_second)] {
            let mut tally = Tally { base: 1000, ..Tally::new(1) };
            count_non_finite(bytes, dtype, &mut tally);
            assert_eq!(tally.inputs, [expected], "{dtype}");
        }
    }
}

#[test]
fn the_largest_finite_value_is_none_of_them() {
    for dtype in FLOATS {
        let format = Format::of(dtype).unwrap();
        for bits in [format.infinity - 1, (format.infinity - 1) | format.sign(), 0, format.sign()] {
            let mut tally = Tally::new(1);
            count_non_finite(&elements(dtype, 9, &[(4, bits)]), dtype, &mut tally);
            assert!(tally.is_clean(), "{dtype} {bits:x}");
        }
    }
    let mut tally = Tally::new(1);
    count_non_finite(&[0xff; 16], Dtype::I64, &mut tally);
    assert!(tally.is_clean());
}

#[test]
fn infinities_of_finite_inputs_are_created() {
    for set in Kernels::available() {
        let large = f32::MAX.to_bits().into();
        let input = elements(Dtype::F32, 700, &[(3, large), (600, large), (699, large)]);
        let request = Request {
            inputs: &[&input],
            dtypes: &[Dtype::F32],
            numerators: &[1],
            whole: 1,
            output_dtype: Dtype::F16,
        };
        let mut tally = Tally { base: 50, ..Tally::new(1) };
        set.mean(&request, &mut vec![0; 1400], &mut tally);
        assert_eq!((tally.created, tally.first_created), (3, Some(53)), "{}", set.name);
        assert_eq!(tally.inputs, [NonFinite::default()]);
        assert!(!tally.is_clean());
    }
}

#[test]
fn counts_of_chunks_add_up() {
    let one = NonFinite { nan: 1, positive: 10, negative: 100, first: Some(7) };
    let two = NonFinite { nan: 2, positive: 20, negative: 200, first: Some(5) };
    assert_eq!((one.total(), two.total(), NonFinite::default().total()), (111, 222, 0));
    let mut tally = Tally { inputs: vec![one, nan_at(&[])], created: 3, first_created: None, base: 9 };
    tally.merge(&Tally { inputs: vec![two, nan_at(&[4])], created: 4, first_created: Some(8), base: 0 });
    let sum = NonFinite { nan: 3, positive: 30, negative: 300, first: Some(5) };
    assert_eq!(tally, Tally { inputs: vec![sum, nan_at(&[4])], created: 7, first_created: Some(8), base: 9 });
    tally.merge(&Tally { first_created: Some(2), ..Tally::new(2) });
    assert_eq!((tally.first_created, tally.inputs[0].first), (Some(2), Some(5)));
}

#[test]
fn counts_of_a_request_go_to_the_ingredients_it_is_made_of() {
    let request =
        Tally { inputs: vec![nan_at(&[1]), nan_at(&[2, 3])], created: 1, first_created: Some(6), base: 0 };
    let mut tally = Tally::new(4);
    tally.spread(&request, &[3, 1]);
    tally.spread(&request, &[3, 0]);
    let expected = [nan_at(&[2, 3]), nan_at(&[2, 3]), nan_at(&[]), NonFinite { nan: 2, ..nan_at(&[1]) }];
    assert_eq!(tally.inputs, expected);
    assert_eq!((tally.created, tally.first_created), (2, Some(6)));
}
