//! The output's files: the first ingredient's layout, new cuts, and headers as the reference writer makes them.

use std::collections::HashMap;

use _core::dtype::Dtype;
use _core::plan::{Plan, make};
use safetensors::tensor::TensorView;

use super::builder::{Kitchen, Tensor, bf16, says, tensor};

/// What the reference writer makes of tensors of zeros.
fn reference(tensors: &[(&str, safetensors::Dtype, &[usize])]) -> Vec<u8> {
    let zeros = vec![0; 4096];
    let views = tensors.iter().map(|(name, dtype, shape)| {
        let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (*name, TensorView::new(*dtype, shape.to_vec(), &zeros[..bytes]).unwrap())
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).unwrap()
}

/// Header, size and offsets of every planned shard agree with the reference parser's reading of them.
pub(super) fn check_files(plan: &Plan) {
    for shard in &plan.shards {
        let mut file = shard.header.clone();
        file.resize(shard.size as usize, 0);
        assert_eq!(shard.header.len() % 8, 0);
        let parsed = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(parsed.len(), shard.tensors.len());
        for &i in &shard.tensors {
            let tensor = &plan.tensors[i];
            let view = parsed.tensor(&tensor.name).unwrap();
            let offset = view.data().as_ptr() as u64 - file.as_ptr() as u64;
            assert_eq!((offset, view.data().len() as u64), (tensor.offset, tensor.length), "{}", tensor.name);
            assert_eq!(view.shape().iter().map(|&n| n as u64).collect::<Vec<_>>(), tensor.shape);
        }
    }
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.shards.iter().map(|shard| shard.name.as_str()).collect()
}

fn f32s(name: &str, elements: u64) -> Tensor {
    tensor(name, "F32", &[elements], &vec![0; elements as usize * 4])
}

#[test]
fn the_first_ingredient_gives_files_names_and_order() {
    let kitchen = Kitchen::new();
    let (z, a, m) = (bf16("z", &[2], 0), f32s("a", 3), bf16("m", &[1], 0));
    kitchen
        .sharded("first", &[&[z.clone(), a.clone()], std::slice::from_ref(&m)])
        .model("second", &[a, m, z]);
    let plan = kitchen.plan(&["first", "second"]);
    check_files(&plan);
    assert_eq!(names(&plan), ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
    let order: Vec<_> = plan.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shard)).collect();
    assert_eq!(order, [("z", 0), ("a", 0), ("m", 1)]);
    assert_eq!((plan.total_size, plan.total_parameters), (4 + 12 + 2, 6));
    assert_eq!(plan.indexes[0].name, "model.safetensors.index.json");
    let index: serde_json::Value = serde_json::from_slice(&plan.indexes[0].bytes).unwrap();
    assert_eq!(index["metadata"], serde_json::json!({"total_parameters": 6, "total_size": 18}));
    assert_eq!(index["weight_map"]["m"], "model-00002-of-00002.safetensors");
    let sources = &plan.tensors[2].sources;
    assert_eq!((sources[0].shard, sources[1].shard), (1, 0));
    let checkpoint = &plan.checkpoints[1];
    assert_eq!(sources[1].offset, checkpoint.tensor("m").unwrap().offset);
}

#[test]
fn a_single_file_has_no_index_and_only_the_format_as_metadata() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[f32s("b", 1), f32s("\u{1b}\"é", 2)]);
    let plan = kitchen.plan(&["a", "a"]);
    check_files(&plan);
    assert_eq!((names(&plan), plan.indexes.is_empty()), (vec!["model.safetensors"], true));
    let header = String::from_utf8(plan.shards[0].header[8..].to_vec()).unwrap();
    says(&header, r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"#);
}

#[test]
fn a_model_given_as_a_file_keeps_its_name() {
    let kitchen = Kitchen::new();
    kitchen.file("expert-a.safetensors", super::builder::safetensors(&[f32s("w", 1)]));
    let plan = kitchen.plan(&["expert-a.safetensors", "expert-a.safetensors"]);
    assert_eq!(names(&plan), ["expert-a.safetensors"]);
    assert!(plan.side_files.is_empty() && plan.indexes.is_empty());
    says(&kitchen.warnings(&plan)[0], "`expert-a.safetensors` is a single file: config, tokenizer");
}

#[test]
fn an_index_over_one_shard_is_written_again() {
    let kitchen = Kitchen::new();
    kitchen.sharded("a", &[&[f32s("w", 1)]]);
    let plan = kitchen.plan(&["a", "a"]);
    assert_eq!(names(&plan), ["model-00001-of-00001.safetensors"]);
    assert!(!plan.indexes.is_empty());
}

#[test]
fn a_set_without_an_index_gets_one() {
    let kitchen = Kitchen::new();
    for (i, name) in ["u", "v"].into_iter().enumerate() {
        let file = format!("a/model-0000{}-of-00002.safetensors", i + 1);
        kitchen.file(&file, super::builder::safetensors(&[f32s(name, 1)]));
    }
    let plan = kitchen.plan(&["a", "a"]);
    assert_eq!((plan.shards.len(), plan.indexes.len()), (2, 1));
    assert_eq!(plan.indexes[0].name, "model.safetensors.index.json");
}

#[test]
fn another_dtype_changes_lengths_and_offsets_of_averaged_tensors_only() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[bf16("u", &[3], 0), tensor("ids", "U8", &[3], &[1; 3]), bf16("v", &[1], 0)]);
    let mut request = kitchen.request(&["a", "a"]);
    request.options.dtype = Some(Dtype::F64);
    let plan = make(request).unwrap();
    check_files(&plan);
    let lengths: Vec<_> = plan.tensors.iter().map(|tensor| (tensor.dtype.name(), tensor.length)).collect();
    assert_eq!(lengths, [("F64", 24), ("U8", 3), ("F64", 8)]);
    assert_eq!(plan.tensors[2].offset - plan.tensors[0].offset, 27);
    assert_eq!(plan.bytes_read(), 2 * 6 + 3 + 2 * 2);
    assert_eq!(plan.bytes_written(), plan.shards[0].size);
}

#[test]
fn scalars_and_tensors_without_elements_are_laid_out() {
    let kitchen = Kitchen::new();
    kitchen.model(
        "a",
        &[
            tensor("empty", "F32", &[0, 5], &[]),
            tensor("scalar", "F32", &[], &[0; 4]),
            tensor("none", "I64", &[0], &[]),
        ],
    );
    let plan = kitchen.plan(&["a", "a"]);
    check_files(&plan);
    let elements: Vec<_> = plan.tensors.iter().map(|tensor| (tensor.elements, tensor.length)).collect();
    assert_eq!(elements, [(0, 0), (1, 4), (0, 0)]);
}

#[test]
fn recut_shards_have_the_headers_of_the_reference_writer() {
    use safetensors::Dtype::{BF16, F32, I64};
    let kitchen = Kitchen::new();
    let ids = tensor("ids", "I64", &[2], &[0; 16]);
    let (x, y, z) = (bf16("x", &[2, 2], 0), f32s("b", 3), f32s("a", 2));
    kitchen.sharded("m", &[&[x, y], &[ids], &[z]]);
    let recut = |most: u64| {
        let mut request = kitchen.request(&["m", "m"]);
        request.options.max_shard_size = Some(most);
        let plan = make(request).unwrap();
        check_files(&plan);
        plan
    };
    let plan = recut(1000);
    assert_eq!((names(&plan), !plan.indexes.is_empty()), (vec!["model.safetensors"], true));
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    let all = reference(&[("x", BF16, &[2, 2]), ("b", F32, &[3]), ("a", F32, &[2]), ("ids", I64, &[2])]);
    assert_eq!(plan.shards[0].header, all[..plan.shards[0].header.len()]);
    assert_eq!(plan.shards[0].size, all.len() as u64);

    let plan = recut(36);
    assert_eq!(names(&plan), ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
    let first = reference(&[("ids", I64, &[2]), ("b", F32, &[3]), ("x", BF16, &[2, 2])]);
    assert_eq!(plan.shards[0].header, first[..plan.shards[0].header.len()]);

    let plan = recut(12);
    says(&plan.warnings[0], "1 tensor is larger than the shard size of 12 bytes");

    let plan = recut(10);
    assert_eq!(plan.shards.len(), 4);
    says(&plan.warnings[0], "2 tensors are larger than the shard size of 10 bytes");
}

#[test]
fn recut_shards_are_called_as_the_donor_is() {
    let kitchen = Kitchen::new();
    kitchen.file(
        "a/diffusion_pytorch_model.safetensors",
        super::builder::safetensors(&[f32s("u", 1), f32s("v", 1)]),
    );
    let mut request = kitchen.request(&["a", "a"]);
    request.options.max_shard_size = Some(4);
    let plan = make(request).unwrap();
    assert_eq!(names(&plan)[1], "diffusion_pytorch_model-00002-of-00002.safetensors");
    assert_eq!(plan.indexes[0].name, "diffusion_pytorch_model.safetensors.index.json");
}

#[test]
fn recut_shards_of_a_model_given_as_a_file_are_called_model() {
    let kitchen = Kitchen::new();
    kitchen.file("expert-a.safetensors", super::builder::safetensors(&[f32s("u", 1), f32s("v", 1)]));
    let mut request = kitchen.request(&["expert-a.safetensors", "expert-a.safetensors"]);
    request.options.max_shard_size = Some(4);
    let plan = make(request).unwrap();
    assert_eq!(names(&plan), ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
    assert_eq!(plan.indexes[0].name, "model.safetensors.index.json");
}

#[test]
fn names_that_clash_by_case_are_two_tensors() {
    let kitchen = Kitchen::new();
    kitchen.model("a", &[f32s("W", 1), f32s("w", 1)]);
    assert_eq!(kitchen.plan(&["a", "a"]).tensors.len(), 2);
}
