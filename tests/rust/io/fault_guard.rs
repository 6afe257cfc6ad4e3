#![allow(unsafe_code, reason = "signal handlers are installed and examined")]
//! Faults in mapped files, each scenario in a process of its own.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use _core::ProblemKind;
use _core::io::{Backend, Buffer, Cache, Source};

use super::{open, pattern, refused};

const SIZE: usize = 64 << 20;

fn run(scenario: &str) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "io::fault_guard::scenario", "--ignored", "--nocapture"]);
    command.env("SOCE_TEST_SCENARIO", scenario).status().unwrap()
}

#[test]
fn a_file_cut_under_four_readers_is_an_error_and_the_old_handler_comes_back() {
    assert_eq!(run("cut").code(), Some(0));
}

#[test]
fn a_fault_outside_our_maps_does_what_it_always_did() {
    assert_eq!(run("foreign fault, no handler").signal(), Some(libc::SIGBUS));
    assert_eq!(run("foreign fault, ignored").signal(), Some(libc::SIGBUS));
    assert_eq!(run("foreign fault, handler").code(), Some(42));
    assert_eq!(run("foreign fault, plain handler").code(), Some(43));
}

#[test]
fn a_signal_that_was_sent_reaches_the_handler_below() {
    assert_eq!(run("sent, no handler").signal(), Some(libc::SIGBUS));
    assert_eq!(run("sent, ignored").code(), Some(0));
    assert_eq!(run("sent, handler").code(), Some(42));
}

#[test]
fn a_handler_installed_over_ours_is_covered_again_and_put_back() {
    assert_eq!(run("covered").code(), Some(0));
    assert_eq!(run("covered, then foreign fault").code(), Some(42));
}

#[test]
#[ignore = "started by the other tests in a process of its own"]
fn scenario() {
    match std::env::var("SOCE_TEST_SCENARIO").unwrap_or_default().as_str() {
        "cut" => (0..3).for_each(|_| cut()),
        "foreign fault, no handler" => with_source(None, foreign_fault),
        "foreign fault, ignored" => with_source(Some((libc::SIG_IGN, 0)), foreign_fault),
        "foreign fault, handler" => {
            with_source(Some((exit_42 as *const () as usize, libc::SA_SIGINFO)), foreign_fault);
        }
        "foreign fault, plain handler" => {
            with_source(Some((exit_43 as *const () as usize, 0)), foreign_fault);
        }
        "sent, no handler" => with_source(None, send),
        "sent, ignored" => with_source(Some((libc::SIG_IGN, 0)), send),
        "sent, handler" => with_source(Some((exit_42 as *const () as usize, libc::SA_SIGINFO)), send),
        "covered" => covered(false),
        "covered, then foreign fault" => covered(true),
        _ => {}
    }
}

fn handler() -> usize {
    // SAFETY: `sigaction` is plain data, and the call only writes to it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    }
}

fn set_handler(handler: usize, flags: i32) {
    // SAFETY: the handlers of this file have the signatures that the flags ask for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()), 0);
    }
}

extern "C" fn exit_42(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(42) }
}

extern "C" fn exit_43(signal: libc::c_int) {
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(if signal == libc::SIGBUS { 43 } else { 1 }) }
}

fn file(size: usize) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    fs::write(&path, pattern(size)).unwrap();
    (directory, path)
}

fn mapped(path: &std::path::Path) -> Source {
    let source = open(path, Backend::Mmap, Cache::Keep);
    assert_eq!(source.backend(), Backend::Mmap);
    source
}

fn shrink(path: &std::path::Path, size: u64) {
    File::options().write(true).open(path).unwrap().set_len(size).unwrap();
}

fn cut() {
    let before = handler();
    let (_directory, path) = file(SIZE);
    let source = mapped(&path);
    assert_ne!(handler(), before);
    let (rounds, stop, faulted) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (source, rounds, stop, faulted) = (&source, &rounds, &stop, &faulted);
            scope.spawn(move || {
                let (mut scratch, mut sum) = (Buffer::default(), 0_u64);
                while !stop.load(Ordering::Relaxed) {
                    for start in (thread * 4096..SIZE).step_by(4 * 4096) {
                        let bytes = source.read(start as u64, 4096, &mut scratch).unwrap();
                        sum = sum.wrapping_add(u64::from(std::hint::black_box(bytes)[start % 4096]));
                    }
                    rounds.fetch_add(1, Ordering::Relaxed);
                    faulted.fetch_add(usize::from(source.check().is_err()), Ordering::Relaxed);
                }
                std::hint::black_box(sum);
            });
        }
        let wait_for = |counter: &AtomicUsize, least| {
            while counter.load(Ordering::Relaxed) < least {
                std::thread::yield_now();
            }
        };
        wait_for(&rounds, 4);
        source.check().unwrap();
        shrink(&path, SIZE as u64 / 3);
        wait_for(&faulted, 4);
        stop.store(true, Ordering::Relaxed);
    });
    let error = source.check().unwrap_err();
    assert_eq!(refused(&error), ProblemKind::Checkpoint);
    let expected = format!("was cut from {SIZE} to {} bytes while it was read", SIZE / 3);
    assert!(error.to_string().contains(&expected), "{error}");
    drop(source);
    assert_eq!(handler(), before);
}

fn with_source(below: Option<(usize, i32)>, act: impl Fn()) {
    // Rust's own handler writes to stderr about stack overflows only; the default is what the tests compare with.
    let (below, flags) = below.unwrap_or((libc::SIG_DFL, 0));
    set_handler(below, flags);
    let (_directory, path) = file(1 << 20);
    let source = mapped(&path);
    act();
    source.check().unwrap();
}

fn foreign_fault() {
    let (_directory, path) = file(1 << 20);
    // SAFETY: nobody but this test changes the file, which is the point.
    let map = unsafe { memmap2::Mmap::map(&File::open(&path).unwrap()).unwrap() };
    shrink(&path, 0);
    std::hint::black_box(map[5000]);
    unreachable!("the page is gone");
}

fn send() {
    // SAFETY: raise touches no memory of ours.
    assert_eq!(unsafe { libc::raise(libc::SIGBUS) }, 0);
}

fn covered(foreign: bool) {
    set_handler(libc::SIG_DFL, 0);
    let theirs = exit_42 as *const () as usize;
    let (_first_directory, first_path) = file(1 << 20);
    let first = mapped(&first_path);
    for _ in 0..3 {
        set_handler(theirs, libc::SA_SIGINFO);
        let (_directory, path) = file(1 << 20);
        let second = mapped(&path);
        if foreign {
            foreign_fault();
        }
        shrink(&path, 0);
        std::hint::black_box(second.read(5000, 1, &mut Buffer::default()).unwrap()[0]);
        second.check().unwrap_err();
        first.check().unwrap();
        drop(second);
        // Ours lies on top until the last map is gone; then theirs comes back.
        assert_ne!(handler(), theirs);
    }
    // No layer is left: the next file is read instead.
    set_handler(theirs, libc::SA_SIGINFO);
    let source = open(&first_path, Backend::Mmap, Cache::Keep);
    assert_eq!(source.backend(), Backend::Pread);
    drop(source);
    drop(first);
    assert_eq!(handler(), theirs);
}
