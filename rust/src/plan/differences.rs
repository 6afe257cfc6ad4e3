//! What the configs of ingredients disagree on: equal shapes do not make equal models.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checkpoint::{Checkpoint, OpenOptions};
use crate::error::{Problem, ProblemKind};
use crate::escape::{counted, quoted, shown};

use super::config::Config;
use super::remarks::Remarks;

/// Keys that say where a config comes from or how its model is run or trained, not what it computes.
const SILENT: [&str; 25] = [
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_diffusers_version",
    "_name_or_path",
    "attn_implementation",
    "auto_map",
    "dtype",
    "finetuning_task",
    "gradient_checkpointing",
    "initializer_factor",
    "initializer_range",
    "name_or_path",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "pretraining_tp",
    "return_dict",
    "router_aux_loss_coef",
    "torch_dtype",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
    "use_flash_attn",
];
/// Endings of keys that matter in training only.
const TRAINING: [&str; 4] = ["dropout", "dropout_prob", "pdrop", "layerdrop"];
/// Parts of keys that change what a model computes; they are told first.
const TELLING: [&str; 13] = [
    "act",
    "attention",
    "attn",
    "expert",
    "label",
    "layer_types",
    "moe",
    "norm",
    "position",
    "rope",
    "scal",
    "tie",
    "window",
];
const LABELS: [&str; 2] = ["id2label", "label2id"];
/// Keys that are judged apart: the model's type, and labels in another order.
const JUDGED: [&str; 3] = ["model_type", "id2label", "label2id"];
/// What a config without `rope_theta` means by it.
const USUAL_THETA: f64 = 10_000.0;
/// How many keys are named.
const LISTED: usize = 6;
/// How much of a value is shown, in characters.
const SHOWN: usize = 40;

/// Refuse configs of another model type or with labels in another order than the one that the soup gets, and tell what
/// else they say otherwise.
pub(super) fn check(configs: &[Option<Config>], config_from: usize, allowed: bool, remarks: &mut Remarks) {
    for (expected, config) in pairs(configs, config_from) {
        let (a, b) = (expected.value(), config.value());
        for message in [other_type(a, b), other_order(a, b)].into_iter().flatten() {
            let message = format!("{message} in {}, which the soup gets", quoted(&expected.path));
            if allowed {
                remarks.warn(format!("{}: {message}", quoted(&config.path)));
            } else {
                remarks.problem(Problem::new(ProblemKind::Incompatible, message).at(&config.path).hint(
                    "equal shapes do not make equal models: leave one of them out, or average them anyway with \
                     `--allow-different-configs`",
                ));
            }
        }
    }
    remarks.warnings.extend(sentences(configs, config_from));
}

/// What [`super::make`] tells of the configs of these ingredients, also where something else keeps it from planning.
/// Those that cannot be read are left out.
pub fn config_differences(ingredients: &[PathBuf], open: OpenOptions) -> Vec<String> {
    let config = |path: &PathBuf| Config::read(&Checkpoint::open(path, &open).ok()?, open).ok()?;
    sentences(&ingredients.iter().map(config).collect::<Vec<_>>(), 0)
}

/// The sentence on a file that differs from the donor's.
pub(super) fn differs(path: &Path, donor: &Path, told: &str) -> String {
    format!("{} differs from the one in {}, which the soup gets: {told}", quoted(path), quoted(donor))
}

fn sentences(configs: &[Option<Config>], config_from: usize) -> Vec<String> {
    let sentence = |(expected, config): (&Config, &Config)| {
        let (a, b) = (expected.value(), config.value());
        let judged = if other_order(a, b).is_some() { &JUDGED[..] } else { &JUDGED[..1] };
        let told = differences(&without_keys(a, judged), &without_keys(b, judged))?;
        Some(differs(&config.path, expected.path.parent().unwrap_or(&expected.path), &told))
    };
    pairs(configs, config_from).filter_map(sentence).collect()
}

/// The config that the soup gets, or else the first, with each of the others.
fn pairs(configs: &[Option<Config>], config_from: usize) -> impl Iterator<Item = (&Config, &Config)> {
    let donor = configs.get(config_from).and_then(Option::as_ref).or_else(|| configs.iter().flatten().next());
    let with = |expected| configs.iter().flatten().map(move |config| (expected, config));
    donor
        .into_iter()
        .flat_map(with)
        .filter(|(expected, config): &(&Config, &Config)| expected.path != config.path)
}

fn without_keys(config: &Value, keys: &[&str]) -> Value {
    let members = config.as_object().into_iter().flatten();
    let kept = members.filter(|(key, _)| !keys.contains(&key.as_str()));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn other_type(a: &Value, b: &Value) -> Option<String> {
    let (a, b) = (a.get("model_type")?, b.get("model_type")?);
    (a != b).then(|| format!("`model_type` is {}, but {}", short(b), short(a)))
}

/// The first label that both know and that stands in another row.
fn other_order(a: &Value, b: &Value) -> Option<String> {
    let (a, b) = (rows(a), rows(b));
    let moved =
        a.iter().find_map(|(label, row)| b.get(label).filter(|other| *other != row).zip(Some((label, row))));
    moved.map(|(other, (label, row))| {
        format!("label `{}` is number {}, but {}", shown(label), shown(other), shown(row))
    })
}

/// The row of the head that each label names, with labels in small letters.
fn rows(config: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let object = |key: &str| config.get(key).and_then(Value::as_object);
    let row = |label: &str, row: String| (label.trim().to_lowercase(), row);
    match (object("id2label"), object("label2id")) {
        (Some(labels), _) => labels.iter().map(|(id, label)| row(&text(label), id.clone())).collect(),
        (None, Some(ids)) => ids.iter().map(|(label, id)| row(label, text(id))).collect(),
        (None, None) => BTreeMap::new(),
    }
}

/// Keys that two objects answer differently, with both answers; the most telling first.
///
/// Only keys that both have are compared, because what a missing one means depends on the version of a library. Those
/// of rotary embeddings are the exception: everybody means the same by leaving them out.
pub(super) fn differences(a: &Value, b: &Value) -> Option<String> {
    let (a, b) = (flat(a), flat(b));
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differing = keys.into_iter().filter_map(|key| {
        let missing = without(key);
        let (a, b) = (a.get(key).or(missing.as_ref())?, b.get(key).or(missing.as_ref())?);
        (!equal(a, b)).then(|| (rank(key), format!("{} ({} and {})", shown(key), short(a), short(b))))
    });
    let mut said: Vec<(bool, String)> = differing.collect();
    said.sort_by_key(|(rank, _)| *rank);
    let more = said.len().saturating_sub(LISTED);
    let listed: Vec<String> = said.into_iter().take(LISTED).map(|(_, text)| text).collect();
    let rest = counted(more as u64, "more key", "more keys");
    let rest = if more > 0 { format!(" and {rest}") } else { String::new() };
    (!listed.is_empty()).then(|| listed.join(", ") + &rest)
}

fn rank(key: &str) -> bool {
    !TELLING.iter().any(|part| key.contains(part))
}

/// Values by dotted key, without those that are no difference between models.
fn flat(value: &Value) -> BTreeMap<String, Value> {
    fn walk(value: &Value, prefix: &str, found: &mut BTreeMap<String, Value>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            if SILENT.contains(&key.as_str()) || TRAINING.iter().any(|end| key.ends_with(end)) {
                continue;
            }
            let is_rope = key == "rope_scaling" || key == "rope_parameters";
            match value {
                Value::Null if is_rope => {}
                Value::Object(members) if is_rope => {
                    for (key, value) in members {
                        rope(prefix, key, value, found);
                    }
                }
                Value::Object(members) if !members.is_empty() && !LABELS.contains(&key.as_str()) => {
                    walk(value, &format!("{prefix}{key}."), found);
                }
                _ => {
                    found.insert(format!("{prefix}{key}"), value.clone());
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(value, "", &mut found);
    if found.contains_key("id2label") {
        found.remove("label2id");
    }
    found
}

/// One setting of rotary embeddings, by the name that it had before `rope_parameters` held them all.
fn rope(prefix: &str, key: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    match (key, value) {
        ("rope_theta", _) => {
            found.insert(format!("{prefix}rope_theta"), value.clone());
        }
        ("type" | "rope_type", Value::String(kind)) if kind == "default" => {}
        ("type", _) => rope(prefix, "rope_type", value, found),
        (layers, Value::Object(members)) => {
            for (key, value) in members {
                rope(&format!("{prefix}{layers}."), key, value, found);
            }
        }
        _ => {
            found.insert(format!("{prefix}rope_scaling.{key}"), value.clone());
        }
    }
}

/// What a config means that does not have this key, if everybody means the same.
fn without(key: &str) -> Option<Value> {
    if key == "rope_theta" || key.ends_with(".rope_theta") {
        Some(Value::from(USUAL_THETA))
    } else {
        key.contains("rope_scaling.").then_some(Value::Null)
    }
}

/// Equality by value: 1 is 1.0.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        _ => a == b,
    }
}

fn short(value: &Value) -> String {
    let text = shown(&value.to_string());
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{differences, other_order};

    #[allow(clippy::needless_pass_by_value, reason = "values are written where they are compared")]
    fn told(a: Value, b: Value) -> Option<String> {
        let (there, back) = (differences(&a, &b), differences(&b, &a));
        assert_eq!(there.is_some(), back.is_some());
        there
    }

    #[test]
    fn only_what_both_say_and_what_matters_is_compared() {
        assert_eq!(told(json!({"a": 1, "only": 2}), json!({"a": 1.0, "other": 3})), None);
        for key in ["transformers_version", "_name_or_path", "torch_dtype", "use_cache", "attention_dropout"]
        {
            assert_eq!(told(json!({key: "x"}), json!({key: "y"})), None, "{key}");
            assert_eq!(told(json!({"text_config": {key: "x"}}), json!({"text_config": {key: "y"}})), None);
        }
        assert_eq!(
            told(
                json!({"eos_token_id": [1, 2], "text": {"hidden_act": "silu"}}),
                json!({"eos_token_id": 1, "text": {"hidden_act": "gelu"}})
            ),
            Some("text.hidden_act (\"silu\" and \"gelu\"), eos_token_id ([1,2] and 1)".to_owned())
        );
    }

    #[test]
    fn six_keys_are_named_and_those_that_tell_most_first() {
        let all = |x: u64| json!({"a": x, "b": x, "c": x, "d": x, "e": x, "f": x, "rms_norm_eps": x, "z": x});
        let text = told(all(1), all(2)).unwrap();
        assert!(
            text.starts_with("rms_norm_eps (1 and 2), a (1 and 2)") && text.ends_with(" and 2 more keys"),
            "{text}"
        );
    }

    #[test]
    fn rotary_embeddings_are_compared_across_versions_and_when_left_out() {
        let old = json!({"rope_theta": 1e6, "rope_scaling": null});
        let new = json!({"rope_parameters": {"rope_theta": 1_000_000, "rope_type": "default"}});
        assert_eq!(told(old.clone(), new), None);
        assert_eq!(told(json!({}), json!({"rope_theta": 10_000})), None);
        assert_eq!(told(json!({}), old.clone()).unwrap(), "rope_theta (10000.0 and 1000000.0)");
        let scaled = json!({"rope_theta": 1e6, "rope_scaling": {"type": "yarn", "factor": 4.0}});
        assert_eq!(
            told(old, scaled.clone()).unwrap(),
            "rope_scaling.factor (null and 4.0), rope_scaling.rope_type (null and \"yarn\")"
        );
        let renamed = json!({"rope_parameters": {"rope_theta": 1e6, "rope_type": "yarn", "factor": 4}});
        assert_eq!(told(scaled, renamed), None);
        let layers = |theta: f64| json!({"rope_parameters": {"full_attention": {"rope_theta": theta, "rope_type": "default"}}});
        assert_eq!(
            told(layers(1e6), layers(1e4)).unwrap(),
            "full_attention.rope_theta (1000000.0 and 10000.0)"
        );
    }

    #[test]
    fn labels_are_in_another_order_if_one_has_moved() {
        let ids = |labels: &[&str]| -> Value {
            let map = labels.iter().enumerate().map(|(id, label)| (id.to_string(), Value::from(*label)));
            json!({"id2label": map.collect::<serde_json::Map<_, _>>()})
        };
        let moved = |a: Value, b: Value| other_order(&a, &b).is_some();
        assert!(moved(ids(&["no", "yes"]), ids(&["yes", "no"])));
        assert!(moved(ids(&["no", "yes"]), ids(&["Yes", "No"])));
        assert!(moved(ids(&["no", "yes"]), json!({"label2id": {"yes": 0, "no": 1}})));
        assert!(moved(json!({"label2id": {"no": 0}}), json!({"label2id": {"no": "1"}})));
        assert!(!moved(ids(&["no", "yes"]), json!({"label2id": {"yes": 1, "no": 0}})));
        assert!(!moved(ids(&["no", "yes"]), ids(&["LABEL_0", "LABEL_1"])));
        assert!(!moved(ids(&["no", "yes"]), json!({})));
        assert!(told(ids(&["no", "yes"]), ids(&["LABEL_0", "LABEL_1"])).unwrap().starts_with("id2label ("));
    }
}
