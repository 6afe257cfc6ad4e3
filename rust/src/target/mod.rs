//! The place where a soup is asked to be: which paths belong to it, what stands there, whether that may be replaced, and
//! whether it keeps away from ingredients and other outputs.
//!
//! One answer for planning, which asks before there is any work, and for the sink, which asks again before the rename.
//! Nothing is written here but the removal of what `tree` is told to remove.

mod apart;
mod paths;
mod standing;
pub(crate) mod tree;

pub(crate) use apart::check_outputs;
pub(crate) use paths::{PAYLOAD, TargetPaths, existing_parent, has_state, split};
pub use standing::check_target;
pub(crate) use standing::{Standing, belongs, examine, occupied, refusal};
