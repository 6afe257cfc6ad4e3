//! A sum in a fixed tree, whoever brings which part of it first.

use std::collections::BTreeMap;

/// The sums of blocks 0, 1, 2, … of which neighbours are added, (0 + 1), (2 + 3), …, and so on with what that gives until
/// one is left; what has no neighbour goes up as it is. Only the number of blocks decides what is added to what.
///
/// Holds what waits for a neighbour: with blocks that are brought in turn by a few threads, a few for each level.
#[derive(Debug)]
pub(super) struct Tree {
    blocks: u64,
    /// By level and place in it.
    waiting: BTreeMap<(u32, u64), Box<[f64]>>,
}

impl Tree {
    /// A tree over `blocks` blocks, of which there is at least one.
    pub(super) fn new(blocks: u64) -> Self {
        Self { blocks, waiting: BTreeMap::new() }
    }

    /// Add the sums of a block. Returns those of all once the last one came.
    pub(super) fn add(&mut self, block: u64, sums: &[f64]) -> Option<Box<[f64]>> {
        self.join((0, block), sums.into())
    }

    /// Add what waits in another tree over the same blocks.
    pub(super) fn merge(&mut self, other: Self) -> Option<Box<[f64]>> {
        other.waiting.into_iter().fold(None, |whole, (place, sums)| self.join(place, sums).or(whole))
    }

    fn join(&mut self, (mut level, mut place): (u32, u64), mut sums: Box<[f64]>) -> Option<Box<[f64]>> {
        loop {
            let count = self.blocks.div_ceil(1 << level);
            if count == 1 {
                return Some(sums);
            }
            if place ^ 1 < count {
                let Some(neighbour) = self.waiting.remove(&(level, place ^ 1)) else {
                    self.waiting.insert((level, place), sums);
                    return None;
                };
                sums.iter_mut().zip(neighbour).for_each(|(sum, more)| *sum += more);
            }
            (level, place) = (level + 1, place / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;
    use proptest::prelude::*;

    /// The definition, level by level.
    fn sum(mut level: Vec<f64>) -> f64 {
        while level.len() > 1 {
            level =
                level.chunks(2).map(|pair| pair.iter().copied().reduce(|a, b| a + b).expect("one")).collect();
        }
        level[0]
    }

    proptest! {
        #[test]
        fn no_order_and_no_partition_changes_a_bit(
            blocks in prop::collection::vec((0.0..1.0f64, -40..40i32), 1..200),
            workers in 1..6_usize,
            seed in any::<u64>(),
        ) {
            let values: Vec<f64> = blocks.iter().map(|(value, exponent)| value * 2f64.powi(*exponent)).collect();
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by_key(|&i| (i as u64 + 1).wrapping_mul(seed | 1).rotate_left(17));
            let count = values.len() as u64;
            let mut parts: Vec<Tree> = (0..workers).map(|_| Tree::new(count)).collect();
            let mut found = Vec::new();
            for (turn, &block) in order.iter().enumerate() {
                found.extend(parts[turn * turn % workers].add(block as u64, &[values[block], 1.0]));
            }
            let mut whole = Tree::new(count);
            for part in parts {
                found.extend(whole.merge(part));
            }
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0][0].to_bits(), sum(values).to_bits());
            prop_assert_eq!(found[0][1].to_bits(), (count as f64).to_bits());
            prop_assert!(whole.waiting.is_empty());
        }
    }

    #[test]
    fn little_waits_when_blocks_come_in_turn() {
        let mut tree = Tree::new(1 << 12);
        for block in 0..(1 << 12) - 1 {
            assert!(tree.add(block, &[1.0]).is_none());
            assert!(tree.waiting.len() <= 12);
        }
        assert_eq!(tree.add((1 << 12) - 1, &[1.0]).as_deref(), Some(&[4096.0][..]));
    }
}
