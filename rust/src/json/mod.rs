//! JSON from strangers, by one set of rules for every file that is read.
//!
//! A subset of RFC 8259: no key twice in one object (compared after unescaping), bounded depth, no half of a surrogate
//! pair, numbers that fit a double, nothing after the end. So no two programs can read one file differently.
//!
//! [`Reader`] walks a text and keeps nothing: the two formats of a checkpoint are read by it alone. Everything else is
//! proved by [`checked`] first and then left to serde.

mod document;
mod escapes;
mod keys;
mod reader;

pub(crate) use document::{checked, parse, parse_python};
pub(crate) use keys::compare;
pub(crate) use reader::{Fault, Reader, Step, push};
