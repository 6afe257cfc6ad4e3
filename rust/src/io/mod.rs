//! Bytes of an input: mapped where that is safe and fast, read into a buffer elsewhere.
//!
//! Nothing above this module knows which of the two it got; both give the same bytes. Not here: what the bytes mean,
//! and anything that writes.
//!
//! What cannot be proved: another process may change or cut a mapped file while a slice of it is in use. The maps are
//! read-only, a cut file becomes an error by way of the fault guard (`fault_guard.rs`), and [`Source::check`] and
//! [`Source::unchanged`] tell whether what was read can be trusted. Whoever needs more asks for [`Backend::Pread`].

mod backend;
mod blocks;
mod buffer;
mod fault_guard;
pub(crate) mod identity;
mod mapped;
mod memory;
pub(crate) mod platform;
mod source;

pub use backend::{Backend, Cache};
pub use buffer::Buffer;
pub use identity::Identity;
pub use memory::memory_limit;
pub use source::Source;
