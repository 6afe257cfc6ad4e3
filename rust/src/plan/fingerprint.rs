//! What tells one soup of a plan from every other: all that decides about its bytes, and nothing else.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Derived, Plan, Row, SideContent};
use crate::checkpoint::Shard;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::io::Identity;
use crate::manifest::{Brief, Digests, FILE_NAME, Fingerprint, MasksEntry, NUMERICS, RECIPE_FILE};
use crate::mix::Mixture;

impl Plan {
    /// The fingerprint of the soup number `recipe`. Reads the donor's side files.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if a side file cannot be read.
    pub fn fingerprint(&self, recipe: usize, digests: Digests, differences: bool) -> Result<Fingerprint> {
        let rows = self.request.recipes[recipe].rows.iter().map(brief);
        let shard = |shard: &Shard| {
            let mut told = json!({
                "name": shard.name,
                "size": shard.identity.size(),
                "header_sha256": shard.header_sha256,
            });
            match &shard.identity {
                Identity::File(file) => told["mtime_ns"] = json!(file.mtime_ns as i64),
                Identity::Object(object) => told["identity"] = json!(object.identity()),
            }
            told
        };
        let ingredients = self.checkpoints.iter().map(|found| found.files().map(shard).collect::<Vec<_>>());
        let shards = self.shards.iter().map(
            |shard| json!({"name": shard.name, "size": shard.size, "header": Digest::of(&shard.header)}),
        );
        let mut side_files = serde_json::Map::new();
        for side in &self.side_files {
            side_files.insert(side.name.clone(), json!(Digest::sha256(&side.content.read()?)));
        }
        let mut files: Vec<String> = self.shards.iter().map(|shard| shard.name.clone()).collect();
        files.extend(self.side_files.iter().map(|side| side.name.clone()));
        files.extend(self.indexes.iter().map(|index| index.name.clone()));
        files.extend([RECIPE_FILE.to_owned(), FILE_NAME.to_owned()]);
        files.sort();
        files.dedup();
        let mut value = json!({
            "soce": env!("CARGO_PKG_VERSION"),
            "numerics": NUMERICS,
            "recipe": rows.collect::<Vec<_>>(),
            "ingredients": ingredients.collect::<Vec<_>>(),
            "tied": self.tied.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "left_out": self.tensors_left_out.keys().collect::<Vec<_>>(),
            "shards": shards.collect::<Vec<_>>(),
            "side_files": side_files,
            "digests": digests.name(),
            "differences": differences,
            "files": files,
        });
        if self.derived.iter().any(|derived| !derived.is_empty()) {
            value["derived"] = self.derived.iter().map(Derived::brief).collect();
        }
        Ok(Fingerprint::of_value(value))
    }

    /// Whether the soup that stands at the output number `recipe` is of this plan, made with whichever digests.
    pub(super) fn stands_complete(&self, recipe: usize) -> Result<bool> {
        let standing = Brief::of_any(&self.request.recipes[recipe].output);
        for digests in Digests::ALL {
            for differences in [false, true] {
                let fingerprint = self.fingerprint(recipe, digests, differences)?;
                if standing.is_of(&fingerprint.digest().to_string()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// A row in short: of many numbers, their digest.
fn brief(row: &Row) -> Value {
    let Row { pattern, mixture } = row;
    let mut told = json!({"pattern": pattern, "parts": mixture.parts(), "whole": mixture.whole()});
    if let Mixture::Filters(filters) = mixture {
        let numbers = filters.numerators().flatten().flat_map(|number| number.to_le_bytes());
        let wholes = filters.wholes().iter().flat_map(|number| number.to_le_bytes());
        told["filters"] = json!(Digest::of(&numbers.chain(wholes).collect::<Vec<u8>>()));
    }
    if let Mixture::Masked(masked) = mixture {
        let everyone: Vec<usize> = (0..masked.parts().len()).collect();
        told["masks"] = json!(MasksEntry::new(masked, &everyone));
    }
    told
}

impl SideContent {
    /// The bytes to be written.
    pub(crate) fn read(&self) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.into()),
            Self::CopyOf(path, _) => {
                std::fs::read(path).map(Into::into).map_err(|error| Error::io(path, "cannot read", error))
            }
        }
    }
}
