//! The members as the search for a table sees them, and the path along which one replica too many here becomes one more there.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use super::super::PARTITIONS;
use super::shares::{Bounds, Shares};
use super::{Seat, WEIGHT_MAX};
use crate::env::{Mutant, Mutants, NodeId};

/// The members, by their place in `seats`, and what each is to hold.
pub(super) struct Cluster {
    /// Ascending by id, each id once.
    pub seats: Vec<Seat>,
    /// How many replicas a row has.
    pub per_row: usize,
    pub shares: Shares,
    /// The zone of each seat, numbered from zero.
    pub zone_of: Vec<usize>,
    /// How many replicas of one row are in each zone.
    pub per_zone: Vec<Bounds>,
    mutants: Mutants,
}

impl Cluster {
    pub(super) fn new(seats: &[Seat], replicas: usize, mutants: Mutants) -> Self {
        let mut seats = seats.to_vec();
        if !mutants.is(Mutant::TableByIterationOrder) {
            seats.sort_unstable();
        }
        seats.dedup_by_key(|seat| seat.id);
        let weights: Vec<u64> = seats
            .iter()
            .map(|seat| seat.weight.clamp(1, WEIGHT_MAX).into())
            .collect();
        let per_row = replicas.min(seats.len());
        let shares = Shares::new(&weights, per_row);
        let mut zones: Vec<u32> = seats.iter().map(|seat| seat.zone).collect();
        zones.sort_unstable();
        zones.dedup();
        let zone_of = seats.iter().map(|seat| zones.partition_point(|zone| *zone < seat.zone));
        let zone_of: Vec<usize> = zone_of.collect();
        let mut of_zone = vec![0; zones.len()];
        for (zone, part) in zone_of.iter().zip(&shares.parts) {
            of_zone[*zone] += part;
        }
        let per_zone = of_zone
            .iter()
            .map(|part| Bounds::around(*part, shares.whole * u64::from(PARTITIONS)));
        Self {
            per_zone: per_zone.collect(),
            seats,
            per_row,
            shares,
            zone_of,
            mutants,
        }
    }

    /// The members in `row`, each once, in the order of `row`.
    pub(super) fn known(&self, row: &[NodeId]) -> Vec<usize> {
        let mut known = Vec::new();
        for id in row {
            let seat = self.seats.iter().position(|seat| seat.id == *id);
            known.extend(seat.filter(|seat| !known.contains(seat)));
        }
        known
    }

    /// How much `row` prefers `seat` where everything else is equal: the rendezvous weight.
    pub(super) fn preference(&self, row: usize, seat: usize) -> u64 {
        if self.mutants.is(Mutant::TableByIterationOrder) {
            return u64::MAX - seat as u64;
        }
        let both = mixed(self.seats[seat].id.0) ^ (row as u64);
        mixed(both)
    }

    /// By how much `seat`, with `held` of something of which each row has `per_row`, is above its share (below, if negative).
    /// Comparable between seats.
    pub(super) fn excess(&self, seat: usize, held: usize, per_share: usize) -> i64 {
        (held * per_share) as i64 * self.shares.whole as i64 - self.shares.parts[seat] as i64
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a permutation of all words in which every bit depends on every other.
fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Where a path begins or goes on: at a seat, or at a place of a row that nobody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Seat(usize),
    Vacant { row: usize },
}

/// In `row`, `to` gets what is at `from`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hop {
    pub row: usize,
    pub from: Place,
    pub to: usize,
}

/// What a search asks of those who know the rows.
pub(super) trait Rows {
    /// For each seat the row in which it could best get what is at `from`, if there is one.
    fn hops(&self, from: Place) -> Vec<Option<usize>>;

    /// By how much a seat is above its share.
    fn excess(&self, seat: usize) -> i64;

    /// How much a row prefers a seat.
    fn preference(&self, row: usize, seat: usize) -> u64;
}

/// The shortest path from one of `starts` (the earlier the better) to the neediest seat for which `ends` holds, its last hop
/// first: to be performed in that order.
///
/// Breadth first (Edmonds, Karp 1972). That it is shortest also means that two hops in one row do not disturb each other: if
/// they did, there would be a shorter way through that row.
pub(super) fn shortest(rows: &impl Rows, starts: Vec<Place>, ends: impl Fn(usize) -> bool) -> Option<Vec<Hop>> {
    let mut reached: Vec<Option<Hop>> = Vec::new();
    let mut queue = VecDeque::from(starts.clone());
    while let Some(from) = queue.pop_front() {
        let hops = rows.hops(from);
        reached.resize(hops.len(), None);
        let is_new = |seat: usize| reached[seat].is_none() && !starts.contains(&Place::Seat(seat));
        let hops = hops.into_iter().enumerate();
        let hops = hops.filter_map(|(to, row)| row.filter(|_| is_new(to)).map(|row| Hop { row, from, to }));
        let mut hops: Vec<Hop> = hops.collect();
        hops.sort_by_key(|hop| (rows.excess(hop.to), u64::MAX - rows.preference(hop.row, hop.to)));
        if let Some(last) = hops.iter().find(|hop| ends(hop.to)) {
            let mut path = vec![*last];
            let mut from = last.from;
            while let Place::Seat(seat) = from {
                let Some(hop) = reached[seat] else { break };
                path.push(hop);
                from = hop.from;
            }
            return Some(path);
        }
        for hop in hops {
            reached[hop.to] = Some(hop);
            queue.push_back(Place::Seat(hop.to));
        }
    }
    None
}
