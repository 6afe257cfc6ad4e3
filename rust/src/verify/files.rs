//! Everything in the directory that is no shard: listed files there, side files unchanged, nothing that loaders could
//! take for a part of the model.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::checkpoint::{SHARD, Shard, WeightSet, sha256_of};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::escape::listing;
use crate::manifest::{FILE_NAME, RECIPE_FILE, ReadManifest, stays_inside};

use super::findings::{Check, Verification, named, problem};
use super::options::VerifyOptions;

/// Compare the files of the directory with the manifest's list.
pub(super) fn check(
    directory: &Path,
    options: &VerifyOptions,
    manifest: &ReadManifest,
    shards: &[Shard],
    found: &mut Verification,
    control: &Control,
) -> Result<()> {
    let result = &manifest.result;
    let listed: BTreeSet<&str> = result.files.iter().map(String::as_str).collect();
    let mut there = 0;
    for name in listed.iter().filter(|name| stays_inside(name)) {
        let path = directory.join(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => there += 1,
            Ok(_) => found.add(Check::Files, [problem(&path, "expected a regular file")]),
            Err(error) => {
                let read = named(shards, name).is_some();
                let message = format!("is listed in the manifest and cannot be found: {error}");
                found.add(Check::Files, (!read).then(|| problem(&path, message)));
            }
        }
    }
    found.count("files", there);

    let mut equal = 0;
    for (name, expected) in result.donor.side_files.iter().filter(|(name, _)| stays_inside(name)) {
        control.check()?;
        let path = directory.join(name);
        if path.symlink_metadata().is_err() {
            continue;
        }
        match sha256_of(&path, directory, options.open()) {
            Ok(got) if got == *expected => equal += 1,
            Ok(got) => {
                let message = format!("expected SHA-256 {expected}, got {got}");
                found.add(Check::Files, [problem(&path, message)]);
            }
            Err(problem) => found.add(Check::Files, [problem]),
        }
    }
    found.count("side_files", equal);
    // The recipe for mergekit, which soce writes itself, is in no digest either: every soup would be told of it.
    let digested = |name: &&&str| {
        **name == RECIPE_FILE
            || result.donor.side_files.contains_key(**name)
            || manifest.shard(name).is_some()
            || WeightSet::of_index(name).is_some()
    };
    let undigested: Vec<String> =
        listed.iter().filter(|name| !digested(name)).map(|name| (*name).to_owned()).collect();
    if !undigested.is_empty() {
        found
            .notes
            .push(format!("the manifest has no digest of {}: only that it is there", listing(&undigested)));
    }
    strangers(directory, &listed, found)
}

/// What is in the directory and not in the manifest.
fn strangers(directory: &Path, listed: &BTreeSet<&str>, found: &mut Verification) -> Result<()> {
    let failed = |error| Error::io(directory, "cannot list", error);
    let inside = listed.iter().filter(|name| stays_inside(name));
    let folders: BTreeSet<&str> =
        inside.flat_map(|name| name.match_indices('/').map(|(end, _)| &name[..end])).collect();
    let mut others = Vec::new();
    let mut places = vec![(directory.to_owned(), String::new())];
    places.extend(folders.iter().filter_map(|folder| {
        let path = directory.join(folder);
        let real = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        real.then(|| (path, format!("{folder}/")))
    }));
    for (place, prefix) in places {
        for entry in fs::read_dir(&place).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let own = name == FILE_NAME || listed.contains(name.as_str()) || folders.contains(name.as_str());
            if own {
                continue;
            }
            if name.ends_with(SHARD) {
                let hint = "remove it: some loaders would read it as a part of the model";
                let path = entry.path();
                found.add(Check::Files, [problem(&path, "is not listed in the manifest").hint(hint)]);
            } else {
                others.push(name);
            }
        }
    }
    others.sort_unstable();
    if !others.is_empty() {
        found.notes.push(format!("not part of the soup: {}", listing(&others)));
    }
    Ok(())
}
