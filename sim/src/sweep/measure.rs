//! The two numbers: how long a kill takes to be seen by all, and how often somebody is wrongly given up.

use kernel::cluster::liveness::{Health, News};
use kernel::env::SeededRng;

use super::cluster::{Cluster, Scene};

/// How long a kill may take to be seen, before it counts as never.
const NEVER_US: u64 = 60_000_000;

/// A cluster that nothing happens to, for some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calm {
    /// How long it was, in microseconds.
    pub span_us: u64,
    /// How often a node began to suspect another.
    pub suspicions: u64,
    /// How often a node gave up another.
    pub failures: u64,
    /// Messages, and their bytes, all nodes together.
    pub messages: u64,
    /// See `messages`.
    pub bytes: u64,
    /// The longest message that was measured.
    pub longest_bytes: u64,
    /// Steps of detectors.
    pub events: u64,
}

impl Calm {
    /// Lets a cluster run for `span_us`.
    pub fn measure(scene: &Scene, seed: u64, span_us: u64) -> Self {
        let mut cluster = Cluster::new(scene, seed);
        let mut calm = Self {
            span_us,
            ..Self::default()
        };
        // In parts, so that what was seen does not pile up.
        while cluster.now_us() < span_us {
            cluster.run_for((span_us - cluster.now_us()).min(600_000_000));
            for seen in cluster.take_seen() {
                if let News::Turned { to, .. } = seen.news {
                    calm.suspicions += u64::from(to == Health::Suspect);
                    calm.failures += u64::from(to == Health::Failed);
                }
            }
        }
        let longest;
        (calm.messages, calm.events) = cluster.counts();
        (calm.bytes, longest) = cluster.bytes();
        calm.longest_bytes = longest as u64;
        calm
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            span_us: self.span_us + other.span_us,
            suspicions: self.suspicions + other.suspicions,
            failures: self.failures + other.failures,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            longest_bytes: self.longest_bytes.max(other.longest_bytes),
            events: self.events + other.events,
        }
    }
}

/// Kills one node of a cluster that has been running for a while. How long until every survivor gives it up, in
/// microseconds; nothing if one never does.
pub fn kill(scene: &Scene, seed: u64) -> Option<u64> {
    let mut cluster = Cluster::new(scene, seed);
    let mut rng = SeededRng::from_u64(seed).fork("kill", 0);
    cluster.run_for(rng.between(5_000_000, 8_000_000));
    let victim = rng.below(scene.nodes as u64) as usize;
    cluster.kill(victim);
    let killed_us = cluster.now_us();
    let survivors = || (0..scene.nodes).filter(|node| *node != victim);
    let all_know = |cluster: &Cluster| survivors().all(|node| cluster.state(node, victim) == Health::Failed);
    let known = cluster.run_until(killed_us + NEVER_US, all_know);
    known.then(|| cluster.now_us() - killed_us)
}

/// How long kills took to be seen, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kills {
    seen_us: Vec<u64>,
    never: usize,
}

impl Kills {
    /// Of these, each with its time or with none.
    pub fn new(kills: impl IntoIterator<Item = Option<u64>>) -> Self {
        let all: Vec<Option<u64>> = kills.into_iter().collect();
        let mut seen_us: Vec<u64> = all.iter().flatten().copied().collect();
        seen_us.sort_unstable();
        let never = all.len() - seen_us.len();
        Self { seen_us, never }
    }

    /// The time, in milliseconds, that so many in a thousand did not exceed; nothing if one of them was never seen.
    pub fn permille_ms(&self, permille: usize) -> Option<u64> {
        let all = self.seen_us.len() + self.never;
        let rank = (all * permille).div_ceil(1_000).max(1) - 1;
        self.seen_us.get(rank).map(|us| us.div_ceil(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_times_and_what_was_never_seen_comes_last() {
        let kills = Kills::new([Some(3_000), None, Some(1_001), Some(2_000)]);
        assert_eq!(kills.permille_ms(0), Some(2));
        assert_eq!(kills.permille_ms(500), Some(2));
        assert_eq!(kills.permille_ms(750), Some(3));
        assert_eq!(kills.permille_ms(990), None);
        assert_eq!(Kills::default().permille_ms(500), None);
    }
}
