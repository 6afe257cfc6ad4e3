//! Tensors of ingredients whose elements are computed from what is stored: which they are, and from what.
//!
//! To the rest of a plan such a tensor is one of [`VALUES`]. What it is computed with is accounted for, and is no tensor
//! of a soup. Not here: the computing itself, see [`crate::mixing`].

mod codes;
mod ingredient;
mod scales;

pub(super) use codes::of_each;
pub(crate) use codes::{is_codes, of};
pub use ingredient::Derived;
pub(crate) use ingredient::VALUES;
pub use scales::Scales;
