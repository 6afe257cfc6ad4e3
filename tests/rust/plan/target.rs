//! Where an output may not go.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;

use _core::plan::{Recipe, make};

use super::builder::{Kitchen, bf16, says};

fn kitchen() -> Kitchen {
    let kitchen = Kitchen::new();
    kitchen.model("models/a", &[bf16("w", &[2], 0)]).model("b", &[bf16("w", &[2], 1)]);
    kitchen
}

fn refused(kitchen: &Kitchen, output: &str) -> String {
    let mut request = kitchen.request(&["models/a", "b"]);
    request.recipes[0].output = kitchen.path(output);
    request.options.overwrite = true;
    kitchen.refused(request)
}

#[test]
fn an_absent_or_empty_directory_is_fine() {
    let kitchen = kitchen();
    kitchen.plan(&["models/a", "b"]);
    fs::create_dir(kitchen.path("out")).unwrap();
    kitchen.plan(&["models/a", "b"]);
}

#[test]
fn two_outputs_that_are_there_already_are_two() {
    let kitchen = kitchen();
    let mut request = kitchen.request(&["models/a", "b"]);
    let row = request.recipes[0].rows[0].clone();
    for name in ["one", "two"] {
        fs::create_dir(kitchen.path(name)).unwrap();
        request.recipes.push(Recipe { rows: vec![row.clone()], output: kitchen.path(name) });
    }
    make(request).unwrap();
}

#[test]
fn an_ingredient_is_no_target_under_any_name() {
    let kitchen = kitchen();
    says(&refused(&kitchen, "models/a"), "`models/a`: is the ingredient `models/a`");
    says(&refused(&kitchen, "models/../b"), "`models/../b`: is the ingredient `b`");
    symlink("b", kitchen.path("link")).unwrap();
    says(&refused(&kitchen, "link"), "`link`: is the ingredient `b`");
    fs::hard_link(kitchen.path("b/model.safetensors"), kitchen.path("hard")).unwrap();
    says(&refused(&kitchen, "hard"), "`hard`: is the ingredient `b`");
}

#[test]
fn a_target_inside_or_around_an_ingredient_is_refused() {
    let kitchen = kitchen();
    says(&refused(&kitchen, "b/soup"), "`b/soup`: lies inside the ingredient `b`");
    symlink("b", kitchen.path("link")).unwrap();
    says(&refused(&kitchen, "link/soup"), "`link/soup`: lies inside the ingredient `b`");
    fs::create_dir(kitchen.path("b/deep")).unwrap();
    says(&refused(&kitchen, "b/deep/soup"), "`b/deep/soup`: lies inside the ingredient `b`");
    says(&refused(&kitchen, "models"), "`models`: contains the ingredient `models/a`");
    symlink("models", kitchen.path("models_link")).unwrap();
    says(&refused(&kitchen, "models_link"), "`models_link`: contains the ingredient `models/a`");
}

#[test]
fn blobs_behind_a_cached_snapshot_are_protected() {
    let kitchen = kitchen();
    let blob = format!("hub/models--o--m/blobs/{}", "0".repeat(64));
    kitchen.model("t", &[bf16("w", &[2], 0)]);
    kitchen.file(&blob, fs::read(kitchen.path("t/model.safetensors")).unwrap());
    let snapshot = kitchen.path("hub/models--o--m/snapshots/1");
    fs::create_dir_all(&snapshot).unwrap();
    symlink(kitchen.path(&blob), snapshot.join("model.safetensors")).unwrap();
    let mut request = kitchen.request(&["hub/models--o--m/snapshots/1", "b"]);
    request.recipes[0].output = kitchen.path("hub/models--o--m/blobs");
    says(&kitchen.refused(request), "contains the ingredient `hub/models--o--m/snapshots/1`");
}

#[test]
fn a_target_beside_a_model_given_as_a_file_is_fine() {
    let kitchen = kitchen();
    let mut request = kitchen.request(&["b/model.safetensors", "b/model.safetensors"]);
    request.recipes[0].output = kitchen.path("b/soup");
    assert!(make(request.clone()).is_ok());
    request.recipes[0].output = kitchen.path("b");
    says(&kitchen.refused(request), "`b`: contains the ingredient `b/model.safetensors`");
}

#[test]
fn the_parent_must_be_a_directory() {
    let kitchen = kitchen();
    kitchen.file("file", "");
    says(&refused(&kitchen, "gone/out"), "`gone`: does not exist");
    says(&refused(&kitchen, "file/out"), "`file`: is not a directory");
    says(&refused(&kitchen, "models/.."), "names no directory that can be made");
}

#[test]
fn a_parent_that_cannot_be_written_to_is_refused() {
    // The superuser may write anywhere but into /proc.
    let mut request = kitchen().request(&["models/a", "b"]);
    let kitchen = kitchen();
    request.ingredients = ["models/a", "b"].map(|name| kitchen.path(name)).to_vec();
    request.recipes[0].output = "/proc/out".into();
    if fs::metadata("/proc").is_ok() {
        let text = kitchen.refused(request);
        assert!(text.contains("/proc"), "{text}");
    }
}

#[test]
fn a_long_name_is_refused() {
    let kitchen = kitchen();
    says(&refused(&kitchen, &"x".repeat(243)), "its name has 243 bytes, more than 242");
}

#[test]
fn outputs_may_not_touch_each_other() {
    let kitchen = kitchen();
    fs::create_dir(kitchen.path("out")).unwrap();
    symlink(".", kitchen.path("here")).unwrap();
    let check = |other: &str, relation: &str| {
        let mut request = kitchen.request(&["models/a", "b"]);
        let rows = request.recipes[0].rows.clone();
        request.recipes.push(Recipe { rows, output: kitchen.path(other) });
        says(&kitchen.refused(request), &format!("`{other}`: {relation} the output `out`"));
    };
    check("out", "is");
    check("here/out", "is");
    check("out/deeper", "lies inside");
    check("out.soce-partial", "lies inside");
}

#[test]
fn a_filled_directory_is_refused() {
    let kitchen = kitchen();
    kitchen.file("out/x", "");
    says(&kitchen.refusal(&["models/a", "b"]), "`out`");
}

#[test]
fn missing_space_is_told_before_anything_is_written() {
    let kitchen = Kitchen::new();
    // A sparse model of 12 TiB: planning reads no float tensor.
    let elements = 3u64 << 40;
    let header =
        format!(r#"{{"w":{{"dtype":"F32","shape":[{elements}],"data_offsets":[0,{}]}}}}"#, elements * 4);
    fs::create_dir(kitchen.path("a")).unwrap();
    let mut file = File::create(kitchen.path("a/model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    if file.set_len(8 + header.len() as u64 + elements * 4).is_err() {
        return; // This filesystem has no files of 12 TiB.
    }
    let mut request = kitchen.request(&["a", "a"]);
    let text = kitchen.refused(request.clone());
    says(&text, "not enough space: ");
    says(&text, " missing");
    request.options.skip_space_check = true;
    assert!(make(request).is_ok());
}

#[test]
fn the_folder_of_many_soups_may_be_yet_to_be_made() {
    let kitchen = kitchen();
    let request = |output: &str, makes_parent| {
        let mut request = kitchen.request(&["models/a", "b"]);
        request.recipes[0].output = kitchen.path(output);
        request.options.makes_parent = makes_parent;
        request
    };
    make(request("soups/one", true)).unwrap();
    assert!(!kitchen.path("soups").exists());
    says(&kitchen.refused(request("soups/one", false)), "`soups`: does not exist");
    says(&kitchen.refused(request("no/soups/one", true)), "`no`: does not exist");
    says(&kitchen.refused(request("b/soups/one", true)), "`b/soups/one`: lies inside the ingredient `b`");
    symlink("nowhere", kitchen.path("link")).unwrap();
    says(&kitchen.refused(request("link/one", true)), "`link`: does not exist");
    fs::create_dir(kitchen.path("soups")).unwrap();
    make(request("soups/one", true)).unwrap();
}
