//! What a backslash in a string stands for.

/// The character that the escape at `at`, which is a backslash, stands for, and where the text goes on; `None` if it is
/// no escape or half of a surrogate pair.
pub(super) fn unescape(text: &str, at: usize) -> Option<(char, usize)> {
    let simple = match text.as_bytes().get(at.checked_add(1)?)? {
        same @ (b'"' | b'\\' | b'/') => char::from(*same),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(text, at.checked_add(2)?),
        _ => return None,
    };
    Some((simple, at.checked_add(2)?))
}

/// The character whose four digits, or whose first four of two surrogates, begin at `at`.
fn unicode(text: &str, at: usize) -> Option<(char, usize)> {
    let unit = unit(text, at)?;
    let end = at.checked_add(4)?;
    if !(0xd800..0xdc00).contains(&unit) {
        return Some((char::from_u32(unit)?, end));
    }
    let second = text.get(end..)?.starts_with("\\u").then_some(end.checked_add(2)?)?;
    let low = self::unit(text, second).filter(|low| (0xdc00..0xe000).contains(low))?;
    let character = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?;
    Some((character, second.checked_add(4)?))
}

/// Four hexadecimal digits.
fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at.checked_add(4)?)?;
    // `from_str_radix` alone would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}
