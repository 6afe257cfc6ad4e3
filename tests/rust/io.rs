//! Reading inputs and writing outputs, on real files.

#[cfg(target_os = "linux")]
mod fault_guard;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use _core::digest::ChunkDigest;
use _core::io::{Backend, Buffer, Cache, Identity, Source};
use _core::manifest::Fingerprint;
use _core::sink::{Beginning, Begun, Durability, OutputFile, Staging};
use _core::target::check_target;
use _core::{Error, ProblemKind};

const BACKENDS: [Backend; 2] = [Backend::Mmap, Backend::Pread];

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

fn identity(path: &Path) -> Identity {
    Identity::of(&fs::metadata(path).unwrap())
}

/// The file as it is now.
fn open(path: &Path, backend: Backend, cache: Cache) -> Source {
    Source::open(path, &identity(path), Some(backend), cache).unwrap()
}

fn file(directory: &Path, bytes: &[u8]) -> PathBuf {
    let path = directory.join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    path
}

fn refused(error: &Error) -> ProblemKind {
    match error {
        Error::Refused(problems) => problems[0].kind,
        other => panic!("not a refusal: {other}"),
    }
}

#[test]
fn both_backends_give_the_same_bytes_under_every_cache_policy() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = pattern((5 << 20) + 123);
    let path = file(directory.path(), &bytes);
    for backend in BACKENDS {
        for cache in [Cache::Auto, Cache::Keep, Cache::Drop] {
            let source = open(&path, backend, cache);
            assert_eq!(source.backend(), backend);
            let mut scratch = Buffer::default();
            for pass in 0..2 {
                for start in (13..bytes.len()).step_by(700_001) {
                    let length = 700_001.min(bytes.len() - start);
                    let read = source.read(start as u64, length, &mut scratch).unwrap();
                    assert!(
                        read == &bytes[start..start + length],
                        "{backend:?} {cache:?} {start} pass {pass}"
                    );
                    source.release(start as u64, length);
                }
            }
            source.unchanged().unwrap();
        }
    }
}

#[test]
fn reading_past_the_end_is_a_refusal_with_path_and_offset() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), b"0123456789");
    for backend in BACKENDS {
        let source = open(&path, backend, Cache::Keep);
        let error = source.read(4, 7, &mut Buffer::default()).unwrap_err();
        assert_eq!(refused(&error), ProblemKind::Checkpoint);
        assert!(
            error.to_string().contains("model.safetensors") && error.to_string().contains("offset 4"),
            "{error}"
        );
        source.read(u64::MAX, 7, &mut Buffer::default()).unwrap_err();
    }
}

#[test]
fn an_empty_file_can_be_opened_by_either_backend() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), b"");
    for backend in BACKENDS {
        let source = open(&path, backend, Cache::Auto);
        assert_eq!(source.read(0, 0, &mut Buffer::default()).unwrap(), b"");
    }
}

#[test]
fn a_file_that_changed_since_its_header_was_read_is_refused_by_field() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), b"0123456789");
    let before = identity(&path);
    let source = Source::open(&path, &before, None, Cache::Keep).unwrap();
    fs::write(&path, b"01234567").unwrap();
    for error in
        [Source::open(&path, &before, None, Cache::Keep).unwrap_err(), source.unchanged().unwrap_err()]
    {
        assert_eq!(refused(&error), ProblemKind::Checkpoint);
        assert!(error.to_string().contains("size was 10, is 8"), "{error}");
    }
}

#[test]
fn a_file_cut_under_positioned_reads_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), &pattern(1 << 20));
    let source = open(&path, Backend::Pread, Cache::Keep);
    File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let error = source.read(0, 4096, &mut Buffer::default()).unwrap_err();
    assert_eq!(refused(&error), ProblemKind::Checkpoint);
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat_while_a_mapped_file_is_read_and_released() {
    fn resident() -> usize {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(2).unwrap().parse::<usize>().unwrap() * 4096 // shared pages: those of files
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = file(directory.path(), &pattern(200 << 20));
    let source = open(&path, Backend::Mmap, Cache::Auto);
    let (size, chunk, before) = (200_usize << 20, (1 << 20) + 77, resident());
    let (mut most, mut sum) = (0, 0_u64);
    for start in (0..size).step_by(chunk) {
        let length = chunk.min(size - start);
        let mut scratch = Buffer::default();
        sum += source
            .read(start as u64, length, &mut scratch)
            .unwrap()
            .iter()
            .map(|&b| u64::from(b))
            .sum::<u64>();
        most = most.max(resident().saturating_sub(before));
        source.release(start as u64, length);
    }
    assert!(sum > 0);
    assert!(most < 30 << 20, "{most} bytes resident");
}

fn write_in_threads(output: &OutputFile, bytes: &[u8], header: usize, chunk: usize, threads: usize) {
    let next = std::sync::atomic::AtomicUsize::new(header);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let start = next.fetch_add(chunk, std::sync::atomic::Ordering::Relaxed);
                    let Some(part) = bytes.get(start..bytes.len().min(start + chunk)) else { break };
                    output.write_at(start as u64, part).unwrap();
                }
            });
        }
    });
}

#[test]
fn threads_write_a_file_whose_header_comes_last() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = pattern((9 << 20) + 5);
    for (number, window) in [0, 1 << 20, 3_000_001, 64 << 20].into_iter().enumerate() {
        let path = directory.path().join(number.to_string());
        let durability = Durability { sync: true, dirty_window: window, drop_cache: number % 2 == 0 };
        let output = OutputFile::create(&path, bytes.len() as u64, durability).unwrap();
        write_in_threads(&output, &bytes, 100, 300_007, 4);
        assert_eq!(fs::read(&path).unwrap()[..100], [0; 100], "the header is not there yet");
        output.finish(&bytes[..100]).unwrap();
        assert!(fs::read(&path).unwrap() == bytes);
    }
}

#[test]
fn an_output_file_is_never_one_that_exists_and_never_incomplete() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let output = OutputFile::create(&path, 100, Durability::default()).unwrap();
    assert!(OutputFile::create(&path, 100, Durability::default()).is_err());
    output.write_at(10, &[1; 50]).unwrap();
    assert!(output.write_at(60, &[1; 41]).unwrap_err().to_string().contains("offset 60"));
    let error = output.finish(&[2; 10]).unwrap_err();
    assert!(error.to_string().contains("60 of 100 bytes were written"), "{error}");
}

#[test]
fn a_new_file_has_the_mode_that_the_umask_leaves() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let plain = directory.path().join("plain");
    fs::write(&plain, "").unwrap();
    let path = directory.path().join("a");
    OutputFile::create(&path, 1, Durability::default()).unwrap().finish(b"x").unwrap();
    assert_eq!(mode(&path), mode(&plain));
    fs::create_dir(directory.path().join("directory")).unwrap();
    let target = directory.path().join("soup");
    let staging = begin(&target, false, true).unwrap();
    staging.write_small("config.json", b"{}").unwrap();
    publish(staging).unwrap();
    assert_eq!(mode(&target), mode(&directory.path().join("directory")));
    assert_eq!(mode(&target.join("config.json")), mode(&plain));
}

#[test]
fn chunks_digested_by_threads_give_the_digest_of_the_tensor() {
    let bytes = pattern((1 << 20) + 1);
    let digest = ChunkDigest::new(bytes.len() as u64, 65536);
    let leaves: Vec<_> = std::thread::scope(|scope| {
        let leaf = |(i, chunk)| scope.spawn(move || digest.leaf(chunk, i as u64 * 65536));
        let running: Vec<_> = bytes.chunks(65536).enumerate().map(leaf).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(digest.combine(&leaves), blake3::hash(&bytes));
}

/// Begin a run that may write any of the small files of these tests.
fn begin(target: &Path, overwrite: bool, sync: bool) -> Result<Staging, Error> {
    let files = ["config.json", "additional_chat_templates/x.jinja", "soce.json", "only", "twice", "half"];
    let plan = Fingerprint::of_value(serde_json::json!({ "files": files }));
    let ask = Beginning { target, overwrite, sync, restart: false, plan: &plan, inputs: &[] };
    match Staging::begin(&ask)? {
        Begun::Work(staging) => Ok(*staging),
        Begun::Published => panic!("no run was interrupted after publishing"),
    }
}

/// Commit and clean.
fn publish(staging: Staging) -> Result<Option<String>, Error> {
    staging.commit()?;
    Ok(staging.clean())
}

/// Write a soup of one small file and its manifest.
fn soup(target: &Path, overwrite: bool, content: &str) -> Result<Option<String>, Error> {
    let staging = begin(target, overwrite, false)?;
    staging.write_small("config.json", content.as_bytes())?;
    staging.write_small("additional_chat_templates/x.jinja", b"x")?;
    let files = r#"{"result": {"files": ["config.json", "additional_chat_templates/x.jinja"]}}"#;
    staging.write_small("soce.json", files.as_bytes())?;
    publish(staging)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn publishing_makes_the_target_and_leaves_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("soup");
    assert_eq!(soup(&target, false, "1").unwrap(), None);
    assert_eq!(names(parent.path()), ["soup"]);
    assert_eq!(names(&target), ["additional_chat_templates", "config.json", "soce.json"]);
}

#[test]
fn what_comes_into_an_old_soup_while_it_is_replaced_is_kept() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("soup");
    for place in ["soup.soce-kept", "soup.soce-kept-2"] {
        let place = parent.path().join(place);
        soup(&target, target.exists(), "old").unwrap();
        let staging = begin(&target, true, false).unwrap();
        staging.write_small("config.json", b"new").unwrap();
        staging.write_small("soce.json", br#"{"result": {"files": ["config.json"]}}"#).unwrap();
        staging.commit().unwrap();
        // Whoever worked in the old soup's directory works there still.
        let old = staging.payload();
        fs::write(old.join("notes.txt"), "mine").unwrap();
        fs::write(old.join("additional_chat_templates/mine.jinja"), "mine").unwrap();
        fs::write(old.join("config.json"), "edited").unwrap();
        let note = staging.clean().expect("something was left");
        for name in ["notes.txt", "mine.jinja", "config.json", &place.to_string_lossy()] {
            assert!(note.contains(name), "{name}: {note}");
        }
        assert_eq!(names(&place), ["additional_chat_templates", "config.json", "notes.txt"]);
        assert_eq!(names(&place.join("additional_chat_templates")), ["mine.jinja"]);
        assert_eq!(fs::read_to_string(place.join("config.json")).unwrap(), "edited");
        assert_eq!(fs::read_to_string(target.join("config.json")).unwrap(), "new");
    }
    soup(&target, true, "again").unwrap();
    assert_eq!(names(parent.path()), ["soup", "soup.soce-kept", "soup.soce-kept-2"]);
}

#[test]
fn an_empty_directory_is_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("soup/");
    fs::create_dir(&target).unwrap();
    soup(&target, false, "1").unwrap();
    assert_eq!(fs::read_to_string(target.join("config.json")).unwrap(), "1");
}

#[test]
fn a_soup_is_replaced_only_when_asked() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("soup");
    soup(&target, false, "1").unwrap();
    let error = soup(&target, false, "2").unwrap_err();
    assert!(
        error.to_string().contains("holds a soup") && error.to_string().contains("--overwrite"),
        "{error}"
    );
    assert_eq!(soup(&target, true, "2").unwrap(), None);
    assert_eq!(fs::read_to_string(target.join("config.json")).unwrap(), "2");
    assert_eq!(names(parent.path()), ["soup"]);
}

fn refusal(target: &Path, overwrite: bool, expected: &str) {
    let problem = check_target(target, overwrite).unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Output);
    assert!(problem.to_string().contains(expected), "{problem}");
    assert!(problem.hint.is_some());
    begin(target, overwrite, false).unwrap_err();
}

#[test]
fn what_is_not_ours_is_never_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("soup");
    for overwrite in [false, true] {
        soup(&target, true, "1").unwrap();
        fs::write(target.join("notes.txt"), "mine").unwrap();
        refusal(&target, overwrite, "holds what its manifest does not list: `notes.txt`");
        fs::remove_file(target.join("notes.txt")).unwrap();
        fs::create_dir(target.join("folder")).unwrap();
        refusal(&target, overwrite, "`folder`");
        fs::remove_dir(target.join("folder")).unwrap();

        let other = parent.path().join("other");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("a"), "").unwrap();
        refusal(&other, overwrite, "is not empty and is not a soup");
        refusal(&other.join("a"), overwrite, "is not a directory");
        fs::write(other.join("soce.json"), "{}").unwrap();
        refusal(&other, overwrite, "lists no `result.files`");
        fs::write(other.join("soce.json"), "{").unwrap();
        refusal(&other, overwrite, "is no manifest");

        fs::remove_file(other.join("soce.json")).unwrap();

        refusal(&parent.path().join("no/where"), overwrite, "does not exist");
        refusal(&other.join("a/b"), overwrite, "is not a directory");
        refusal(&parent.path().join("x".repeat(243)), overwrite, "has 243 bytes");
        refusal(Path::new("/"), overwrite, "names no directory");
        refusal(&parent.path().join(".."), overwrite, "names no directory");
    }
    assert_eq!(names(parent.path()), ["other", "soup"]);
}

#[test]
fn a_link_is_never_replaced_even_with_a_slash_behind_it() {
    let parent = tempfile::tempdir().unwrap();
    fs::create_dir(parent.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", parent.path().join("link")).unwrap();
    for name in ["link", "link/"] {
        refusal(&parent.path().join(name), true, "is a symbolic link");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_mount_point_is_refused_before_the_work() {
    let problem = check_target(Path::new("/proc"), true).unwrap_err();
    // Without privileges the root directory is already out of bounds.
    let expected = ["is a mount point", "nothing can be made in it"];
    assert!(expected.iter().any(|text| problem.message.contains(text)), "{problem}");
}

#[test]
fn a_second_run_on_the_same_target_is_refused_with_the_process_of_the_first() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("soup");
    let first = begin(&target, false, true).unwrap();
    let error = begin(&target, false, true).unwrap_err();
    let expected = format!("process {} is writing it", std::process::id());
    assert!(error.to_string().contains(&expected), "{error}");
    first.write_small("config.json", b"{}").unwrap();
    drop(first);
    assert_eq!(names(parent.path()), [] as [&str; 0]);
    drop(begin(&target, false, true).unwrap());
    assert_eq!(names(parent.path()), [] as [&str; 0]);
}

#[test]
fn many_runs_on_one_target_at_once_never_meet() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("soup");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..40 {
                    match begin(&target, false, true) {
                        Ok(staging) => staging.write_small("only", b"one at a time").unwrap(),
                        Err(error) => assert_eq!(refused(&error), ProblemKind::Output),
                    }
                }
            });
        }
    });
    assert_eq!(names(parent.path()), [] as [&str; 0]);
}

#[test]
fn what_a_dead_run_left_is_removed_and_mentioned() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("soup");
    let state = parent.path().join("soup.soce-partial");
    fs::create_dir_all(state.join("payload/additional_chat_templates")).unwrap();
    fs::write(state.join("lock"), "1\n").unwrap();
    fs::write(state.join("payload/half"), "half").unwrap();
    fs::write(state.join("payload/additional_chat_templates/x.jinja"), "half").unwrap();
    let error = begin(&target, false, true).unwrap_err();
    let expected = "`payload/additional_chat_templates/x.jinja`, `payload/half`";
    assert!(error.to_string().contains(expected), "without a plan nobody knows these files: {error}");
    let plan = r#"{"files":["half","additional_chat_templates/x.jinja"]}"#;
    fs::write(state.join("plan.json"), plan).unwrap();
    let staging = begin(&target, false, true).unwrap();
    assert!(staging.notes()[0].contains("removed what an interrupted run had left"));
    assert_eq!(names(staging.payload()), [] as [&str; 0]);
    publish(staging).unwrap();
    assert_eq!(names(parent.path()), ["soup"]);
}

#[test]
fn a_planted_state_directory_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let (target, state) = (parent.path().join("soup"), parent.path().join("soup.soce-partial"));
    let treasure = parent.path().join("treasure");
    fs::create_dir(&treasure).unwrap();
    fs::write(treasure.join("gold"), "gold").unwrap();
    let refused = |expected: &str| {
        let error = begin(&target, true, true).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fs::read_to_string(treasure.join("gold")).unwrap(), "gold");
    };
    std::os::unix::fs::symlink(&treasure, &state).unwrap();
    refused("is not a directory");
    fs::remove_file(&state).unwrap();
    fs::create_dir(&state).unwrap();
    std::os::unix::fs::symlink(&treasure, state.join("payload")).unwrap();
    refused("`payload`");
    fs::remove_file(state.join("payload")).unwrap();
    std::os::unix::fs::symlink(treasure.join("gold"), state.join("lock")).unwrap();
    refused("`lock`");
    fs::remove_file(state.join("lock")).unwrap();
    fs::write(state.join("homework"), "").unwrap();
    refused("`homework`");
    assert_eq!(names(&state), ["homework"]);
}

#[test]
fn names_outside_the_output_cannot_be_written() {
    let parent = tempfile::tempdir().unwrap();
    let staging = begin(&parent.path().join("soup"), false, true).unwrap();
    for name in ["../x", "/x", "", ".", "..", "./x", "a/..", "a/../x", "a/../../x", "a/b/../../../x"] {
        staging.write_small(name, b"").unwrap_err();
    }
    assert_eq!(names(parent.path()), ["soup.soce-partial"]);
    assert_eq!(names(staging.payload()), Vec::<String>::new());
    staging.write_small("a/b/c", b"").unwrap();
    assert_eq!(names(staging.payload()), ["a"]);
    staging.write_small("twice", b"").unwrap();
    staging.write_small("twice", b"").unwrap_err();
}

#[test]
fn a_target_that_filled_up_meanwhile_stays_as_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("soup");
    let staging = begin(&target, false, true).unwrap();
    fs::create_dir(&target).unwrap();
    fs::write(target.join("a"), "mine").unwrap();
    assert_eq!(refused(&publish(staging).unwrap_err()), ProblemKind::Output);
    assert_eq!(names(parent.path()), ["soup"]);
    assert_eq!(names(&target), ["a"]);
}
