//! What every plan keeps, whatever the ingredients: each tensor once, files without holes, and the same for any order.

use std::collections::{BTreeMap, BTreeSet};

use _core::Mix;
use _core::checkpoint::{TensorInfo, header, index};
use _core::dtype::Dtype;
use _core::plan::{MergeRequest, Plan, PlannedIndex, Recipe, Row, Treatment, make};
use proptest::prelude::*;

use super::builder::{Kitchen, Tensor, tensor};
use super::layout::check_files;

const FLOATS: [(&str, usize); 4] = [("F32", 4), ("BF16", 2), ("F16", 2), ("F64", 8)];
const DISCRETE: [(&str, usize); 3] = [("I64", 8), ("U8", 1), ("BOOL", 1)];

/// One tensor of all ingredients: its shape, whether it is a float, and for each ingredient which dtype and shard.
type Sketch = (Vec<u64>, bool, Vec<(usize, usize)>);

#[derive(Debug, Clone)]
struct Case {
    sketches: BTreeMap<String, Sketch>,
    ingredients: usize,
    dtype: Option<Dtype>,
    most: Option<u64>,
    patterns: Vec<String>,
}

fn case() -> impl Strategy<Value = Case> {
    let case = |ingredients: usize| {
        let shape = prop::collection::vec(prop_oneof![4 => 1..5_u64, 1 => Just(0)], 0..4);
        let homes = prop::collection::vec((0..FLOATS.len(), 0..3_usize), ingredients);
        let sketches = prop::collection::btree_map("[a-c][a-c.é]{0,5}", (shape, any::<bool>(), homes), 1..12);
        let dtype = prop::option::of(prop::sample::select(vec![Dtype::F32, Dtype::BF16, Dtype::F64]));
        let patterns = prop::collection::vec("[a-c]{1,2}", 0..3);
        (sketches, dtype, prop::option::of(1..200_u64), patterns).prop_map(
            move |(sketches, dtype, most, patterns)| Case { sketches, ingredients, dtype, most, patterns },
        )
    };
    (1..4_usize).prop_flat_map(case)
}

impl Case {
    /// Write ingredient `i` in its own shards and order of tensors, and call it `m{number}`.
    fn cook(&self, kitchen: &Kitchen, i: usize, number: usize) {
        let mut shards: BTreeMap<usize, Vec<Tensor>> = BTreeMap::new();
        for (name, (shape, float, homes)) in &self.sketches {
            let (dtype, shard) = homes[i];
            let (dtype, size) = if *float { FLOATS[dtype] } else { DISCRETE[homes[0].0 % DISCRETE.len()] };
            let elements = shape.iter().product::<u64>() as usize;
            shards.entry(shard).or_default().push(tensor(name, dtype, shape, &vec![1; elements * size]));
        }
        if i % 2 == 1 {
            for tensors in shards.values_mut() {
                tensors.reverse();
            }
        }
        let shards: Vec<&[Tensor]> = shards.values().map(Vec::as_slice).collect();
        kitchen.sharded(&format!("m{number}"), &shards);
    }

    fn request(&self, kitchen: &Kitchen, order: &[usize]) -> MergeRequest {
        let mix = Mix::average(&vec![1; order.len()]).unwrap();
        let row = |pattern: String| Row { pattern, mixture: mix.clone().into() };
        let rows = self.patterns.iter().map(|start| row(format!("{start}*"))).chain([row("*".into())]);
        let names: Vec<String> = order.iter().map(|i| format!("m{i}")).collect();
        let mut request = kitchen.request(&names.iter().map(String::as_str).collect::<Vec<_>>());
        request.recipes = vec![Recipe { rows: rows.collect(), output: kitchen.path("out") }];
        (request.options.dtype, request.options.max_shard_size) = (self.dtype, self.most);
        request
    }
}

/// Every tensor of the plan is in one file, and files are what their headers say.
fn check_layout(plan: &Plan) {
    let mut seen = BTreeSet::new();
    let mut next = 0;
    for (number, shard) in plan.shards.iter().enumerate() {
        assert!(!shard.tensors.is_empty());
        let mut offset = shard.header.len() as u64;
        let mut infos = Vec::new();
        for &i in &shard.tensors {
            assert_eq!(i, next, "tensors are in the order of shards and offsets");
            next += 1;
            let tensor = &plan.tensors[i];
            assert!(seen.insert(&tensor.name), "`{}` is there twice", tensor.name);
            assert_eq!((tensor.shard, tensor.offset), (number, offset));
            assert_eq!(tensor.elements, tensor.shape.iter().product::<u64>());
            assert_eq!(tensor.length, tensor.elements * tensor.element_bytes());
            offset += tensor.length;
            infos.push(TensorInfo {
                name: tensor.name.clone(),
                dtype: tensor.dtype,
                shape: tensor.shape.clone(),
                offset: tensor.offset,
                length: tensor.length,
            });
        }
        assert_eq!(offset, shard.size);
        let read = header::parse(&shard.header[8..], shard.size).unwrap();
        assert!(read.warnings.is_empty());
        // Tensors without bytes share an offset with their successor: the parser sorts them in front by name.
        infos.sort_by(|a, b| (a.offset, a.length, &a.name).cmp(&(b.offset, b.length, &b.name)));
        assert_eq!(read.tensors, infos);
    }
    assert_eq!(next, plan.tensors.len());
    assert_eq!(plan.total_size, plan.tensors.iter().map(|tensor| tensor.length).sum::<u64>());
    assert_eq!(plan.total_parameters, plan.tensors.iter().map(|tensor| tensor.elements).sum::<u64>());
    let index_bytes = plan.indexes.iter().map(|index| index.bytes.len()).sum::<usize>() as u64;
    assert_eq!(plan.bytes_written(), index_bytes + plan.shards.iter().map(|shard| shard.size).sum::<u64>());
    if let Some(PlannedIndex { bytes: text, .. }) = plan.indexes.first() {
        let read = index::parse(text).unwrap();
        let expected: BTreeMap<_, _> =
            plan.tensors.iter().map(|tensor| (&tensor.name, &plan.shards[tensor.shard].name)).collect();
        let got: BTreeMap<_, _> =
            read.tensors.iter().map(|(name, shard)| (name, &read.shards[*shard as usize])).collect();
        assert_eq!(got, expected);
        assert_eq!(read.total_size, Some(plan.total_size));
    }
}

fn check_sources(case: &Case, plan: &Plan) {
    for tensor in &plan.tensors {
        assert_eq!(tensor.sources.len(), case.ingredients);
        for (source, checkpoint) in tensor.sources.iter().zip(&plan.checkpoints) {
            let info =
                checkpoint.shards[source.shard].tensors.iter().find(|i| i.name == tensor.name).unwrap();
            assert_eq!((source.offset, source.dtype), (info.offset, info.dtype));
        }
        let (_, float, _) = &case.sketches[&tensor.name];
        let row = case.patterns.iter().position(|start| tensor.name.starts_with(start));
        let expected = if *float {
            Treatment::Averaged { rows: vec![row.unwrap_or(case.patterns.len())] }
        } else {
            Treatment::Copied
        };
        assert_eq!(tensor.treatment, expected, "{}", tensor.name);
        let own = tensor.sources[0].dtype;
        assert_eq!(tensor.dtype, if *float { case.dtype.unwrap_or(own) } else { own });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_holds_each_tensor_once_in_files_without_holes(case in case()) {
        let kitchen = Kitchen::new();
        (0..case.ingredients).for_each(|i| case.cook(&kitchen, i, i));
        let order: Vec<usize> = (0..case.ingredients).collect();
        let plan = make(case.request(&kitchen, &order)).unwrap();
        let names: BTreeSet<_> = plan.tensors.iter().map(|tensor| &tensor.name).collect();
        prop_assert_eq!(names, case.sketches.keys().collect::<BTreeSet<_>>());
        check_layout(&plan);
        check_files(&plan);
        check_sources(&case, &plan);
        if let Some(most) = case.most {
            for shard in &plan.shards {
                let payload = shard.size - shard.header.len() as u64;
                prop_assert!(payload <= most || shard.tensors.len() == 1, "{payload} of at most {most} bytes");
            }
        }

        // The first ingredient gives the layout; the order of the others changes none of it.
        let turned: Vec<usize> = std::iter::once(0).chain((1..case.ingredients).rev()).collect();
        let again = make(case.request(&kitchen, &turned)).unwrap();
        prop_assert_eq!(&again.shards, &plan.shards);
        prop_assert_eq!(&again.indexes, &plan.indexes);
        for (a, b) in again.tensors.iter().zip(&plan.tensors) {
            let sources: Vec<_> = turned.iter().map(|&i| b.sources[i].clone()).collect();
            prop_assert_eq!(&a.sources, &sources);
            prop_assert_eq!((&a.treatment, a.dtype, a.offset), (&b.treatment, b.dtype, b.offset));
        }
    }

    #[test]
    fn ingredients_alike_in_layout_give_one_plan_in_any_order(case in case(), turn in 0..3_usize) {
        let kitchen = Kitchen::new();
        (0..case.ingredients).for_each(|i| case.cook(&kitchen, 0, i));
        let mut order: Vec<usize> = (0..case.ingredients).collect();
        let plan = make(case.request(&kitchen, &order)).unwrap();
        order.rotate_left(turn % case.ingredients);
        let again = make(case.request(&kitchen, &order)).unwrap();
        prop_assert_eq!(&again.shards, &plan.shards);
        prop_assert_eq!(&again.tensors, &plan.tensors);
        prop_assert_eq!(&again.indexes, &plan.indexes);
    }
}
