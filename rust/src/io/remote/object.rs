//! One object on a server: what it is, and any stretch of it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::answer::{Expected, Fault};
use super::client::Client;
use super::kept::Blocks;
use super::room::{Room, Whole};
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::escape::shown;

/// Gives a new URL for an object whose URL has expired, by its folder and its name; or says why not.
pub type Refresh = dyn Fn(&Path, &str) -> Result<String, String> + Send + Sync;

/// What is known of an object before it is read.
#[derive(Clone)]
pub struct Description {
    /// The folder in which it counts as lying.
    pub root: PathBuf,
    /// Its path within that folder.
    pub name: String,
    /// Where it is read from.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// The `ETag` of every answer; that of the first one otherwise.
    pub etag: Option<String>,
    /// What tells this state of it from every other.
    pub identity: String,
}

/// An object that is read by ranges, shared by threads.
pub struct Object {
    path: PathBuf,
    description: Description,
    url: Mutex<Url>,
    etag: OnceLock<String>,
    client: Arc<Client>,
    refresh: Option<Arc<Refresh>>,
    /// For whoever reads no known order.
    blocks: Arc<Blocks>,
}

struct Url {
    text: String,
    /// How often it was renewed.
    renewed: usize,
    /// It was answered.
    proven: bool,
}

impl fmt::Debug for Object {
    /// Without its URL: whoever has that may read the object.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("path", &self.path).field("size", &self.size()).finish_non_exhaustive()
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.size(), self.identity()) == (&other.path, other.size(), other.identity())
    }
}

impl Eq for Object {}

impl Object {
    pub(super) fn new(
        description: Description,
        client: Arc<Client>,
        refresh: Option<Arc<Refresh>>,
        blocks: Arc<Blocks>,
    ) -> Self {
        let url = Url { text: description.url.clone(), renewed: 0, proven: true };
        let path = description.root.join(&description.name);
        let etag = description.etag.clone().map(OnceLock::from).unwrap_or_default();
        Self { path, description, url: Mutex::new(url), etag, client, refresh, blocks }
    }

    /// Where it counts as lying.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.description.size
    }

    /// What tells this state of it from every other.
    pub fn identity(&self) -> &str {
        &self.description.identity
    }

    /// Fill `buffer` from `offset` on, with one request if all goes well.
    ///
    /// # Errors
    /// [`Error::Refused`] if the object is another one now, the server does not do what is asked, or does not for long;
    /// [`Error::Cancelled`].
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size());
        let end = end.ok_or_else(|| {
            let message = format!("ends within the {} bytes at offset {offset}", buffer.len());
            self.refusal(message, "give the ingredient anew")
        })?;
        self.read_into(offset..end, &mut Whole::new(buffer))
    }

    /// Read `bytes`, which the object has, into memory that is asked for as they come.
    ///
    /// # Errors
    /// As [`Object::read`]; [`Error::Cancelled`] if they are not wanted any more.
    pub(super) fn read_into(&self, bytes: Range<u64>, into: &mut dyn Room) -> Result<()> {
        let Range { start, end } = bytes;
        let (mut done, mut faults) = (0, 0);
        while start + done < end {
            let (url, renewed) = self.url();
            let etag = self.etag.get().map(String::as_str);
            let expected = Expected { range: start + done..end, size: self.size(), etag };
            let mut got = 0;
            let result = self.client.get(&url, &expected, into, &mut got);
            // What came before an answer was cut is good.
            done += got;
            match result {
                Ok(etag) => self.answered(renewed, etag)?,
                Err(Fault::Passing(what, asked)) => {
                    faults = if got > 0 { 1 } else { faults + 1 };
                    self.wait(faults, &what, asked, start)?;
                }
                Err(Fault::Denied(what)) => self.renew(renewed, &what)?,
                Err(Fault::Changed(what)) => return Err(self.changed(&what)),
                Err(Fault::Final(what, hint)) => return Err(self.refusal(what, hint)),
                Err(Fault::Cancelled) => return Err(Error::Cancelled),
            }
        }
        Ok(())
    }

    /// The same by way of whole blocks, of which the last few are kept.
    ///
    /// # Errors
    /// As [`Object::read`].
    pub(in crate::io) fn read_in_blocks(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let object = std::ptr::from_ref(self) as usize;
        self.blocks.read((object, self.size()), offset, buffer, |start, block| self.read(start, block))
    }

    fn url(&self) -> (String, usize) {
        let url = self.url.lock().expect("no panic while held");
        (url.text.clone(), url.renewed)
    }

    /// Remember that the URL is good, and the first `ETag` if none was known.
    fn answered(&self, renewed: usize, etag: Option<String>) -> Result<()> {
        let mut url = self.url.lock().expect("no panic while held");
        url.proven |= url.renewed == renewed;
        drop(url);
        let Some(etag) = etag else { return Ok(()) };
        let first = self.etag.get_or_init(|| etag.clone());
        // Two first answers at a time.
        if super::answer::tag(first) == etag {
            return Ok(());
        }
        Err(self.changed(&format!("got the ETags `{}` and `{}`", shown(first), shown(&etag))))
    }

    fn wait(&self, faults: u32, what: &str, asked: Option<std::time::Duration>, offset: u64) -> Result<()> {
        let patience = self.client.patience;
        let hint = "run the same command again later: shards that are finished are kept";
        if faults >= patience.tries {
            return Err(self.refusal(format!("cannot be fetched, {faults} times: {what}"), hint));
        }
        let Some(pause) = patience.pause(faults, asked, offset) else {
            let seconds = asked.unwrap_or_default().as_secs();
            return Err(self.refusal(format!("{what} (and asks for {seconds} s of patience)"), hint));
        };
        self.client.sleep(pause)
    }

    /// Get a new URL for one that is refused, unless somebody has, or that was new.
    fn renew(&self, renewed: usize, what: &str) -> Result<()> {
        let mut url = self.url.lock().expect("no panic while held");
        if url.renewed > renewed {
            return Ok(());
        }
        let hint = "log in to where this ingredient lies, or ask for the right to read it";
        let Some(refresh) = self.refresh.as_ref().filter(|_| url.proven) else {
            return Err(self.refusal(what.to_owned(), hint));
        };
        let new = refresh(&self.description.root, &self.description.name)
            .map_err(|error| self.refusal(format!("{what}; no new address: {}", shown(&error)), hint))?;
        *url = Url { text: new, renewed: renewed + 1, proven: false };
        Ok(())
    }

    fn changed(&self, what: &str) -> Error {
        let hint = "it was replaced where it lies: give the ingredient anew, which begins the merge anew";
        self.refusal(format!("changed since it was looked up: {what}"), hint)
    }

    fn refusal(&self, message: String, hint: &str) -> Error {
        Problem::new(ProblemKind::Checkpoint, message).at(&self.path).hint(hint).into()
    }
}
