//! Valid headers and indexes, changed a little: nothing is accepted that the reference refuses.

use super::*;

const TOKENS: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0061",
    "\\ud800",
    "\0",
    " ",
    "\n",
    "0",
    "1",
    "4",
    "-1",
    "-0",
    "1.0",
    "1e0",
    "1e999",
    "18446744073709551615",
    "18446744073709551616",
    "281474976710657",
    "null",
    "true",
    "\"a\"",
    "\"dtype\"",
    "\"shape\":[0],",
    "\"data_offsets\":[0,0],",
    "\"F4\"",
    "\"F64\"",
    "\"__metadata__\":{},",
    "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},",
    "\"x\":1,",
    "[[[[[",
    "{\"a\":{\"a\":",
    "é",
    "\u{202e}",
    "\"__metadata__\":null,",
];

#[derive(Debug, Clone)]
enum Change {
    Insert(usize, usize),
    Replace(usize, usize, usize),
    Delete(usize, usize),
    Copy(usize, usize, usize),
    Byte(usize, u8),
    Digit(usize, u8),
    Cut(usize),
    Data(usize),
    Length(u64),
}

fn change() -> impl Strategy<Value = Change> {
    let at = 0..100_000_usize;
    prop_oneof![
        (at.clone(), 0..TOKENS.len()).prop_map(|(at, token)| Change::Insert(at, token)),
        (at.clone(), 1..12_usize, 0..TOKENS.len()).prop_map(|(at, n, token)| Change::Replace(at, n, token)),
        (at.clone(), 1..40_usize).prop_map(|(at, n)| Change::Delete(at, n)),
        (at.clone(), 1..80_usize, at.clone()).prop_map(|(at, n, to)| Change::Copy(at, n, to)),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at.clone(), b'0'..=b'9').prop_map(|(at, digit)| Change::Digit(at, digit)),
        at.prop_map(Change::Cut),
        (0..64_usize).prop_map(Change::Data),
        (0..300_u64).prop_map(Change::Length),
    ]
}

fn apply(text: &mut Vec<u8>, data: &mut usize, length: &mut Option<u64>, change: &Change) {
    let place = |at: usize| at % (text.len() + 1);
    match *change {
        Change::Insert(at, token) => drop(text.splice(place(at)..place(at), TOKENS[token].bytes())),
        Change::Replace(at, n, token) => {
            let range = place(at)..(place(at) + n).min(text.len());
            drop(text.splice(range, TOKENS[token].bytes()));
        }
        Change::Delete(at, n) => drop(text.drain(place(at)..(place(at) + n).min(text.len()))),
        Change::Copy(at, n, to) => {
            let piece = text[place(at)..(place(at) + n).min(text.len())].to_vec();
            let to = place(to);
            drop(text.splice(to..to, piece));
        }
        Change::Byte(at, byte) => {
            let at = place(at);
            if let Some(slot) = text.get_mut(at) {
                *slot = byte;
            }
        }
        Change::Digit(at, digit) => {
            let digits: Vec<_> = (0..text.len()).filter(|i| text[*i].is_ascii_digit()).collect();
            if !digits.is_empty() {
                text[digits[at % digits.len()]] = digit;
            }
        }
        Change::Cut(at) => text.truncate(place(at)),
        Change::Data(bytes) => *data = bytes,
        Change::Length(value) => *length = Some(value),
    }
}

/// A valid header and its number of data bytes.
fn header_text() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let dtypes = proptest::sample::select(vec![("F32", 4), ("BF16", 2), ("U8", 1), ("F64", 8)]);
    let tensor = (dtypes, proptest::collection::vec(0..4_usize, 0..4), any::<bool>());
    proptest::collection::vec(tensor, 0..5).prop_map(|tensors| {
        let (mut text, mut end) = (String::from("{\"__metadata__\":{\"format\":\"pt\"}"), 0);
        for (i, ((dtype, size), shape, extra)) in tensors.into_iter().enumerate() {
            let begin = end;
            end += size * shape.iter().product::<usize>();
            let extra = if extra { ",\"x\":{\"y\":-1.5e3}" } else { "" };
            let _ = write!(
                text,
                ",\"t{i}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]{extra}}}"
            );
        }
        text.push('}');
        (text.into_bytes(), end)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_headers_are_refused_or_read_as_the_reference_reads_them(
        (mut text, mut data) in header_text(),
        changes in proptest::collection::vec(change(), 0..4),
    ) {
        let mut length = None;
        for change in &changes {
            apply(&mut text, &mut data, &mut length, change);
        }
        let length = length.unwrap_or(text.len() as u64);
        let file = [&length.to_le_bytes()[..], &text, &vec![0; data]].concat();
        if changes.is_empty() {
            prop_assert!(parse_file(&file).is_ok());
        }
        drop(check_file(&file));
    }

    #[test]
    fn mutated_indexes_are_refused_or_read_as_serde_json_reads_them(
        names in proptest::collection::btree_map("[a-c.]{0,4}", 0..3_usize, 1..6),
        changes in proptest::collection::vec(change(), 0..4),
    ) {
        let shards = ["1.safetensors", "2.safetensors", "é.safetensors"];
        let entries = names.iter().map(|(tensor, shard)| (tensor.as_str(), shards[*shard]));
        let mut text = index::write(entries, 8, 4);
        for change in &changes {
            apply(&mut text, &mut 0, &mut None, change);
        }
        let got = check_index(&text);
        prop_assert!(got.is_ok() || !changes.is_empty());
    }

    #[test]
    fn whatever_the_reference_writes_is_read_alike(
        tensors in proptest::collection::btree_map(any::<String>(), (0..8_usize, proptest::collection::vec(0..5_usize, 0..5)), 0..6),
        metadata in proptest::option::of(proptest::collection::hash_map(any::<String>(), any::<String>(), 0..3)),
    ) {
        use safetensors::Dtype as D;
        let dtypes = [(D::F64, 8), (D::F32, 4), (D::BF16, 2), (D::F16, 2), (D::I64, 8), (D::U8, 1), (D::BOOL, 1), (D::F8_E4M3, 1)];
        let zeros = vec![0; 5000];
        let views = tensors.iter().filter(|(name, _)| *name != "__metadata__").map(|(name, (dtype, shape))| {
            let (dtype, size) = dtypes[*dtype];
            let bytes = size * shape.iter().product::<usize>();
            (name, safetensors::tensor::TensorView::new(dtype, shape.clone(), &zeros[..bytes]).unwrap())
        });
        let file = safetensors::serialize(views, metadata).unwrap();
        // With no tensors and empty metadata version 0.8.0 writes `{},`, which it cannot read back itself.
        prop_assume!(SafeTensors::read_metadata(&file).is_ok());
        let header = parse_file(&file).unwrap();
        check_against_reference(&file, &header.tensors);
        prop_assert!(header.warnings.is_empty());
    }
}
