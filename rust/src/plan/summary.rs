//! What a plan amounts to: sums, and the plan as printed for programs.

use serde_json::{Value, json};

use crate::checkpoint::Checkpoint;
use crate::manifest::How;
use crate::mix::Mixture;

use super::side_files::SideFiles;
use super::{Derived, Plan, PlannedTensor, Recipe, Row, Treatment};

impl Plan {
    /// Bytes of ingredients that the merge reads, all recipes sharing one pass: each tensor of each ingredient once
    /// if any recipe has parts for it, and each copied tensor once.
    pub fn bytes_read(&self) -> u64 {
        self.tensors.iter().map(|tensor| self.bytes_read_for(tensor)).sum()
    }

    fn bytes_read_for(&self, tensor: &PlannedTensor) -> u64 {
        self.needed(tensor).into_iter().map(|i| tensor.bytes_read(i)).sum()
    }

    /// Those of them that come from a server, by ingredient.
    pub fn bytes_to_fetch(&self) -> Vec<u64> {
        let mut bytes = vec![0; self.checkpoints.len()];
        for tensor in &self.tensors {
            for i in self.needed(tensor) {
                let source = tensor.source(i);
                if self.checkpoints[i].file(source.shard).identity.object().is_some() {
                    bytes[i] += tensor.elements * source.dtype.bytes().unwrap_or(0) as u64;
                }
            }
        }
        bytes
    }

    /// Whether anything of an ingredient lies on a server.
    pub fn is_remote(&self, ingredient: usize) -> bool {
        self.checkpoints[ingredient].shards.iter().any(|shard| shard.identity.object().is_some())
    }

    /// Bytes of all files that the merge writes, manifests apart, for all recipes.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_per_output().saturating_mul(self.request.recipes.len() as u64)
    }

    /// Bytes of one output's shards, index and side files.
    pub fn bytes_per_output(&self) -> u64 {
        let shards: u64 = self.shards.iter().map(|shard| shard.size).sum();
        let indexes: usize = self.indexes.iter().map(|index| index.bytes.len()).sum();
        shards + indexes as u64 + SideFiles::bytes(&self.side_files)
    }

    /// Bytes of this disk that the merge needs: all that it writes, or, if shards do not stay, two of them and what is
    /// small.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes_per_output().saturating_mul(self.request.recipes.len() as u64)
    }

    pub(super) fn disk_bytes_per_output(&self) -> u64 {
        let whole = self.bytes_per_output();
        if !self.request.options.sent {
            return whole;
        }
        let sizes: Vec<u64> = self.shards.iter().map(|shard| shard.size).collect();
        let two = sizes.windows(2).map(|pair| pair[0] + pair[1]).max();
        whole - sizes.iter().sum::<u64>() + two.unwrap_or_else(|| sizes.iter().sum())
    }

    /// The plan as printed for programs.
    pub fn to_json(&self) -> Value {
        let count = |how: How| self.tensors.iter().filter(|tensor| tensor.how() == how).count();
        let donor = self.checkpoints.get(self.request.options.config_from);
        let shards = self
            .shards
            .iter()
            .map(|shard| json!({"name": shard.name, "size": shard.size, "tensors": shard.tensors.len()}));
        let tied =
            self.tied.iter().map(|(name, ingredients)| json!({"name": name, "ingredients": ingredients}));
        let fetched = self.bytes_to_fetch();
        let ingredients = self.checkpoints.iter().zip(&self.derived).zip(&fetched).map(ingredient);
        let left_out =
            self.tensors_left_out.iter().map(|(name, pattern)| json!({"name": name, "pattern": pattern}));
        json!({
            "ingredients": ingredients.collect::<Vec<_>>(),
            "outputs": self.request.recipes.iter().map(output).collect::<Vec<_>>(),
            "shards": shards.collect::<Vec<_>>(),
            "index": self.indexes.first().map(|index| &index.name),
            "indexes": self.indexes.iter().map(|index| &index.name).collect::<Vec<_>>(),
            "complete": self.complete.iter().map(|&recipe| output(&self.request.recipes[recipe])["path"].clone()).collect::<Vec<_>>(),
            "counts": {
                "averaged": count(How::Averaged),
                "copied": count(How::Copied),
                "taken": count(How::Taken),
                "left_out": self.tensors_left_out.len(),
                "tied": self.tied.len(),
                "refused": 0,
            },
            "bytes_read": self.bytes_read(),
            "bytes_to_fetch": fetched.iter().sum::<u64>(),
            "bytes_written": self.bytes_written(),
            "disk_bytes": self.disk_bytes(),
            "total_size": self.total_size,
            "total_parameters": self.total_parameters,
            "side_files": self.side_files.iter().map(|file| &file.name).collect::<Vec<_>>(),
            "left_out": self.left_out,
            "tied": tied.collect::<Vec<_>>(),
            "tensors_left_out": left_out.collect::<Vec<_>>(),
            "warnings": self.warnings,
            "config_from": donor.map(|donor| donor.label().to_string_lossy().into_owned()),
            "tensors": self.tensors.iter().map(|tensor| self.tensor(tensor)).collect::<Vec<_>>(),
        })
    }

    fn tensor(&self, tensor: &PlannedTensor) -> Value {
        let from = match tensor.treatment {
            Treatment::Taken { from } => Some(from),
            _ => None,
        };
        json!({
            "name": tensor.name,
            "dtype": tensor.dtype.name(),
            "shape": tensor.shape,
            "fate": tensor.how(),
            "from": from,
            "shard": self.shards.get(tensor.shard).map(|shard| &shard.name),
        })
    }
}

fn ingredient(((checkpoint, derived), fetched): ((&Checkpoint, &Derived), &u64)) -> Value {
    let tensors = checkpoint.shards.iter().flat_map(|shard| &shard.tensors);
    json!({
        "path": checkpoint.label().to_string_lossy(),
        "shards": checkpoint.shards.len(),
        "tensors": checkpoint.tensors.len(),
        "derived": derived.codes(),
        "adapted": derived.adapted(),
        "bytes": tensors.map(|tensor| tensor.length).sum::<u64>(),
        "bytes_to_fetch": fetched,
    })
}

fn output(recipe: &Recipe) -> Value {
    let row = |Row { pattern, mixture }: &Row| {
        let mut told = json!({"pattern": pattern, "numerators": mixture.parts(), "whole": mixture.whole()});
        if let Mixture::Filters(filters) = mixture {
            told["filters"] = filters.count().into();
        }
        if let Mixture::Masked(_) = mixture {
            told["masked"] = true.into();
        }
        told
    };
    let rows = recipe.rows.iter().map(row);
    json!({"path": recipe.output.to_string_lossy(), "rows": rows.collect::<Vec<_>>()})
}
