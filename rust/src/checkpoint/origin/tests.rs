//! Layouts made by hand: what is claimed, and everything that must not be.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Claim, ClaimSource, Hub, Origin, hub_id, nanoseconds, parse, resolve};
use crate::checkpoint::{Checkpoint, OpenOptions};
use crate::io::Identity;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
const SECOND: u64 = 1_700_000_000;

fn sha(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// A safetensors file of one tensor.
fn write(path: &Path, tensor: &str) {
    let mut header = format!(r#"{{"{tensor}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), b"x"].concat()).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(SECOND);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn origin(path: &Path) -> Origin {
    Checkpoint::open(path, &OpenOptions { follow_links: true, ignore_unreferenced: false }).unwrap().origin
}

/// A snapshot of two shards in the cache below `root`; blobs are named `names`.
fn cache(root: &Path, folder: &str, names: [&str; 2]) -> PathBuf {
    let snapshot = root.join(folder).join("snapshots").join(REVISION);
    fs::create_dir_all(&snapshot).unwrap();
    for (i, name) in names.iter().enumerate() {
        write(&root.join(folder).join("blobs").join(name), &format!("t{i}"));
        let shard = format!("model-0000{}-of-00002.safetensors", i + 1);
        symlink(format!("../../blobs/{name}"), snapshot.join(shard)).unwrap();
    }
    snapshot
}

/// A download into a plain directory, its records written `after` seconds behind its files.
fn download(root: &Path, revisions: [&str; 2], after: i64) -> PathBuf {
    let records = root.join("m/.cache/huggingface/download");
    fs::create_dir_all(&records).unwrap();
    for (i, revision) in revisions.iter().enumerate() {
        let shard = format!("model-0000{}-of-00002.safetensors", i + 1);
        write(&root.join("m").join(&shard), &format!("t{i}"));
        let time = SECOND as i64 + after;
        let text = format!("{revision}\n{}\n{time}.25\n", sha(if i == 0 { 'a' } else { 'b' }));
        fs::write(records.join(format!("{shard}.metadata")), text).unwrap();
    }
    root.join("m")
}

fn claims(source: ClaimSource, digits: &str) -> Vec<Option<Claim>> {
    digits.chars().map(|digit| Some(Claim { sha256: sha(digit).parse().unwrap(), source })).collect()
}

#[allow(clippy::unnecessary_wraps, reason = "compared with a field that is an Option")]
fn hub(id: Option<&str>) -> Option<Hub> {
    Some(Hub { id: id.map(str::to_owned), revision: REVISION.to_owned() })
}

#[test]
fn the_cache_tells_repository_revision_and_digests() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = cache(folder.path(), "models--org--name", [&sha('a'), &sha('b')]);
    let expected = Origin { hub: hub(Some("org/name")), sha256: claims(ClaimSource::BlobName, "ab") };
    assert_eq!(origin(&snapshot), expected);
    // However it is reached.
    symlink(&snapshot, folder.path().join("alias")).unwrap();
    assert_eq!(origin(&folder.path().join("alias")), expected);
    let one = origin(&snapshot.join("model-00002-of-00002.safetensors"));
    assert_eq!(one, Origin { hub: hub(Some("org/name")), sha256: claims(ClaimSource::BlobName, "b") });
}

#[test]
fn a_folder_within_a_snapshot_belongs_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = cache(folder.path(), "models--name", [&sha('a'), &sha('b')]);
    fs::create_dir(snapshot.join("unet")).unwrap();
    symlink(format!("../../../blobs/{}", sha('a')), snapshot.join("unet/x.safetensors")).unwrap();
    let expected = Origin { hub: hub(Some("name")), sha256: claims(ClaimSource::BlobName, "a") };
    assert_eq!(origin(&snapshot.join("unet")), expected);
}

#[test]
fn a_git_name_is_no_sha256() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = cache(folder.path(), "models--org--name", [&"c".repeat(40), &sha('b')]);
    let found = origin(&snapshot);
    assert_eq!(found.hub, hub(Some("org/name")));
    assert_eq!(found.sha256, [None, claims(ClaimSource::BlobName, "b").remove(0)]);
}

#[test]
fn a_blob_in_a_shared_store_keeps_the_name_it_has_in_the_repository() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = cache(folder.path(), "models--org--name", [&sha('a'), &sha('b')]);
    let blob = folder.path().join("models--org--name/blobs").join(sha('a'));
    let store = folder.path().join("blobs/ff").join(sha('f'));
    fs::create_dir_all(store.parent().unwrap()).unwrap();
    fs::rename(&blob, &store).unwrap();
    symlink(format!("../../blobs/ff/{}", sha('f')), &blob).unwrap();
    assert_eq!(origin(&snapshot).sha256, claims(ClaimSource::BlobName, "ab"));
    // A link past the repository's blobs has a name that means something else.
    let shard = snapshot.join("model-00001-of-00002.safetensors");
    fs::remove_file(&shard).unwrap();
    symlink(format!("../../../blobs/ff/{}", sha('f')), &shard).unwrap();
    let found = origin(&snapshot);
    assert_eq!((found.hub, found.sha256), (None, vec![None, claims(ClaimSource::BlobName, "b").remove(0)]));
}

#[test]
fn a_shard_that_is_no_link_takes_the_revision_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = cache(folder.path(), "models--org--name", [&sha('a'), &sha('b')]);
    let shard = snapshot.join("model-00001-of-00002.safetensors");
    fs::remove_file(&shard).unwrap();
    write(&shard, "t0");
    let found = origin(&snapshot);
    assert_eq!((found.hub, found.sha256), (None, vec![None, claims(ClaimSource::BlobName, "b").remove(0)]));
}

#[test]
fn what_only_resembles_the_cache_tells_nothing() {
    for (layout, blobs) in [
        ("datasets--org--name", [sha('a'), sha('b')]),
        ("models--org--name--more", [sha('a'), sha('b')]),
        ("models--org--na me", [sha('a'), sha('b')]),
        ("models--", [sha('a'), sha('b')]),
        ("models--org--name", [sha('A'), sha('B')]),
        ("models--org--name", ["a".repeat(63), "b".repeat(65)]),
        ("models--org--name", ["g".repeat(64), format!("{}-", "b".repeat(63))]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = cache(folder.path(), layout, [&blobs[0], &blobs[1]]);
        let found = origin(&snapshot);
        assert_eq!(found.hub, None, "{layout}");
        assert!(found.sha256.iter().all(Option::is_none), "{layout}");
    }
    let folder = tempfile::tempdir().unwrap();
    let snapshot = cache(folder.path(), "models--org--name", [&sha('a'), &sha('b')]);
    fs::rename(&snapshot, snapshot.with_file_name("main")).unwrap();
    assert_eq!(origin(&snapshot.with_file_name("main")), Origin::default());
}

#[test]
fn a_download_tells_revision_and_digests() {
    let folder = tempfile::tempdir().unwrap();
    let model = download(folder.path(), [REVISION; 2], 5);
    let expected = Origin { hub: hub(None), sha256: claims(ClaimSource::Metadata, "ab") };
    assert_eq!(origin(&model), expected);
    let one = origin(&model.join("model-00001-of-00002.safetensors"));
    assert_eq!(one, Origin { hub: hub(None), sha256: claims(ClaimSource::Metadata, "a") });
}

#[test]
fn a_file_that_is_younger_than_its_record_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    // The record says SECOND - 1 + 0.25: within the second that is allowed.
    assert_eq!(origin(&download(folder.path(), [REVISION; 2], -1)).hub, hub(None));
    let found = origin(&download(folder.path(), [REVISION; 2], -2));
    assert_eq!((found.hub, found.sha256), (None, vec![None, None]));
}

#[test]
fn shards_of_two_revisions_are_of_none() {
    let folder = tempfile::tempdir().unwrap();
    let model = download(folder.path(), [REVISION, &"1".repeat(40)], 5);
    assert_eq!(origin(&model), Origin { hub: None, sha256: claims(ClaimSource::Metadata, "ab") });
    fs::remove_file(model.join(".cache/huggingface/download/model-00002-of-00002.safetensors.metadata"))
        .unwrap();
    let found = origin(&model);
    assert_eq!((found.hub, found.sha256.len()), (None, 2));
    assert_eq!(found.sha256[1], None);
}

#[test]
fn records_are_read_only_where_they_belong() {
    type Damage = fn(&Path, &Path);
    let damages: [(&str, Damage); 6] = [
        ("a link", |record, _| {
            let other = record.with_file_name("other");
            fs::rename(record, &other).unwrap();
            symlink("other", record).unwrap();
        }),
        ("a linked directory", |record, _| {
            let place = record.parent().unwrap();
            fs::rename(place, place.with_file_name("there")).unwrap();
            symlink("there", place).unwrap();
        }),
        ("a directory", |record, _| {
            fs::remove_file(record).unwrap();
            fs::create_dir(record).unwrap();
        }),
        ("a FIFO", |record, _| {
            fs::remove_file(record).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(record).status().unwrap().success());
        }),
        ("too long", |record, _| {
            let text = fs::read_to_string(record).unwrap();
            fs::write(record, text.replace(".25", &format!(".25{}", "0".repeat(500)))).unwrap();
        }),
        ("a linked shard", |_, shard| {
            fs::rename(shard, shard.with_file_name("real")).unwrap();
            symlink("real", shard).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let model = download(folder.path(), [REVISION; 2], 5);
        let shard = model.join("model-00001-of-00002.safetensors");
        damage(&model.join(".cache/huggingface/download/model-00001-of-00002.safetensors.metadata"), &shard);
        let found = origin(&model);
        assert_eq!((found.hub, found.sha256.first().cloned().flatten()), (None, None), "{what}");
    }
}

#[test]
fn a_record_is_taken_whole_or_not_at_all() {
    let name = sha('a');
    let good = format!("{REVISION}\n{name}\n1700000000.5\n");
    assert!(parse(&good, 0).is_some());
    assert!(parse(good.trim_end(), 0).is_some());
    assert!(parse(&good.replace('\n', "\r\n"), 0).is_some());
    for bad in [
        String::new(),
        format!("{REVISION}\n{name}\n"),
        format!("{good}more\n"),
        format!("\n{good}"),
        good.replace(REVISION, "main"),
        good.replace(REVISION, &REVISION.to_uppercase()),
        good.replace(&name, &format!("\"{name}\"")),
        good.replace(&name, &format!("{name}\u{1b}")),
        good.replace("1700000000.5", "nan"),
        good.replace("1700000000.5", "inf"),
        good.replace("1700000000.5", "1e10"),
        good.replace("1700000000.5", "-1"),
        good.replace("1700000000.5", "1700000000."),
        good.replace("1700000000.5", &"9".repeat(21)),
    ] {
        assert!(parse(&bad, 0).is_none(), "{bad:?}");
    }
}

#[test]
fn times_are_compared_to_the_nanosecond() {
    assert_eq!(nanoseconds("12"), Some(12_000_000_000));
    assert_eq!(nanoseconds("12.5"), Some(12_500_000_000));
    assert_eq!(nanoseconds("12.0000000019"), Some(12_000_000_001));
    let text = format!("{REVISION}\n{}\n12.5\n", sha('a'));
    assert!(parse(&text, 13_500_000_000).is_some());
    assert!(parse(&text, 13_500_000_001).is_none());
}

#[test]
fn names_of_repositories_follow_the_rules_of_the_hub() {
    for (folder, id) in [
        ("models--gpt2", "gpt2"),
        ("models--meta-llama--Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("models--_a--b_", "_a/b_"),
    ] {
        assert_eq!(hub_id(folder).as_deref(), Some(id));
    }
    let long = format!("models--{}", "a".repeat(97));
    for folder in [
        "models",
        "models-a",
        "models--",
        "models--a--",
        "models----a",
        "models--a--b--c",
        "models--a---b",
        "models--.a",
        "models--a.",
        "models--a..b",
        "models--a/b",
        "models--a.git",
        "models--a\u{e9}",
        "models--a\u{1b}[2J",
        &long,
    ] {
        assert_eq!(hub_id(folder), None, "{folder:?}");
    }
}

#[test]
fn links_are_resolved_by_their_text() {
    let resolved = |link: &str| resolve(Path::new("/a/b"), Path::new(link));
    assert_eq!(resolved("../c/./d"), Some("/a/c/d".into()));
    assert_eq!(resolved("/x/../y"), Some("/y".into()));
    assert_eq!(resolved("../../../x"), None);
}

#[test]
fn a_blob_replaced_since_its_header_was_read_is_not_spoken_for() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = cache(folder.path(), "models--org--name", [&sha('a'), &sha('b')]);
    let mut checkpoint = Checkpoint::open(&snapshot, &OpenOptions::default()).unwrap();
    assert_eq!(super::find(&snapshot, &checkpoint.shards), checkpoint.origin);
    let Identity::File(identity) = &mut checkpoint.shards[0].identity else { panic!("a file") };
    identity.ctime_ns += 1;
    let found = super::find(&snapshot, &checkpoint.shards);
    assert_eq!((found.hub, found.sha256), (None, vec![None, claims(ClaimSource::BlobName, "b").remove(0)]));
}
