//! Which tensors may be averaged: every row of the table of dtypes and of the table of differences.

use _core::ProblemKind;
use _core::dtype::Dtype;
use _core::plan::{Choices, Treatment, make};

use super::builder::{Kitchen, bf16, says, tensor};

#[test]
fn float_tensors_are_averaged_whatever_their_dtype() {
    for (dtype, size) in [("F64", 8), ("F32", 4), ("F16", 2), ("BF16", 2)] {
        let kitchen = Kitchen::new();
        kitchen.model("a", &[tensor("w", dtype, &[3], &vec![0; 3 * size])]);
        kitchen.model("b", &[tensor("w", dtype, &[3], &vec![1; 3 * size])]);
        let plan = kitchen.plan(&["a", "b"]);
        assert_eq!(plan.tensors[0].treatment, Treatment::Averaged { rows: vec![0] });
        assert_eq!(plan.tensors[0].dtype.name(), dtype);
        assert!(plan.warnings.is_empty());
    }
}

#[test]
fn mixed_float_dtypes_are_averaged_as_the_first_and_told() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("u", &[2], 0), bf16("v", &[2], 0)]);
    kitchen.model("b", &[tensor("u", "F32", &[2], &[0; 8]), tensor("v", "F64", &[2], &[0; 16])]);
    let plan = kitchen.plan(&["a", "b"]);
    assert_eq!(plan.tensors[0].dtype, Dtype::BF16);
    assert_eq!(plan.tensors[0].sources[1].dtype, Dtype::F32);
    assert_eq!(
        kitchen.warnings(&plan),
        [
            "`b`: `u` and 1 more tensor: F32 where `a` has another float dtype; the mean is exact, and rounded once"
        ]
    );
}

#[test]
fn one_mixed_float_dtype_is_told_without_a_count() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("u", &[1], 0)]).model("b", &[tensor("u", "F32", &[1], &[0; 4])]);
    says(&kitchen.warnings(&kitchen.plan(&["a", "b"]))[0], "`b`: `u`: F32 where `a` has another");
}

#[test]
fn equal_integers_and_booleans_are_copied() {
    for (dtype, size) in [
        ("I8", 1),
        ("I16", 2),
        ("I32", 4),
        ("I64", 8),
        ("U8", 1),
        ("U16", 2),
        ("U32", 4),
        ("U64", 8),
        ("BOOL", 1),
    ] {
        let kitchen = Kitchen::new();
        let ids = tensor("ids", dtype, &[3], &vec![1; 3 * size]);
        kitchen.model("a", &[ids.clone(), bf16("w", &[2], 0)]).model("b", &[bf16("w", &[2], 1), ids]);
        let plan = kitchen.plan(&["a", "b"]);
        assert_eq!(plan.tensors[0].treatment, Treatment::Copied, "{dtype}");
        let counts = &plan.to_json()["counts"];
        assert_eq!((counts["averaged"].as_u64(), counts["copied"].as_u64()), (Some(1), Some(1)));
    }
}

#[test]
fn differing_integers_are_refused_with_index_and_values() {
    let check = |dtype: &'static str, a: &[u8], b: &[u8], shape: u64, expected: &str| {
        let kitchen = Kitchen::new();
        kitchen.model("a", &[tensor("ids", dtype, &[shape], a)]);
        kitchen.model("b", &[tensor("ids", dtype, &[shape], b)]);
        let start = "`b/model.safetensors`: tensor `ids`: differs from `a/model.safetensors` at ";
        says(&kitchen.refusal(&["a", "b"]), &format!("{start}{expected}"));
    };
    check("I64", &[0; 24], &[[0; 16], [255; 16]].concat()[..24], 3, "index 2: expected 0, got -1");
    check("U16", &[1, 0, 2, 0], &[1, 0, 2, 1], 2, "index 1: expected 2, got 258");
    check("BOOL", &[0, 1], &[1, 1], 2, "index 0: expected false, got true");
}

#[test]
fn integers_are_compared_beyond_the_first_block() {
    let kitchen = Kitchen::new();
    let (a, mut b) = (vec![7; 9 << 20], vec![7; 9 << 20]);
    b[(9 << 20) - 3] = 8;
    kitchen.model("a", &[tensor("ids", "I32", &[9 << 18], &a)]);
    kitchen.model("b", &[tensor("ids", "I32", &[9 << 18], &b)]);
    says(&kitchen.refusal(&["a", "b"]), "at index 2359295: expected 117901063, got 117901319");
}

#[test]
fn scaled_codes_and_complex_numbers_are_refused() {
    let check = |dtype: &'static str, shape: u64, bytes: usize, expected: &str| {
        let kitchen = Kitchen::new();
        let codes = tensor("w", dtype, &[shape], &vec![0; bytes]);
        kitchen.model("a", std::slice::from_ref(&codes)).model("b", &[codes]);
        let problems = kitchen.problems(&["a", "b"]);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.iter().all(|problem| problem.kind == ProblemKind::UnsupportedDtype));
        says(&kitchen.refusal(&["a", "b"]), &format!("`a/model.safetensors`: tensor `w`: {expected}"));
    };
    for dtype in ["F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"] {
        check(dtype, 4, 4, &format!("{dtype} holds scaled codes"));
    }
    check("F6_E2M3", 4, 3, "F6_E2M3 holds scaled codes");
    check("F6_E3M2", 4, 3, "F6_E3M2 holds scaled codes");
    check("F4", 4, 2, "F4 holds scaled codes");
    check("C64", 4, 32, "C64 holds complex numbers, which are not averaged");
}

#[test]
fn an_integer_here_and_a_float_there_is_refused() {
    let check = |dtype: &'static str, bytes: usize| {
        let kitchen = Kitchen::new();
        kitchen.model("a", &[bf16("w", &[2], 0)]).model("b", &[tensor("w", dtype, &[2], &vec![0; bytes])]);
        let text = kitchen.refusal(&["a", "b"]);
        says(&text, &format!("`b/model.safetensors`: tensor `w`: expected dtype BF16, got {dtype}"));
        let text = kitchen.refusal(&["b", "a"]);
        says(&text, &format!("`a/model.safetensors`: tensor `w`: expected dtype {dtype}, got BF16"));
    };
    check("I16", 4);
    check("BOOL", 2);
}

#[test]
fn integers_of_different_width_are_refused() {
    let kitchen = Kitchen::new();
    kitchen
        .model("a", &[tensor("w", "I32", &[2], &[0; 8])])
        .model("b", &[tensor("w", "I64", &[2], &[0; 16])]);
    says(&kitchen.refusal(&["a", "b"]), "expected dtype I32, got I64");
}

#[test]
fn integers_of_another_shape_are_refused_for_that_alone() {
    let kitchen = Kitchen::new();
    kitchen
        .model("a", &[tensor("ids", "I32", &[2], &[0; 8])])
        .model("b", &[tensor("ids", "I32", &[1], &[1; 4])]);
    for order in [["a", "b"], ["b", "a"]] {
        let problems = kitchen.problems(&order);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.starts_with("expected shape "), "{problems:?}");
    }
}

#[test]
fn quantised_models_are_known_by_their_names() {
    let suffixes = [
        ".qweight",
        ".qzeros",
        ".g_idx",
        ".weight_packed",
        ".weight_scale",
        ".weight_scale_inv",
        ".absmax",
        ".quant_map",
        ".SCB",
    ];
    for suffix in suffixes {
        let kitchen = Kitchen::new();
        let tensors = [0, 1].map(|i| bf16(&format!("layers.{i}.up_proj{suffix}"), &[2], 0));
        kitchen.model("a", &tensors).model("b", &tensors);
        let text = kitchen.refusal(&["a", "b"]);
        says(
            &text,
            &format!(
                "`a/model.safetensors`: tensor `layers.0.up_proj{suffix}`: belongs to a model quantised as"
            ),
        );
        says(&text, "with 1 more such tensor");
        says(&text, "dequantise to BF16 first");
    }
}

#[test]
fn one_quantised_tensor_is_told_without_a_count() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("w.qweight", &[2], 0)]);
    let text = kitchen.refusal(&["a", "a"]);
    assert!(!text.contains("more such tensors"), "{text}");
}

#[test]
fn quantised_models_are_known_by_their_config() {
    let check = |config: &str, expected: &str| {
        let kitchen = Kitchen::new();
        for name in ["a", "b"] {
            kitchen.model(name, &[bf16("w", &[2], 0)]);
        }
        kitchen.file("b/config.json", config);
        says(&kitchen.refusal(&["a", "b"]), &format!("`b/config.json`: {expected}"));
    };
    let says_so = "says that the model is quantised";
    check(
        r#"{"quantization_config": {"quant_method": "awq"}}"#,
        &format!("`quantization_config` {says_so} (awq)"),
    );
    check(r#"{"compression_config": {"format": "pack"}}"#, &format!("`compression_config` {says_so} (pack)"));
    check(r#"{"text_config": {"quantization_config": {}}}"#, &format!("`quantization_config` {says_so}"));
}

#[test]
fn another_shape_is_refused() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("w", &[2, 3], 0)]).model("b", &[bf16("w", &[3, 2], 0)]);
    let text = kitchen.refusal(&["a", "b"]);
    says(&text, "`b/model.safetensors`: tensor `w`: expected shape [2, 3], got [3, 2]\nhint: ");
    assert!(!text.contains("vocabular"), "{text}");
}

#[test]
fn other_differences_are_not_called_a_vocabulary() {
    let check = |name: &str, a: &[u64], b: &[u64]| {
        let kitchen = Kitchen::new();
        kitchen.model("a", &[bf16(name, a, 0)]).model("b", &[bf16(name, b, 0)]);
        let text = kitchen.refusal(&["a", "b"]);
        says(&text, "expected shape ");
        assert!(!text.contains("vocabular"), "{text}");
    };
    check("mlp.weight", &[2, 3], &[4, 3]);
    check("lm_head.weight", &[2, 3], &[4, 5]);
    check("lm_head.weight", &[2, 3], &[2]);
    check("lm_head.weight", &[2], &[3, 1]);
}

#[test]
fn another_vocabulary_is_called_that() {
    for name in ["lm_head.weight", "model.embed_tokens.weight"] {
        let kitchen = Kitchen::new();
        kitchen.model("a", &[bf16(name, &[32, 4], 0)]).model("b", &[bf16(name, &[33, 4], 0)]);
        let text = kitchen.refusal(&["a", "b"]);
        let expected = "expected shape [32, 4], got [33, 4]: the vocabularies differ, 32 and 33 tokens";
        says(&text, &format!("tensor `{name}`: {expected}"));
        says(&text, "leave `b` out of the recipe");
    }
}

#[test]
fn a_missing_name_is_refused_on_either_side() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("w", &[2], 0), bf16("only\u{1b}a", &[2], 0)]);
    kitchen.model("b", &[bf16("w", &[2], 0), bf16("only_b", &[2], 0)]);
    let text = kitchen.refusal(&["a", "b"]);
    says(&text, "`b`: tensor `only\\u{1b}a`: missing, but `a` has it");
    says(&text, "`b/model.safetensors`: tensor `only_b`: missing in `a`");
    assert_eq!(kitchen.problems(&["a", "b", "b"]).len(), 4);
}

#[test]
fn twenty_missing_names_are_listed_and_the_rest_counted() {
    let kitchen = Kitchen::new();
    let tensors: Vec<_> = (0..26).map(|i| bf16(&format!("w{i:02}"), &[1], 0)).collect();
    kitchen.model("a", &tensors).model("b", &tensors[..1]);
    let problems = kitchen.problems(&["a", "b"]);
    assert_eq!(problems.len(), 21);
    assert_eq!(problems[20].message, "5 more tensors are missing");
}

#[test]
fn a_prefix_on_all_names_is_hinted_at() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("norm", &[2], 0), bf16("embed", &[2], 0)]);
    kitchen.model("b", &[bf16("model.norm", &[2], 0), bf16("model.embed", &[2], 0)]);
    let hint = "the names in `b` begin with `model.` where those in `a` do not";
    says(&kitchen.refusal(&["a", "b"]), hint);
    says(&kitchen.refusal(&["b", "a"]), hint);
}

#[test]
fn an_ingredient_with_zero_parts_is_checked_but_not_read() {
    let kitchen = Kitchen::new();
    let ids = |value: u8| tensor("ids", "U8", &[2], &[value, value]);
    kitchen.model("a", &[bf16("w", &[2], 0), ids(1)]).model("b", &[bf16("w", &[2], 0), ids(2)]);
    let plan = make(kitchen.weighted(&["a", "b"], &[1, 0])).unwrap();
    assert_eq!(plan.bytes_read(), 4 + 2);
    kitchen.model("b", &[bf16("w", &[3], 0), ids(1)]);
    says(&kitchen.refused(kitchen.weighted(&["a", "b"], &[1, 0])), "expected shape [2], got [3]");
}

#[test]
fn the_same_checkpoint_twice_is_two_ingredients() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("w", &[2], 0), tensor("ids", "U8", &[1], &[1])]);
    let plan = kitchen.plan(&["a", "a"]);
    assert_eq!(plan.tensors.iter().map(|tensor| tensor.sources.len()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("v", &[2], 0), bf16("w", &[2], 0), tensor("ids", "U8", &[1], &[1])]);
    kitchen.model("b", &[bf16("v", &[3], 0), bf16("w", &[2], 0), tensor("ids", "U8", &[1], &[2])]);
    kitchen.model("c", &[bf16("v", &[2], 0), tensor("ids", "U8", &[1], &[1])]);
    kitchen.file("c/config.json", "{");
    let text = kitchen.refusal(&["a", "b", "c"]);
    says(&text, "expected shape [2], got [3]");
    says(&text, "at index 0: expected 1, got 2");
    says(&text, "`c`: tensor `w`: missing");
    says(&text, "`c/config.json`: not valid JSON");
}

#[test]
fn choices_about_tensors_hold_before_ingredients_are_compared() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("w", &[2], 0), bf16("only_a", &[2], 1), bf16("ema", &[3], 0)]);
    kitchen.model("b", &[bf16("w", &[2], 2), bf16("score", &[2], 0), bf16("ema", &[4], 0)]);
    let mut request = kitchen.request(&["a", "b"]);
    request.options.choices =
        Choices { leave_out: vec!["em?".into()], take: vec![("score".into(), 1), ("only*".into(), 0)] };
    let plan = make(request.clone()).unwrap();
    let treatment = |name: &str| &plan.tensors.iter().find(|tensor| tensor.name == name).unwrap().treatment;
    assert_eq!(treatment("only_a"), &Treatment::Taken { from: 0 });
    assert_eq!(treatment("score"), &Treatment::Taken { from: 1 });
    assert_eq!(plan.tensors_left_out.get("ema"), Some(&Some("em?".into())));
    assert_eq!(plan.bytes_read(), 4 * 2 + 4 + 4);
    request.options.choices.take[0].1 = 0;
    says(&kitchen.refused(request), "tensor `score`: cannot be taken from `a`: only `b` has it");
}

#[test]
fn what_is_taken_for_a_part_without_tensors_is_one_whole_file() {
    let kitchen = Kitchen::new();
    let modules = r#"[{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}]"#;
    for name in ["a", "b"] {
        kitchen.model(name, &[bf16("w", &[2], 0)]);
        kitchen.file(&format!("{name}/modules.json"), modules);
        kitchen.file(&format!("{name}/1_Pooling/config.json"), "{}");
    }
    kitchen.sharded("b/1_Pooling", &[&[bf16("weights", &[2], 0)], &[bf16("more", &[2], 0)]]);
    let mut request = kitchen.request(&["a", "b"]);
    request.options.choices.take = vec![("1_Pooling/*".into(), 1)];
    let plan = make(request).unwrap();
    let shards: Vec<&str> = plan.shards.iter().map(|shard| shard.name.as_str()).collect();
    assert_eq!(shards, ["model.safetensors", "1_Pooling/model.safetensors"]);
    assert!(plan.indexes.is_empty());
}

#[test]
fn a_name_that_begins_with_a_slash_stays_as_it_is() {
    let kitchen = Kitchen::new();
    for name in ["a", "b"] {
        kitchen.model(name, &[bf16("/w", &[2], 0), bf16("w", &[2], 0)]);
    }
    let plan = kitchen.plan(&["a", "b"]);
    says(std::str::from_utf8(&plan.shards[0].header[8..]).unwrap(), r#""/w":{"#);
}

#[test]
fn buffers_that_loaders_make_are_left_out_where_one_lacks_them() {
    let kitchen = Kitchen::new();
    let ids = tensor("embeddings.position_ids", "I64", &[1, 2], &[0; 16]);
    let mask = |name: &str| tensor(name, "BOOL", &[1, 1, 2, 2], &[1, 0, 1, 1]);
    kitchen.model("a", &[bf16("w", &[2], 0), ids, mask("h.0.attn.bias")]);
    kitchen.model("b", &[bf16("w", &[2], 0), mask("h.0.attn.bias")]);
    let plan = make(kitchen.request(&["a", "b"])).unwrap();
    assert_eq!(plan.tensors_left_out.keys().collect::<Vec<_>>(), ["embeddings.position_ids"]);
    assert_eq!(plan.tensors.len(), 2);
    says(&kitchen.warnings(&plan)[0], "`a`: `embeddings.position_ids`: left out");
}
