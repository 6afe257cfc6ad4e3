//! Philox4x32-10, the counter-based random numbers of Salmon et al. 2011 (<https://doi.org/10.1145/2063384.2063405>): any word of
//! a stream without those before it.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Added to the key after each round.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;
/// Blocks that are made together: a whole number of vectors in every instruction set.
const LANES: usize = 16;
/// Words of a block.
pub(super) const WORDS: usize = 4;

/// The block of one counter.
pub(super) fn block(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let [a, b, c, d] = counter;
        let (first, second) =
            (u64::from(MULTIPLIERS[0]) * u64::from(a), u64::from(MULTIPLIERS[1]) * u64::from(c));
        counter = [
            (second >> 32) as u32 ^ b ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ d ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// The word of element `index` of the stream `key`: word `index % 4` of the block with the counter `(index / 4, key[1])` and
/// the key `key[0]`.
pub(super) fn word(key: [u64; 2], index: u64) -> u32 {
    let quad = index / WORDS as u64;
    block(counter(key, quad), halves(key[0]))[(index % WORDS as u64) as usize]
}

/// The words of blocks `first`, `first + 1` and so on.
#[inline(always)]
pub(super) fn blocks(key: [u64; 2], first: u64, words: &mut [[u32; WORDS]]) {
    for (number, words) in words.chunks_mut(LANES).enumerate() {
        let start = first + (number * LANES) as u64;
        // In words of 64 bits from the start: with narrow ones compilers do not vectorise the products.
        let mut lanes = [[0u64; LANES]; WORDS];
        for lane in 0..LANES {
            let counter = counter(key, start + lane as u64);
            for (word, lanes) in lanes.iter_mut().enumerate() {
                lanes[lane] = u64::from(counter[word]);
            }
        }
        let [mut a, mut b, mut c, mut d] = lanes;
        let mut key = halves(key[0]);
        for _ in 0..ROUNDS {
            for lane in 0..LANES {
                let first = u64::from(MULTIPLIERS[0]) * a[lane];
                let second = u64::from(MULTIPLIERS[1]) * c[lane];
                a[lane] = second >> 32 ^ b[lane] ^ u64::from(key[0]);
                b[lane] = second & u64::from(u32::MAX);
                c[lane] = first >> 32 ^ d[lane] ^ u64::from(key[1]);
                d[lane] = first & u64::from(u32::MAX);
            }
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        for (lane, words) in words.iter_mut().enumerate() {
            *words = [a[lane] as u32, b[lane] as u32, c[lane] as u32, d[lane] as u32];
        }
    }
}

#[inline(always)]
fn counter(key: [u64; 2], quad: u64) -> [u32; 4] {
    let ([low, high], [third, fourth]) = (halves(quad), halves(key[1]));
    [low, high, third, fourth]
}

/// The low half first.
#[inline(always)]
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::{WORDS, block, blocks, word};
    use proptest::prelude::*;

    /// Those that are published with Random123 (`kat_vectors`).
    #[test]
    fn blocks_are_the_published_ones() {
        let ones = u32::MAX;
        for (counter, key, expected) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([ones; 4], [ones; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(block(counter, key), expected);
        }
        // The same as a stream: the halves of the key and of the counter come low half first.
        assert_eq!(word([0x299f_31d0_a409_3822, 0x0370_7344_1319_8a2e], 0), word_of_pi(0));
    }

    fn word_of_pi(index: usize) -> u32 {
        block([0, 0, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0])[index]
    }

    proptest! {
        #[test]
        fn blocks_made_together_are_those_made_alone(key in any::<[u64; 2]>(), first in 0..u64::MAX >> 3, count in 0..70_usize) {
            let mut words = vec![[0; WORDS]; count];
            blocks(key, first, &mut words);
            for (i, word_of) in words.iter().flatten().enumerate() {
                prop_assert_eq!(*word_of, word(key, first * WORDS as u64 + i as u64));
            }
        }
    }
}
