//! Randomness as the kernel sees it: a stream that the host seeded.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A seeded stream of random numbers (ChaCha with 8 rounds, Bernstein 2008).
///
/// Streams are independent by purpose and entity ([`SeededRng::fork`]): a draw more in one of them does not
/// move another, so that deleting one event from a simulated run leaves the rest as it was.
#[derive(Debug, Clone)]
pub struct SeededRng {
    seed: [u8; 32],
    stream: ChaCha8Rng,
}

impl SeededRng {
    /// The stream of a 256-bit seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            seed,
            stream: ChaCha8Rng::from_seed(seed),
        }
    }

    /// The stream of a small seed, as typed on a command line.
    pub fn from_u64(seed: u64) -> Self {
        Self::from_seed(blake3::derive_key("orrery 2026 simulator seed", &seed.to_le_bytes()))
    }

    /// An independent stream for `purpose` and `entity`. It depends on this stream's seed, not on how far the
    /// stream was drawn.
    pub fn fork(&self, purpose: &str, entity: u64) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(&entity.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self::from_seed(*hasher.finalize().as_bytes())
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// A number in `0..bound`. The bias is below 2^-64 × `bound` (Lemire's multiplication, no rejection), and
    /// the number of draws is always one.
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw below zero");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `low..=high`.
    ///
    /// # Panics
    /// If `low > high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "a draw between {low} and {high}");
        match (high - low).checked_add(1) {
            Some(span) => low + self.below(span),
            None => self.next_u64(),
        }
    }

    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.stream.fill_bytes(bytes);
    }

    /// 32 fresh bytes: the seed of something else.
    pub fn entropy(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        bytes
    }
}

/// The seed, and how far the stream was drawn, in words of 32 bits.
impl Serialize for SeededRng {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.seed, self.stream.get_word_pos()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SeededRng {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (seed, drawn) = Deserialize::deserialize(deserializer)?;
        let mut rng = Self::from_seed(seed);
        rng.stream.set_word_pos(drawn);
        Ok(rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_on_from_wherever_it_was_written_down() {
        let mut rng = SeededRng::from_u64(3);
        for draw in 0..400usize {
            let bytes = postcard::to_allocvec(&rng).unwrap();
            let mut again: SeededRng = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(again.clone().next_u64(), rng.clone().next_u64(), "after {draw} draws");
            let (mut here, mut there) = ([0; 11], [0; 11]);
            let len = draw % 12;
            rng.fill(&mut here[..len]);
            again.fill(&mut there[..len]);
            assert_eq!(here, there, "after {draw} draws");
        }
    }

    #[test]
    fn a_fork_does_not_depend_on_draws() {
        let mut a = SeededRng::from_u64(7);
        let b = a.clone();
        a.next_u64();
        assert_eq!(a.fork("net", 3).next_u64(), b.fork("net", 3).next_u64());
        assert_ne!(a.fork("net", 3).next_u64(), a.fork("net", 4).next_u64());
        assert_ne!(a.fork("net", 3).next_u64(), a.fork("disk", 3).next_u64());
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut rng = SeededRng::from_u64(1);
        for _ in 0..1_000 {
            assert!(rng.below(3) < 3);
            assert!((5..=9).contains(&rng.between(5, 9)));
        }
        assert!(!rng.chance(0));
        assert!(rng.chance(1_000));
        assert_eq!(rng.between(4, 4), 4);
        rng.between(0, u64::MAX);
    }

    #[test]
    fn the_stream_is_frozen() {
        // A kept failing plan replays only while this holds: changing it needs a reason in CHANGELOG.md.
        assert_eq!(SeededRng::from_u64(0).next_u64(), FROZEN);
    }

    const FROZEN: u64 = 15_431_497_386_401_997_556;
}
