//! Throughput of each kernel set and dtype beside a plain copy, in bytes read plus bytes written.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use _core::Dtype;
use _core::kernels::{Block, Differences, Kernels, Request, Squares, Tally};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Output elements per call: a chunk as the merge uses it.
const ELEMENTS: usize = 128 * 1024;

/// Weights like a model's: independent, roughly normal, scale 0.02.
fn weights(seed: u64, dtype: Dtype) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::new();
    for _ in 0..ELEMENTS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let uniform = (0..4).map(|k| (state >> (16 * k) & 0xffff) as f64 / 65536.0).sum::<f64>() - 2.0;
        let value = (uniform * 0.035) as f32;
        match dtype {
            Dtype::BF16 => bytes.extend_from_slice(&value.to_le_bytes()[2..]),
            Dtype::F16 => {
                // Truncated by hand: std's f16 is unstable.
                let bits = value.to_bits();
                let exponent = (bits >> 23 & 0xff).saturating_sub(112);
                let half = bits >> 16 & 0x8000 | exponent << 10 | bits >> 13 & 0x3ff;
                bytes.extend_from_slice(&(half as u16).to_le_bytes());
            }
            Dtype::F32 => bytes.extend_from_slice(&value.to_le_bytes()),
            _ => bytes.extend_from_slice(&(uniform * 0.035).to_le_bytes()),
        }
    }
    bytes
}

fn kernels(criterion: &mut Criterion) {
    for dtype in [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64] {
        let inputs: Vec<Vec<u8>> = (1..=3).map(|seed| weights(seed, dtype)).collect();
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let mut output = vec![0; inputs[0].len()];
        let mut group = criterion.benchmark_group(format!("mean of 3, {dtype}"));
        group.throughput(Throughput::Bytes(4 * output.len() as u64));
        for set in Kernels::available() {
            let request = Request {
                inputs: &inputs,
                dtypes: &[dtype; 3],
                numerators: &[5, 2, 3],
                whole: 10,
                output_dtype: dtype,
            };
            group.bench_function(BenchmarkId::from_parameter(set.name), |bencher| {
                bencher.iter(|| set.mean(black_box(&request), &mut output, &mut Tally::new(3)));
            });
        }
        group.throughput(Throughput::Bytes(2 * output.len() as u64));
        group.bench_function("memcpy", |bencher| {
            bencher.iter(|| output.copy_from_slice(black_box(inputs[0])));
        });
        group.finish();
    }
}

/// The largest difference of two tensors: independent ones, and one against itself with the last bits changed.
fn differences(criterion: &mut Criterion) {
    for dtype in [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64] {
        let output = weights(1, dtype);
        let mut near = output.clone();
        let size = dtype.bytes().expect("whole bytes");
        near.iter_mut().step_by(size).enumerate().for_each(|(i, byte)| *byte ^= (i % 3) as u8);
        let mut group = criterion.benchmark_group(format!("difference, {dtype}"));
        group.throughput(Throughput::Elements(ELEMENTS as u64));
        for (name, input) in [("independent", weights(2, dtype)), ("near", near)] {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| {
                    let mut differences = Differences::new(1);
                    differences.record(0, black_box(&output), dtype, black_box(&input), dtype);
                    differences
                });
            });
        }
        group.finish();
    }
}

/// Squares and squared differences of the tensors that a mean is made of, and that mean.
fn squares(criterion: &mut Criterion) {
    for dtype in [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64] {
        let all: Vec<Vec<u8>> = (1..=4).map(|seed| weights(seed, dtype)).collect();
        let block = Squares::BLOCK * dtype.bytes().expect("whole bytes");
        for count in 1..=4 {
            let inputs: Vec<&[u8]> = all[..count].iter().map(Vec::as_slice).collect();
            let (dtypes, numerators) = (vec![dtype; count], vec![1; count]);
            let mut group = criterion.benchmark_group(format!("squares of {count}, {dtype}"));
            group.throughput(Throughput::Elements(ELEMENTS as u64));
            for set in Kernels::available().into_iter().filter(|set| set.name != "scalar") {
                let mut room = Squares::new(count);
                group.bench_function(BenchmarkId::new("squares", set.name), |bencher| {
                    bencher.iter(|| {
                        for start in (0..inputs[0].len()).step_by(block) {
                            let inputs: Vec<&[u8]> =
                                inputs.iter().map(|input| &input[start..start + block]).collect();
                            let block = Block { inputs: black_box(&inputs), dtypes: &dtypes };
                            black_box(set.squares(block, &mut room, &mut Tally::new(count)));
                        }
                    });
                });
                let mut output = vec![0; inputs[0].len()];
                let request = Request {
                    inputs: &inputs,
                    dtypes: &dtypes,
                    numerators: &numerators,
                    whole: count.max(2) as u64,
                    output_dtype: dtype,
                };
                group.bench_function(BenchmarkId::new("mean", set.name), |bencher| {
                    bencher.iter(|| set.mean(black_box(&request), &mut output, &mut Tally::new(count)));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, kernels, differences, squares);
criterion_main!(benches);
