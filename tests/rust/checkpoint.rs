//! Headers, indexes and directories made by strangers: the corpus of `tests/hostile`, then mutations of it.
//!
//! `SOCE_BLESS=1 cargo test` rewrites the expected texts; the verdicts stay with the corpus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use _core::Problem;
use _core::checkpoint::{Checkpoint, OpenOptions, TensorInfo, header, index, reopen};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value;

/// Nothing may take longer, whatever stands in a shard's place.
const PATIENCE: Duration = Duration::from_secs(2);

fn hostile(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile").join(name)
}

fn read_json(name: &str) -> Value {
    let text = std::fs::read(hostile(name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn cases(group: &str) -> Vec<Value> {
    read_json("corpus.json")[group].as_array().unwrap().clone()
}

/// Bytes of a file of the corpus: `[latin-1 text, times]` pairs.
fn bytes(file: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in file.as_array().unwrap() {
        let piece: Vec<u8> = part[0].as_str().unwrap().chars().map(|c| u8::try_from(c).unwrap()).collect();
        bytes.extend(piece.repeat(part[1].as_u64().unwrap() as usize));
    }
    bytes
}

fn parse_file(file: &[u8]) -> Result<header::Header, Problem> {
    let length = header::length(file, file.len() as u64)?;
    header::parse(&file[8..8 + length as usize], file.len() as u64)
}

fn text_of(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let newline = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{newline}{problem}");
        if let Some(hint) = &problem.hint {
            let _ = write!(text, "\nhint: {hint}");
        }
    }
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "raw control character in {text:?}");
    assert!(text.len() < 20_000, "{} bytes of text", text.len());
    text
}

/// Compares verdict and text of every case with the corpus and the golden file.
fn check_texts(group: &str, got: Vec<(&Value, Result<Vec<String>, String>)>) {
    let mut texts = BTreeMap::new();
    let mut wrong = String::new();
    for (case, got) in got {
        let name = case["name"].as_str().unwrap();
        let as_told = match (&got, case["says"].as_str()) {
            (Ok(_), None) => true,
            (Err(text), Some(says)) => text.contains(says),
            _ => false,
        };
        if !as_told {
            let _ = writeln!(wrong, "{group}/{name}: expected {}, got {got:?}", case["says"]);
        }
        let text = match got {
            Ok(warnings) => {
                ["ok".to_owned()].into_iter().chain(warnings).collect::<Vec<_>>().join("\nwarning: ")
            }
            Err(text) => format!("error: {text}"),
        };
        texts.insert(format!("{group}/{name}"), Value::from(text));
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    if std::env::var_os("SOCE_BLESS").is_some() {
        return bless(texts);
    }
    let expected = read_json("expected.json");
    for (name, text) in &texts {
        assert_eq!(expected.get(name), Some(text), "{name}");
    }
    let listed =
        expected.as_object().unwrap().keys().filter(|name| name.split('/').next() == Some(group)).count();
    assert_eq!(listed, texts.len(), "expected.json lists cases that are not in the corpus");
}

fn bless(texts: BTreeMap<String, Value>) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock().unwrap();
    let group = texts.keys().next().unwrap().split('/').next().unwrap().to_owned();
    let old = std::fs::read(hostile("expected.json")).unwrap_or_else(|_| b"{}".to_vec());
    let mut all: BTreeMap<String, Value> = serde_json::from_slice(&old).unwrap();
    all.retain(|name, _| name.split('/').next() != Some(&group));
    all.extend(texts);
    let mut text = serde_json::to_string_pretty(&all).unwrap();
    text.push('\n');
    std::fs::write(hostile("expected.json"), text).unwrap();
}

/// What soce takes, the reference takes with the same meaning.
fn check_against_reference(file: &[u8], tensors: &[TensorInfo]) {
    let (length, reference) = SafeTensors::read_metadata(file).expect("the reference takes what soce takes");
    let theirs = reference.tensors();
    assert_eq!(theirs.len(), tensors.len());
    for ours in tensors {
        let their = theirs[&ours.name];
        assert_eq!(format!("{:?}", their.dtype), ours.dtype.name());
        assert_eq!(their.shape.iter().map(|d| *d as u64).collect::<Vec<_>>(), ours.shape);
        let begin = (8 + length + their.data_offsets.0) as u64;
        assert_eq!((begin, (their.data_offsets.1 - their.data_offsets.0) as u64), (ours.offset, ours.length));
    }
}

/// No panic, no raw text in errors, and never more than the reference takes.
fn survives(file: &[u8]) {
    match parse_file(file) {
        Ok(header) => check_against_reference(file, &header.tensors),
        Err(problem) => drop(text_of(&[problem])),
    }
}

#[test]
fn headers_of_the_corpus_get_their_verdict() {
    let cases = cases("headers");
    let got = cases.iter().map(|case| {
        let file = bytes(&case["file"]);
        let reference = SafeTensors::read_metadata(&file).is_ok();
        assert_eq!(Value::from(reference), case["reference"], "the reference on {}", case["name"]);
        let got = parse_file(&file).map_err(|problem| text_of(&[problem])).map(|header| {
            check_against_reference(&file, &header.tensors);
            header.warnings
        });
        (case, got)
    });
    check_texts("headers", got.collect());
}

#[test]
fn indexes_of_the_corpus_get_their_verdict() {
    let cases = cases("indexes");
    let got = cases.iter().map(|case| {
        let file = bytes(&case["file"]);
        let got = index::parse(&file).map_err(|problems| text_of(&problems)).map(|index| {
            check_against_json(&file, &index);
            index.warnings
        });
        (case, got)
    });
    check_texts("indexes", got.collect());
}

fn check_against_json(text: &[u8], index: &index::Index) {
    let value: Value = serde_json::from_slice(text).expect("serde_json takes what soce takes");
    let map = value["weight_map"].as_object().unwrap();
    assert_eq!(map.len(), index.tensors.len());
    for (tensor, shard) in &index.tensors {
        assert_eq!(map[tensor].as_str(), Some(index.shards[*shard as usize].as_str()));
    }
}

#[test]
fn a_header_cut_anywhere_is_an_error() {
    let longest =
        cases("headers").into_iter().map(|case| bytes(&case["file"])).filter(|f| parse_file(f).is_ok());
    for file in longest.filter(|file| file.len() < 20_000) {
        for end in 0..file.len() {
            let cut = parse_file(&file[..end]);
            assert!(cut.is_err(), "{} of {} bytes are accepted", end, file.len());
        }
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_what_the_reference_reads() {
    let good = br#"{"__metadata__":{"a":"b"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"I16","shape":[],"data_offsets":[8,10]}}"#;
    let file = [&(good.len() as u64).to_le_bytes()[..], good, &[0; 10]].concat();
    assert!(parse_file(&file).is_ok());
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            survives(&flipped);
        }
    }
}

#[test]
fn an_index_cut_anywhere_is_an_error() {
    let text = br#"{"metadata":{"total_size":4},"weight_map":{"a":"x.safetensors","b":"y.safetensors"}}"#;
    for end in 0..text.len() {
        assert!(index::parse(&text[..end]).is_err(), "{end}");
    }
}

#[test]
fn cost_grows_with_the_length_of_the_header() {
    let time = |tensors: usize| {
        let mut text = String::from("{");
        for i in 0..tensors {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(
                text,
                r#"{comma}"layer.{i:09}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}}"#,
                i + 1
            );
        }
        text.push('}');
        let start = Instant::now();
        assert!(header::parse(text.as_bytes(), (8 + text.len() + tensors) as u64).is_ok());
        start.elapsed()
    };
    // Ten times the work in far less than a hundred times the time, at least once on a busy machine.
    let linear = (0..20).any(|_| time(20_000) < time(2_000) * 30);
    assert!(linear, "20,000 tensors took over 30 times as long as 2,000");
}

#[cfg(unix)]
#[allow(clippy::print_stderr, reason = "a test that proves nothing must say so")]
mod on_disk {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};

    use sha2::Digest as _;

    use super::*;

    fn make(root: &Path, entry: &Value) {
        let path = root.join(entry["path"].as_str().unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let to = entry["to"].as_str().unwrap_or_default();
        match entry["is"].as_str().unwrap() {
            "file" => std::fs::write(path, bytes(&entry["file"])).unwrap(),
            "unreadable file" => {
                std::fs::write(&path, bytes(&entry["file"])).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
            }
            "link" => symlink(to, path).unwrap(),
            "hard link" => std::fs::hard_link(root.join(to), path).unwrap(),
            "directory" => std::fs::create_dir(path).unwrap(),
            "socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            "fifo" => {
                let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
                assert!(made.success() && std::fs::metadata(&path).unwrap().file_type().is_fifo());
            }
            other => panic!("unknown kind of entry: {other}"),
        }
    }

    fn flag(case: &Value, name: &str) -> bool {
        case["options"][name].as_bool().unwrap_or(false)
    }

    #[test]
    fn directories_of_the_corpus_get_their_verdict() {
        let cases = cases("directories");
        let mut got = Vec::new();
        for case in &cases {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().canonicalize().unwrap();
            for entry in case["entries"].as_array().unwrap() {
                make(&root, entry);
            }
            let options = OpenOptions {
                follow_links: flag(case, "follow_links"),
                ignore_unreferenced: flag(case, "ignore_unreferenced"),
            };
            if case["name"] == "shard_unreadable" && std::fs::read(root.join("m/x.safetensors")).is_ok() {
                eprintln!("SKIPPED: shard_unreadable: this user reads every file");
                got.push((
                    case,
                    Err("`$ROOT/m/x.safetensors`: cannot be opened: Permission denied (os error 13)".into()),
                ));
                continue;
            }
            let start = Instant::now();
            let opened = Checkpoint::open(&root.join(case["open"].as_str().unwrap()), &options);
            assert!(start.elapsed() < PATIENCE, "{} took {:?}", case["name"], start.elapsed());
            let here = root.to_str().unwrap();
            let result =
                opened.map_err(|problems| text_of(&problems).replace(here, "$ROOT")).map(|checkpoint| {
                    assert!(checkpoint.still_same().is_ok());
                    assert!(checkpoint.shards.iter().all(|shard| reopen(shard).is_ok()));
                    assert_eq!(Value::from(checkpoint.warnings.len()), case["warns"], "{}", case["name"]);
                    checkpoint.warnings.iter().map(|warning| warning.replace(here, "$ROOT")).collect()
                });
            got.push((case, result));
        }
        check_texts("directories", got);
    }

    fn two_shards() -> (tempfile::TempDir, Checkpoint) {
        let folder = tempfile::tempdir().unwrap();
        let case = cases("directories").into_iter().find(|case| case["name"] == "two_shards").unwrap();
        for entry in case["entries"].as_array().unwrap() {
            make(folder.path(), entry);
        }
        let checkpoint = Checkpoint::open(&folder.path().join("m"), &OpenOptions::default()).unwrap();
        (folder, checkpoint)
    }

    #[test]
    fn a_checkpoint_knows_its_tensors_shards_and_index() {
        let (folder, checkpoint) = two_shards();
        assert_eq!(checkpoint.index_name.as_deref(), Some("model.safetensors.index.json"));
        assert_eq!(checkpoint.directory(), Some(folder.path().join("m").as_path()));
        let names: Vec<_> = checkpoint.shards.iter().map(|shard| shard.name.as_str()).collect();
        assert_eq!(names, ["x.safetensors", "y.safetensors"]);
        assert_eq!(checkpoint.tensor("b").unwrap().shape, [1]);
        let file = std::fs::read(&checkpoint.shards[0].path).unwrap();
        let length = usize::from(file[0]);
        let digest: [u8; 32] = sha2::Sha256::digest(&file[8..8 + length]).into();
        assert_eq!(checkpoint.shards[0].header_sha256, digest);
    }

    fn changed_by(change: impl FnOnce(&Path), expected: &[&str]) {
        let (_folder, checkpoint) = two_shards();
        change(&checkpoint.shards[0].path);
        let problems = checkpoint.still_same().unwrap_err();
        assert_eq!(problems.len(), 1);
        let text = text_of(&problems);
        for part in expected {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text_of(&[reopen(&checkpoint.shards[0]).unwrap_err()]), text);
        assert!(reopen(&checkpoint.shards[1]).is_ok());
    }

    #[test]
    fn a_shard_that_changed_is_told_with_the_fields_that_differ() {
        changed_by(|path| drop(std::fs::write(path, "shorter")), &["size was ", ", is 7", "mtime_ns was "]);
        changed_by(
            |path| std::fs::remove_file(path).unwrap(),
            &["changed since it was opened: No such file"],
        );
        changed_by(
            |path| {
                let copy = path.with_extension("copy");
                std::fs::copy(path, &copy).unwrap();
                std::fs::rename(copy, path).unwrap();
            },
            &["inode was "],
        );
        changed_by(
            |path| {
                // A rewrite that restores size and mtime still shows in ctime.
                let before = std::fs::metadata(path).unwrap();
                std::thread::sleep(Duration::from_millis(20));
                let bytes = std::fs::read(path).unwrap();
                std::fs::write(path, bytes).unwrap();
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_modified(before.modified().unwrap()).unwrap();
            },
            &["opened: ctime_ns was "],
        );
        changed_by(
            |path| {
                std::fs::remove_file(path).unwrap();
                assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
            },
            &["changed since it was opened: now a FIFO"],
        );
    }

    #[test]
    fn a_file_replaced_while_it_is_opened_is_read_whole_or_refused() {
        let (_folder, checkpoint) = two_shards();
        let path = checkpoint.shards[0].path.clone();
        let good = std::fs::read(&path).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let spare = path.with_extension("spare");
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::fs::write(&spare, &good).unwrap();
                    std::fs::rename(&spare, &path).unwrap();
                }
            });
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(300) {
                if let Err(problems) = Checkpoint::open(&checkpoint.root, &OpenOptions::default()) {
                    let text = text_of(&problems);
                    assert!(text.contains("was replaced while it was being opened"), "{text}");
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn headers_of_all_checkpoints_share_one_budget() {
        let (_folder, checkpoint) = two_shards();
        let (options, mut budget) = (OpenOptions::default(), 150);
        assert!(Checkpoint::open_within(&checkpoint.root, &options, &mut budget).is_ok());
        assert!(budget < 150);
        let problems = Checkpoint::open_within(&checkpoint.root, &options, &mut budget).unwrap_err();
        assert!(text_of(&problems).contains("headers of all checkpoints together are over"));
    }
}

mod mutations {
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
            (at.clone(), 1..12_usize, 0..TOKENS.len())
                .prop_map(|(at, n, token)| Change::Replace(at, n, token)),
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
            survives(&file);
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
            let got = index::parse(&text);
            match &got {
                Ok(index) => check_against_json(&text, index),
                Err(problems) => drop(text_of(problems)),
            }
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
}
