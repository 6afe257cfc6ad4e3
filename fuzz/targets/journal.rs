//! Journals of interrupted runs. Any bytes are a journal or a doubt; of a journal, every prefix is one too. The last
//! byte says what the rest is: the bytes of a journal, or the texts of its entries, to which checks are made to fit.
#![no_main]

use _core::sink::journal::{Entry, line, parse};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    match input.split_last() {
        Some((0, bytes)) => check(bytes, 0),
        Some((cut, texts)) => check(&with_checks(texts), usize::from(*cut)),
        None => check(input, 0),
    }
});

/// Each line of `texts` as a line of a journal.
fn with_checks(texts: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts.split(|&byte| byte == b'\n') {
        let digest = blake3::hash(text).to_hex();
        bytes.extend_from_slice(format!("{{\"check\":\"{}\",\"entry\":", &digest[..16]).as_bytes());
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(b"}\n");
    }
    bytes
}

/// What must hold of any bytes, and of these cut after `cut` bytes, counted from the end.
fn check(bytes: &[u8], cut: usize) {
    let Ok(found) = parse(bytes) else { return };
    let good = found.as_ref().map_or(0, |(_, good)| *good);
    assert!(good <= bytes.len());
    assert_eq!(parse(&bytes[..good]), Ok(found.clone()), "what is good amounts to the same alone");

    let mut runs = 0;
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    for end in ends.chain([bytes.len().saturating_sub(cut)]) {
        let (history, kept) = match parse(&bytes[..end]) {
            Ok(Some(before)) => before,
            Ok(None) => continue,
            Err(doubt) => panic!("{doubt} of a prefix of {end} bytes"),
        };
        assert!(kept <= end && kept <= good);
        if end < bytes.len() {
            runs = history.runs.max(runs);
        }
    }
    if let Some((history, good)) = found {
        assert!(history.runs >= runs && history.runs == history.inputs.len());
        assert!(history.shards.values().all(|(_, run)| *run < history.runs));
        let longer = [&bytes[..good], line(&Entry::Swap).as_bytes()].concat();
        let (after, all) = parse(&longer).expect("a journal").expect("of a run");
        assert!(after.swap && all == longer.len() && after.shards == history.shards);
    }
}
