#![allow(unsafe_code, reason = "a signal handler, and the map of zeros that it puts over lost pages")]
//! A file cut under a map becomes an error instead of the death of the process.
//!
//! Touching a page that the file no longer has raises SIGBUS. While guarded maps exist, a handler answers faults inside
//! them: it raises the map's flag, then maps zeros from the faulting page to the end of the map, after which the
//! reader goes on and finds the flag before its result is used. All other faults go to the handler that was there
//! before; it is put back when the last guarded map is gone.
//!
//! The handler runs on the faulting thread at any instruction, so it only loads and stores atomics and calls mmap and
//! sigaction, both async-signal-safe in practice. The lock below is never taken in it.
//!
//! Others may install their handler on top of ours (Python's faulthandler does, if enabled later) and never call ours
//! again: each new guard looks, and puts a further layer on top if need be. Layers are distinct functions, each with
//! its own predecessor, so a chain can never become a circle.

use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use libc::{c_int, c_void, sigaction, siginfo_t};

/// Most maps guarded at a time; at most 256 inputs are open in one merge.
const SLOTS: usize = 1024;
/// Most handlers of ours with others' in between.
const LAYERS: usize = 4;

/// Registers a map for as long as it lives.
#[derive(Debug)]
pub(super) struct Guard {
    slot: &'static Slot,
}

impl Guard {
    /// Guard `length` bytes mapped at `start`. Fails if too many maps are guarded, or handlers piled up.
    pub(super) fn new(start: *const u8, length: usize) -> io::Result<Self> {
        register(start as usize, length).map(|slot| Self { slot })
    }

    /// Whether a fault was seen in this map.
    pub(super) fn faulted(&self) -> bool {
        self.slot.faulted()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        unregister(self.slot);
    }
}

/// One guarded map, as the handler sees it.
#[derive(Debug)]
struct Slot {
    /// Even while `start` and `end` hold; odd while the slot is free or being filled.
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    fault: AtomicBool,
}

impl Slot {
    const fn new() -> Self {
        Self {
            version: AtomicUsize::new(1),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            fault: AtomicBool::new(false),
        }
    }

    fn is_free(&self) -> bool {
        !self.version.load(Ordering::Relaxed).is_multiple_of(2)
    }

    /// Fill a free slot. One thread at a time.
    fn hold(&self, start: usize, end: usize) {
        // Whoever sees one of the new values also sees that the slot was freed before.
        fence(Ordering::Release);
        self.fault.store(false, Ordering::Relaxed);
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Free a slot that is held. One thread at a time.
    fn free(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    fn faulted(&self) -> bool {
        self.fault.load(Ordering::SeqCst)
    }

    /// The end of the map, if the slot is in use and `address` lies in it.
    fn end_if_holding(&self, address: usize) -> Option<usize> {
        let before = self.version.load(Ordering::Acquire);
        let (start, end) = (self.start.load(Ordering::Relaxed), self.end.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let steady = before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before;
        (steady && (start..end).contains(&address)).then_some(end)
    }
}

/// What the handler needs to know of the one below it.
struct Below {
    handler: AtomicUsize,
    flags: AtomicI32,
}

struct State {
    open: usize,
    /// What each of our layers replaced; `Some` while the layer may still be called.
    replaced: [Option<sigaction>; LAYERS],
}

static TABLE: [Slot; SLOTS] = [const { Slot::new() }; SLOTS];
static BELOW: [Below; LAYERS] =
    [const { Below { handler: AtomicUsize::new(libc::SIG_DFL), flags: AtomicI32::new(0) } }; LAYERS];
static PAGE: AtomicUsize = AtomicUsize::new(4096);
static STATE: Mutex<State> = Mutex::new(State { open: 0, replaced: [None; LAYERS] });

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
const HANDLERS: [Handler; LAYERS] = [on_fault::<0>, on_fault::<1>, on_fault::<2>, on_fault::<3>];

fn register(start: usize, length: usize) -> io::Result<&'static Slot> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = TABLE.iter().find(|slot| slot.is_free()).ok_or(io::ErrorKind::OutOfMemory)?;
    let page = rustix::param::page_size();
    PAGE.store(page, Ordering::Relaxed);
    install(&mut state)?;
    slot.hold(start, (start + length).next_multiple_of(page));
    state.open += 1;
    Ok(slot)
}

fn unregister(slot: &Slot) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    slot.free();
    state.open -= 1;
    if state.open == 0 {
        uninstall(&mut state);
    }
}

fn query() -> io::Result<sigaction> {
    // SAFETY: `sigaction` is plain data for which all zeros is a value, and the call only writes to it.
    unsafe {
        let mut current: sigaction = mem::zeroed();
        answered(libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut current))?;
        Ok(current)
    }
}

fn answered(status: c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn layer_of(action: &sigaction) -> Option<usize> {
    HANDLERS.iter().position(|handler| *handler as usize == action.sa_sigaction)
}

/// Make sure that ours is the handler called first.
fn install(state: &mut State) -> io::Result<()> {
    let current = query()?;
    if layer_of(&current).is_some() {
        return Ok(());
    }
    // A layer that somebody covered may be called by them yet, so it cannot be used a second time.
    let free = state.replaced.iter().position(Option::is_none);
    let layer = free.ok_or(io::ErrorKind::OutOfMemory)?;
    let remember = |action: &sigaction| {
        BELOW[layer].handler.store(action.sa_sigaction, Ordering::SeqCst);
        BELOW[layer].flags.store(action.sa_flags, Ordering::SeqCst);
    };
    remember(&current);
    // SAFETY: both structures are valid for the call, and `on_fault` has the signature that SA_SIGINFO asks for.
    // SA_ONSTACK: runtimes with small stacks require it, and without an alternate stack it changes nothing.
    let replaced = unsafe {
        let mut action: sigaction = mem::zeroed();
        action.sa_sigaction = HANDLERS[layer] as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        let mut replaced: sigaction = mem::zeroed();
        answered(libc::sigaction(libc::SIGBUS, &raw const action, &raw mut replaced))?;
        replaced
    };
    remember(&replaced);
    state.replaced[layer] = Some(replaced);
    Ok(())
}

/// Put the previous handler back, unless somebody covered ours: then it stays below theirs and passes faults on.
fn uninstall(state: &mut State) {
    let Ok(current) = query() else { return };
    let Some(layer) = layer_of(&current) else { return };
    let Some(replaced) = state.replaced[layer] else { return };
    // SAFETY: `replaced` came from sigaction.
    if unsafe { libc::sigaction(libc::SIGBUS, &raw const replaced, ptr::null_mut()) } == 0 {
        state.replaced[layer] = None;
    }
}

extern "C" fn on_fault<const LAYER: usize>(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: under SA_SIGINFO the kernel passes a valid `siginfo_t`, and the address is there for SIGBUS.
    let (code, address) = unsafe { ((*info).si_code, address_of(&*info)) };
    let sent_by_kernel = code > 0;
    if sent_by_kernel {
        for slot in &TABLE {
            if let Some(end) = slot.end_if_holding(address) {
                slot.fault.store(true, Ordering::SeqCst);
                if cover_with_zeros(address, end) {
                    return;
                }
            }
        }
    }
    let below = &BELOW[LAYER];
    match below.handler.load(Ordering::SeqCst) {
        libc::SIG_IGN if !sent_by_kernel => {}
        libc::SIG_DFL | libc::SIG_IGN => die(signal, sent_by_kernel),
        handler if below.flags.load(Ordering::SeqCst) & libc::SA_SIGINFO != 0 => {
            // SAFETY: it was installed under SA_SIGINFO, so it takes these three.
            let handler = unsafe { mem::transmute::<usize, Handler>(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: it was installed without SA_SIGINFO, so it takes the number alone.
            let handler = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
            handler(signal);
        }
    }
}

unsafe fn address_of(info: &siginfo_t) -> usize {
    // SAFETY: the caller's: this is a SIGBUS, whose `siginfo_t` has an address.
    #[cfg(target_os = "linux")]
    return unsafe { info.si_addr() as usize };
    #[cfg(not(target_os = "linux"))]
    return info.si_addr as usize;
}

/// Zeros from the page of `address` up to `end`: the map is spoilt, so nothing is lost by doing it at once, and a
/// large one costs one fault instead of one for each page.
fn cover_with_zeros(address: usize, end: usize) -> bool {
    let start = address & !(PAGE.load(Ordering::Relaxed) - 1);
    // SAFETY: `start..end` are whole pages of a map that a slot holds, so it is ours and alive, and it is only ever
    // read. errno is put back because the interrupted code may be about to look at it.
    unsafe {
        let errno = errno();
        let saved = *errno;
        let answer = libc::mmap(
            start as *mut c_void,
            end - start,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED,
            -1,
            0,
        );
        *errno = saved;
        answer != libc::MAP_FAILED
    }
}

/// Let the signal do what it does without handlers: the faulting instruction runs again as soon as we return, and
/// a signal that was sent is sent again.
fn die(signal: c_int, sent_by_kernel: bool) {
    // SAFETY: a zeroed `sigaction` means SIG_DFL with no flags; sigaction and raise are async-signal-safe.
    unsafe {
        let action: sigaction = mem::zeroed();
        libc::sigaction(signal, &raw const action, ptr::null_mut());
        if !sent_by_kernel {
            libc::raise(signal);
        }
    }
}

fn errno() -> *mut c_int {
    // SAFETY: returns the address of this thread's own variable.
    #[cfg(target_os = "linux")]
    return unsafe { libc::__errno_location() };
    // SAFETY: as above.
    #[cfg(not(target_os = "linux"))]
    return unsafe { libc::__error() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_used_again_never_mixes_two_maps() {
        /// Few under Miri, which alone can show on x86 what a missing fence allows elsewhere.
        const ROUNDS: usize = if cfg!(miri) { 200 } else { 2_000_000 };
        let (slot, done) = (Slot::new(), AtomicBool::new(false));
        let ready = std::sync::Barrier::new(6);
        // The start of one with the end of a later one would hold addresses that neither holds.
        let maps = [(1000, 2000), (5000, 6000), (9000, 10000)];
        std::thread::scope(|scope| {
            let readers = [1500, 3500, 5500, 7500, 9500].map(|address| {
                let (slot, done, ready) = (&slot, &done, &ready);
                scope.spawn(move || {
                    ready.wait();
                    let own = maps.iter().find(|(start, end)| (*start..*end).contains(&address));
                    while !done.load(Ordering::Relaxed) {
                        if let Some(end) = slot.end_if_holding(address) {
                            assert_eq!(Some(end), own.map(|map| map.1), "{address}");
                        }
                    }
                })
            });
            ready.wait();
            for round in 0..ROUNDS {
                let (start, end) = maps[round % maps.len()];
                slot.hold(start, end);
                slot.free();
            }
            done.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().expect("no slot was half one map and half another");
            }
        });
    }
}
