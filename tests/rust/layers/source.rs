//! Enough of Rust's grammar to tell which names of a crate a file uses. Tests within the crate do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Chars;
use std::vec::IntoIter;

/// From the root of the crate, or of another crate.
type Names = Vec<String>;

/// A crate as its files say.
pub(super) struct Crate {
    /// By module.
    files: BTreeMap<Names, File>,
}

#[derive(Default)]
struct File {
    name: String,
    /// Modules declared here that exist in tests only.
    tests: Vec<Names>,
    /// What names lead elsewhere for whoever uses this module.
    exported: BTreeMap<String, Names>,
    /// What names mean within the file.
    imported: BTreeMap<String, Names>,
    /// Paths as they are written, after the module they stand in.
    paths: Vec<(Names, Names)>,
}

impl Crate {
    /// Of the files of a source folder, by name.
    pub(super) fn new(sources: impl IntoIterator<Item = (String, String)>) -> Self {
        let files = sources.into_iter().map(|(name, text)| (module(&name), File::read(name, &text)));
        let mut files: BTreeMap<Names, File> = files.collect();
        let tests: Vec<Names> = files.values().flat_map(|file| file.tests.clone()).collect();
        files.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Self { files }
    }

    /// For each file the other files whose things it uses.
    pub(super) fn uses(&self) -> BTreeMap<String, BTreeSet<String>> {
        let uses = self.files.iter().map(|(module, file)| {
            let mut globs = file.imported.iter().filter(|(name, _)| name.ends_with("::*"));
            let own = globs.find(|(_, path)| self.absolute(file, module, path).is_some());
            assert_eq!(own, None, "{}: a glob hides what is used", file.name);
            let imported = file.imported.values().map(|path| (module, path));
            let paths = imported.chain(file.paths.iter().map(|(module, path)| (module, path)));
            let used = paths.filter_map(|(from, path)| self.file_of(&self.absolute(file, from, path)?));
            (file.name.clone(), used.filter(|used| *used != file.name).collect())
        });
        uses.collect()
    }

    /// A path from the root of the crate; `None` if it leads out of it.
    fn absolute(&self, file: &File, module: &Names, path: &[String]) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        let mut from = module.clone();
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([from, rest.to_vec()].concat()),
            "super" => {
                from.pop();
                let more = rest.iter().take_while(|name| *name == "super").count();
                from.truncate(from.len() - more);
                Some([from, rest[more..].to_vec()].concat())
            }
            name => {
                let imported = file.imported.get(name).filter(|path| **path != [name.to_owned()]);
                if let Some(path) = imported {
                    return Some([self.absolute(file, module, path)?, rest.to_vec()].concat());
                }
                let child = [from, vec![name.to_owned()]].concat();
                self.files.contains_key(&child).then(|| [child, rest.to_vec()].concat())
            }
        }
    }

    /// Where the thing at a path is defined.
    fn file_of(&self, path: &[String]) -> Option<String> {
        let mut module = Names::new();
        for (i, name) in path.iter().enumerate() {
            let child = [module.clone(), vec![name.clone()]].concat();
            if self.files.contains_key(&child) {
                module = child;
                continue;
            }
            let file = self.files.get(&module)?;
            let Some(target) = file.exported.get(name) else { return Some(file.name.clone()) };
            let target = self.absolute(file, &module, target)?;
            return self.file_of(&[target, path[i + 1..].to_vec()].concat());
        }
        Some(self.files.get(&module)?.name.clone())
    }
}

/// The module of a file.
fn module(name: &str) -> Names {
    let mut parts: Names = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

impl File {
    fn read(name: String, text: &str) -> Self {
        let mut file = Self { name, ..Self::default() };
        let own = module(&file.name);
        // The module that the text is in now: inline modules by the depth of their brackets.
        let (mut inner, mut depth) = (Vec::<(String, usize)>::new(), 0);
        let mut tokens = tokens(text).into_iter().peekable();
        let mut before = String::new();
        while let Some(token) = tokens.next() {
            let here: Names = own.iter().chain(inner.iter().map(|(name, _)| name)).cloned().collect();
            match token.as_str() {
                "#" if is_test(&mut tokens) => {
                    file.tests.extend(skip_item(&mut tokens).map(|name| [here, vec![name]].concat()));
                }
                "use" if tokens.peek().is_some_and(|next| next != "<") => {
                    let exported = before == "pub" || before == ")";
                    use_tree(&mut tokens, Names::new(), &mut |name, path| {
                        if exported {
                            file.exported.insert(name, path);
                        } else if here == own {
                            file.imported.insert(name, path);
                        } else {
                            file.paths.push((here.clone(), path));
                        }
                    });
                }
                "mod" => {
                    let name = tokens.next().unwrap_or_default();
                    if tokens.next_if_eq("{").is_some() {
                        depth += 1;
                        inner.push((name, depth));
                    }
                }
                "{" => depth += 1,
                "}" => {
                    inner.pop_if(|(_, opened)| *opened == depth);
                    depth -= 1;
                }
                _ if is_name(&token) && before != "." => {
                    let mut path = vec![token.clone()];
                    while tokens.next_if_eq("::").is_some() {
                        path.extend(tokens.next_if(|next| is_name(next)));
                    }
                    if path.len() > 1 {
                        file.paths.push((here, path));
                    }
                }
                _ => {}
            }
            before = token;
        }
        file
    }
}

type Tokens = Peekable<IntoIter<String>>;

/// Every name that a `use` brings, with its path; behind the semicolon when done.
fn use_tree(tokens: &mut Tokens, mut path: Names, found: &mut dyn FnMut(String, Names)) {
    loop {
        match tokens.next().unwrap_or_default().as_str() {
            "{" => {
                while tokens.next_if_eq("}").is_none() {
                    use_tree(tokens, path.clone(), found);
                    tokens.next_if_eq(",");
                }
                return;
            }
            "self" if !path.is_empty() => {}
            "*" => return found(format!("{}::*", path.join("::")), path),
            name => path.push(name.to_owned()),
        }
        if tokens.next_if_eq("::").is_some() {
            continue;
        }
        let alias = tokens.next_if_eq("as").and_then(|_| tokens.next());
        let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
        return found(name, path);
    }
}

/// Whether the attribute whose `#` was read is for tests; it is read to its end.
fn is_test(tokens: &mut Tokens) -> bool {
    let (mut depth, mut names) = (0, Names::new());
    for token in tokens.by_ref() {
        match token.as_str() {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => names.push(token),
        }
        if depth == 0 {
            break;
        }
    }
    names.first().is_some_and(|first| first == "cfg") && names.iter().any(|name| name == "test")
}

/// Skips an item; its name if it is a module of its own.
fn skip_item(tokens: &mut Tokens) -> Option<String> {
    let (mut depth, mut words) = (0, Names::new());
    for token in tokens.by_ref() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        let ends = depth == 0 && (token == "}" || token == ";");
        words.push(token);
        if ends {
            break;
        }
    }
    let at = words.iter().position(|word| word == "mod")?;
    words.get(at + 2).filter(|next| *next == ";").and_then(|_| words.get(at + 1).cloned())
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

/// Names and signs, without comments, literals and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        match first {
            '/' if chars.peek() == Some(&'/') => drop(chars.by_ref().find(|c| *c == '\n')),
            '/' if chars.next_if_eq(&'*').is_some() => {
                let mut last = ' ';
                chars.by_ref().find(|c| std::mem::replace(&mut last, *c) == '*' && *c == '/');
            }
            '"' => string(&mut chars),
            '\'' => quote(&mut chars),
            ':' if chars.next_if_eq(&':').is_some() => tokens.push("::".to_owned()),
            _ if first == '_' || first.is_alphanumeric() => {
                let mut word = String::from(first);
                while let Some(next) = chars.next_if(|c| *c == '_' || c.is_alphanumeric()) {
                    word.push(next);
                }
                let raw =
                    matches!(word.as_str(), "r" | "br" | "cr") && matches!(chars.peek(), Some('"' | '#'));
                if raw { raw_string(&mut chars) } else { tokens.push(word) }
            }
            _ if !first.is_whitespace() => tokens.push(first.to_string()),
            _ => {}
        }
    }
    tokens
}

fn string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(c) = chars.next() {
        match c {
            '"' => return,
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
}

fn raw_string(chars: &mut Peekable<Chars<'_>>) {
    let mut hashes = 0;
    while chars.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    chars.next();
    while let Some(c) = chars.next() {
        if c == '"' && (0..hashes).all(|_| chars.next_if_eq(&'#').is_some()) {
            return;
        }
    }
}

/// A character, or the quote of a lifetime.
fn quote(chars: &mut Peekable<Chars<'_>>) {
    let mut ahead = chars.clone();
    let escaped = ahead.next() == Some('\\');
    if escaped || ahead.next() == Some('\'') {
        chars.next();
        if escaped {
            chars.next();
        }
        chars.by_ref().find(|c| *c == '\'');
    }
}
