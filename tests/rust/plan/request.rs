//! Requests that make no sense, rows of recipes, and the plan as JSON.

use _core::Mix;
use _core::checkpoint::{Adapters, OpenOptions};
use _core::dtype::Dtype;
use _core::io::remote::Objects;
use _core::plan::{Choices, agree};
use _core::plan::{Recipe, Row, Treatment, make};

use super::builder::{Kitchen, bf16, says, tensor};

fn row(pattern: &str, parts: &[u64]) -> Row {
    Row { pattern: pattern.into(), mixture: Mix::average(parts).unwrap().into() }
}

fn kitchen() -> Kitchen {
    let kitchen = Kitchen::new();
    for (name, salt) in [("a", 0), ("b", 1)] {
        kitchen.model(
            name,
            &[bf16("embed", &[4], salt), bf16("layers.0.w", &[2], salt), tensor("ids", "U8", &[3], &[1; 3])],
        );
    }
    kitchen
}

#[test]
fn senseless_requests_are_refused_with_all_reasons() {
    let kitchen = kitchen();
    let mut request = kitchen.weighted(&["a", "b"], &[1, 1, 1]);
    request.options.config_from = 2;
    request.options.dtype = Some(Dtype::I8);
    request.options.max_shard_size = Some(0);
    request.recipes.push(Recipe { rows: vec![], output: kitchen.path("out2") });
    let text = kitchen.refused(request);
    says(&text, "`out`: row `*`: expected parts for 2 ingredients, got 3");
    says(&text, "config_from: expected an ingredient below 2, got 2");
    says(&text, "means cannot be written as I8");
    says(&text, "expected a shard size of at least one byte, got 0");
    says(&text, "`out2`: the recipe has no rows");

    let mut request = kitchen.request(&["a"]);
    request.recipes.clear();
    request.ingredients.clear();
    let text = kitchen.refused(request);
    says(&text, "a recipe needs at least one ingredient");
    says(&text, "expected at least one recipe, got none");
}

#[test]
fn every_ingredient_that_cannot_be_opened_is_named() {
    let kitchen = kitchen();
    let text = kitchen.refusal(&["a", "missing", "b", "gone"]);
    says(&text, "`missing`");
    says(&text, "`gone`");
}

#[test]
fn the_first_row_that_matches_decides() {
    let kitchen = kitchen();
    let mut request = kitchen.request(&["a", "b"]);
    request.recipes[0].rows = vec![row("layers.?.*", &[1, 0]), row("*", &[1, 1]), row("nothing*", &[1, 2])];
    request.recipes.push(Recipe { rows: vec![row("*", &[1, 3])], output: kitchen.path("out2") });
    let plan = make(request).unwrap();
    let treatment =
        |name: &str| plan.tensors.iter().find(|tensor| tensor.name == name).unwrap().treatment.clone();
    assert_eq!(treatment("embed"), Treatment::Averaged { rows: vec![1, 0] });
    assert_eq!(treatment("layers.0.w"), Treatment::Averaged { rows: vec![0, 0] });
    assert_eq!(treatment("ids"), Treatment::Copied);
    assert_eq!(kitchen.warnings(&plan), ["`out`: row `nothing*` matches no tensor that is averaged"]);
    assert_eq!(plan.bytes_read(), 2 * 8 + 2 * 4 + 3);
    assert_eq!(plan.bytes_written(), 2 * plan.bytes_per_output());
}

#[test]
fn a_float_tensor_without_a_row_is_refused() {
    let kitchen = kitchen();
    let mut request = kitchen.request(&["a", "b"]);
    request.recipes[0].rows = vec![row("layers.*", &[1, 1])];
    let text = kitchen.refused(request);
    says(&text, "`out`: tensor `embed`: no row of the recipe matches");
    assert!(!text.contains("`ids`"), "{text}");
}

#[test]
fn only_tensors_with_parts_are_read() {
    let kitchen = kitchen();
    let mut request = kitchen.request(&["a", "b"]);
    request.recipes[0].rows = vec![row("embed", &[1, 0]), row("*", &[0, 1])];
    assert_eq!(make(request).unwrap().bytes_read(), 8 + 4 + 3);
}

#[test]
fn the_plan_is_told_as_json() {
    let kitchen = kitchen();
    kitchen.file("a/config.json", "{}").file("a/README.md", "x");
    let plan = kitchen.plan(&["a", "b"]);
    let json = plan.to_json();
    let path = |name: &str| kitchen.path(name).to_string_lossy().into_owned();
    assert_eq!(
        json["ingredients"][1],
        serde_json::json!({"path": path("b"), "shards": 1, "tensors": 3, "derived": 0, "adapted": 0, "bytes": 15, "bytes_to_fetch": 0})
    );
    assert_eq!(
        json["outputs"],
        serde_json::json!([{"path": path("out"), "rows": [{"pattern": "*", "numerators": [1, 1], "whole": 2}]}])
    );
    let size = plan.shards[0].size;
    assert_eq!(
        json["shards"],
        serde_json::json!([{"name": "model.safetensors", "size": size, "tensors": 3}])
    );
    assert_eq!(
        json["counts"],
        serde_json::json!({"averaged": 2, "copied": 1, "taken": 0, "left_out": 0, "tied": 0, "refused": 0})
    );
    assert_eq!(json["bytes_read"], 27);
    assert_eq!(json["bytes_written"], size + 2);
    assert_eq!((json["total_size"].as_u64(), json["total_parameters"].as_u64()), (Some(15), Some(9)));
    assert_eq!(json["side_files"], serde_json::json!(["config.json"]));
    assert_eq!(json["left_out"], serde_json::json!(["README.md"]));
    assert_eq!(json["config_from"], path("a"));
    assert_eq!(
        json["tensors"][2],
        serde_json::json!({"name": "ids", "dtype": "U8", "shape": [3], "fate": "copied", "from": null, "shard": "model.safetensors"})
    );
}

#[test]
fn ingredients_agree_without_a_recipe_and_as_they_may_be_opened() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("w", &[2], 0)]).model("elsewhere", &[bf16("w", &[2], 1)]);
    std::fs::create_dir(kitchen.path("b")).unwrap();
    let link = kitchen.path("b/model.safetensors");
    std::os::unix::fs::symlink("../elsewhere/model.safetensors", link).unwrap();
    let paths = [kitchen.path("a"), kitchen.path("b")];
    let text =
        agree(&paths, &Objects::default(), Adapters::default(), OpenOptions::default(), Choices::default())
            .unwrap_err()
            .to_string();
    says(&text, "outside the checkpoint");
    let agreement = agree(
        &paths,
        &Objects::default(),
        Adapters::default(),
        OpenOptions { follow_links: true, ..OpenOptions::default() },
        Choices::default(),
    )
    .unwrap();
    assert_eq!((agreement.checkpoints.len(), agreement.dropped.len()), (2, 0));
}
