//! The element of a given rank in the order by magnitude, found exactly in a few passes whose memory does not depend on the size
//! of the tensor.
//!
//! An element is one number: the bits of its magnitude, then how many elements come after it. A pass counts the numbers
//! with a known beginning by their next bits, and so finds more of the one that is wanted; once few are left they are looked at
//! one by one. Bits that all of them share are passed over: the magnitudes of half floats end in zeros. Counts of parts add up,
//! so no thread and no chunk changes anything.

use super::chunk::chunk_bytes;
use super::mixer::Mixer;
use super::scan::Scan;
use crate::control::Control;
use crate::error::{Problem, ProblemKind, Result};
use crate::kernels::Tally;
use crate::kernels::masked::Deltas;
use crate::mix::Edge;

/// Bits that a pass finds.
const DIGIT: u32 = 12;
/// Bits of a magnitude.
const MAGNITUDE: u32 = 63;
/// Most numbers that are looked at one by one.
const FEW: u64 = 1 << 16;
/// Elements of which the magnitudes are taken together.
const PIECE: usize = 2048;

/// An element that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Rank {
    /// By its difference to the base in this ingredient.
    pub ingredient: usize,
    /// 1 is the one of the largest magnitude.
    pub rank: u64,
}

impl Mixer {
    /// The elements of tensor `name` that have these ranks, in this order, by how far they are from those of ingredient `base`. An
    /// element that is not finite in one of the two is at zero distance, and what is not finite is counted by ingredient.
    ///
    /// # Errors
    /// No tensor that is averaged, an adapter that changes it, a rank that it has not, inputs that changed, cancellation.
    ///
    /// # Panics
    /// If a worker panics: a bug.
    pub fn edges(
        &self,
        name: &str,
        base: usize,
        ranks: &[Rank],
        num_threads: Option<usize>,
        control: &Control,
    ) -> Result<(Vec<Edge>, Tally)> {
        let elements = self.averaged(name)?.iter().product::<u64>();
        for &Rank { ingredient, rank } in ranks {
            if ingredient.max(base) >= self.ingredients() || !(1..=elements).contains(&rank) {
                let message = format!("no element of rank {rank} of {elements} in ingredient {ingredient}");
                return Err(Problem::new(ProblemKind::Recipe, message).tensor(name).into());
            }
        }
        let order = Order::new(elements);
        let mut searches: Vec<Search> =
            ranks.iter().map(|&Rank { ingredient, rank }| order.search(ingredient, rank)).collect();
        let mut tally = Tally::new(self.ingredients());
        for pass in 0.. {
            let mut needed: Vec<usize> = searches.iter().filter_map(Search::needs).collect();
            needed.sort_unstable();
            needed.dedup();
            if needed.is_empty() {
                break;
            }
            let read: Vec<usize> =
                [base].into_iter().chain(needed.iter().copied().filter(|&i| i != base)).collect();
            let inputs = self.stored_inputs(name, read.iter().copied())?;
            let derived = inputs.iter().filter(|input| input.at.is_computed()).count();
            let scan = Scan {
                inputs: &inputs,
                elements,
                chunk: chunk_bytes(inputs.len(), derived) / size_of::<f64>() as u64,
                num_threads,
                kernels: self.kernels(),
            };
            let begin = || searches.iter().map(Search::begin).collect::<Vec<Part>>();
            let (found, counts) = scan.each(control, begin, |range, stretches, parts| {
                let mut magnitudes = [0; PIECE];
                let count = (range.end - range.start) as usize;
                for (place, &ingredient) in read.iter().enumerate().filter(|(_, i)| needed.contains(i)) {
                    for start in (0..count).step_by(PIECE) {
                        let magnitudes = &mut magnitudes[..PIECE.min(count - start)];
                        let piece = |place: usize| {
                            let stretch = &stretches[place];
                            let size = stretch.dtype.bytes().expect("a float");
                            (&stretch.values[start * size..(start + magnitudes.len()) * size], stretch.dtype)
                        };
                        let deltas = Deltas { base: piece(0), input: piece(place) };
                        self.kernels().magnitudes(&deltas, magnitudes);
                        let own = searches.iter().zip(&mut *parts);
                        for (search, part) in own.filter(|(search, _)| search.ingredient == ingredient) {
                            order.count(search, part, magnitudes, range.start + start as u64);
                        }
                    }
                }
                Ok(())
            })?;
            if pass == 0 {
                tally.spread(&counts, &read);
            }
            let mut whole: Vec<Part> = searches.iter().map(Search::begin).collect();
            for parts in found {
                whole.iter_mut().zip(parts).for_each(|(whole, part)| whole.merge(part));
            }
            searches.iter_mut().zip(whole).for_each(|(search, part)| order.narrow(search, part));
        }
        let edge = |search: &Search| order.edge(search.prefix);
        Ok((searches.iter().map(edge).collect(), tally))
    }
}

/// Elements as numbers.
#[derive(Debug, Clone, Copy)]
struct Order {
    elements: u64,
    /// Bits of how many elements come after one.
    after: u32,
}

/// What is known of an element.
#[derive(Debug)]
struct Search {
    ingredient: usize,
    /// Among those with its beginning; 1 is the largest.
    rank: u64,
    /// Its number as far as it is known, then zeros.
    prefix: u128,
    /// How many bits are not known.
    unknown: u32,
    /// How many elements begin like it.
    count: u64,
}

/// What a pass has found of a search.
#[derive(Debug)]
enum Part {
    Nothing,
    /// By the next bits of those that begin like it, the bits of their magnitudes that are ones in all, and those in any.
    Counts(Vec<u64>, [u64; 2]),
    Numbers(Vec<u128>),
}

impl Search {
    /// The ingredient to be read for it, unless it is known.
    fn needs(&self) -> Option<usize> {
        (self.unknown > 0).then_some(self.ingredient)
    }

    fn begin(&self) -> Part {
        match self.needs() {
            None => Part::Nothing,
            Some(_) if self.count <= FEW => Part::Numbers(Vec::new()),
            Some(_) => Part::Counts(vec![0; 1 << DIGIT], [u64::MAX, 0]),
        }
    }

    /// Where the next bits begin.
    fn shift(&self) -> u32 {
        self.unknown.saturating_sub(DIGIT)
    }
}

impl Part {
    fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Counts(mine, [in_all, in_any]), Self::Counts(theirs, [all, any])) => {
                mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
                *in_all &= all;
                *in_any |= any;
            }
            (Self::Numbers(mine), Self::Numbers(theirs)) => mine.extend(theirs),
            _ => {}
        }
    }
}

impl Order {
    fn new(elements: u64) -> Self {
        Self { elements, after: u64::BITS - elements.saturating_sub(1).leading_zeros() }
    }

    fn search(self, ingredient: usize, rank: u64) -> Search {
        let (unknown, count) = (MAGNITUDE + self.after, self.elements);
        Search { ingredient, rank, prefix: 0, unknown, count }
    }

    fn number(self, magnitude: u64, index: u64) -> u128 {
        u128::from(magnitude) << self.after | u128::from(self.elements - 1 - index)
    }

    fn edge(self, number: u128) -> Edge {
        let magnitude = (number >> self.after) as u64;
        Edge { magnitude, index: self.elements - 1 - (number - (u128::from(magnitude) << self.after)) as u64 }
    }

    /// Take in elements from `first` on.
    fn count(self, search: &Search, part: &mut Part, magnitudes: &[u64], first: u64) {
        // Of the magnitude alone, which tells most of them from it.
        let hidden = search.unknown.saturating_sub(self.after);
        let beginning = ((search.prefix >> self.after) as u64) >> hidden;
        let alike = (first..).zip(magnitudes).filter(|(_, magnitude)| **magnitude >> hidden == beginning);
        let begins = |number: u128| number >> search.unknown == search.prefix >> search.unknown;
        match part {
            Part::Nothing => {}
            Part::Counts(counts, [in_all, in_any]) => {
                let shift = search.shift();
                for (index, &magnitude) in alike {
                    let number = self.number(magnitude, index);
                    if begins(number) {
                        counts[(number >> shift) as usize & ((1 << DIGIT) - 1)] += 1;
                        *in_all &= magnitude;
                        *in_any |= magnitude;
                    }
                }
            }
            Part::Numbers(numbers) => {
                numbers
                    .extend(alike.map(|(index, &m)| self.number(m, index)).filter(|&number| begins(number)));
            }
        }
    }

    /// Make more of it known.
    fn narrow(self, search: &mut Search, part: Part) {
        match part {
            Part::Nothing => {}
            Part::Numbers(mut numbers) => {
                let place = search.rank as usize - 1;
                let (_, &mut number, _) = numbers.select_nth_unstable_by(place, |a, b| b.cmp(a));
                (search.prefix, search.unknown) = (number, 0);
            }
            Part::Counts(counts, [in_all, in_any]) => {
                let shift = search.shift();
                for digit in (0..1usize << DIGIT).rev() {
                    if counts[digit] >= search.rank {
                        let known = search.prefix >> search.unknown << search.unknown;
                        // The last digit may overlap with bits that are known.
                        let fresh = (digit as u128) << shift & ((1 << search.unknown) - 1);
                        (search.prefix, search.unknown, search.count) = (known | fresh, shift, counts[digit]);
                        break;
                    }
                    search.rank -= counts[digit];
                }
                let hidden = search.unknown.saturating_sub(self.after);
                let below = (1 << hidden) - 1;
                let varying = u64::BITS - ((in_all ^ in_any) & below).leading_zeros();
                let shared = in_all & below >> varying << varying;
                search.prefix |= u128::from(shared) << self.after;
                search.unknown = search.unknown.min(varying + self.after);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Edge, FEW, Order, Part, Search};

    /// Passes over magnitudes that are cut into parts, for one rank. Returns the element and how many passes it took.
    fn found(magnitudes: &[u64], rank: u64, cut: usize) -> (Edge, u32) {
        let order = Order::new(magnitudes.len() as u64);
        let mut search: Search = order.search(0, rank);
        for pass in 0.. {
            if search.needs().is_none() {
                return (order.edge(search.prefix), pass);
            }
            let mut whole = search.begin();
            for (number, piece) in magnitudes.chunks(cut).enumerate() {
                let mut part: Part = search.begin();
                order.count(&search, &mut part, piece, (number * cut) as u64);
                whole.merge(part);
            }
            order.narrow(&mut search, whole);
        }
        unreachable!("every pass makes more known")
    }

    fn sorted(magnitudes: &[u64]) -> Vec<Edge> {
        let mut all: Vec<Edge> =
            (0..).zip(magnitudes).map(|(index, &magnitude)| Edge { magnitude, index }).collect();
        all.sort_by(|a, b| b.magnitude.cmp(&a.magnitude).then(a.index.cmp(&b.index)));
        all
    }

    /// Magnitudes of a few kinds: spread out, of a coarse grid, mostly equal.
    fn magnitude(kind: u32, random: u64) -> u64 {
        match kind {
            0 => random >> 1,
            1 => ((random % 4000) as f64 / 1024.0).to_bits(),
            2 => f64::from(random as u32 >> 8).to_bits(),
            _ => ((random % 3) as f64).to_bits(),
        }
    }

    fn magnitudes(kind: u32, seed: u64, count: usize) -> Vec<u64> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..count).map(|_| magnitude(kind, next())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_found_is_what_sorting_finds(
            kind in 0..4u32,
            seed in any::<u64>(),
            count in prop_oneof![1..50_usize, FEW as usize - 2..4 * FEW as usize],
            at in any::<prop::sample::Index>(),
            cut in prop_oneof![Just(1 << 20), 300..70_000_usize],
        ) {
            let magnitudes = magnitudes(kind, seed, count);
            let sorted = sorted(&magnitudes);
            for rank in [1, at.index(count) + 1, count] {
                let (edge, passes) = found(&magnitudes, rank as u64, cut);
                prop_assert_eq!(edge, sorted[rank - 1], "rank {} of {}", rank, count);
                prop_assert!(passes <= 8);
            }
        }
    }

    #[test]
    fn equal_magnitudes_take_no_pass_for_bits_that_they_share() {
        let (edge, passes) = found(&vec![1f64.to_bits(); 1 << 18], 1000, 1 << 14);
        assert_eq!(edge, Edge { magnitude: 1f64.to_bits(), index: 999 });
        assert_eq!(passes, 3, "all bits of the magnitude, some of the index, and the rest one by one");
    }
}
