//! Shards that lie on a server, read by ranges over HTTP as the bytes are needed.
//!
//! Every answer is checked before a byte of it is used: the range, the size of the whole and its `ETag` must be those
//! asked for. What passes (cut bodies, silence, busy servers) is tried again, a URL that has expired is renewed once,
//! everything else is a refusal. Not here: names of models, credentials, and whatever makes URLs of them.

mod answer;
mod client;
mod connect;
mod date;
mod fetch;
mod kept;
mod object;
mod objects;
mod patience;
mod pieces;
mod room;

pub use fetch::{Fetch, StopOnPanic};
pub use object::{Description, Object, Refresh};
pub use objects::{Objects, Session};
pub use patience::Patience;
pub use pieces::Stretch;

/// Bytes of one request: large enough that a delay of 80 ms is small beside it.
pub const BLOCK: u64 = 8 << 20;
/// Requests under way at a time: so many that bytes come of some while others wait for their answer.
pub const REQUESTS: usize = 32;
/// Requests for whose bytes there is memory, beside two of each ingredient.
const AHEAD: usize = 16;
/// Threads that may read objects in an order that is not known before.
pub const UNORDERED_READERS: usize = 4;
