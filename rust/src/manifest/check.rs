//! A manifest against itself: counts, recipe, digests, names. No other file is looked at.

use std::collections::BTreeSet;

use crate::checkpoint::folder::{check_folder, folder_of, within};
use crate::checkpoint::index;
use crate::digest::Digest;
use crate::dtype::DtypeClass;
use crate::escape::shown;
use crate::glob;

use super::digests::Digests;
use super::document::{How, RowEntry};
use super::read::{ReadManifest, stays_inside};

impl ReadManifest {
    /// What can be said without looking at any other file.
    pub(super) fn check(&self, wrong: &mut Vec<String>) {
        let result = &self.result;
        let count = |how: How| result.tensors.values().filter(|tensor| tensor.how == how).count() as u64;
        for (name, expected, got) in [
            ("averaged", count(How::Averaged), result.counts.averaged),
            ("copied", count(How::Copied), result.counts.copied),
            ("taken", count(How::Taken), result.counts.taken),
            ("left_out", result.left_out.len() as u64, result.counts.left_out),
            ("tied", result.tied.len() as u64, result.counts.tied),
            ("refused", 0, result.counts.refused),
        ] {
            if expected != got {
                wrong.push(format!("`counts.{name}`: expected {expected}, got {got}"));
            }
        }
        for name in result.tied.iter().filter(|name| result.tensors.contains_key(*name)) {
            wrong.push(format!("tensor `{}`: is both written and left out as tied", shown(name)));
        }
        self.check_left_out(wrong);
        self.check_recipe(wrong);
        self.check_levels(wrong);
        self.check_names(wrong);
    }

    /// Tensors that were left out are nowhere else, and only a format that knows them speaks of them.
    fn check_left_out(&self, wrong: &mut Vec<String>) {
        let result = &self.result;
        for (name, pattern) in &result.left_out {
            let name_shown = shown(name);
            if result.tensors.contains_key(name) || result.tied.contains(name) {
                wrong.push(format!("tensor `{name_shown}`: is left out and something else"));
            }
            if let Some(pattern) = pattern.as_ref().filter(|pattern| !glob::matches(pattern, name)) {
                let pattern = shown(pattern);
                wrong.push(format!(
                    "tensor `{name_shown}`: is left out by `{pattern}`, which does not match it"
                ));
            }
        }
        let expected = result.needed_format();
        if result.format != expected {
            wrong.push(format!("`format`: expected {expected}, got {}", result.format));
        }
    }

    /// Rows that make sense, fit the tensors and agree with `sources`.
    fn check_recipe(&self, wrong: &mut Vec<String>) {
        let rows = &self.result.recipe.rows;
        let columns = rows.first().map_or(0, |row| row.parts.len());
        for (i, (row, mixture)) in rows.iter().zip(&self.mixtures).enumerate() {
            if row.parts.len() != columns {
                wrong.push(format!("row {i}: expected {columns} parts, got {}", row.parts.len()));
            } else if let Err(error) = mixture {
                wrong.push(format!("row {i}: {error}"));
            }
        }
        let mut recipe = self.columns();
        let parts = self.sources.iter().map(|source| source.parts.clone());
        let mut sources: Vec<_> = parts.filter(|parts| parts.iter().any(|&part| part != 0)).collect();
        recipe.sort();
        sources.sort();
        if recipe != sources {
            wrong.push("`sources` and `recipe` give the ingredients different parts".to_owned());
        }
        let told: BTreeSet<_> = self.sources.iter().filter_map(|source| source.column).collect();
        let takes_part = |source: &usize| self.sources[*source].parts.iter().any(|&part| part != 0);
        let found = (0..self.sources.len()).filter(takes_part).filter_map(|source| self.column(source, &[]));
        let expected = if rows.iter().all(RowEntry::is_one) { 0 } else { columns };
        if told.len() != expected || expected > 0 && found.collect::<BTreeSet<_>>().len() != columns {
            wrong.push("`sources` do not say which parts of the recipe are whose".to_owned());
        }
        if let Some(ingredients) = self.result.ingredients.as_ref().filter(|all| all.len() != columns) {
            wrong.push(format!("expected {columns} `ingredients`, got {}", ingredients.len()));
        }
        let known = self.result.ingredients.iter().flatten().map(|ingredient| ingredient.content);
        let named: Vec<_> = self.sources.iter().filter_map(|source| source.content).collect();
        if !named.is_empty() && !is_same(known.collect(), named) {
            wrong.push("`sources` and `ingredients` give different contents".to_owned());
        }
        for (name, tensor) in &self.result.tensors {
            let fits = match tensor.how {
                How::Averaged => tensor.dtype.class() == DtypeClass::Float && self.fits(name, &tensor.shape),
                How::Copied => tensor.dtype.class() == DtypeClass::Discrete,
                How::Taken => tensor.dtype.class() != DtypeClass::Refused && self.giver(name).is_some(),
            };
            if !fits {
                let (how, dtype) = (tensor.how.name(), tensor.dtype);
                wrong.push(format!("tensor `{}`: {dtype} cannot be `{how}` by this recipe", shown(name)));
            }
        }
    }

    /// Whether a row of the recipe makes tensors of this name and shape.
    fn fits(&self, name: &str, shape: &[u64]) -> bool {
        let mixture = self.row(name).map(|row| &self.mixtures[row]);
        mixture.is_some_and(|found| found.as_ref().is_ok_and(|mixture| mixture.misfit(shape).is_none()))
    }

    /// Digests everywhere or nowhere.
    fn check_levels(&self, wrong: &mut Vec<String>) {
        let result = &self.result;
        let (level, said) = (self.level(), self.run.digests);
        if said != level {
            wrong.push(format!("`run.digests`: expected `{}`, got `{}`", level.name(), said.name()));
        }
        let undigested = result.tensors.iter().filter(|(_, tensor)| tensor.blake3.is_none());
        for (name, _) in undigested.filter(|_| level != Digests::None) {
            wrong.push(format!("tensor `{}`: expected a BLAKE3 digest, got none", shown(name)));
        }
        let some = result.shards.iter().any(|shard| shard.sha256.is_some());
        for shard in result.shards.iter().filter(|shard| some && shard.sha256.is_none()) {
            wrong.push(format!("shard `{}`: expected a SHA-256 digest, got none", shown(&shard.name)));
        }
    }

    /// Names that stay inside the directory, and a list of files that holds all the others.
    fn check_names(&self, wrong: &mut Vec<String>) {
        let result = &self.result;
        let mut shards = BTreeSet::new();
        for shard in &result.shards {
            let folder = folder_of(&shard.name);
            wrong.extend(index::check_file_name(within(folder, &shard.name)).err());
            if !folder.is_empty() {
                wrong.extend(check_folder(folder).err());
            }
            if !shards.insert(shard.name.as_str()) {
                wrong.push(format!("lists shard `{}` twice", shown(&shard.name)));
            }
        }
        let mut files = BTreeSet::new();
        for name in result.files.iter().chain(result.donor.side_files.keys()) {
            if !stays_inside(name) {
                let expected = "expected the name of a file in this directory";
                wrong.push(format!("{expected}, got `{}`, which is not opened", shown(name)));
            }
        }
        for name in &result.files {
            if !files.insert(name.as_str()) {
                wrong.push(format!("lists file `{}` twice", shown(name)));
            }
        }
        let unlisted = |name: &&str| !files.contains(name);
        let named = shards.iter().copied().chain(result.donor.side_files.keys().map(String::as_str));
        for name in named.filter(unlisted) {
            wrong.push(format!("`files` does not list `{}`", shown(name)));
        }
        for (name, tensor) in result.tensors.iter().filter(|(_, t)| !shards.contains(t.shard.as_str())) {
            let shard = shown(&tensor.shard);
            wrong.push(format!("tensor `{}`: `shards` does not list its shard `{shard}`", shown(name)));
        }
    }
}

/// Whether two lists of digests are the same in some order.
fn is_same(mut some: Vec<Digest>, mut others: Vec<Digest>) -> bool {
    some.sort();
    others.sort();
    some == others
}
