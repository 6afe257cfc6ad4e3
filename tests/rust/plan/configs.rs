//! Configs that say other things about models of one shape, and routers of mixtures of experts.

use _core::mix::Mix;
use _core::plan::{Row, make};

use super::builder::{Kitchen, bf16, says};

fn kitchen(a: &str, b: &str) -> Kitchen {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("w", &[2], 0)]).model("b", &[bf16("w", &[2], 1)]);
    kitchen.file("a/config.json", a).file("b/config.json", b);
    kitchen
}

#[test]
fn another_model_type_and_another_order_of_labels_are_refused_and_may_be_allowed() {
    for (a, b, expected) in [
        (
            r#"{"model_type": "llama"}"#,
            r#"{"model_type": "mistral"}"#,
            "`model_type` is \"mistral\", but \"llama\" in `a/config.json`",
        ),
        (
            r#"{"id2label": {"0": "no", "1": "yes"}}"#,
            r#"{"id2label": {"0": "yes", "1": "no"}}"#,
            "label `no` is number 1, but 0 in `a/config.json`",
        ),
    ] {
        let kitchen = kitchen(a, b);
        let text = kitchen.refusal(&["a", "b"]);
        says(&text, &format!("`b/config.json`: {expected}"));
        says(&text, "`--allow-different-configs`");
        let mut request = kitchen.request(&["a", "b"]);
        request.options.allow_different_configs = true;
        let warnings = kitchen.warnings(&make(request).unwrap());
        says(&warnings[0], expected);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}

#[test]
fn keys_that_change_what_a_model_computes_are_told() {
    for key in ["rms_norm_eps", "rope_theta", "sliding_window", "hidden_act", "num_experts_per_tok"] {
        let kitchen = kitchen(&format!(r#"{{"{key}": 1}}"#), &format!(r#"{{"{key}": 2}}"#));
        let warnings = kitchen.warnings(&kitchen.plan(&["a", "b"]));
        assert_eq!(
            warnings,
            [format!("`b/config.json` differs from the one in `a`, which the soup gets: {key} (1 and 2)")]
        );
    }
    let kitchen = kitchen(
        r#"{"transformers_version": "4", "use_cache": true}"#,
        r#"{"transformers_version": "5", "use_cache": false}"#,
    );
    assert!(kitchen.plan(&["a", "b"]).warnings.is_empty());
}

#[test]
fn averaged_routers_are_told_of() {
    let mixture = |router: &str| {
        let kitchen = Kitchen::new();
        for (salt, name) in ["a", "b"].into_iter().enumerate() {
            let tensors = ["model.layers.0.mlp.experts.0.up_proj.weight", router]
                .map(|tensor| bf16(tensor, &[2], salt as u8));
            kitchen.model(name, &tensors);
        }
        kitchen
    };
    for (router, pattern) in [
        ("model.layers.0.mlp.gate.weight", "*.gate.*"),
        ("model.layers.0.mlp.router.weight", "*.router.*"),
        ("model.layers.0.block_sparse_moe.router.layer.weight", "*.router.*"),
    ] {
        let kitchen = mixture(router);
        let warnings = kitchen.warnings(&kitchen.plan(&["a", "b"]));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        says(&warnings[0], &format!("(`{router}`)"));
        says(&warnings[0], "arXiv:2606.03391");
        says(&warnings[0], &format!("`--take '{pattern}=INGREDIENT'`"));
        let mut request = kitchen.request(&["a", "b"]);
        let only = Row { pattern: pattern.to_owned(), mixture: Mix::average(&[1, 0]).unwrap().into() };
        request.recipes[0].rows.insert(0, only);
        assert!(make(request).unwrap().warnings.is_empty());
    }
    assert!(mixture("model.layers.0.mlp.gate_proj.weight").plan(&["a", "b"]).warnings.is_empty());
}
