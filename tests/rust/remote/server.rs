//! A small HTTP server for ranges of files, which can fail in every way that a real one does.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503.
    Busy,
    /// 429, to be tried again in no time.
    TooMany,
    /// The connection ends before the head.
    Closed,
    /// The connection ends in the middle of the body.
    Cut,
    /// Half of the body, then silence.
    Stall,
    /// From now on 403 for URLs as they were given at first.
    Expired,
    /// From now on 403 for every URL.
    Denied,
    /// 200 with the whole file.
    Whole,
    /// A part that was not asked for.
    OtherRange,
    /// The file has another length now.
    OtherSize,
    /// The file has another `ETag` now.
    OtherTag,
    /// 404.
    Gone,
}

pub(crate) type Faults = dyn Fn(usize) -> Option<Fault> + Send + Sync;

struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    faults: Box<Faults>,
    requests: AtomicUsize,
    expired: AtomicBool,
    denied: AtomicBool,
    ended: AtomicBool,
    /// Every range asked for, by file.
    asked: Mutex<Vec<(String, u64, u64)>>,
}

pub(crate) struct Server {
    address: String,
    shared: Arc<Shared>,
}

impl Server {
    /// Serve `files`; `faults` says what goes wrong with the request of that number, counted from 0.
    pub(crate) fn new(
        files: BTreeMap<String, Vec<u8>>,
        faults: impl Fn(usize) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            files,
            faults: Box::new(faults),
            requests: AtomicUsize::new(0),
            expired: AtomicBool::new(false),
            denied: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            asked: Mutex::default(),
        });
        let server = Self { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || shared.serve(&stream));
            }
        });
        server
    }

    /// Where a file is, before (`old`) or after (`new`) URLs were renewed.
    pub(crate) fn url(&self, age: &str, file: &str) -> String {
        format!("http://{}/{age}/{file}", self.address)
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Every range asked for so far.
    pub(crate) fn asked(&self) -> Vec<(String, u64, u64)> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address); // wakes who accepts
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream);
        while let Some((age, file, range)) = request(&mut reader) {
            let number = self.requests.fetch_add(1, Ordering::SeqCst);
            self.asked.lock().unwrap().push((file.clone(), range.0, range.1));
            if !self.answer(stream, number, (&age, &file), range) {
                return;
            }
        }
    }

    /// Whether the connection may be used again.
    fn answer(
        &self,
        mut stream: &TcpStream,
        number: usize,
        (age, file): (&str, &str),
        (start, end): (u64, u64),
    ) -> bool {
        let fault = (self.faults)(number);
        self.expired.fetch_or(fault == Some(Fault::Expired), Ordering::SeqCst);
        self.denied.fetch_or(fault == Some(Fault::Denied), Ordering::SeqCst);
        let denied =
            self.denied.load(Ordering::SeqCst) || self.expired.load(Ordering::SeqCst) && age == "old";
        let empty =
            |status: &str, more: &str| format!("HTTP/1.1 {status}\r\n{more}Content-Length: 4\r\n\r\nbusy");
        let plain = match fault {
            _ if denied => {
                Some("HTTP/1.1 403 Forbidden\r\nContent-Length: 19\r\n\r\nRequest has expired".to_owned())
            }
            Some(Fault::Busy) => Some(empty("503 Service Unavailable", "")),
            Some(Fault::TooMany) => Some(empty("429 Too Many Requests", "Retry-After: 0\r\n")),
            Some(Fault::Gone) => Some(empty("404 Not Found", "")),
            Some(Fault::Closed) => return false,
            _ => None,
        };
        if let Some(text) = plain {
            return stream.write_all(text.as_bytes()).is_ok();
        }
        let bytes = &self.files[file];
        let (mut status, mut part) = ("206 Partial Content", &bytes[start as usize..=end as usize]);
        let (mut first, mut size, mut tag) = (start, bytes.len(), file.to_owned());
        match fault {
            Some(Fault::Whole) => (status, part) = ("200 OK", bytes),
            Some(Fault::OtherRange) => first += 1,
            Some(Fault::OtherSize) => size += 1,
            Some(Fault::OtherTag) => tag.push('2'),
            _ => {}
        }
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{}/{size}\r\nETag: \"{tag}\"\r\n\r\n",
            part.len(),
            first + part.len() as u64 - 1,
        );
        let half = part.len() / 2;
        match fault {
            Some(Fault::Cut) => {
                let _ = stream.write_all(&[head.as_bytes(), &part[..half]].concat());
                false
            }
            Some(Fault::Stall) => {
                let _ = stream.write_all(&[head.as_bytes(), &part[..half]].concat());
                std::thread::sleep(Duration::from_secs(3));
                false
            }
            _ => stream.write_all(&[head.as_bytes(), part].concat()).is_ok(),
        }
    }
}

/// Age of the URL, file and range of the next request.
fn request(reader: &mut impl std::io::BufRead) -> Option<(String, String, (u64, u64))> {
    let mut lines = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let first = lines.next()?;
    let (age, file) = first.split(' ').nth(1)?.trim_start_matches('/').split_once('/')?;
    let (age, file) = (age.to_owned(), file.to_owned());
    let mut range = None;
    for line in lines {
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (start, end) = text.split_once('-')?;
            range = Some((start.parse().ok()?, end.parse().ok()?));
        }
    }
    Some((age, file, range?))
}
