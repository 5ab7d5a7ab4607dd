//! Which symbols an item goes into.

use serde::{Deserialize, Serialize};

/// The symbols of one item, ascending: 0, then ever sparser. They depend on the seed alone, and on no machine.
///
/// From symbol i the paper goes on to symbol i + ⌈(i + 3/2)(1/√u − 1)⌉, with u uniform in (0, 1]. The square root of a uniform
/// number is distributed as the greater of two uniform numbers is, because both are at most x with a probability of x².
/// So with r the greater of two numbers of 32 bits, plus 1, it is ⌈(2i + 3)(2^32 − r) / 2r⌉.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mapping {
    next: u64,
    state: u64,
}

impl Mapping {
    pub(super) fn new(seed: u64) -> Self {
        Self { next: 0, state: seed }
    }

    /// The symbol that comes next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn advance(&mut self) {
        debug_assert!(self.next < 1 << 30, "symbol {} is beyond all bounds", self.next);
        let drawn = self.draw();
        let greater = (drawn >> 32).max(drawn & u64::from(u32::MAX)) + 1;
        self.next += gap(self.next, greater);
    }

    /// The next symbol, if it is below `len`.
    pub(super) fn step(&mut self, len: usize) -> Option<usize> {
        let index = usize::try_from(self.next).ok().filter(|index| *index < len)?;
        self.advance();
        Some(index)
    }

    /// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014). The seeds are keyed hashes;
    /// all it has to do is to stretch them.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.state;
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// How far it is from symbol `index` to the next, for a draw of 1 to 2^32. The last of these would go nowhere.
fn gap(index: u64, greater: u64) -> u64 {
    let gap = ((2 * index + 3) * ((1 << 32) - greater)).div_ceil(2 * greater);
    gap.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn indexes(seed: u64, len: usize) -> Vec<usize> {
        let mut mapping = Mapping::new(seed);
        core::iter::from_fn(|| mapping.step(len)).collect()
    }

    #[test]
    fn an_item_goes_into_symbol_i_with_a_probability_of_one_in_one_and_half_i() {
        const ITEMS: u64 = 40_000;
        let mut held = vec![0u64; 1_000];
        for seed in 0..ITEMS {
            for index in indexes(seed.wrapping_mul(0xd134_2543_de82_ef95), held.len()) {
                held[index] += 1;
            }
        }
        assert_eq!(held[0], ITEMS);
        // The formula meets 1/(1 + i/2) in the limit; at the first symbols it is a few percent off.
        for (low, high) in [(1, 2), (2, 4), (4, 10), (10, 30), (30, 100), (100, 300), (300, 1_000)] {
            let counted: u64 = held[low..high].iter().sum();
            let expected: u64 = (low..high).map(|i| 2 * ITEMS / (i as u64 + 2)).sum();
            assert!(
                counted.abs_diff(expected) * 20 < expected,
                "{low}..{high}: {counted} for {expected}"
            );
        }
    }

    #[test]
    fn it_ascends_to_the_end() {
        for seed in 0..1_000 {
            let indexes = indexes(seed, 1 << 24);
            assert!(indexes.len() < 80 && indexes.is_sorted_by(|a, b| a < b), "{indexes:?}");
        }
    }

    #[test]
    fn the_least_and_the_greatest_draw_go_on_too() {
        assert_eq!(gap(0, 1 << 32), 1);
        assert_eq!(gap(1 << 29, 1 << 32), 1);
        assert_eq!(gap(5, 1 << 31), 7, "6.5 further, rounded up");
        assert_eq!(gap(0, 1), 3 * ((1 << 32) - 1) / 2 + 1);
        assert!(gap(1 << 29, 1) > 1 << 60);
    }

    #[test]
    fn the_mapping_is_frozen() {
        // Nodes of different builds must put an item into the same symbols.
        assert_eq!(indexes(1, 1_000), FROZEN);
        let sum: usize = (0..1_000).flat_map(|seed| indexes(seed, 1 << 20)).sum();
        assert_eq!(sum, FROZEN_SUM);
    }

    const FROZEN: &[usize] = &[0, 2, 4, 5, 6, 8, 11, 13, 27, 99, 126, 314, 520];
    const FROZEN_SUM: usize = 2_125_242_797;
}
