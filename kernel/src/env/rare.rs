//! Rare paths, taken on purpose: what may happen to a node at any time and seldom does.
//!
//! FoundationDB's BUGGIFY: a path is on in a run or not, and where it is on it is taken now and then. Only the feature `testing`
//! compiles it in, and only a node's own configuration turns it on. What is off draws no randomness and changes no byte; what is
//! on draws from its key and from the place that asks, and from nothing that another draws from.

#[cfg(not(feature = "testing"))]
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One rare path. Each is something that a correct node may do at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rare {
    /// A change is not forwarded to a peer, as if its line were full: the next comparison finds it.
    SkipForward,
    /// A client's frame is refused, as if too much waited for storage.
    RefuseFrame,
    /// The records follow at once.
    ApplyEarly,
    /// The log is not cut though it could be.
    KeepLog,
    /// An envelope that could leave waits for a commit.
    WaitForCommit,
    /// A peer's line is closed.
    DropPeer,
    /// The clock's bound is made durable though nothing needs it.
    ReserveTime,
    /// A comparison with a peer begins early.
    CompareEarly,
}

impl Rare {
    /// All of them.
    pub const ALL: [Rare; 8] = [
        Rare::SkipForward,
        Rare::RefuseFrame,
        Rare::ApplyEarly,
        Rare::KeepLog,
        Rare::WaitForCommit,
        Rare::DropPeer,
        Rare::ReserveTime,
        Rare::CompareEarly,
    ];

    /// Its name in a plan.
    pub fn name(self) -> &'static str {
        match self {
            Rare::SkipForward => "skip-forward",
            Rare::RefuseFrame => "refuse-frame",
            Rare::ApplyEarly => "apply-early",
            Rare::KeepLog => "keep-log",
            Rare::WaitForCommit => "wait-for-commit",
            Rare::DropPeer => "drop-peer",
            Rare::ReserveTime => "reserve-time",
            Rare::CompareEarly => "compare-early",
        }
    }
}

/// Which rare paths are on in one node, and what they are drawn from. Without the feature `testing` it holds nothing, and the
/// compiler removes every question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RarePaths {
    #[cfg(feature = "testing")]
    on: u64,
    #[cfg(feature = "testing")]
    key: u64,
    #[cfg(feature = "testing")]
    older: bool,
}

#[cfg(feature = "testing")]
impl RarePaths {
    /// These are on. `key` is another for each boot of each node.
    pub fn new(on: &[Rare], key: u64) -> Self {
        Self {
            on: on.iter().fold(0, |bits, rare| bits | 1 << *rare as u64),
            key,
            older: false,
        }
    }

    /// The node speaks the protocol before this one to its peers.
    pub fn and_older(self) -> Self {
        Self { older: true, ..self }
    }

    /// Whether `rare` happens here: once in sixteen places where it is on. `place` tells one place from the next.
    pub fn happens(self, rare: Rare, place: u64) -> bool {
        if self.on & 1 << rare as u64 == 0 {
            return false;
        }
        // The finalizer of SplitMix64.
        let mut mixed = (self.key ^ place).wrapping_add((1 + rare as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).is_multiple_of(16)
    }

    /// Whether the node speaks the protocol before this one.
    pub fn is_older(self) -> bool {
        self.older
    }
}

#[cfg(not(feature = "testing"))]
impl RarePaths {
    /// Whether `rare` happens here: never, in this build.
    pub fn happens(self, _rare: Rare, _place: u64) -> bool {
        false
    }

    /// Whether the node speaks the protocol before this one: never, in this build.
    pub fn is_older(self) -> bool {
        false
    }
}

/// Which rare paths a node has in fact taken. Empty without the feature `testing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    #[cfg(feature = "testing")]
    paths: u64,
}

impl Taken {
    /// Notes that `rare` happened.
    pub fn note(&mut self, rare: Rare) {
        #[cfg(feature = "testing")]
        {
            self.paths |= 1 << rare as u64;
        }
        #[cfg(not(feature = "testing"))]
        let _ = rare;
    }

    /// Those that happened.
    #[cfg(feature = "testing")]
    pub fn all(self) -> impl Iterator<Item = Rare> {
        Rare::ALL
            .into_iter()
            .filter(move |rare| self.paths & 1 << *rare as u64 != 0)
    }
}

/// Written alike whether rare paths are compiled in or not: what one build writes another reads.
impl Serialize for RarePaths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[cfg(feature = "testing")]
        let parts = (self.on, self.key, self.older);
        #[cfg(not(feature = "testing"))]
        let parts = OFF;
        parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RarePaths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = <(u64, u64, bool)>::deserialize(deserializer)?;
        #[cfg(feature = "testing")]
        let (on, key, older) = parts;
        #[cfg(not(feature = "testing"))]
        if parts != OFF {
            return Err(D::Error::custom("a rare path is on, and this build has none"));
        }
        Ok(Self {
            #[cfg(feature = "testing")]
            on,
            #[cfg(feature = "testing")]
            key,
            #[cfg(feature = "testing")]
            older,
        })
    }
}

/// As it is where nothing is on.
#[cfg(not(feature = "testing"))]
const OFF: (u64, u64, bool) = (0, 0, false);

impl Serialize for Taken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[cfg(feature = "testing")]
        let paths = self.paths;
        #[cfg(not(feature = "testing"))]
        let paths = 0u64;
        paths.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Taken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let paths = u64::deserialize(deserializer)?;
        #[cfg(not(feature = "testing"))]
        if paths != 0 {
            return Err(D::Error::custom("a rare path was taken, and this build has none"));
        }
        Ok(Self {
            #[cfg(feature = "testing")]
            paths,
        })
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_never_happens_and_what_is_on_happens_now_and_then() {
        let paths = RarePaths::new(&[Rare::KeepLog], 7);
        let count = |rare| (0..16_000).filter(|place| paths.happens(rare, *place)).count();
        assert!((800..1_200).contains(&count(Rare::KeepLog)));
        assert_eq!(count(Rare::DropPeer), 0);
        assert!(!RarePaths::default().happens(Rare::KeepLog, 3));
    }

    #[test]
    fn two_paths_of_one_place_are_drawn_apart() {
        let paths = RarePaths::new(&Rare::ALL, 7);
        let both = |place: &u64| paths.happens(Rare::KeepLog, *place) && paths.happens(Rare::DropPeer, *place);
        assert!((20..110).contains(&(0..16_000).filter(both).count()));
    }
}
