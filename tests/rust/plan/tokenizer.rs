//! Tokenizers of the ingredients against the donor's.

use _core::plan::make;

use super::builder::{Kitchen, bf16, says};

const DONOR: &str =
    r#"{"model": {"vocab": {"x": 0, "y": 1}}, "added_tokens": [{"id": 2, "content": "<s>"}]}"#;

fn kitchen() -> Kitchen {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("w", &[2], 0)]).model("b", &[bf16("w", &[2], 1)]);
    kitchen
}

#[test]
fn equal_bytes_pass_whatever_they_hold() {
    let kitchen = kitchen();
    for name in ["tokenizer.json", "vocab.json", "tokenizer.model", "chat_template.jinja"] {
        kitchen.file(&format!("a/{name}"), "not json").file(&format!("b/{name}"), "not json");
    }
    assert!(kitchen.plan(&["a", "b"]).warnings.is_empty());
}

#[test]
fn other_ids_are_refused_and_may_be_allowed() {
    let kitchen = kitchen();
    kitchen.file("a/tokenizer.json", DONOR).file("b/tokenizer.json", DONOR.replace("<s>", "<pad>"));
    let expected = "maps tokens to other ids than the one in `a`: expected id 2 for `<s>`, got none; expected no token \
                    `<pad>`, got id 2";
    let text = kitchen.refusal(&["a", "b"]);
    says(&text, "`b/tokenizer.json`: maps tokens to other ids");
    says(&text, "`--allow-different-tokenizers`");
    says(&text, "expected no token `<pad>`, got id 2");
    let mut request = kitchen.request(&["a", "b"]);
    request.options.allow_different_tokenizers = true;
    let plan = make(request).unwrap();
    let warning = &kitchen.warnings(&plan)[0];
    assert!(warning.len() >= expected.len(), "{warning}");
    says(warning, "expected id 2 for `<s>`, got none");
}

#[test]
fn three_tokens_are_told_and_the_rest_counted() {
    let ids = |tokens: usize, start: usize| {
        let ids: Vec<_> = (0..tokens).map(|i| format!("\"t{i}\": {}", start + i)).collect();
        format!("{{{}}}", ids.join(", "))
    };
    for (tokens, end) in [(3, "expected id 2 for `t2`, got 9"), (5, "; and 2 more tokens")] {
        let kitchen = kitchen();
        kitchen.file("a/vocab.json", ids(tokens, 0)).file("b/vocab.json", ids(tokens, 7));
        let text = kitchen.refusal(&["a", "b"]);
        assert!(text.lines().next().unwrap().ends_with(end), "{text}");
    }
}

#[test]
fn vocab_json_is_compared_too() {
    let kitchen = kitchen();
    kitchen.file("a/vocab.json", r#"{"x": 0, "y": 1}"#).file("b/vocab.json", r#"{"x": 1, "y": 0}"#);
    says(
        &kitchen.refusal(&["a", "b"]),
        "`b/vocab.json`: maps tokens to other ids than the one in `a`: expected id 0 for `x`, got 1",
    );
}

#[test]
fn other_differences_are_warnings() {
    let kitchen = kitchen();
    kitchen
        .file("a/tokenizer.json", DONOR)
        .file("b/tokenizer.json", DONOR.replace("{\"model", "{\"version\": 1, \"model"));
    kitchen.file("a/merges.txt", "1").file("b/merges.txt", "2");
    let special = |pad: &str| format!(r#"{{"pad_token": {pad}}}"#);
    kitchen
        .file("a/special_tokens_map.json", special(r#""<s>""#))
        .file("b/special_tokens_map.json", special(r#"{"content": "</s>", "lstrip": false}"#));
    let plan = kitchen.plan(&["a", "b"]);
    let warnings = kitchen.warnings(&plan);
    says(&warnings[0], "`b/merges.txt` differs from the one in `a`");
    says(
        &warnings[1],
        "`b/special_tokens_map.json` differs from the one in `a`, which the soup gets: pad_token (\"<s>\"",
    );
    says(&warnings[2], "`b/tokenizer.json` gives the same ids to the same tokens as the one in `a`");
    assert_eq!(warnings.len(), 3);
}

#[test]
fn additional_tokens_without_ids_are_numbered_by_their_order() {
    let tokens = |list: &str| format!(r#"{{"additional_special_tokens": [{list}]}}"#);
    let kitchen = kitchen();
    let name = "special_tokens_map.json";
    kitchen
        .file(&format!("a/{name}"), tokens(r#""x", "y""#))
        .file(&format!("b/{name}"), tokens(r#""y", "x""#));
    says(&kitchen.refusal(&["a", "b"]), "`b/special_tokens_map.json`: differs from the one in `a`");
    kitchen
        .file("a/added_tokens.json", r#"{"x": 1, "y": 2}"#)
        .file("b/added_tokens.json", r#"{"x": 1, "y": 2}"#);
    assert_eq!(kitchen.plan(&["a", "b"]).warnings.len(), 1);
}

#[test]
fn slow_tokenizers_are_refused_like_fast_ones() {
    let check = |name: &str, a: &[u8], b: &[u8], expected: &str| {
        let kitchen = kitchen();
        kitchen.file(&format!("a/{name}"), a).file(&format!("b/{name}"), b);
        let text = kitchen.refusal(&["a", "b"]);
        says(&text, expected);
        says(&text, "`--allow-different-tokenizers`");
        let mut request = kitchen.request(&["a", "b"]);
        request.options.allow_different_tokenizers = true;
        assert_eq!(make(request).unwrap().warnings.len(), 1, "{name}");
    };
    let config = |id: u64| format!(r#"{{"added_tokens_decoder": {{"{id}": {{"content": "x"}}}}}}"#);
    check("vocab.txt", b"x\ny\n", b"y\nx\n", "expected id 0 for `x`, got 1");
    check("added_tokens.json", br#"{"x": 4}"#, br#"{"x": 5}"#, "expected id 4 for `x`, got 5");
    check(
        "tokenizer_config.json",
        config(4).as_bytes(),
        config(5).as_bytes(),
        "expected id 4 for `x`, got 5",
    );
    for name in ["tokenizer.model", "spiece.model", "source.spm"] {
        check(name, b"\x0a\x03\x0a\x01x", b"\x0a\x03\x0a\x01y", "expected id 0 for `x`, got none");
    }
    check("tokenizer.model", b"1", b"2", "cannot be compared");
    check("qwen.tiktoken", b"YQ== 0\nYg== 1\n", b"YQ== 1\nYg== 0\n", "expected id 0 for `YQ==`, got 1");
}

#[test]
fn a_fast_and_a_slow_tokenizer_are_compared_where_they_speak_of_the_same() {
    let check = |slow: &[(&str, &str)]| {
        let kitchen = kitchen();
        kitchen.file("a/tokenizer.json", DONOR);
        for (name, text) in slow {
            kitchen.file(&format!("b/{name}"), text);
        }
        make(kitchen.request(&["a", "b"]))
            .map(|plan| kitchen.warnings(&plan))
            .map_err(|error| kitchen.relative(&error.to_string()))
    };
    assert_eq!(check(&[("vocab.txt", "x\ny\n<s>\n")]), Ok(vec![]));
    assert_eq!(
        check(&[("vocab.json", r#"{"x": 0, "y": 1}"#), ("added_tokens.json", r#"{"<s>": 2}"#)]),
        Ok(vec![])
    );
    says(&check(&[("vocab.txt", "y\nx\n<s>\n")]).unwrap_err(), "expected id 0 for `x`, got 1");
    says(&check(&[("vocab.txt", "x\ny\n")]).unwrap_err(), "expected id 2 for `<s>`, got none");
    let added = ("added_tokens.json", r#"{"<pad>": 2}"#);
    says(
        &check(&[("tokenizer.model", "\n\u{3}\n\u{1}x"), added]).unwrap_err(),
        "`b`: maps tokens to other ids than `a`",
    );
    let untold =
        check(&[("tokenizer.model", "\n\u{3}\n\u{1}x"), ("added_tokens.json", r#"{"<s>": 2}"#)]).unwrap();
    says(&untold[0], "`a` has a `tokenizer.json`, `b` has none: they were not compared");
    says(&untold[1], "`b` has a `tokenizer.model`, `a` has none: they were not compared");
    assert_eq!(check(&[]).unwrap().len(), 1);
}

#[test]
fn broken_tokenizers_that_differ_are_refused() {
    let kitchen = kitchen();
    kitchen.file("a/tokenizer.json", DONOR).file("b/tokenizer.json", "{");
    says(&kitchen.refusal(&["a", "b"]), "`b/tokenizer.json`: cannot be compared:");
}

#[test]
fn templates_that_differ_are_told() {
    let check = |a: (&str, &str), b: (&str, &str), differ: bool| {
        let kitchen = kitchen();
        kitchen.file(&format!("a/{}", a.0), a.1).file(&format!("b/{}", b.0), b.1);
        let warnings = kitchen.warnings(&kitchen.plan(&["a", "b"]));
        assert_eq!(warnings.iter().any(|w| w.contains("chat template differs")), differ, "{warnings:?}");
    };
    let (jinja, config) = ("chat_template.jinja", "tokenizer_config.json");
    check((jinja, "x"), (jinja, "x"), false);
    check((jinja, "x"), (jinja, "y"), true);
    check((jinja, "x"), (config, r#"{"chat_template": "x"}"#), false);
    check((config, r#"{"chat_template": "x", "z": 1}"#), (config, r#"{"chat_template": "x"}"#), false);
    check((config, r#"{"chat_template": "x"}"#), (config, "{}"), true);
}
