//! One blocking HTTP client for all objects, whose requests can be ended from outside.

use std::io::{ErrorKind, Read as _};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode};

use super::REQUESTS;
use super::answer::{Expected, Fault, TAKES_NO_RANGES, fault, tag};
use super::connect::Line;
use super::patience::Patience;
use super::room::Room;
use crate::control::Interrupt;
use crate::error::{Error, Result};

/// Bytes of a refusal's body that are shown.
const SHOWN: u64 = 300;
/// Most redirections of one request.
const REDIRECTIONS: u32 = 5;

/// The client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) patience: Patience,
    /// `None` while requests are not to be made.
    line: Mutex<Option<Line>>,
    ended: Condvar,
}

impl Interrupt for Client {
    /// End what is under way; nothing new is begun until [`Client::resume`].
    fn interrupt(&self) {
        if let Some(line) = self.line.lock().expect("no panic while held").take() {
            line.end();
        }
        self.ended.notify_all();
    }
}

impl Client {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, line: Mutex::new(Some(line(patience))), ended: Condvar::new() }
    }

    /// Be ready again after an interruption.
    pub(super) fn resume(&self) {
        self.line.lock().expect("no panic while held").get_or_insert_with(|| line(self.patience));
    }

    /// Wait, unless interrupted.
    pub(super) fn sleep(&self, duration: Duration) -> Result<()> {
        let line = self.line.lock().expect("no panic while held");
        let waited = self.ended.wait_timeout_while(line, duration, |line| line.is_some());
        let (line, _) = waited.expect("no panic while held");
        if line.is_some() { Ok(()) } else { Err(Error::Cancelled) }
    }

    /// Read what `expected` says. `got` counts the bytes that came and are good, also when
    /// more should have come. Returns the `ETag`.
    pub(super) fn get(
        &self,
        url: &str,
        expected: &Expected<'_>,
        into: &mut dyn Room,
        got: &mut u64,
    ) -> Result<Option<String>, Fault> {
        let line = self.line.lock().expect("no panic while held").clone();
        let line = line.ok_or(Fault::Cancelled)?;
        let result = get(&line.agent, url, expected, into, got);
        // Whatever an interrupted request says, that is why.
        let ended = self.line.lock().expect("no panic while held").is_none();
        if ended && result.is_err() { Err(Fault::Cancelled) } else { result }
    }
}

fn line(patience: Patience) -> Line {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(REDIRECTIONS)
        .max_idle_connections(2 * REQUESTS)
        .max_idle_connections_per_host(2 * REQUESTS)
        .user_agent(concat!("soce/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_per_read(Some(patience.idle))
        .timeout_per_write(Some(patience.idle));
    Line::new(config.build())
}

fn get(
    agent: &Agent,
    url: &str,
    expected: &Expected<'_>,
    into: &mut dyn Room,
    got: &mut u64,
) -> Result<Option<String>, Fault> {
    let range = format!("bytes={}-{}", expected.range.start, expected.range.end - 1);
    let response = agent.get(url).header("Range", range).call().map_err(of_request)?;
    let (head, body) = response.into_parts();
    let mut body = body.into_reader();
    if head.status != StatusCode::PARTIAL_CONTENT && head.status != StatusCode::OK {
        let mut text = Vec::new();
        let _ = body.take(SHOWN).read_to_end(&mut text); // what came of it is enough
        return Err(fault(head.status, &head.headers, &String::from_utf8_lossy(&text)));
    }
    expected.check(head.status, &head.headers)?;
    let wanted = expected.range.end - expected.range.start;
    let cut = |got: u64, why: String| {
        Fault::Passing(format!("the answer ended after {got} of {wanted} bytes{why}"), None)
    };
    while *got < wanted {
        let room = into.room().ok_or(Fault::Cancelled)?;
        match body.read(room) {
            Ok(0) => return Err(cut(*got, String::new())),
            Ok(count) => {
                into.filled(count);
                *got += count as u64;
            }
            Err(error) => return Err(cut(*got, format!(": {error}"))),
        }
    }
    // Read to the end, so that the connection is used again; nothing may come there.
    match body.read(&mut [0]) {
        Ok(0) | Err(_) => Ok(etag(&head.headers)),
        Ok(_) => Err(Fault::Final(format!("more came than the {wanted} bytes asked for"), TAKES_NO_RANGES)),
    }
}

fn etag(head: &HeaderMap) -> Option<String> {
    Some(tag(head.get("etag")?.to_str().ok()?).to_owned())
}

/// What became of a request that got no answer. URLs are not shown: whoever has one may read the object.
fn of_request(error: ureq::Error) -> Fault {
    const WHERE: &str = "check where this ingredient lies";
    const UNTRUSTED: &str =
        "the server's certificate is not one that browsers trust: download the model and give its folder";
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Fault::Final("is no address".to_owned(), WHERE),
        ureq::Error::InvalidProxyUrl => {
            Fault::Final("no address of a proxy".to_owned(), "mend `HTTPS_PROXY` in the environment")
        }
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => {
            Fault::Final("was led from one address to the next without end".to_owned(), WHERE)
        }
        ureq::Error::Rustls(error) => Fault::Final(format!("no safe connection: {error}"), UNTRUSTED),
        // So errors of TLS come out of a handshake.
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            Fault::Final(format!("no safe connection: {error}"), UNTRUSTED)
        }
        ureq::Error::Io(error) => Fault::Passing(error.to_string(), None),
        ureq::Error::Timeout(what) => Fault::Passing(format!("no answer in time ({what})"), None),
        other => Fault::Passing(other.to_string(), None),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::{Fault, of_request};

    #[test]
    fn a_certificate_that_is_not_trusted_will_not_be_in_a_minute() {
        let error = |kind| of_request(ureq::Error::Io(Error::new(kind, "it")));
        assert!(matches!(error(ErrorKind::InvalidData), Fault::Final(..)));
        for kind in [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof] {
            assert!(matches!(error(kind), Fault::Passing(..)), "{kind}");
        }
    }

    #[test]
    fn an_address_is_never_shown() {
        let fault = of_request(ureq::Error::BadUri("https://host/?signature=secret".to_owned()));
        assert!(!format!("{fault:?}").contains("secret"));
    }
}
