//! What a tensor holds in each ingredient: a digest of its elements, and how far it is from that of a base at most.

use super::mixer::Mixer;
use super::scan::Scan;
use crate::control::Control;
use crate::digest::{ChunkDigest, Digest, Leaf};
use crate::error::{Problem, ProblemKind, Result};
use crate::kernels::{Differences, Tally};

/// Elements of a chunk; of every dtype they are a whole subtree of BLAKE3.
const CHUNK: u64 = 1 << 16;

/// A tensor of one ingredient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TensorContent {
    /// The BLAKE3 of its elements, as they are stored or, if they are computed from codes, in F64.
    pub digest: Digest,
    /// The largest difference to the base, as [`crate::kernels::max_difference`] has it.
    pub farthest: f64,
}

impl Mixer {
    /// What tensor `name` holds in each ingredient, seen from ingredient `base`; what is not finite is counted.
    ///
    /// # Errors
    /// No tensor that is averaged, an adapter that changes it, inputs that changed, cancellation.
    ///
    /// # Panics
    /// If a worker panics: a bug.
    pub fn contents(
        &self,
        name: &str,
        base: usize,
        num_threads: Option<usize>,
        control: &Control,
    ) -> Result<(Vec<TensorContent>, Tally)> {
        let elements = self.averaged(name)?.iter().product::<u64>();
        let count = self.ingredients();
        if base >= count {
            let message = format!("there is no ingredient {base}");
            return Err(Problem::new(ProblemKind::Recipe, message).tensor(name).into());
        }
        let inputs = self.stored_inputs(name, 0..count)?;
        let scan = Scan { inputs: &inputs, elements, chunk: CHUNK, num_threads, kernels: self.kernels() };
        let digests: Vec<ChunkDigest> = inputs
            .iter()
            .map(|input| {
                let size = input.at.value_bytes();
                ChunkDigest::new(elements * size, CHUNK * size)
            })
            .collect();
        let begin = || (Vec::<(u64, Vec<Leaf>)>::new(), Differences::new(count));
        let (found, tally) = scan.each(control, begin, |range, stretches, (leaves, differences)| {
            let leaf = |(digest, stretch): (&ChunkDigest, _)| {
                let stretch: &super::read::Stretch<'_> = stretch;
                let size = stretch.dtype.bytes().expect("a float") as u64;
                digest.leaf(stretch.values, range.start * size)
            };
            leaves.push((range.start, digests.iter().zip(stretches).map(leaf).collect()));
            let from = &stretches[base];
            for (i, stretch) in stretches.iter().enumerate().filter(|(i, _)| *i != base) {
                differences.record(i, stretch.values, stretch.dtype, from.values, from.dtype);
            }
            Ok(())
        })?;
        let (mut leaves, mut differences) = begin();
        for (more, farther) in found {
            leaves.extend(more);
            differences.merge(&farther);
        }
        leaves.sort_unstable_by_key(|(start, _)| *start);
        let digest = |i: usize| -> Digest {
            if leaves.is_empty() {
                return Digest::of(&[]);
            }
            let own: Vec<Leaf> = leaves.iter().map(|(_, leaves)| leaves[i]).collect();
            digests[i].combine(&own).into()
        };
        let contents =
            (0..count).map(|i| TensorContent { digest: digest(i), farthest: differences.values()[i] });
        Ok((contents.collect(), tally))
    }
}
