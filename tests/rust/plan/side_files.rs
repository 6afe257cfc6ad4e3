//! Side files: what comes along, what stays behind, and the dtype in `config.json`.

use std::fs::File;
use std::os::unix::fs::symlink;

use _core::dtype::Dtype;
use _core::plan::{Plan, SideContent, make};

use super::builder::{Kitchen, bf16, says, tensor};

fn kitchen() -> Kitchen {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("w", &[2], 0)]).model("b", &[bf16("w", &[2], 1)]);
    kitchen
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.side_files.iter().map(|file| file.name.as_str()).collect()
}

fn config(plan: &Plan) -> String {
    let file = plan.side_files.iter().find(|file| file.name == "config.json").unwrap();
    let SideContent::Bytes(bytes) = &file.content else { panic!("config.json is not held as bytes") };
    String::from_utf8(bytes.clone()).unwrap()
}

#[test]
fn the_allow_list_comes_along_and_the_rest_is_listed() {
    let kitchen = kitchen();
    let along = [
        "LICENSE.txt",
        "NOTICE",
        "additional_chat_templates/tool.jinja",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "tokenizer.model",
    ];
    let behind = [
        ".gitattributes",
        "README.md",
        "adapter_config.json",
        "additional_chat_templates/x.py",
        "modeling.py",
        "optimizer.pt",
        "pytorch_model.bin.index.json",
        "soce.json",
    ];
    for name in along.iter().chain(&behind) {
        kitchen.file(&format!("a/{name}"), "{}");
    }
    kitchen.file("a/onnx/model.onnx", "").file("b/only_b.json", "{}");
    let plan = kitchen.plan(&["a", "b"]);
    assert_eq!(names(&plan), along);
    assert_eq!(
        plan.left_out,
        [
            ".gitattributes",
            "README.md",
            "adapter_config.json",
            "additional_chat_templates/x.py",
            "modeling.py",
            "onnx/",
            "optimizer.pt",
            "pytorch_model.bin.index.json",
            "soce.json",
        ]
    );
    let path = kitchen.path("a/NOTICE");
    assert_eq!(plan.side_files[1].content, SideContent::CopyOf(path, 2));
}

#[test]
fn the_settings_of_mistrals_own_format_come_along_and_those_of_a_training_do_not() {
    let kitchen = kitchen();
    kitchen.file("a/params.json", "{}");
    assert_eq!(kitchen.plan(&["a", "b"]).left_out, ["params.json"]);
    for name in ["a", "b"] {
        let shard = kitchen.path(name).join("model.safetensors");
        std::fs::rename(&shard, shard.with_file_name("consolidated.safetensors")).unwrap();
    }
    assert_eq!(names(&kitchen.plan(&["a", "b"])), ["params.json"]);
}

#[test]
fn numbers_of_a_config_that_are_not_finite_are_copied() {
    let kitchen = kitchen();
    let text = r#"{"time_step_limit": [0.0, Infinity], "x": -Infinity, "y": NaN}"#;
    kitchen.file("a/config.json", text).file("b/config.json", text);
    let plan = kitchen.plan(&["a", "b"]);
    assert_eq!(config(&plan), text);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn another_ingredient_may_give_the_config() {
    let kitchen = kitchen();
    kitchen.file("a/config.json", r#"{"of": "a"}"#).file("b/config.json", r#"{"of": "b"}"#);
    let mut request = kitchen.request(&["a", "b"]);
    request.options.config_from = 1;
    let plan = make(request).unwrap();
    assert_eq!(config(&plan), r#"{"of": "b"}"#);
    let warnings = kitchen.warnings(&plan);
    says(
        &warnings[0],
        "`a/config.json` differs from the one in `b`, which the soup gets: of (\"b\" and \"a\")",
    );
    says(&warnings[1], "config and tokenizer come from `b`, shard layout and dtypes from `a`");
}

#[test]
fn code_is_copied_or_left_only_when_asked() {
    for file in ["config.json", "tokenizer_config.json"] {
        let kitchen = kitchen();
        kitchen
            .file(&format!("a/{file}"), r#"{"auto_map": {"AutoModel": "modeling.Model"}}"#)
            .file("a/modeling.py", "");
        let text = kitchen.refusal(&["a", "b"]);
        says(&text, &format!("`a/{file}`: `auto_map` names code that is run when the model is loaded"));
        says(&text, "`--copy-code`");
        says(&text, "`--no-code`");
        for copy in [true, false] {
            let mut request = kitchen.request(&["a", "b"]);
            request.options.copy_code = Some(copy);
            let plan = make(request).unwrap();
            assert_eq!(names(&plan).contains(&"modeling.py"), copy);
            assert_eq!(plan.left_out.contains(&"modeling.py".to_owned()), !copy);
        }
    }
}

#[test]
fn code_without_auto_map_stays_behind_unasked() {
    let kitchen = kitchen();
    kitchen.file("a/config.json", r#"{"auto_map": null}"#).file("a/train.py", "");
    assert_eq!(kitchen.plan(&["a", "b"]).left_out, ["train.py"]);
}

#[test]
fn links_follow_the_rule_for_shards() {
    let kitchen = kitchen();
    kitchen.file("elsewhere.json", "{}");
    symlink(kitchen.path("elsewhere.json"), kitchen.path("a/generation_config.json")).unwrap();
    says(&kitchen.refusal(&["a", "b"]), "`a/generation_config.json`: is a link to");
    let mut request = kitchen.request(&["a", "b"]);
    request.options.open.follow_links = true;
    assert_eq!(names(&make(request).unwrap()), ["generation_config.json"]);
}

#[test]
fn a_side_file_that_dangles_is_refused() {
    let kitchen = kitchen();
    symlink("gone", kitchen.path("a/tokenizer_config.json")).unwrap();
    says(
        &kitchen.refusal(&["a", "b"]),
        "`a/tokenizer_config.json`: is a link to `gone`, which does not exist",
    );
}

#[test]
fn large_side_files_are_refused() {
    let kitchen = kitchen();
    let check = |name: &str, most: u64| {
        let path = kitchen.path(name);
        File::create(&path).unwrap().set_len(most + 1).unwrap();
        says(
            &kitchen.refusal(&["a", "b"]),
            &format!("`{name}`: expected at most {most} bytes, got {}", most + 1),
        );
        std::fs::remove_file(path).unwrap();
    };
    check("a/notes.txt", 256 << 20);
    check("b/config.json", 16 << 20);
    check("a/tokenizer.json", 128 << 20);
}

#[test]
fn a_config_with_a_repeated_key_is_refused() {
    let kitchen = kitchen();
    kitchen.file("b/config.json", r#"{"a": 1, "a": 2}"#);
    says(&kitchen.refusal(&["a", "b"]), "`b/config.json`: not valid JSON: byte 9: `a` is there twice");
}

#[test]
fn the_dtype_in_the_config_is_kept_true() {
    let check = |text: &str, dtype: Option<Dtype>, expected: &str| {
        let kitchen = kitchen();
        kitchen.file("a/config.json", text);
        let mut request = kitchen.request(&["a", "b"]);
        request.options.dtype = dtype;
        assert_eq!(config(&make(request).unwrap()), expected);
    };
    let text = "{\"x\": 1e3 ,\n \"torch_dtype\": \"bfloat16\"}\n";
    check(text, None, text);
    check(text, Some(Dtype::BF16), text);
    check(text, Some(Dtype::F16), "{\"x\": 1e3 ,\n \"torch_dtype\": \"float16\"}\n");
    check(r#"{"dtype":"float32"}"#, None, r#"{"dtype":"bfloat16"}"#);
    check("{}", Some(Dtype::F32), "{}");
}

#[test]
fn mixed_output_dtypes_leave_the_config_alone() {
    let kitchen = Kitchen::new();
    let model = [bf16("w", &[2], 0), tensor("v", "F32", &[1], &[0; 4])];
    kitchen.model("a", &model).file("a/config.json", r#"{"dtype": "float16"}"#);
    assert_eq!(config(&kitchen.plan(&["a", "a"])), r#"{"dtype": "float16"}"#);
}
