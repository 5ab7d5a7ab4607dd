//! Who is first in each row, and who comes after: the part of the table that costs no copies.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::search::{Cluster, Place, Rows, shortest};
use super::shares::Bounds;

/// The rows `sets` in order, where `led` says of each row of `before` whether its first is its owner (who may have
/// gone). An owner stays, or is followed by its first backup that is still there, unless others own too little.
///
/// # Panics
/// If ownership cannot be even. It can, in rows that are: each node of a row can own an equal fraction of it.
pub(super) fn order(cluster: &Cluster, before: &[Vec<usize>], led: &[bool], sets: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut owners = Owners::new(cluster, before, led, sets);
    owners.level();
    let rows = owners.rows.iter().zip(&owners.owner);
    rows.map(|(row, owner)| succession(cluster, row, *owner)).collect()
}

struct Owners<'a> {
    cluster: &'a Cluster,
    /// In each row who was in it before, in that order; then who is new, by preference.
    rows: Vec<Vec<usize>>,
    /// How many of a row were in it before.
    stayed: Vec<usize>,
    owner: Vec<usize>,
    /// Who owned each row before, if it is still a member.
    was: Vec<Option<usize>>,
    /// How many rows each seat owns, and is to own.
    owned: Vec<usize>,
    bounds: Vec<Bounds>,
}

impl<'a> Owners<'a> {
    fn new(cluster: &'a Cluster, before: &[Vec<usize>], led: &[bool], sets: &[Vec<usize>]) -> Self {
        let (mut rows, mut stayed) = (Vec::new(), Vec::new());
        for (number, (before, set)) in before.iter().zip(sets).enumerate() {
            let mut row: Vec<usize> = before.iter().copied().filter(|seat| set.contains(seat)).collect();
            let mut new: Vec<usize> = set.iter().copied().filter(|seat| !before.contains(seat)).collect();
            new.sort_by_key(|seat| Reverse(cluster.preference(number, *seat)));
            stayed.push(row.len());
            row.append(&mut new);
            rows.push(row);
        }
        let shares = &cluster.shares;
        let whole = shares.whole * cluster.per_row as u64;
        let mut owners = Self {
            cluster,
            owner: rows.iter().map(|row| row[0]).collect(),
            owned: vec![0; shares.parts.len()],
            bounds: shares.parts.iter().map(|part| Bounds::around(*part, whole)).collect(),
            was: before
                .iter()
                .zip(led)
                .map(|(row, led)| row.first().copied().filter(|_| *led))
                .collect(),
            rows,
            stayed,
        };
        owners.begin();
        owners
    }

    /// Counts the owners that are there, and gives the rows that have nobody from before to the neediest.
    fn begin(&mut self) {
        for row in 0..self.rows.len() {
            if self.stayed[row] > 0 {
                self.owned[self.owner[row]] += 1;
            }
        }
        for row in 0..self.rows.len() {
            if self.stayed[row] == 0 {
                let seats = self.rows[row].iter().copied();
                let neediest = seats.min_by_key(|seat| (self.excess(*seat), Reverse(self.preference(row, *seat))));
                self.owner[row] = neediest.unwrap_or(self.owner[row]);
                self.owned[self.owner[row]] += 1;
            }
        }
    }

    /// Takes from those who own too much, then gives to those who own too little, until there are neither.
    fn level(&mut self) {
        loop {
            let fullest = self.fullest(|owned, bounds| owned > bounds.high);
            if fullest.is_empty() {
                break;
            }
            let needy = self.try_shift(fullest.clone(), |owned, bounds| owned < bounds.low);
            assert!(
                needy || self.try_shift(fullest, |owned, bounds| owned < bounds.high),
                "owned {:?}, to own {:?}",
                self.owned,
                self.bounds
            );
        }
        while self
            .owned
            .iter()
            .zip(&self.bounds)
            .any(|(owned, bounds)| *owned < bounds.low)
        {
            let fullest = self.fullest(|owned, bounds| owned > bounds.low);
            let done = self.try_shift(fullest, |owned, bounds| owned < bounds.low);
            assert!(done, "owned {:?}, to own {:?}", self.owned, self.bounds);
        }
    }

    /// The seats for which `which` holds, the fullest first.
    fn fullest(&self, which: impl Fn(usize, Bounds) -> bool) -> Vec<Place> {
        let seats = (0..self.owned.len()).filter(|seat| which(self.owned[*seat], self.bounds[*seat]));
        let mut seats: Vec<usize> = seats.collect();
        let rows = self.rows.len();
        seats.sort_by_key(|seat| Reverse((self.excess(*seat), self.preference(rows, *seat))));
        seats.into_iter().map(Place::Seat).collect()
    }

    fn try_shift(&mut self, starts: Vec<Place>, ends: impl Fn(usize, Bounds) -> bool) -> bool {
        let path = shortest(self, starts, |seat| ends(self.owned[seat], self.bounds[seat]));
        for hop in path.iter().flatten() {
            self.owned[self.owner[hop.row]] -= 1;
            self.owner[hop.row] = hop.to;
            self.owned[hop.to] += 1;
        }
        path.is_some()
    }
}

impl Rows for Owners<'_> {
    fn hops(&self, from: Place) -> Vec<Option<usize>> {
        let mut best = vec![None; self.owned.len()];
        for (row, seats) in self.rows.iter().enumerate() {
            if from != Place::Seat(self.owner[row]) {
                continue;
            }
            for (place, to) in seats.iter().enumerate().filter(|(_, to)| **to != self.owner[row]) {
                // Best is who was the owner before; then a row that has another owner anyway; then one who has the data.
                let changed = self.was[row] != Some(self.owner[row]);
                let rank = (
                    self.was[row] == Some(*to),
                    changed,
                    place < self.stayed[row],
                    self.preference(row, *to),
                );
                if best[*to].is_none_or(|(than, _)| rank > than) {
                    best[*to] = Some((rank, row));
                }
            }
        }
        best.into_iter().map(|best| best.map(|(_, row)| row)).collect()
    }

    fn excess(&self, seat: usize) -> i64 {
        self.cluster.excess(seat, self.owned[seat], self.cluster.per_row)
    }

    fn preference(&self, row: usize, seat: usize) -> u64 {
        self.cluster.preference(row, seat)
    }
}

/// `row` in the order in which its nodes take over: `owner`, then always the first whose zone has come up least, so that who
/// follows does not fail together with those before it.
fn succession(cluster: &Cluster, row: &[usize], owner: usize) -> Vec<usize> {
    let mut rest: Vec<usize> = row.iter().copied().filter(|seat| *seat != owner).collect();
    let mut order = vec![owner];
    while !rest.is_empty() {
        let in_zone = |seat: &usize| {
            let zone = cluster.zone_of[*seat];
            order.iter().filter(|other| cluster.zone_of[**other] == zone).count()
        };
        let least = (0..rest.len()).min_by_key(|place| in_zone(&rest[*place])).unwrap_or(0);
        order.push(rest.remove(least));
    }
    order
}
