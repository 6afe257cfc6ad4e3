//! `soce.json`, which says what a soup is made of: one definition for whoever writes it, checks it, or wants to know
//! whether a directory is a soup; and the fingerprint of a run, by which a later one knows it again.
//!
//! `result` depends on recipe, tensor bytes and layout alone, so equal soups have an equal `result_digest` wherever they
//! were made; `sources` says where the ingredients came from, `run` how it was done. The same for people and other
//! programs: docs/manifest.md and `soce.manifest_schema()`. Not here: what is in the files that a manifest lists.

mod brief;
mod canonical;
mod check;
mod content;
mod digests;
mod document;
mod fingerprint;
mod masks;
mod parse;
mod read;

pub(crate) use brief::Brief;
pub(crate) use canonical::canonical;
pub(crate) use canonical::digest_of;
pub(crate) use content::Content;
pub use digests::Digests;
pub(crate) use document::{
    AdapterEntry, Counts, DonorEntry, FILE_NAME, FORMAT, How, HubEntry, IngredientEntry, MAX_BYTES, Manifest,
    NUMERICS, NonFiniteEntry, Outcome, RECIPE_FILE, RecipeEntry, RowEntry, RunEntry, ShardEntry, SourceEntry,
    SourceShard, TensorEntry,
};
pub use fingerprint::Fingerprint;
pub(crate) use masks::MasksEntry;
pub(crate) use parse::parse;
pub(crate) use read::{ReadManifest, stays_inside};
