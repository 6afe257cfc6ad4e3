//! Times as HTTP writes them.

use std::time::Duration;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The time since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers may write.
pub(super) fn since_epoch(text: &str) -> Option<Duration> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let &[_, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let clock: Vec<u64> = time.split(':').map(|part| number(part, 60)).collect::<Option<_>>()?;
    let &[hours, minutes, seconds] = clock.as_slice() else { return None };
    let days = days(number(year, 9999)?, month, number(day, 31)?)?;
    Some(Duration::from_secs(((days * 24 + hours) * 60 + minutes) * 60 + seconds))
}

fn number(text: &str, most: u64) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && *number <= most)
}

/// Days from the first of January 1970. Years are counted from March, so that a leap day is the last of its year.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month < 3 { year.checked_sub(1)? } else { year };
    let before = (153 * ((month + 9) % 12) + 2) / 5;
    (365 * year + year / 4 - year / 100 + year / 400 + before + day).checked_sub(719_469)
}

#[cfg(test)]
mod tests {
    use super::since_epoch;

    #[test]
    fn only_dates_of_the_one_form_are_read() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(since_epoch(text).map(|time| time.as_secs()), expected, "{text}");
        };
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Tue, 29 Feb 2000 23:59:60 GMT", Some(951_868_800));
        check("Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799));
        for text in [
            "",
            "120",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:99 GMT",
        ] {
            check(text, None);
        }
    }
}
