//! Who is in which row: the part of the table that costs copies of data.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::search::{Cluster, Hop, Place, Rows, shortest};
use super::shares::Bounds;

/// The rows as sets, even and spread, with as much of `before` as these allow.
///
/// # Panics
/// If there is no such table. There always is: see the module's documentation.
pub(super) fn place(cluster: &Cluster, before: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut placement = Placement::new(cluster, before);
    placement.vacate();
    placement.fill();
    placement.level();
    placement.rows
}

struct Placement<'a> {
    cluster: &'a Cluster,
    before: &'a [Vec<usize>],
    rows: Vec<Vec<usize>>,
    /// How many replicas each seat has, and is to have.
    held: Vec<usize>,
    bounds: Vec<Bounds>,
}

impl<'a> Placement<'a> {
    fn new(cluster: &'a Cluster, before: &'a [Vec<usize>]) -> Self {
        let shares = &cluster.shares;
        let mut held = vec![0; shares.parts.len()];
        for seat in before.iter().flatten() {
            held[*seat] += 1;
        }
        Self {
            cluster,
            before,
            rows: before.to_vec(),
            held,
            bounds: shares
                .parts
                .iter()
                .map(|part| Bounds::around(*part, shares.whole))
                .collect(),
        }
    }

    /// Takes out of each row what is in the way of a spread one, from the fullest first: until its zones are not above their
    /// bounds, and the places that remain are enough for those that are below.
    fn vacate(&mut self) {
        for row in 0..self.rows.len() {
            loop {
                let zones = Zones::of(self, row);
                let above = zones.held.iter().zip(&self.cluster.per_zone);
                let above: Vec<bool> = above.map(|(held, bounds)| *held > bounds.high).collect();
                let in_the_way = |seat: &usize| {
                    let zone = self.cluster.zone_of[*seat];
                    if above.contains(&true) {
                        above[zone]
                    } else {
                        zones.spare < 0 && zones.held[zone] > self.cluster.per_zone[zone].low
                    }
                };
                let seats = self.rows[row].iter().copied().filter(in_the_way);
                let owner = self.before[row].first();
                let worst = |seat: &usize| (owner != Some(seat), self.excess(*seat), self.preference(row, *seat));
                let Some(worst) = seats.max_by_key(worst) else { break };
                self.rows[row].retain(|seat| *seat != worst);
                self.held[worst] -= 1;
            }
        }
    }

    /// Gives every vacant place to somebody, row by row and one each, so that those who lost much are not filled last.
    fn fill(&mut self) {
        for places in 1..=self.cluster.per_row {
            for row in 0..self.rows.len() {
                while self.rows[row].len() < places {
                    self.shift(vec![Place::Vacant { row }], |held, bounds| held < bounds.high);
                }
            }
        }
    }

    /// Takes from those above their bounds, then gives to those below, until there are neither.
    fn level(&mut self) {
        loop {
            let fullest = self.fullest(|held, bounds| held > bounds.high);
            if fullest.is_empty() {
                break;
            }
            let needy = self.try_shift(fullest.clone(), |held, bounds| held < bounds.low);
            if !needy {
                self.shift(fullest, |held, bounds| held < bounds.high);
            }
        }
        while self
            .held
            .iter()
            .zip(&self.bounds)
            .any(|(held, bounds)| *held < bounds.low)
        {
            let fullest = self.fullest(|held, bounds| held > bounds.low);
            self.shift(fullest, |held, bounds| held < bounds.low);
        }
    }

    /// The seats for which `which` holds, the fullest first.
    fn fullest(&self, which: impl Fn(usize, Bounds) -> bool) -> Vec<Place> {
        let seats = (0..self.held.len()).filter(|seat| which(self.held[*seat], self.bounds[*seat]));
        let mut seats: Vec<usize> = seats.collect();
        let rows = self.rows.len();
        seats.sort_by_key(|seat| Reverse((self.excess(*seat), self.preference(rows, *seat))));
        seats.into_iter().map(Place::Seat).collect()
    }

    fn shift(&mut self, starts: Vec<Place>, ends: impl Fn(usize, Bounds) -> bool) {
        let done = self.try_shift(starts.clone(), ends);
        assert!(
            done,
            "no way from {starts:?}: held {:?}, to hold {:?}",
            self.held, self.bounds
        );
    }

    /// Has one of `starts` give a replica, by way of others if need be, to a seat for which `ends` holds.
    fn try_shift(&mut self, starts: Vec<Place>, ends: impl Fn(usize, Bounds) -> bool) -> bool {
        let path = shortest(self, starts, |seat| ends(self.held[seat], self.bounds[seat]));
        for hop in path.iter().flatten() {
            self.perform(*hop);
        }
        path.is_some()
    }

    fn perform(&mut self, hop: Hop) {
        if let Place::Seat(from) = hop.from {
            self.rows[hop.row].retain(|seat| *seat != from);
            self.held[from] -= 1;
        }
        self.rows[hop.row].push(hop.to);
        self.held[hop.to] += 1;
        let zones = Zones::of(self, hop.row);
        assert!(
            zones.spare >= 0,
            "{hop:?} leaves {:?} of {:?}",
            zones.held,
            self.cluster.per_zone
        );
    }
}

impl Rows for Placement<'_> {
    fn hops(&self, from: Place) -> Vec<Option<usize>> {
        let mut best = vec![None; self.held.len()];
        for (row, seats) in self.rows.iter().enumerate() {
            let leaves = match from {
                Place::Seat(seat) if seats.contains(&seat) => Some(seat),
                Place::Vacant { row: vacant } if vacant == row => None,
                _ => continue,
            };
            let zones = Zones::of(self, row);
            let left = leaves.map(|seat| self.cluster.zone_of[seat]);
            let was_owner = leaves.is_some() && leaves == self.before[row].first().copied();
            for (to, best) in best.iter_mut().enumerate() {
                if seats.contains(&to) || !zones.allow(self.cluster, left, self.cluster.zone_of[to]) {
                    continue;
                }
                // Best is what costs nothing, for it was there before; then what leaves the owner where it is.
                let rank = (self.before[row].contains(&to), !was_owner, self.preference(row, to));
                if best.is_none_or(|(than, _)| rank > than) {
                    *best = Some((rank, row));
                }
            }
        }
        best.into_iter().map(|best| best.map(|(_, row)| row)).collect()
    }

    fn excess(&self, seat: usize) -> i64 {
        self.cluster.excess(seat, self.held[seat], 1)
    }

    fn preference(&self, row: usize, seat: usize) -> u64 {
        self.cluster.preference(row, seat)
    }
}

/// How one row is spread over the zones.
struct Zones {
    held: Vec<usize>,
    /// How many places of the row remain when every zone that is below its bounds has been brought up to them.
    spare: i64,
}

impl Zones {
    fn of(placement: &Placement, row: usize) -> Self {
        let cluster = placement.cluster;
        let mut held = vec![0; cluster.per_zone.len()];
        for seat in &placement.rows[row] {
            held[cluster.zone_of[*seat]] += 1;
        }
        let spoken_for = held
            .iter()
            .zip(&cluster.per_zone)
            .map(|(held, bounds)| bounds.low.max(*held));
        Self {
            spare: cluster.per_row as i64 - spoken_for.sum::<usize>() as i64,
            held,
        }
    }

    /// Whether one in zone `from`, or a vacant place, can become one in zone `to`.
    fn allow(&self, cluster: &Cluster, from: Option<usize>, to: usize) -> bool {
        if from == Some(to) {
            return true;
        }
        let freed = from.is_some_and(|from| self.held[from] > cluster.per_zone[from].low);
        let taken = self.held[to] >= cluster.per_zone[to].low;
        self.held[to] < cluster.per_zone[to].high && self.spare + i64::from(freed) >= i64::from(taken)
    }
}
