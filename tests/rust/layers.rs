//! The house rules of `rust/src`, read off its files: a room uses only rooms below it, and no file needs itself through
//! others. A facade that only re-exports is looked through, so a use counts for the file in which a thing is defined.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use source::Crate;

/// From top to bottom; rooms of one layer do not use each other. The last is the ground floor: files without a room that
/// anybody may use.
const LAYERS: [&[&str]; 9] = [
    &["python"],
    &["merge", "verify"],
    &["mixing", "sink"],
    &["plan"],
    &["target"],
    &["manifest"],
    &["checkpoint"],
    &["io", "json", "kernels"],
    &["control", "digest", "dtype", "error", "escape", "glob", "mix", "threads"],
];

const LONGEST_FILE: usize = 400;

/// Which files use which, both as paths below `rust/src`.
type Uses = BTreeMap<String, BTreeSet<String>>;

fn texts() -> Vec<(String, String)> {
    fn collect(root: &Path, folder: &Path, texts: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, texts);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                texts.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust/src");
    let mut texts = Vec::new();
    collect(&root, &root, &mut texts);
    texts.sort();
    texts
}

fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// How far from the top; `None` for a room that nobody knows.
fn layer(file: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room(file)))
}

/// Every use that does not lead downwards.
fn upward(uses: &Uses) -> Vec<String> {
    let ground = Some(LAYERS.len() - 1);
    let pairs = uses.iter().flat_map(|(user, used)| used.iter().map(move |used| (user, used)));
    let wrong = pairs.filter(|(user, used)| {
        let same_floor = room(user) == room(used) || layer(user) == ground;
        layer(used) < layer(user) || layer(used) == layer(user) && !same_floor
    });
    wrong.map(|(user, used)| format!("{user} uses {used}")).collect()
}

/// A file that needs itself, with the files through which it does.
fn circle(uses: &Uses) -> Option<Vec<String>> {
    fn visit<'a>(
        file: &'a str,
        uses: &'a Uses,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|before| *before == file) {
            return Some(way[start..].iter().map(|file| (*file).to_owned()).collect());
        }
        if !done.contains(file) {
            way.push(file);
            let found = uses.get(file).into_iter().flatten().find_map(|used| visit(used, uses, way, done));
            if found.is_some() {
                return found;
            }
            way.pop();
            done.insert(file);
        }
        None
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|file| visit(file, uses, &mut Vec::new(), &mut done))
}

fn uses_of(files: &[(&str, &str)]) -> Uses {
    Crate::new(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))).uses()
}

#[test]
fn rooms_use_only_rooms_below_them() {
    let uses = Crate::new(texts()).uses();
    let unknown: Vec<&String> = uses.keys().filter(|file| layer(file).is_none()).collect();
    assert_eq!(unknown, ["lib.rs"], "every room has a layer, the root is above all");
    let empty: Vec<_> =
        LAYERS.iter().copied().flatten().filter(|name| !uses.keys().any(|f| room(f) == **name)).collect();
    assert!(empty.is_empty(), "no such room: {empty:?}");
    assert_eq!(upward(&uses), Vec::<String>::new());
}

#[test]
fn no_file_needs_itself() {
    assert_eq!(circle(&Crate::new(texts()).uses()), None);
}

#[test]
fn no_file_is_long() {
    let long = texts().into_iter().filter(|(_, text)| text.lines().count() > LONGEST_FILE);
    assert_eq!(long.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_use_counts_for_the_file_that_defines_the_thing() {
    let uses = uses_of(&[
        ("lib.rs", "mod io; mod plan; pub use plan::Plan;"),
        (
            "io/mod.rs",
            "mod source; mod backend; pub use source::Source; pub(crate) use backend::{Backend, Cache as Keep};",
        ),
        ("io/source.rs", "use super::Backend; fn f() { super::backend::g(); }"),
        ("io/backend.rs", "pub struct Backend;"),
        ("plan.rs", "use crate::io::{self, Source}; fn f() -> io::Keep { Plan }"),
    ]);
    let of = |file: &str| uses[file].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("io/mod.rs"), Vec::<&str>::new());
    assert_eq!(of("io/source.rs"), ["io/backend.rs"]);
    assert_eq!(of("plan.rs"), ["io/backend.rs", "io/mod.rs", "io/source.rs"]);
    assert_eq!(upward(&uses), Vec::<String>::new());
    assert_eq!(circle(&uses), None);
}

#[test]
fn what_leads_upwards_or_round_is_found() {
    let uses = uses_of(&[
        ("lib.rs", "mod plan; mod io; mod mix; mod error;"),
        ("plan.rs", "fn f() { crate::io::read(); }"),
        ("io.rs", "fn read() -> Result<(), crate::plan::Plan> { /* crate::error */ \"crate::error\" }"),
        ("mix.rs", "use crate::error::Error; #[cfg(test)] mod tests { use crate::plan::Plan; }"),
        ("error.rs", "impl Error { fn f<'a>(c: &'a char) -> bool { *c == '\"' || *c == crate::mix::MOST } }"),
    ]);
    assert_eq!(upward(&uses), ["io.rs uses plan.rs"]);
    assert!(uses["mix.rs"].len() == 1 && uses["io.rs"].len() == 1, "{uses:?}");
    let mut found = circle(&uses).expect("two circles");
    found.sort();
    assert_eq!(found, ["error.rs", "mix.rs"]);
}
