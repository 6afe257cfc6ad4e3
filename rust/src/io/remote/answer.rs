//! What an answer's head must say before its body is read, and what is wrong with it otherwise.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use ureq::http::{HeaderMap, StatusCode};

use super::date::since_epoch;
use crate::escape::shown;

/// Why a request gave nothing, or less than was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It may go better the next time; the server may have said when.
    Passing(String, Option<Duration>),
    /// The URL is good no more.
    Denied(String),
    /// The object is another one now, or gone.
    Changed(String),
    /// It will never go better; with what to do about it.
    Final(String, &'static str),
    /// Somebody ended it.
    Cancelled,
}

/// What is expected of every answer.
#[derive(Debug, Clone)]
pub(super) struct Expected<'a> {
    pub(super) range: Range<u64>,
    pub(super) size: u64,
    pub(super) etag: Option<&'a str>,
}

/// What to do about a server that gives whole files only.
pub(super) const TAKES_NO_RANGES: &str =
    "this server cannot be read by ranges: `--remote download` fetches whole files";

impl Expected<'_> {
    /// Compare the head of an answer that promises a part with what was asked for.
    pub(super) fn check(&self, status: StatusCode, head: &HeaderMap) -> Result<(), Fault> {
        let text = |name: &str| head.get(name).and_then(|value| value.to_str().ok());
        if status == StatusCode::OK {
            return Err(Fault::Final(
                "the whole file came, not the range asked for".to_owned(),
                TAKES_NO_RANGES,
            ));
        }
        if let Some(coding) = text("content-encoding").filter(|coding| *coding != "identity") {
            return Err(Fault::Final(format!("the bytes came coded as `{coding}`"), TAKES_NO_RANGES));
        }
        let Range { start, end } = self.range;
        let expected = format!("bytes {start}-{}/{}", end - 1, self.size);
        let got = text("content-range").unwrap_or("none");
        if got != expected {
            // Another total is another object; anything else is a server that does as it likes.
            let total = got.rsplit_once('/').and_then(|(_, total)| total.parse::<u64>().ok());
            if let Some(total) = total.filter(|total| *total != self.size) {
                return Err(Fault::Changed(format!("expected {} bytes, got {total}", self.size)));
            }
            let message = format!("expected the range `{expected}`, got `{}`", shown(got));
            return Err(Fault::Final(message, TAKES_NO_RANGES));
        }
        if let Some(etag) = self.etag {
            let got = text("etag").unwrap_or("none");
            if tag(got) != tag(etag) {
                let message = format!("expected ETag `{}`, got `{}`", shown(tag(etag)), shown(tag(got)));
                return Err(Fault::Changed(message));
            }
        }
        Ok(())
    }
}

/// What an answer that is no part of the object means. `body` is its beginning.
pub(super) fn fault(status: StatusCode, head: &HeaderMap, body: &str) -> Fault {
    let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = if body.is_empty() { String::new() } else { format!(": {}", shown(&body)) };
    let message = format!("the server answered {}{said}", status.as_u16());
    match status.as_u16() {
        401 | 403 => Fault::Denied(message),
        404 | 410 | 412 | 416 => Fault::Changed(message),
        408 | 425 | 429 | 500.. => Fault::Passing(message, wait(head)),
        _ => Fault::Final(message, "check where this ingredient lies"),
    }
}

/// How long a busy server asks to be left alone: `Retry-After` in seconds or as a time to come, by the server's own clock if
/// it says what that is; or the `t` of the Hub's `RateLimit`.
fn wait(head: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| head.get(name).and_then(|value| value.to_str().ok());
    let of_limit = |text: &str| {
        let mut fields = text.split(';').filter_map(|field| field.trim().split_once('='));
        let (_, seconds) = fields.find(|(key, _)| *key == "t")?;
        seconds.parse::<u64>().ok()
    };
    let until = |text: &str| {
        let now = head.get("date").and_then(|value| since_epoch(value.to_str().ok()?));
        let now = now.or_else(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok())?;
        since_epoch(text)?.checked_sub(now)
    };
    let seconds = |text: &str| text.trim().parse().ok().map(Duration::from_secs);
    let after = text("retry-after").and_then(|text| seconds(text).or_else(|| until(text)));
    after.or_else(|| text("ratelimit").and_then(of_limit).map(Duration::from_secs))
}

/// An `ETag` without its quotes and without what says that it is weak.
pub(super) fn tag(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::http::HeaderValue;

    fn head(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_the_very_range_of_the_very_object_is_taken() {
        let expected = Expected { range: 8..24, size: 100, etag: Some("\"a\"") };
        let check = |status: u16, pairs: &[(&'static str, &'static str)]| {
            expected.check(StatusCode::from_u16(status).unwrap(), &head(pairs))
        };
        let (range, etag) = (("content-range", "bytes 8-23/100"), ("etag", "\"a\""));
        assert_eq!(check(206, &[range, etag]), Ok(()));
        assert_eq!(check(206, &[range, ("etag", "W/\"a\"")]), Ok(()));
        for (status, pairs) in [
            (200, &[etag][..]),
            (206, &[etag]),
            (206, &[("content-range", "bytes 8-22/100"), etag]),
            (206, &[("content-range", "bytes 0-15/100"), etag]),
            (206, &[("content-range", "bytes 8-23/*"), etag]),
            (206, &[range, etag, ("content-encoding", "gzip")]),
        ] {
            assert!(matches!(check(status, pairs), Err(Fault::Final(..))), "{pairs:?}");
        }
        for pairs in [&[range][..], &[range, ("etag", "\"b\"")], &[("content-range", "bytes 8-23/101"), etag]]
        {
            assert!(matches!(check(206, pairs), Err(Fault::Changed(_))), "{pairs:?}");
        }
    }

    #[test]
    fn faults_are_told_apart_by_status() {
        let of = |status: u16| fault(StatusCode::from_u16(status).unwrap(), &head(&[]), "no\n  way");
        assert_eq!(of(403), Fault::Denied("the server answered 403: no way".to_owned()));
        assert_eq!(of(503), Fault::Passing("the server answered 503: no way".to_owned(), None));
        assert!(matches!((of(404), of(416)), (Fault::Changed(_), Fault::Changed(_))));
        assert!(matches!(of(400), Fault::Final(..)));
    }

    #[test]
    fn a_busy_server_says_for_how_long() {
        let seconds = |pairs: &[(&'static str, &'static str)]| wait(&head(pairs)).map(|wait| wait.as_secs());
        assert_eq!(seconds(&[("retry-after", "7"), ("ratelimit", "\"api\";r=0;t=9")]), Some(7));
        assert_eq!(seconds(&[("ratelimit", "\"api\";r=0;t=9")]), Some(9));
        let date = ("date", "Fri, 31 Dec 1999 23:59:00 GMT");
        assert_eq!(seconds(&[("retry-after", "Fri, 31 Dec 1999 23:59:50 GMT"), date]), Some(50));
        assert_eq!(seconds(&[("retry-after", "Fri, 31 Dec 1999 23:58:00 GMT"), date]), None);
        assert_eq!(seconds(&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")]), None);
        assert!(seconds(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")]) > Some(1 << 30));
    }
}
