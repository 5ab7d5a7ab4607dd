//! A few of many, from somewhere in their order, kept as they come and go.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Bound;
use serde::{Deserialize, Serialize};

use super::{ChangeType, Event, Query};
use crate::store::RecordKey;

/// The records that match in their order, and which of them the answer shows: those behind its first edge, up to its last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Window {
    ranked: BTreeMap<Bytes, RecordKey>,
    edges: Edges,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Edges {
    /// Of those that are left out at the beginning, if any are.
    first: Option<Edge>,
    /// Of those and the answer together, if the answer ends somewhere.
    last: Option<Edge>,
}

/// Where the first few of all records end.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Edge {
    /// How many they are: one at least.
    size: usize,
    /// The rank of the last of them, if there are as many.
    at: Option<Bytes>,
}

impl Window {
    /// What a query shows, of no records yet. Its limit, if it has one, is one at least.
    pub(super) fn of(query: &Query) -> Self {
        let edge = |size| Edge { size, at: None };
        let edges = Edges {
            first: (query.offset > 0).then(|| edge(query.offset)),
            last: query.reach().map(edge),
        };
        Self {
            ranked: BTreeMap::new(),
            edges,
        }
    }

    /// Moves the record `key` from one rank to another, in or out, and says what that does to the answer: to the record itself,
    /// and to those that it moves over an edge. Those that leave are told of first, so that the answer is never over its limit.
    pub(super) fn change(&mut self, key: &RecordKey, old: Option<&Bytes>, new: Option<Bytes>) -> Vec<Event> {
        let before = self.edges.clone();
        if let Some(rank) = old {
            self.remove(rank);
        }
        if let Some(rank) = &new {
            self.insert(rank.clone(), key.clone());
        }
        let was = old.is_some_and(|rank| before.show(rank));
        let is = new.as_ref().is_some_and(|rank| self.edges.show(rank));
        let mut events: Vec<_> = event(key, was, is).into_iter().collect();
        let mut moved: Vec<&Bytes> = before.ranks().chain(self.edges.ranks()).collect();
        moved.sort_unstable();
        moved.dedup();
        for rank in moved {
            // Of others it is known that they stand where they stood.
            let Some(other) = self.ranked.get(rank).filter(|other| *other != key) else {
                continue;
            };
            if before.show(rank) != self.edges.show(rank) {
                events.extend(event(other, before.show(rank), self.edges.show(rank)));
            }
        }
        events.sort_by_key(|event| event.change != ChangeType::Leave);
        events
    }

    /// Puts a record in.
    pub(super) fn insert(&mut self, rank: Bytes, name: RecordKey) {
        self.ranked.insert(rank.clone(), name);
        for edge in self.edges.each() {
            edge.inserted(&self.ranked, &rank);
        }
    }

    fn remove(&mut self, rank: &Bytes) {
        self.ranked.remove(rank);
        for edge in self.edges.each() {
            edge.removed(&self.ranked, rank);
        }
    }

    /// The records of the answer, in order.
    pub(super) fn shown(&self) -> impl Iterator<Item = &RecordKey> {
        let behind = match &self.edges.first {
            None => Some(Bound::Unbounded),
            // Fewer than are left out: nothing is shown.
            Some(edge) => edge.at.as_ref().map(Bound::Excluded),
        };
        let shown = behind.map(|behind| self.ranked.range::<Bytes, _>((behind, Bound::Unbounded)));
        let shown = shown.into_iter().flatten();
        shown
            .take_while(|(rank, _)| self.edges.show(rank))
            .map(|(_, name)| name)
    }
}

impl Edges {
    fn each(&mut self) -> impl Iterator<Item = &mut Edge> {
        self.first.iter_mut().chain(&mut self.last)
    }

    fn ranks(&self) -> impl Iterator<Item = &Bytes> {
        self.first.iter().chain(&self.last).filter_map(|edge| edge.at.as_ref())
    }

    /// Whether a record of that rank is in the answer.
    fn show(&self, rank: &Bytes) -> bool {
        let left_out = self.first.as_ref().is_some_and(|edge| edge.holds(rank));
        !left_out && self.last.as_ref().is_none_or(|edge| edge.holds(rank))
    }
}

impl Edge {
    fn holds(&self, rank: &Bytes) -> bool {
        self.at.as_ref().is_none_or(|at| rank <= at)
    }

    fn inserted(&mut self, ranked: &BTreeMap<Bytes, RecordKey>, rank: &Bytes) {
        if !self.holds(rank) {
            return;
        }
        self.at = match self.at.take() {
            // The last one is pushed out; the one before it, perhaps the new one, is the last.
            Some(at) => ranked.range(..at).next_back().map(|(rank, _)| rank.clone()),
            None if ranked.len() == self.size => ranked.last_key_value().map(|(rank, _)| rank.clone()),
            None => None,
        };
    }

    fn removed(&mut self, ranked: &BTreeMap<Bytes, RecordKey>, rank: &Bytes) {
        let moves = self.holds(rank);
        if let Some(at) = self.at.take_if(|_| moves) {
            let beyond = (Bound::Excluded(at), Bound::Unbounded);
            self.at = ranked.range(beyond).next().map(|(rank, _)| rank.clone());
        }
    }
}

/// What happened to a record that was in the answer or not, and is or is not.
pub(super) fn event(key: &RecordKey, was: bool, is: bool) -> Option<Event> {
    let change = match (was, is) {
        (false, false) => return None,
        (false, true) => ChangeType::Enter,
        (true, true) => ChangeType::Update,
        (true, false) => ChangeType::Leave,
    };
    let key = key.clone();
    Some(Event { change, key })
}
