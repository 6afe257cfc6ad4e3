//! How much of a soup is hashed.

use serde::{Deserialize, Serialize};

/// How much is hashed, and so how much a manifest can prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Digests {
    /// Nothing: an interrupted run cannot be continued.
    None,
    /// Every output tensor, from memory.
    Tensors,
    /// Also every input tensor, and every output file, which is read back and compared with what was written.
    Full,
}

impl Digests {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::None, Self::Tensors, Self::Full];

    /// Its name in options and manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tensors => "tensors",
            Self::Full => "full",
        }
    }
}
