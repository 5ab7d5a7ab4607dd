//! Which partitions can hold what a query asks for.
//!
//! A record lies where its key routes. So a condition that says what the key is, or what it routes by, says where the record
//! can be; what says neither may be true anywhere. A set is never too small: each record that matches lies in one of its
//! partitions. Of records that were there before their map declared a field to route by nothing is known: declare it first.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::routed::routing_text;
use super::{Compare, Direction, Path, Predicate, Query};
use crate::env::{Mutant, Mutants};
use crate::partition::{PARTITIONS, PartitionBy, PartitionSet, Routing, partition_of, partition_of_key, slot};
use crate::value::Value;

/// How a query is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// In how many partitions there can be records that match: only those are asked.
    pub partitions: usize,
    /// Of how many.
    pub of: usize,
    /// The conditions that say so, each as the text of a filter; none if no condition does.
    pub pruned_by: Vec<String>,
    /// What the answer is ordered by, as `name asc`, with the key in the end.
    pub order: Vec<String>,
    /// How many of the first records are left out.
    pub offset: usize,
    /// The most records that are wanted behind those.
    pub limit: Option<usize>,
}

impl Query {
    /// The partitions in which there can be records that match, with maps that route so.
    ///
    /// Those of `_key = x` and `_key in (…)`, and of the same conditions on the field that the map declares to route by
    /// ([`PartitionBy::Field`]). Of conditions that must all hold it is what their sets share, of conditions any of which may
    /// hold all that their sets have.
    pub fn partitions(&self, routing: &Routing, mutants: Mutants) -> PartitionSet {
        // Nothing is in an answer without rows.
        if self.limit == Some(0) {
            return PartitionSet::none();
        }
        Pruning::new(self, routing, mutants).of(&self.predicate)
    }

    /// How the query is answered, with maps that route so.
    pub fn explain(&self, routing: &Routing, mutants: Mutants) -> Explain {
        let mut reasons = Vec::new();
        Pruning::new(self, routing, mutants).reasons(&self.predicate, &mut reasons);
        let mut order: Vec<String> = self.order.iter().map(|(path, way)| word(path, *way)).collect();
        if !self.order.iter().any(|(path, _)| path.is_key()) {
            order.push(word(&Path::key(), Direction::Ascending));
        }
        Explain {
            partitions: self.partitions(routing, mutants).len(),
            of: PARTITIONS.into(),
            pruned_by: reasons.into_iter().map(Predicate::to_string).collect(),
            order,
            offset: self.offset,
            limit: self.limit,
        }
    }
}

fn word(path: &Path, direction: Direction) -> String {
    alloc::format!("{path} {}", direction.word())
}

struct Pruning<'q> {
    by: Option<&'q PartitionBy>,
    mutants: Mutants,
}

impl<'q> Pruning<'q> {
    fn new(query: &Query, routing: &'q Routing, mutants: Mutants) -> Self {
        let by = routing.of_map(&query.map);
        Self { by, mutants }
    }

    fn of(&self, predicate: &Predicate) -> PartitionSet {
        let (all, none) = (PartitionSet::all(), PartitionSet::none());
        match predicate {
            Predicate::Compare {
                path,
                op: Compare::Eq,
                literal,
            } => self.one_of(path, core::slice::from_ref(literal)),
            Predicate::In { path, literals } => self.one_of(path, literals.literals()),
            Predicate::And(parts) => parts.iter().fold(all, |set, part| set.intersection(self.of(part))),
            Predicate::Or(parts) if self.mutants.is(Mutant::PruneOrIntersects) => {
                parts.iter().fold(all, |set, part| set.intersection(self.of(part)))
            }
            Predicate::Or(parts) => parts.iter().fold(none, |set, part| set.union(self.of(part))),
            // A part's set may hold partitions in which the part is false of some records, so `not` says nothing; nor does
            // whatever else there is.
            _ => all,
        }
    }

    /// Where `path` can equal one of these.
    fn one_of(&self, path: &Path, literals: &[Value]) -> PartitionSet {
        if path.is_key() {
            let keys = literals.iter().filter_map(|literal| match literal {
                Value::Text(key) => Some(key.as_bytes()),
                Value::Bytes(key) => Some(key.as_slice()),
                _ => None,
            });
            return keys.map(|key| partition_of_key(key, self.by)).collect();
        }
        if self.by.and_then(PartitionBy::field) != Some(path.name()) {
            return PartitionSet::all();
        }
        let parts = literals.iter().filter_map(routing_text);
        parts.map(|part| partition_of(slot(part.as_bytes()))).collect()
    }

    /// The conditions, all of which must hold, that say something.
    fn reasons<'p>(&self, predicate: &'p Predicate, reasons: &mut Vec<&'p Predicate>) {
        match predicate {
            Predicate::And(parts) => parts.iter().for_each(|part| self.reasons(part, reasons)),
            other if !self.of(other).is_all() => reasons.push(other),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
