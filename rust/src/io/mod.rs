//! Bytes of an input: mapped where that is safe and fast, read into a buffer elsewhere, asked for by ranges where the input
//! lies on a server.
//!
//! Nothing above this module knows which of them it got; all give the same bytes. Not here: what the bytes mean,
//! and anything that writes.
//!
//! What cannot be proved: another process may change or cut a mapped file while a slice of it is in use. The maps are
//! read-only, a cut file becomes an error by way of the fault guard (`fault_guard.rs`), and [`Source::check`] and
//! [`Source::unchanged`] tell whether what was read can be trusted. Whoever needs more asks for [`Backend::Pread`].

mod backend;
mod blocks;
mod buffer;
mod fault_guard;
mod file_source;
pub(crate) mod identity;
mod mapped;
mod memory;
pub(crate) mod platform;
pub mod remote;
mod source;

pub use backend::{Backend, Cache};
pub use buffer::Buffer;
pub use identity::{FileIdentity, Identity};
pub use memory::memory_limit;
pub use source::Source;
