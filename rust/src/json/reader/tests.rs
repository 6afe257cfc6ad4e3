//! What the cursor takes and refuses.

use super::Reader;

fn check(text: &str, expected: Result<(), &str>) {
    let mut reader = Reader::new(text, 4);
    let got =
        reader.skip().and_then(|()| reader.end()).map_err(|fault| format!("{}: {}", fault.at, fault.what));
    assert_eq!(got, expected.map_err(str::to_owned), "{text:?}");
}

#[test]
fn values_of_every_kind_pass() {
    for text in [
        "null",
        " [true,\tfalse,\r\n[]] ",
        r#"{"a":{"a":1},"b":-0.5e-3}"#,
        r#""\ud83d\ude00\u00e9\/\"""#,
        "\"\u{7f}\"",
        "0",
        "0e99999999999",
    ] {
        check(text, Ok(()));
    }
}

#[test]
fn broken_values_are_refused_with_their_place() {
    check("", Err("0: expected a value, got the end of the text"));
    check("\u{feff}1", Err("0: expected a value, got `\\u{feff}`, a byte order mark"));
    check("NaN", Err("0: expected a value, got `N`"));
    check("01", Err("1: expected the end of the text, got a number"));
    check("1.", Err("2: expected a digit, got the end of the text"));
    check("1e999", Err("0: number 1e999 is out of range"));
    check("[1,]", Err("3: expected a value, got `]`"));
    check("[1 2]", Err("3: expected `,` or `]`, got a number"));
    check(r#"{"a" 1}"#, Err("5: expected `:`, got a number"));
    check("{'a':1}", Err("1: expected a key in double quotes, got `'`"));
    check("\"a", Err("0: this string has no end"));
    check("\"\n\"", Err("1: raw control character 0x0a in a string"));
    check(r#""\x""#, Err("1: invalid escape in a string"));
    check(r#""\u+123""#, Err("1: invalid escape in a string"));
    check(r#""\ud800""#, Err("1: invalid escape in a string"));
    check(r#""\ud800\u0041""#, Err("1: invalid escape in a string"));
    check(r#""\udc00""#, Err("1: invalid escape in a string"));
}

#[test]
fn escapes_stand_for_their_characters() {
    let text = r#""\b\f\n\r\t\/\\\"\u00E9\ud83d\uDE00\u0000""#;
    let expected = "\u{8}\u{c}\n\r\t/\\\"\u{e9}\u{1f600}\0";
    assert_eq!(Reader::new(text, 0).string("a string").unwrap(), expected);
    assert_eq!(serde_json::from_str::<String>(text).unwrap(), expected);
}

#[test]
fn unread_numbers_stay_clear_of_the_limit() {
    check("1e300", Err("0: number 1e300 is out of range"));
    check("-1e300", Err("0: number -1e300 is out of range"));
    check("-9.9e299", Ok(()));
}

#[test]
fn depth_is_bounded() {
    check("[[[[]]]]", Ok(()));
    check("[[[[[]]]]]", Err("4: nested more than 4 levels deep"));
    check(&"[".repeat(1_000_000), Err("4: nested more than 4 levels deep"));
}

#[test]
fn keys_are_compared_after_unescaping() {
    check(r#"{"a":1,"b":2,"a":3}"#, Err("13: `a` is there twice"));
    check(r#"{"a":1,"\u0061":2}"#, Err("7: `a` is there twice"));
    check(r#"{"\u00e9x":1,"éx":2}"#, Err("13: `éx` is there twice"));
    check(r#"{"x":{"a":1,"a":1}}"#, Err("12: `a` is there twice"));
    check(r#"{"a\u0062c":1,"abd":2,"ab":3,"a":4,"":5,"a!":6,"a\"":7,"a\u0000":8}"#, Ok(()));
}
