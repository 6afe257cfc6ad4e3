//! Tensors of ingredients whose elements are computed from what is stored: which they are, and from what.
//!
//! To the rest of a plan such a tensor is one of [`VALUES`]. What it is computed with is accounted for, and is no tensor
//! of a soup. Not here: the computing itself, see [`crate::mixing`].

mod adapted;
mod codes;
mod find;
mod ingredient;
mod part;
mod scales;
mod update;

pub(crate) use find::of;
pub(super) use find::of_each;
pub use ingredient::Derived;
pub(crate) use ingredient::VALUES;
pub(super) use ingredient::is_codes;
pub(crate) use part::Part;
pub use scales::Scales;
pub(crate) use update::TILE;
pub use update::{Factor, Update};
