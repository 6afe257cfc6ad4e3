//! Tied heads: every row of the table that speaks of them.

use super::builder::{Kitchen, bf16, overwrite, says};

const TIED: &str = r#"{"tie_word_embeddings": true}"#;
const UNTIED: &str = r#"{"tie_word_embeddings": false}"#;

/// Two models, the second with a stored head that is a copy of the embedding.
fn kitchen(config: &str) -> Kitchen {
    let kitchen = Kitchen::new();
    kitchen.model("bare", &[bf16("model.embed_tokens.weight", &[4, 2], 1), bf16("w", &[4, 2], 2)]);
    kitchen.model(
        "full",
        &[
            bf16("model.embed_tokens.weight", &[4, 2], 3),
            bf16("w", &[4, 2], 4),
            bf16("lm_head.weight", &[4, 2], 3),
        ],
    );
    kitchen.file("bare/config.json", config).file("full/config.json", config);
    kitchen
}

#[test]
fn a_copy_of_the_embedding_is_dropped_and_reported() {
    for config in [TIED, r#"{"text_config": {"tie_word_embeddings": true}}"#] {
        let kitchen = kitchen(config);
        for (order, holder) in [(["bare", "full"], 1), (["full", "bare"], 0)] {
            let plan = kitchen.plan(&order);
            assert_eq!(plan.tied, [("lm_head.weight".to_owned(), vec![holder])]);
            assert_eq!(plan.tensors.len(), 2);
            assert_eq!(plan.total_size, 32);
            let counts = &plan.to_json()["counts"];
            assert_eq!((counts["averaged"].as_u64(), counts["tied"].as_u64()), (Some(2), Some(1)));
        }
    }
}

#[test]
fn other_bytes_are_refused() {
    let kitchen = kitchen(TIED);
    overwrite(&kitchen.path("full/model.safetensors"), 3, 0);
    let text = kitchen.refusal(&["bare", "full"]);
    says(
        &text,
        "`full/model.safetensors`: tensor `lm_head.weight`: is not the embedding although `tie_word_embeddings` is \
         true, and other ingredients lack it: it differs from `model.embed_tokens.weight` at index 6",
    );
}

#[test]
fn a_copy_of_what_is_left_out_is_not_dropped() {
    let kitchen = kitchen(TIED);
    let mut request = kitchen.request(&["bare", "full"]);
    request.options.choices.leave_out = vec!["*embed_tokens*".into()];
    let text = kitchen.refused(request);
    says(&text, "tensor `lm_head.weight`: is not the embedding");
    says(&text, "it differs from `w` at index 0");
}

#[test]
fn a_head_without_a_tensor_of_its_shape_is_refused() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("w", &[2, 2], 0)]).file("a/config.json", TIED);
    kitchen
        .model("b", &[bf16("w", &[2, 2], 0), bf16("lm_head.weight", &[3, 2], 0)])
        .file("b/config.json", TIED);
    says(&kitchen.refusal(&["a", "b"]), "no tensor of its shape and dtype is there");
}

#[test]
fn flags_that_differ_are_refused() {
    let kitchen = kitchen(TIED);
    kitchen.file("full/config.json", UNTIED);
    let text = kitchen.refusal(&["bare", "full"]);
    says(
        &text,
        "`full/config.json`: expected `tie_word_embeddings` to be true as in `bare/config.json`, got false",
    );
    says(&text, "`full/model.safetensors`: tensor `lm_head.weight`: missing in `bare`");
    let text = kitchen.refusal(&["full", "bare"]);
    says(
        &text,
        "`bare/config.json`: expected `tie_word_embeddings` to be false as in `full/config.json`, got true",
    );
}

#[test]
fn without_the_flag_a_missing_head_is_refused_with_a_hint() {
    for config in [UNTIED, "{}"] {
        let text = kitchen(config).refusal(&["full", "bare"]);
        says(&text, "`bare`: tensor `lm_head.weight`: missing, but `full` has it");
        says(&text, "a tied copy of the embedding is left out only where");
    }
}

#[test]
fn the_config_that_is_written_must_say_so_itself() {
    let kitchen = kitchen(TIED);
    kitchen.file("bare/config.json", "{}");
    says(&kitchen.refusal(&["bare", "full"]), "tensor `lm_head.weight`: missing in `bare`");
    assert_eq!(kitchen.plan(&["full", "bare"]).tied.len(), 1);
}

#[test]
fn a_head_that_all_have_is_averaged() {
    let kitchen = kitchen(TIED);
    let plan = kitchen.plan(&["full", "full"]);
    assert_eq!(plan.tensors.len(), 3);
    assert!(plan.tied.is_empty());
}

#[test]
fn the_head_of_an_ingredient_without_parts_is_dropped_unread() {
    let kitchen = kitchen(TIED);
    overwrite(&kitchen.path("full/model.safetensors"), 3, 0);
    let plan = _core::plan::make(kitchen.weighted(&["bare", "full"], &[1, 0])).unwrap();
    assert_eq!(plan.tied, [("lm_head.weight".to_owned(), vec![1])]);
}

#[test]
fn a_shard_that_held_only_the_head_is_not_written() {
    let kitchen = kitchen(TIED);
    let (embed, w, head) = (
        bf16("model.embed_tokens.weight", &[4, 2], 3),
        bf16("w", &[4, 2], 4),
        bf16("lm_head.weight", &[4, 2], 3),
    );
    kitchen.sharded("split", &[&[head], &[embed], &[w]]).file("split/config.json", TIED);
    let plan = kitchen.plan(&["split", "bare"]);
    let names: Vec<_> = plan.shards.iter().map(|shard| shard.name.as_str()).collect();
    assert_eq!(names, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
    assert_eq!(plan.tensors[1].shard, 1);
}
