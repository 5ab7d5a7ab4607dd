//! Randomness by (purpose, entity, index): a draw depends on nothing but what it is for.
//!
//! A stream that is drawn from in order would shift all that comes after an event that is taken out of a plan. Here each draw is
//! a function of its own key, so that a run without one of its events is otherwise as it was, and shrinking works.

use std::hash::Hasher;

use kernel::env::SeededRng;
use siphasher::sip::SipHasher13;

/// The streams of one purpose: one for each entity and index.
#[derive(Debug, Clone)]
pub struct Streams(SipHasher13);

/// One stream: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Streams {
    /// Those of `purpose` in the run of `seed`.
    pub fn new(seed: &SeededRng, purpose: &str) -> Self {
        let mut key = [0; 16];
        seed.fork(purpose, 0).fill(&mut key);
        Self(SipHasher13::new_with_key(&key))
    }

    /// The stream of the event `index` of `entity`.
    pub fn at(&self, entity: u64, index: u64) -> Draw {
        let mut hasher = self.0;
        hasher.write_u64(entity);
        hasher.write_u64(index);
        Draw(hasher.finish())
    }
}

impl Draw {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 if there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, (low, high): (u64, u64)) -> u64 {
        low + self.below((high - low).saturating_add(1))
    }

    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_its_key_alone() {
        let seed = SeededRng::from_u64(1);
        let streams = Streams::new(&seed, "frames");
        let first = streams.at(3, 70).next_u64();
        streams.at(3, 69).next_u64();
        assert_eq!(streams.at(3, 70).next_u64(), first);
        for other in [
            streams.at(3, 71),
            streams.at(4, 70),
            Streams::new(&seed, "syncs").at(3, 70),
            Streams::new(&SeededRng::from_u64(2), "frames").at(3, 70),
        ] {
            assert_ne!(other.clone().next_u64(), first);
        }
    }

    #[test]
    fn draws_are_spread_over_their_range() {
        let streams = Streams::new(&SeededRng::from_u64(1), "test");
        let mut seen = [0; 10];
        (0..10_000).for_each(|index| seen[streams.at(0, index).between((0, 9)) as usize] += 1);
        assert!(seen.iter().all(|count| (850..1_150).contains(count)), "{seen:?}");
        let hits = (0..10_000).filter(|index| streams.at(1, *index).chance(250)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert_eq!(streams.at(0, 0).between((4, 4)), 4);
    }
}
