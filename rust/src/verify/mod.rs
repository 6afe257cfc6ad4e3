//! Whether a soup is still what its manifest says, read by the same strict rules as any stranger's checkpoint.
//!
//! Headers, index, side files and manifest are held against each other, then every byte against the manifest's
//! digests. That may be left out, and every tensor may be computed again from the ingredients. Nothing is written,
//! memory is bounded by headers, manifest and one block a thread. Deliberately not here: any trust in the manifest. A
//! digest in it guards against accidents; against a forger, who can write digests too, only the ingredients help.

mod digests;
mod files;
mod findings;
mod matching;
mod options;
mod pieces;
mod recompute;
mod recomputed;
mod scan;
mod soup;
mod structure;

pub use findings::{Check, Finding, Verification};
pub use options::VerifyOptions;
pub use soup::verify;
