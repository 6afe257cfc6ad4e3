//! The journal of a run: what is on the disk for good, one line each, so that the next run can go on from there.
//!
//! Lines are only ever appended, and each is on the disk before anything relies on it. A line carries a check of its
//! own text. A line cut short can only be the last one; it is dropped, so every prefix of a journal is the journal of
//! a run that was killed a little earlier. A bad line with others behind it was not made by a killed run.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::state;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::io::platform;
use crate::kernels::NonFinite;

/// Longest journal read: a line per tensor of the largest headers allowed.
const MOST_BYTES: u64 = 1 << 30;
/// Hexadecimal digits of a line's check.
const CHECK_DIGITS: usize = 16;

/// Device, inode and time of the last change of one input file: what may differ without its bytes being others.
pub type FileState = (u64, u64, i64);

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A run begins or goes on.
    Begin {
        /// Digest of the plan.
        plan: String,
        /// By ingredient and shard.
        inputs: Vec<Vec<FileState>>,
    },
    /// A shard is complete and on the disk.
    Shard(ShardRecord),
    /// It was taken to where the output is to be, and is not here any more.
    Sent {
        /// Name of the shard.
        name: String,
        /// What it is known by there.
        receipt: String,
    },
    /// The inputs changed while they were read: nothing made of them can be used.
    Tainted {
        /// What changed.
        reason: String,
    },
    /// Every file is complete; the payload may become the output.
    Ready {
        /// Device and inode of the payload.
        payload: (u64, u64),
    },
    /// Old output and payload are being exchanged by two renames.
    Swap,
}

/// What is known of a finished shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// File name.
    pub name: String,
    /// SHA-256 of the file, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<Digest>,
    /// Its tensors, in file order.
    pub tensors: Vec<TensorResult>,
}

/// What became of one tensor of one soup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TensorResult {
    /// BLAKE3 of its bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blake3: Option<Digest>,
    /// BLAKE3 of the bytes of each ingredient that it is made of; empty unless asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub inputs: Vec<Option<Digest>>,
    /// Largest difference to each ingredient that it is made of; empty unless asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub differences: Vec<String>,
    /// Its non-finite values, if there are any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub non_finite: Option<NonFiniteCounts>,
}

/// Non-finite values of one tensor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonFiniteCounts {
    /// Per ingredient, in the recipe's order.
    pub inputs: Vec<NonFinite>,
    /// Infinite outputs of finite inputs.
    pub created: u64,
    /// First element with such an output.
    pub first_created: Option<u64>,
}

/// What a journal amounts to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Digest of the plan.
    pub plan: String,
    /// Runs so far.
    pub runs: usize,
    /// Finished shards by name, each with the states of the inputs at that time.
    pub shards: BTreeMap<String, (ShardRecord, usize)>,
    /// Those of them that were taken away, each with what it is known by.
    pub sent: BTreeMap<String, String>,
    /// States of the inputs, by run.
    pub inputs: Vec<Vec<Vec<FileState>>>,
    /// Why nothing here may be used.
    pub tainted: Option<String>,
    /// Device and inode of the payload, once it is complete.
    pub ready: Option<(u64, u64)>,
    /// Two renames were begun.
    pub swap: bool,
}

/// Why a journal cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// A line that no killed run leaves.
    #[error("line {0} is damaged")]
    Line(usize),
    /// The first line must begin a run, and all runs must be of one plan.
    #[error("line {0} does not follow from the lines before it")]
    Order(usize),
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    check: String,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// The text of a line, its end included.
///
/// # Panics
/// Never: an entry is plain data.
pub fn line(entry: &Entry) -> String {
    let text = serde_json::to_string(entry).expect("an entry is plain data");
    format!("{{\"check\":\"{}\",\"entry\":{text}}}\n", check(&text))
}

fn check(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..CHECK_DIGITS].to_owned()
}

fn parse_line(bytes: &[u8]) -> Option<Entry> {
    let line: Line<'_> = serde_json::from_slice(bytes).ok()?;
    (check(line.entry.get()) == line.check).then(|| serde_json::from_str(line.entry.get()).ok())?
}

/// Read a journal. Returns what it amounts to and how many of its bytes are good; `None` without a whole line.
///
/// # Errors
/// [`Doubt`], if this is not the journal of a killed run.
pub fn parse(bytes: &[u8]) -> Result<Option<(History, usize)>, Doubt> {
    let mut history = History::default();
    let mut good = 0;
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').enumerate().peekable();
    while let Some((number, text)) = lines.next() {
        let entry = text.strip_suffix(b"\n").and_then(parse_line);
        let Some(entry) = entry else {
            if lines.peek().is_some() {
                return Err(Doubt::Line(number + 1));
            }
            break;
        };
        if !history.add(entry) {
            return Err(Doubt::Order(number + 1));
        }
        good += text.len();
    }
    Ok((history.runs > 0).then_some((history, good)))
}

impl History {
    /// Whether the entry may follow.
    fn add(&mut self, entry: Entry) -> bool {
        if self.runs == 0 && !matches!(entry, Entry::Begin { .. }) {
            return false;
        }
        match entry {
            Entry::Begin { plan, inputs } => {
                if self.runs > 0 && plan != self.plan {
                    return false;
                }
                self.plan = plan;
                self.runs += 1;
                self.inputs.push(inputs);
                (self.ready, self.swap) = (None, false);
            }
            Entry::Shard(record) => {
                self.sent.remove(&record.name); // it was not there any more, and was made again
                self.shards.insert(record.name.clone(), (record, self.runs - 1));
            }
            Entry::Sent { name, receipt } if self.shards.contains_key(&name) => {
                self.sent.insert(name, receipt);
            }
            Entry::Sent { .. } => return false,
            Entry::Tainted { reason } => self.tainted = Some(reason),
            Entry::Ready { payload } => self.ready = Some(payload),
            Entry::Swap => self.swap = true,
        }
        true
    }
}

/// A journal open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    sync: bool,
}

impl Journal {
    /// A new journal, which must not exist.
    pub(super) fn create(path: &Path, sync: bool) -> Result<Self> {
        let file = state::create(path)?;
        Ok(Self { path: path.to_owned(), file, length: 0, sync })
    }

    /// An old journal, cut to its `good` bytes.
    pub(super) fn reopen(path: &Path, good: usize, sync: bool) -> Result<Self> {
        let failed = |what: &'static str| move |error| Error::io(path, what, error);
        let file = state::open(path, true).map_err(failed("cannot open"))?;
        file.set_len(good as u64).map_err(failed("cannot cut"))?;
        if sync {
            file.sync_all().map_err(failed("cannot bring to the disk"))?;
        }
        Ok(Self { path: path.to_owned(), file, length: good as u64, sync })
    }

    /// Append one line and bring it to the disk. What a failed write left is taken back, so that a later line does not
    /// stand behind half of this one.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<()> {
        let text = line(entry);
        let written = platform::write_all_at(&self.file, text.as_bytes(), self.length)
            .map_err(|(offset, error)| (format!("cannot write at offset {offset}"), error))
            .and_then(|()| match self.sync.then(|| self.file.sync_data()) {
                Some(Err(error)) => Err(("cannot bring to the disk".to_owned(), error)),
                _ => Ok(()),
            });
        if let Err((what, error)) = written {
            let _ = self.file.set_len(self.length); // if this fails too, the next run drops the torn line
            return Err(Error::io(&self.path, what, error));
        }
        self.length += text.len() as u64;
        Ok(())
    }
}

/// The bytes of a journal; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    state::read_if_there(path, MOST_BYTES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(name: &str) -> Entry {
        let tensor = TensorResult {
            blake3: Some(Digest::of(name.as_bytes())),
            inputs: vec![None, Some(Digest::of(b"x"))],
            differences: vec!["0".to_owned(), "1e-3".to_owned()],
            non_finite: Some(NonFiniteCounts { inputs: vec![NonFinite::default()], ..Default::default() }),
        };
        Entry::Shard(ShardRecord { name: name.to_owned(), sha256: None, tensors: vec![tensor] })
    }

    fn begin(plan: &str) -> Entry {
        Entry::Begin { plan: plan.to_owned(), inputs: vec![vec![(1, 2, -3)]] }
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = prop_oneof![
            Just(begin("p")),
            "[a-c]{1,3}".prop_map(|name| record(&name)),
            "[ -~é\u{1b}]{0,9}".prop_map(|reason| Entry::Tainted { reason }),
            any::<(u64, u64)>().prop_map(|payload| Entry::Ready { payload }),
            Just(Entry::Swap),
        ];
        prop::collection::vec(entry, 0..12).prop_map(|rest| [vec![begin("p")], rest].concat())
    }

    fn text(entries: &[Entry]) -> Vec<u8> {
        entries.iter().map(line).collect::<String>().into_bytes()
    }

    proptest! {
        #[test]
        fn every_prefix_is_the_journal_of_a_run_killed_earlier(entries in entries(), cut in any::<prop::sample::Index>()) {
            let whole = text(&entries);
            let cut = cut.index(whole.len() + 1);
            let mut ends = vec![0];
            for entry in &entries {
                ends.push(ends[ends.len() - 1] + line(entry).len());
            }
            let kept = ends.iter().filter(|&&end| end <= cut).count() - 1;
            let expected = parse(&text(&entries[..kept])).unwrap();
            prop_assert_eq!(parse(&whole[..cut]).unwrap(), expected.clone());
            prop_assert_eq!(expected.map_or(0, |(_, good)| good), ends[kept]);
        }

        #[test]
        fn a_changed_byte_is_noticed(entries in entries(), at in any::<prop::sample::Index>(), flip in 1_u8..=255) {
            let mut bytes = text(&entries);
            let last = bytes.len() - line(&entries[entries.len() - 1]).len();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let before = parse(&text(&entries)).unwrap();
            let Ok(found) = parse(&bytes) else { return Ok(()) };
            // Without the end of the line before it, the last line is a part of that one.
            prop_assert!(at + 1 >= last || found == before, "a change within an earlier line");
            prop_assert!(found == before || found.map_or(0, |(_, good)| good) <= last);
        }

        #[test]
        fn any_bytes_are_a_journal_or_a_doubt(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn a_bad_line_matters_unless_it_is_the_last() {
        let mut bytes = text(&[begin("p"), record("a")]);
        bytes.extend(b"{}\n");
        let (history, good) = parse(&bytes).unwrap().unwrap();
        assert_eq!((history.shards.len(), good), (1, bytes.len() - 3));
        bytes.extend(line(&record("b")).bytes());
        assert_eq!(parse(&bytes), Err(Doubt::Line(3)));
    }

    #[test]
    fn a_journal_is_of_one_plan_and_begins_with_it() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(&text(&[record("a")])), Err(Doubt::Order(1)));
        assert_eq!(parse(&text(&[begin("p"), begin("q")])), Err(Doubt::Order(2)));
        let (history, _) =
            parse(&text(&[begin("p"), record("a"), begin("p"), record("b")])).unwrap().unwrap();
        assert_eq!((history.runs, history.shards["a"].1, history.shards["b"].1), (2, 0, 1));
    }

    #[test]
    fn what_was_sent_was_finished_before_and_is_not_once_it_was_made_again() {
        let sent = |name: &str| Entry::Sent { name: name.to_owned(), receipt: format!("of {name}") };
        assert_eq!(parse(&text(&[begin("p"), sent("a")])), Err(Doubt::Order(2)));
        let (history, _) = parse(&text(&[begin("p"), record("a"), sent("a")])).unwrap().unwrap();
        assert_eq!((history.shards.len(), history.sent["a"].as_str()), (1, "of a"));
        let again = [begin("p"), record("a"), sent("a"), begin("p"), record("a")];
        assert!(parse(&text(&again)).unwrap().unwrap().0.sent.is_empty());
    }

    #[test]
    fn a_later_run_is_not_ready_because_an_earlier_one_was() {
        let ready = Entry::Ready { payload: (1, 2) };
        let (history, _) = parse(&text(&[begin("p"), ready.clone()])).unwrap().unwrap();
        assert_eq!(history.ready, Some((1, 2)));
        let (history, _) = parse(&text(&[begin("p"), ready, begin("p")])).unwrap().unwrap();
        assert_eq!(history.ready, None);
    }
}
