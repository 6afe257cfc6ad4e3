//! A strict cursor over a JSON text: it walks once and keeps nothing.
//!
//! A header must not be read through a map type: it would have lost duplicate keys, told `1.0` and `1` apart only by
//! luck, and let arrays stand for objects. The cursor never recurses deeper than the limit given and allocates four
//! bytes a key.

use std::borrow::Cow;

use super::escapes::unescape;
use super::keys::compare;
use crate::escape::shown;

/// Numbers nobody reads must still be within reach of every parser, so they stay clear of the double's limit.
const LARGEST_NUMBER: f64 = 1e300;

/// Why a text was refused, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte offset in the text.
    pub(crate) at: usize,
    /// What was expected and found.
    pub(crate) what: String,
    /// The key that occurs twice, if that is the fault.
    pub(crate) twice: Option<String>,
}

/// `list` with `item` behind. It grows by a quarter: doubling, and then copying, would hold up to three times what is
/// in it, and what a file may cost is bounded.
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 4).max(64));
    }
    list.push(item);
}

/// Outcome of a step.
pub(crate) type Step<T> = Result<T, Fault>;

/// A cursor over a JSON text.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    max_depth: usize,
    /// Whether `NaN`, `Infinity` and `-Infinity` are values, as they are for Python.
    python: bool,
    /// Where the keys of all open objects begin; each object owns the tail that it pushed.
    keys: Vec<u32>,
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `text`, which must be shorter than 4 GiB.
    pub(crate) fn new(text: &'a str, max_depth: usize) -> Self {
        Self { text, at: 0, depth: 0, max_depth, python: false, keys: Vec::new() }
    }

    /// The same for a text that Python's `json` wrote.
    pub(crate) fn of_python(text: &'a str, max_depth: usize) -> Self {
        Self { python: true, ..Self::new(text, max_depth) }
    }

    /// The text that the cursor walks.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// A fault at the cursor.
    pub(crate) fn fault<T>(&self, what: impl Into<String>) -> Step<T> {
        self.fault_at(self.at, what)
    }

    /// A fault at an earlier position.
    #[allow(clippy::unused_self, reason = "reads like `fault`")]
    pub(crate) fn fault_at<T>(&self, at: usize, what: impl Into<String>) -> Step<T> {
        Err(Fault { at, what: what.into(), twice: None })
    }

    /// Where the next token begins.
    pub(crate) fn position(&mut self) -> usize {
        let _ = self.peek();
        self.at
    }

    /// The first byte of the next token.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.byte()
    }

    /// The next token, in words.
    pub(crate) fn found(&mut self) -> String {
        match self.peek() {
            None => "the end of the text".into(),
            Some(b'"') => "a string".into(),
            Some(b'{') => "an object".into(),
            Some(b'[') => "an array".into(),
            Some(b'-' | b'0'..=b'9') => "a number".into(),
            Some(0xef) if self.text.get(self.at..).is_some_and(|rest| rest.starts_with('\u{feff}')) => {
                "`\\u{feff}`, a byte order mark".into()
            }
            Some(_) => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                let literal = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word));
                let first = rest.chars().next().map(String::from).unwrap_or_default();
                format!("`{}`", shown(literal.unwrap_or(&first)))
            }
        }
    }

    /// "expected .., got .." at the cursor.
    pub(crate) fn unexpected<T>(&mut self, expected: &str) -> Step<T> {
        let found = self.found();
        self.fault(format!("expected {expected}, got {found}"))
    }

    /// Nothing but white space is left.
    pub(crate) fn end(&mut self) -> Step<()> {
        if self.peek().is_none() { Ok(()) } else { self.unexpected("the end of the text") }
    }

    /// An object; `each` is called with every key and must consume the value.
    pub(crate) fn object(
        &mut self,
        expected: &str,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Step<()>,
    ) -> Step<()> {
        let first_key = self.keys.len();
        self.sequence(b'{', b'}', expected, |reader| {
            let start = reader.position();
            if reader.peek() != Some(b'"') {
                return reader.unexpected("a key in double quotes");
            }
            push(&mut reader.keys, start as u32);
            let key = reader.string("a key")?;
            if reader.peek() != Some(b':') {
                return reader.unexpected("`:`");
            }
            reader.at += 1;
            each(reader, key)
        })?;
        let twice = self.first_duplicate(first_key);
        self.keys.truncate(first_key);
        match twice {
            None => Ok(()),
            Some(at) => {
                self.at = at;
                let key = self.string("a key")?.into_owned();
                let what = format!("`{}` is there twice", shown(&key));
                Err(Fault { at, what, twice: Some(key) })
            }
        }
    }

    /// An array; `each` must consume one element.
    pub(crate) fn array(&mut self, expected: &str, each: impl FnMut(&mut Self) -> Step<()>) -> Step<()> {
        self.sequence(b'[', b']', expected, each)
    }

    /// A string, unescaped; borrowed unless it holds escapes.
    pub(crate) fn string(&mut self, expected: &str) -> Step<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return self.unexpected(expected);
        }
        let start = self.at;
        self.at += 1;
        let mut unescaped: Option<String> = None;
        let mut run = self.at;
        loop {
            let here = self.at;
            let pending = || self.text.get(run..here).unwrap_or_default();
            match self.byte() {
                None => return self.fault_at(start, "this string has no end"),
                Some(b'"') => {
                    let tail = pending();
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(tail),
                        Some(head) => Cow::Owned(head + tail),
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(pending());
                    let character = self.escape()?;
                    text.push(character);
                    run = self.at;
                }
                Some(byte @ 0..0x20) => {
                    return self.fault(format!("raw control character 0x{byte:02x} in a string"));
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// The string that stands at `at`, unescaped and of just its size.
    pub(crate) fn string_at(text: &'a str, at: usize) -> Step<String> {
        Ok(Self { at, ..Self::new(text, 0) }.string("a string")?.into_owned())
    }

    /// A whole number written in digits only, below 2^64.
    pub(crate) fn integer(&mut self, expected: &str) -> Step<u64> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return self.unexpected(expected);
        }
        let start = self.at;
        let token = self.number()?;
        match token.parse() {
            Ok(value) if token.bytes().all(|byte| byte.is_ascii_digit()) => Ok(value),
            _ => self.fault_at(start, format!("expected {expected}, got {}", shown(token))),
        }
    }

    /// Any value as it is written.
    pub(crate) fn raw(&mut self) -> Step<&'a str> {
        let start = self.position();
        self.skip()?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Any value, checked and forgotten.
    pub(crate) fn skip(&mut self) -> Step<()> {
        if self.constant().is_some() {
            return Ok(());
        }
        match self.peek() {
            Some(b'{') => self.object("a value", |reader, _| reader.skip()),
            Some(b'[') => self.array("a value", Self::skip),
            Some(b'"') => self.string("a value").map(drop),
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                let token = self.number()?;
                let size = token.parse::<f64>().map_or(f64::INFINITY, f64::abs);
                if size < LARGEST_NUMBER {
                    Ok(())
                } else {
                    self.fault_at(start, format!("number {} is out of range", shown(token)))
                }
            }
            _ => {
                for word in ["true", "false", "null"] {
                    if self.literal(word) {
                        return Ok(());
                    }
                }
                self.unexpected("a value")
            }
        }
    }

    /// A number that is not finite, if the text is Python's and such a one is next.
    pub(crate) fn constant(&mut self) -> Option<&'static str> {
        let is_next = |word: &&str| self.python && self.literal(word);
        ["NaN", "Infinity", "-Infinity"].into_iter().find(is_next)
    }

    /// Consumes `word` if it is next.
    pub(crate) fn literal(&mut self, word: &str) -> bool {
        let _ = self.peek();
        let next = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        if next {
            self.at += word.len();
        }
        next
    }

    /// Comma-separated items between two brackets.
    fn sequence(
        &mut self,
        open: u8,
        close: u8,
        expected: &str,
        mut item: impl FnMut(&mut Self) -> Step<()>,
    ) -> Step<()> {
        if self.peek() != Some(open) {
            return self.unexpected(expected);
        }
        if self.depth == self.max_depth {
            return self.fault(format!("nested more than {} levels deep", self.max_depth));
        }
        self.at += 1;
        self.depth += 1;
        if self.peek() == Some(close) {
            self.at += 1;
        } else {
            loop {
                item(self)?;
                let next = self.peek();
                if next != Some(b',') && next != Some(close) {
                    return self.unexpected(&format!("`,` or `{}`", char::from(close)));
                }
                self.at += 1;
                if next == Some(close) {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// A number by JSON's grammar.
    fn number(&mut self) -> Step<&'a str> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Step<()> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { self.unexpected("a digit") }
    }

    /// The character that a backslash at the cursor stands for.
    fn escape(&mut self) -> Step<char> {
        let Some((character, end)) = unescape(self.text, self.at) else {
            return self.fault("invalid escape in a string");
        };
        self.at = end;
        Ok(character)
    }

    /// Where the second of two equal keys of the innermost object begins.
    fn first_duplicate(&mut self, first_key: usize) -> Option<usize> {
        let text = self.text;
        let keys = self.keys.get_mut(first_key..)?;
        // By position within equal names, so that the later one is reported.
        keys.sort_unstable_by(|&a, &b| compare(text, a as usize, b as usize).then(a.cmp(&b)));
        keys.windows(2).find_map(|pair| match *pair {
            [a, b] if compare(text, a as usize, b as usize).is_eq() => Some(b as usize),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
