//! Kernel sets: the scalar definition, and the vector loop compiled for each instruction set.
#![allow(
    unsafe_code,
    reason = "calling a function compiled for an instruction set that was probed at run time"
)]

use super::bf16;
use super::difference::{self, Pair};
use super::enclosed::{self, Enclosed};
use super::inner_products::{self, InnerProducts};
use super::low_rank::{self, Row};
use super::masked::{self, Deltas, Masking};
use super::squares::{self, Block, Squares};
use super::vector::{self, FromBf16, FromF16, FromF32, FromF64, ToBf16, ToF16, ToF32, ToF64};
use super::{Kernels, Request, Tally};
use crate::dtype::Dtype;
use crate::kernels::format::Format;
use crate::mix::Subset;

static SCALAR: Kernels = Kernels {
    name: "scalar",
    run: scalar,
    difference: difference::by_definition,
    low_rank: low_rank::run,
    enclosed: all_in_doubt,
    squares: squares::by_definition,
    inner_products: inner_products::by_definition,
    subsets: masked::by_definition,
    magnitudes: masked::magnitudes_by_definition,
};

/// The definition: every element by integers.
fn scalar(request: &Request<'_>, output: &mut [u8], tally: &mut Tally) {
    let bytes = Format::of(request.output_dtype).expect("checked by `Kernels::mean`").bytes;
    for index in 0..output.len() / bytes {
        request.exact_element(index, output, tally);
    }
}

/// The same of means that would have to be proved.
fn all_in_doubt(_: &Enclosed<'_>, _: &mut [u8], doubts: &mut [bool]) {
    doubts.fill(true);
}

/// Sets this CPU runs, slowest first.
pub(super) fn available() -> Vec<&'static Kernels> {
    #[allow(unused_mut, reason = "some architectures have the scalar set only")]
    let mut sets = vec![&SCALAR];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            sets.push(&AVX2);
        }
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("fma")
        {
            sets.push(&AVX512);
        }
    }
    #[cfg(target_arch = "aarch64")]
    sets.push(&NEON);
    sets
}

/// A loop compiled for some features of x86-64.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled {
    ($features:literal, $loop:path, ($($argument:ident: $kind:ty),*) -> $result:ty) => {{
        fn call($($argument: $kind),*) -> $result {
            #[target_feature(enable = $features)]
            fn compiled($($argument: $kind),*) -> $result {
                $loop($($argument),*)
            }
            // SAFETY: `available` lists this set only where these features were detected.
            unsafe { compiled($($argument),*) }
        }
        call
    }};
}

/// Every loop compiled for some features of x86-64.
#[cfg(target_arch = "x86_64")]
macro_rules! kernels_for {
    ($name:literal, $features:literal) => {
        Kernels {
            name: $name,
            run: compiled!($features, dispatch, (request: &Request<'_>, output: &mut [u8], tally: &mut Tally) -> ()),
            difference: compiled!($features, difference::fast, (pair: &Pair<'_>, known: f64) -> f64),
            low_rank: compiled!(
                $features, low_rank::run, (row: &Row<'_>, values: &mut [u8], radii: &mut [u8]) -> ()
            ),
            enclosed: compiled!(
                $features, enclosed::run, (request: &Enclosed<'_>, output: &mut [u8], doubts: &mut [bool]) -> ()
            ),
            squares: compiled!(
                $features, squares::fast, (block: &Block<'_>, room: &mut Squares, tally: &mut Tally) -> ()
            ),
            inner_products: compiled!(
                $features, inner_products::fast, (block: &Block<'_>, room: &mut InnerProducts) -> ()
            ),
            subsets: compiled!(
                $features, masked::fast, (masking: &Masking<'_>, subsets: &mut [Subset], tally: &mut Tally) -> ()
            ),
            magnitudes: compiled!(
                $features, masked::magnitudes, (deltas: &Deltas<'_>, magnitudes: &mut [u64]) -> ()
            ),
        }
    };
}

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = kernels_for!("avx2", "avx2,fma");
#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = kernels_for!("avx512", "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl");
/// NEON and fused multiply-add are part of every aarch64.
#[cfg(target_arch = "aarch64")]
static NEON: Kernels = Kernels {
    name: "neon",
    run: dispatch,
    difference: difference::fast,
    low_rank: low_rank::run,
    enclosed: enclosed::run,
    squares: squares::fast,
    inner_products: inner_products::fast,
    subsets: masked::fast,
    magnitudes: masked::magnitudes,
};

/// Pick the loop by dtypes, once a chunk.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn dispatch(request: &Request<'_>, output: &mut [u8], tally: &mut Tally) {
    macro_rules! mean_to_output {
        ($input:ty, $request:expr, $output:expr) => {
            match request.output_dtype {
                Dtype::BF16 => vector::mean::<$input, ToBf16, { vector::BLOCK }>($request, $output, tally),
                Dtype::F16 => vector::mean::<$input, ToF16, { vector::BLOCK }>($request, $output, tally),
                Dtype::F32 => vector::mean::<$input, ToF32, { vector::BLOCK }>($request, $output, tally),
                _ => vector::mean::<$input, ToF64, { vector::BLOCK }>($request, $output, tally),
            }
        };
    }
    let first = request.dtypes[0];
    if request.dtypes.iter().all(|&dtype| dtype == first) {
        return match first {
            Dtype::BF16 if request.output_dtype == Dtype::BF16 => bf16::mean(request, output, tally),
            Dtype::BF16 => mean_to_output!(FromBf16, request, output),
            Dtype::F16 => mean_to_output!(FromF16, request, output),
            Dtype::F32 => mean_to_output!(FromF32, request, output),
            _ => mean_to_output!(FromF64, request, output),
        };
    }
    // Mixed inputs become those of one wider format, exactly, a piece at a time.
    let is_wide = request.dtypes.contains(&Dtype::F64);
    let dtype = if is_wide { Dtype::F64 } else { Dtype::F32 };
    let size = if is_wide { 8 } else { 4 };
    let base = tally.base;
    let dtypes = vec![dtype; request.inputs.len()];
    let mut widened = vec![vec![0u8; size * PIECE]; request.inputs.len()];
    let output_bytes = Format::of(request.output_dtype).expect("checked by `Kernels::mean`").bytes;
    for (piece, output) in output.chunks_mut(PIECE * output_bytes).enumerate() {
        let count = output.len() / output_bytes;
        for ((wide, input), &dtype) in widened.iter_mut().zip(request.inputs).zip(request.dtypes) {
            let bytes = Format::of(dtype).expect("checked by `Kernels::mean`").bytes;
            let input = &input[piece * PIECE * bytes..][..count * bytes];
            wide.truncate(size * count);
            if is_wide {
                vector::widen_to_f64(input, dtype, wide);
            } else {
                vector::widen_to_f32(input, dtype, wide);
            }
        }
        let inputs: Vec<&[u8]> = widened.iter().map(Vec::as_slice).collect();
        let wide = Request { inputs: &inputs, dtypes: &dtypes, ..*request };
        tally.base = base + (piece * PIECE) as u64;
        if is_wide {
            mean_to_output!(FromF64, &wide, output);
        } else {
            mean_to_output!(FromF32, &wide, output);
        }
    }
    tally.base = base;
}

/// Elements that mixed inputs are widened at a time.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const PIECE: usize = 4096;
