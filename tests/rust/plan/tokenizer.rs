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
    kitchen.file("a/tokenizer.model", "1").file("b/tokenizer.model", "2").file("b/vocab.json", "{}");
    let plan = kitchen.plan(&["a", "b"]);
    let warnings = kitchen.warnings(&plan);
    says(&warnings[0], "`b/tokenizer.json` gives the same ids to the same tokens as the one in `a`");
    says(&warnings[1], "`b` has a `vocab.json`, `a` has none");
    says(&warnings[2], "`b/tokenizer.model` differs from the one in `a`");
    assert_eq!(warnings.len(), 3);
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
