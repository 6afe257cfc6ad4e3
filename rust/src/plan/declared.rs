//! What a config declares of the FP8 that its checkpoint holds, and the config without it.

use std::ops::Range;

use serde_json::Value;

use crate::json::{Reader, Step};

/// Where configs declare a quantisation.
pub(super) const KEYS: [&str; 3] = ["quantization_config", "compression_config", "quantization"];

/// Methods whose FP8 is a code times a scale.
const METHODS: [&str; 4] = ["fp8", "fbgemm_fp8", "compressed-tensors", "modelopt"];

/// Why what a config declares is not understood, in words; `None` if it is.
pub(super) fn unknown(declared: &Value) -> Option<String> {
    let has = |key: &str| declared.get(key).is_some_and(|value| !is_nothing(value));
    let method = declared.get("quant_method").and_then(Value::as_str);
    if !method.is_some_and(|method| METHODS.contains(&method)) {
        return Some("only FP8 of fp8, fbgemm_fp8, compressed-tensors and modelopt is read".to_owned());
    }
    // The weights of such a model are turned, and code that turns activations the other way belongs to it.
    has("transform_config").then(|| "`transform_config` says that its weights are transformed".to_owned())
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// The sizes of blocks that a declaration names: lines and columns of codes that share a scale.
pub(super) fn block_sizes(declared: &Value) -> Vec<[u64; 2]> {
    let mut sizes: Vec<[u64; 2]> = declared.get("weight_block_size").and_then(pair).into_iter().collect();
    for group in declared.get("config_groups").and_then(Value::as_object).into_iter().flatten() {
        let Some(weights) = group.1.get("weights") else { continue };
        sizes.extend(weights.get("block_structure").and_then(pair));
        let columns = weights.get("group_size").and_then(Value::as_u64).filter(|&n| n > 0);
        sizes.extend(columns.map(|columns| [1, columns]));
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn pair(value: &Value) -> Option<[u64; 2]> {
    let size = |value: &Value| value.as_u64().filter(|&n| n > 0);
    match value.as_array()?.as_slice() {
        [lines, columns] => Some([size(lines)?, size(columns)?]),
        _ => None,
    }
}

/// A config's text without what it declares, at the top and in the configs of language models; nothing else changes.
pub(super) fn without(text: &str, inner: &[&str]) -> String {
    let mut text = text.to_owned();
    while let Some(member) = first_member(&text, inner) {
        text.replace_range(member, "");
    }
    text
}

/// Where the first declaration stands, with the comma and the space that go with it.
fn first_member(text: &str, inner: &[&str]) -> Option<Range<usize>> {
    fn walk(reader: &mut Reader<'_>, inner: &[&str], found: &mut Option<Range<usize>>) -> Step<()> {
        let open = reader.position() + 1;
        let mut end = None;
        reader.object("an object", |reader, key| {
            let declares = KEYS.contains(&&*key) && found.is_none();
            if inner.contains(&&*key) && reader.peek() == Some(b'{') {
                walk(reader, inner, found)?;
            } else {
                let start = reader.position();
                let value = reader.raw()?;
                if declares {
                    *found = Some(match end {
                        Some(before) => before..start + value.len(),
                        None => open..behind(reader.text(), start + value.len()),
                    });
                }
            }
            end = Some(reader.position());
            Ok(())
        })
    }
    let mut found = None;
    walk(&mut Reader::of_python(text, usize::MAX), inner, &mut found).ok()?;
    found
}

/// Behind the comma that follows a value, if one does.
fn behind(text: &str, end: usize) -> usize {
    let rest = text[end..].trim_start();
    if rest.starts_with(',') { text.len() - rest.len() + 1 } else { end }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{block_sizes, unknown, without};

    #[test]
    fn sizes_of_blocks_are_found_where_writers_put_them() {
        assert_eq!(block_sizes(&json!({"weight_block_size": [128, 64]})), [[128, 64]]);
        assert_eq!(block_sizes(&json!({"weight_block_size": null})), [[0; 2]; 0]);
        let group = json!({"weights": {"block_structure": [128, 128], "group_size": null}});
        assert_eq!(block_sizes(&json!({"config_groups": {"group_0": group}})), [[128, 128]]);
        let group = json!({"weights": {"group_size": 32}});
        assert_eq!(block_sizes(&json!({"config_groups": {"group_0": group}})), [[1, 32]]);
        assert_eq!(block_sizes(&json!({"weight_block_size": [0, 128], "config_groups": [1]})), [[0; 2]; 0]);
    }

    #[test]
    fn methods_that_are_not_code_times_scale_are_unknown() {
        let check = |value, known: bool| assert_eq!(unknown(&value).is_none(), known, "{value}");
        check(json!({"quant_method": "fp8"}), true);
        check(json!({"quant_method": "compressed-tensors", "transform_config": {}}), true);
        check(json!({"quant_method": "compressed-tensors", "transform_config": {"config_groups": 1}}), false);
        check(json!({"quant_method": "gptq"}), false);
        check(json!({}), false);
    }

    #[test]
    fn nothing_but_the_declaration_leaves_a_config() {
        let check =
            |text: &str, expected: &str| assert_eq!(without(text, &["text_config"]), expected, "{text}");
        check(r#"{"a": 1, "quantization_config": {"x": [1, 2]}, "b": 2}"#, r#"{"a": 1, "b": 2}"#);
        check(r#"{ "quantization_config" : {}, "b": 2}"#, r#"{ "b": 2}"#);
        check("{\n  \"a\": 1,\n  \"quantization_config\": {}\n}\n", "{\n  \"a\": 1\n}\n");
        check(r#"{"quantization_config": {}}"#, "{}");
        check(
            r#"{"text_config": {"quantization_config": {}, "y": "é"}, "compression_config": null}"#,
            r#"{"text_config": { "y": "é"}}"#,
        );
        check(r#"{"x": {"quantization_config": 1}}"#, r#"{"x": {"quantization_config": 1}}"#);
        check(r#"{"a": 1, "quantization_config": {"x": 1}   ,"b": 2}"#, r#"{"a": 1   ,"b": 2}"#);
    }
}
