//! Fetching ahead, in blocks so small that many are needed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use _core::io::Buffer;
use _core::io::remote::{Description, Fetch, Objects, Patience, StopOnPanic, Stretch};
use proptest::prelude::*;

use super::server::Server;

const OBJECTS: usize = 4;
const SIZE: u64 = 1500;
const BLOCK: u64 = 64;
/// The object of which the first bytes are kept, if any are.
const KEPT: usize = 3;
const KEPT_BYTES: u64 = 20;

fn byte(object: usize, place: u64) -> u8 {
    (place as usize * 31 + object * 7) as u8
}

fn objects(server: &Server) -> Objects {
    let describe = |i: usize| Description {
        root: "folder".into(),
        name: i.to_string(),
        url: server.url("old", &i.to_string()),
        size: SIZE,
        etag: None,
        identity: i.to_string(),
    };
    Objects::new((0..OBJECTS).map(describe).collect(), None, Patience::default()).unwrap()
}

/// Stretches of all objects, each byte at most once, in an order that may jump between objects and about in them.
fn lists() -> impl Strategy<Value = Vec<Stretch>> {
    let cuts = prop::collection::vec((0..OBJECTS, 1..200u64, any::<bool>(), any::<u32>()), 0..40);
    cuts.prop_map(|cuts| {
        let mut ends = [0; OBJECTS];
        let mut list = Vec::new();
        for (stream, length, jumps, rank) in cuts {
            let start = ends[stream];
            let end = SIZE.min(start + length);
            ends[stream] = end;
            let place = if jumps { rank as usize % (list.len() + 1) } else { list.len() };
            list.insert(place, Stretch { stream, bytes: start..end, is_kept: false });
        }
        list
    })
}

/// The same behind the first bytes of an object, which are kept.
fn keeping(list: Vec<Stretch>) -> Vec<Stretch> {
    let behind = |Stretch { stream, bytes, is_kept }| {
        let start = if stream == KEPT { bytes.start.max(KEPT_BYTES) } else { bytes.start };
        Stretch { stream, bytes: start..bytes.end.max(start), is_kept }
    };
    let kept = Stretch { stream: KEPT, bytes: 0..KEPT_BYTES, is_kept: true };
    std::iter::once(kept).chain(list.into_iter().map(behind)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_every_listed_byte_comes_once(list in lists(), readers in 1..5usize, two in any::<bool>(), few in any::<bool>(), kept in any::<bool>()) {
        let list = if kept { keeping(list) } else { list };
        let files = (0..OBJECTS).map(|i| (i.to_string(), (0..SIZE).map(|place| byte(i, place)).collect()));
        let server = Server::new(files.collect::<BTreeMap<_, _>>(), |_| None);
        let objects = objects(&server);
        let object = |i: usize| objects.get(format!("folder/{i}").as_ref()).unwrap().clone();
        // Objects of one ingredient, or two of each.
        let streams = (0..OBJECTS).map(|i| (if two { i / 2 } else { 0 }, object(i))).collect();
        let fetch = Fetch::new(streams, list.iter().cloned(), BLOCK);
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let (least, most) = fetch.fetchers();
            for _ in 0..if few { least } else { most } {
                scope.spawn(|| fetch.work());
            }
            for _ in 0..readers {
                scope.spawn(|| {
                    let _stop = StopOnPanic(&fetch);
                    let mut buffer = Buffer::default();
                    while let Some(Stretch { stream, bytes, .. }) = list.get(next.fetch_add(1, Ordering::SeqCst)) {
                        if kept {
                            let got = fetch.read(KEPT, 3, 8, &mut buffer).unwrap();
                            assert_eq!(got, (3..11).map(|place| byte(KEPT, place)).collect::<Vec<_>>());
                        }
                        let length = (bytes.end - bytes.start) as usize;
                        let got = fetch.read(*stream, bytes.start, length, &mut buffer).unwrap();
                        let expected: Vec<u8> = bytes.clone().map(|place| byte(*stream, place)).collect();
                        assert_eq!(got, expected);
                    }
                });
            }
        });
        if kept {
            fetch.give_up(KEPT, 0..KEPT_BYTES);
        }
        let asked = server.asked();
        let fetched: u64 = asked.iter().map(|(_, start, end)| end - start + 1).sum();
        let listed: u64 = list.iter().map(|stretch| stretch.bytes.end - stretch.bytes.start).sum();
        prop_assert_eq!(fetched, listed);
        let most = asked.iter().map(|(_, start, end)| end - start + 1).max();
        prop_assert!(most.is_none_or(|most| most <= BLOCK));
        // What is behind all that is listed comes too.
        let end = list.iter().filter(|stretch| stretch.stream == 0).map(|stretch| stretch.bytes.end).max();
        let place = end.unwrap_or(0);
        if place < SIZE {
            let mut buffer = Buffer::default();
            let got = fetch.read(0, place, (SIZE - place) as usize, &mut buffer).unwrap();
            prop_assert_eq!(got, (place..SIZE).map(|place| byte(0, place)).collect::<Vec<_>>());
        }
    }
}
