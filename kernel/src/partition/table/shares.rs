//! What is even: how much of all replicas each member is to hold, as exact fractions.

use alloc::vec::Vec;

use super::super::PARTITIONS;

/// At least `low` and at most `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub low: usize,
    pub high: usize,
}

impl Bounds {
    /// `part / whole`, rounded down and up.
    pub(super) fn around(part: u64, whole: u64) -> Self {
        let (low, high) = (part / whole, part.div_ceil(whole));
        Self {
            low: low as usize,
            high: high as usize,
        }
    }
}

/// Each member's share of the replicas: `parts[member] / whole` of them. The shares sum up to all replicas, and none is above
/// the number of partitions.
#[derive(Debug)]
pub(super) struct Shares {
    pub parts: Vec<u64>,
    pub whole: u64,
}

impl Shares {
    /// The shares of members with these `weights`, of `per_row` replicas of each partition.
    ///
    /// # Panics
    /// If there are fewer members than `per_row`, or a weight of zero.
    pub(super) fn new(weights: &[u64], per_row: usize) -> Self {
        assert!(per_row <= weights.len(), "{per_row} of {} members", weights.len());
        let rows = u64::from(PARTITIONS);
        let mut capped = Vec::new();
        capped.resize(weights.len(), false);
        // Whoever would hold more than every partition once holds just that. The others share what remains, which can bring
        // one more of them to that point.
        loop {
            let open = || weights.iter().zip(&capped).filter(|(_, capped)| !**capped);
            let whole = open().map(|(weight, _)| weight).sum::<u64>();
            let closed = capped.iter().filter(|capped| **capped).count();
            let rest = rows * (per_row - closed) as u64;
            let beyond = weights
                .iter()
                .zip(&capped)
                .position(|(weight, capped)| !capped && weight * rest > rows * whole);
            if let Some(beyond) = beyond {
                capped[beyond] = true;
                continue;
            }
            let whole = whole.max(1);
            let part = |(weight, capped): (&u64, &bool)| if *capped { rows * whole } else { weight * rest };
            let parts = weights.iter().zip(&capped).map(part).collect();
            return Self { parts, whole };
        }
    }
}
