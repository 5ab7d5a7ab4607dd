//! How often, how long, how many.

use serde::{Deserialize, Serialize};

/// The settings of a detector. The defaults are the marked row of `sim sweep`: for five nodes that lose one message in
/// twenty and wait up to 200 ms for the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivenessSettings {
    /// Time between two rounds of probes, give or take an eighth.
    pub probe_ms: u64,
    /// Most members that are probed in one round. Where there are more, each has its turn.
    pub probes: usize,
    /// Unanswered for so long a member is in doubt: it is probed twice as often, and others are asked about it. A round trip and
    /// a half.
    pub doubt_ms: u64,
    /// How many others are asked about a member in doubt, each time.
    pub indirect: usize,
    /// Unanswered for so long, by itself and by way of others, a member is suspected. The least: a network that is slower
    /// than this allows for raises it.
    pub silence_ms: u64,
    /// The most that a slow network raises `silence_ms` to.
    pub silence_max_ms: u64,
    /// How unlikely a silence has to be, by what was seen of a member before: one in ten to the power of this (1 to 12).
    pub phi: u32,
    /// How many others have to suspect a member, too, before it is given up without delay; all of them, where there are
    /// fewer.
    pub confirmations: usize,
    /// From suspecting to giving up, once enough others suspect, too.
    pub suspicion_min_ms: u64,
    /// From suspecting to giving up, if nobody else does.
    pub suspicion_max_ms: u64,
    /// The worst that this node's own health is taken for; at 2 it waits three times as long as at 0.
    pub health_max: u64,
    /// A step that comes this much later than it was asked for is a sign of bad health, and what is beyond counts as time
    /// in which this node was not there.
    pub late_ms: u64,
    /// Most members that one message tells of.
    pub rumors: usize,
    /// How often a piece of news is told, times the logarithm of the number of members.
    pub retransmits: u32,
}

impl LivenessSettings {
    /// The defaults, with every time as many times longer or shorter as a round of probes is.
    pub fn paced(probe_ms: u64) -> Self {
        let standard = Self::default();
        let scaled = |ms: u64| ms.saturating_mul(probe_ms) / standard.probe_ms;
        Self {
            probe_ms,
            doubt_ms: scaled(standard.doubt_ms),
            silence_ms: scaled(standard.silence_ms),
            silence_max_ms: scaled(standard.silence_max_ms),
            suspicion_min_ms: scaled(standard.suspicion_min_ms),
            suspicion_max_ms: scaled(standard.suspicion_max_ms),
            late_ms: scaled(standard.late_ms),
            ..standard
        }
    }
}

impl Default for LivenessSettings {
    fn default() -> Self {
        Self {
            probe_ms: 200,
            probes: 8,
            doubt_ms: 450,
            indirect: 3,
            silence_ms: 850,
            silence_max_ms: 3_000,
            phi: 6,
            confirmations: 3,
            suspicion_min_ms: 0,
            suspicion_max_ms: 1_200,
            health_max: 4,
            late_ms: 100,
            rumors: 8,
            retransmits: 4,
        }
    }
}
