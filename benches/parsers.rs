//! Bytes per second of the parsers of headers and indexes: the same for twice the input, or they are not linear.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::fmt::Write as _;
use std::hint::black_box;

use _core::checkpoint::{header, index};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const TENSORS: [usize; 4] = [10_000, 20_000, 40_000, 80_000];

/// A header of tensors of one byte, named as in a large model.
fn header_of(tensors: usize) -> String {
    let mut text = String::from(r#"{"__metadata__":{"format":"pt"}"#);
    for i in 0..tensors {
        let (layer, expert, end) = (i / 128, i % 128, i + 1);
        let _ = write!(
            text,
            r#","model.layers.{layer}.mlp.experts.{expert}.up_proj.weight":{{"dtype":"U8","shape":[1,1],"data_offsets":[{i},{end}]}}"#
        );
    }
    text + "}"
}

/// An index of as many tensors, a hundred to a shard.
fn index_of(tensors: usize) -> Vec<u8> {
    let names: Vec<(String, String)> = (0..tensors)
        .map(|i| {
            let tensor = format!("model.layers.{}.mlp.experts.{}.up_proj.weight", i / 128, i % 128);
            (tensor, format!("model-{:05}-of-{:05}.safetensors", i * 7919 % tensors / 100, tensors / 100))
        })
        .collect();
    index::write(names.iter().map(|(tensor, shard)| (tensor.as_str(), shard.as_str())), 0, 0)
}

fn parsers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    for tensors in TENSORS {
        let text = header_of(tensors);
        let size = (8 + text.len() + tensors) as u64;
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(tensors), &text, |bencher, text| {
            bencher.iter(|| black_box(header::parse(text.as_bytes(), size)).is_ok());
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("index");
    for tensors in TENSORS {
        let text = index_of(tensors);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(tensors), &text, |bencher, text| {
            bencher.iter(|| black_box(index::parse(text)).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, parsers);
criterion_main!(benches);
