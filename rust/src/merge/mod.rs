//! Executes a plan: scoped workers take chunks in output order, read each input once, compute every recipe's bytes,
//! hash them and write them at their final offsets.
//!
//! No pool outlives the call and no worker waits for another. A thread of its own brings finished shards to the disk,
//! so that waiting for it costs no computing time.

mod execute;
mod inputs;
mod load;
mod options;
mod outputs;
mod part_digests;
mod report;
mod sending;
mod small_files;
mod soups;
mod tensor_states;
mod work;
mod worker;

pub use execute::execute;
pub use load::Load;
pub use options::MergeOptions;
pub use report::{MergeReport, NonFiniteTensor};
pub use small_files::Provenance;
pub use soups::finished_shards;
