//! Answering a query once, from the answers of many.
//!
//! Each source answers for some of the partitions, from the first of its records on ([`Query::of_source`]); what decides the
//! answer of all is then among what they answer. A partition counts once, however many answer for it: the first does.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Error, Query, Ranked, Row};
use crate::env::{Limits, Mutant, Mutants};
use crate::partition::{PartitionBy, PartitionSet, Routing, partition_of_key};

/// The answers of the sources, so far.
///
/// What is held on the way is what [`Query::run`] holds: the rows of one answer and those left out before it, the best so far,
/// within `query_rows` and `query_bytes`. Rows come from other nodes and are taken at their word, but for what would harm:
/// those of other maps, of partitions that were not asked for, and those that are there twice are passed over.
///
/// ```text
/// let mut gather = Gather::new(query, routing, limits, mutants);
/// // of each source, which ran `query.of_source()` within `partitions` and sent `ranked` rows:
/// gather.add(partitions, rows)?;
/// // when all that is needed is in `gather.answered()`:
/// let rows = gather.into_rows();                   // as `query.run` over one store would have answered
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Gather {
    query: Query,
    by: Option<PartitionBy>,
    answered: PartitionSet,
    rows: BTreeMap<Bytes, Row>,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
    mutants: Mutants,
}

impl Gather {
    /// No answer yet.
    pub fn new(query: Query, routing: &Routing, limits: &Limits, mutants: Mutants) -> Self {
        Self {
            by: routing.of_map(&query.map).cloned(),
            query,
            answered: PartitionSet::none(),
            rows: BTreeMap::new(),
            bytes: 0,
            rows_max: limits.query_rows,
            bytes_max: limits.query_bytes,
            mutants,
        }
    }

    /// The query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The partitions that have been answered for.
    pub fn answered(&self) -> PartitionSet {
        self.answered
    }

    /// Takes the answer of a source, in order, for `partitions`.
    ///
    /// # Errors
    /// [`Error::TooManyRows`], [`Error::TooManyBytes`]: the query cannot be answered.
    pub fn add(&mut self, partitions: PartitionSet, rows: Vec<Ranked>) -> Result<(), Error> {
        let news = partitions.difference(self.answered);
        self.answered = self.answered.union(partitions);
        let reach = self.query.reach().unwrap_or(usize::MAX);
        for Ranked { rank, row } in rows {
            let at = partition_of_key(row.key.key(), self.by.as_ref());
            let is_new = news.contains(at) && !self.rows.contains_key(&rank);
            if row.key.map() != self.query.map || !is_new || !ends_with(&rank, row.key.key()) {
                continue;
            }
            if self.rows.len() >= reach {
                if self.rows.last_key_value().is_none_or(|(last, _)| *last < rank) {
                    continue;
                }
                if let Some((rank, row)) = self.rows.pop_last() {
                    self.bytes -= self.bytes_of(&rank, &row);
                }
            }
            self.bytes += self.bytes_of(&rank, &row);
            self.rows.insert(rank, row);
            let limit = self.bytes_max;
            if self.bytes > limit {
                return Err(Error::TooManyBytes { limit });
            }
            let limit = self.rows_max;
            if self.rows.len() > limit {
                return Err(Error::TooManyRows { limit });
            }
        }
        Ok(())
    }

    fn bytes_of(&self, rank: &[u8], row: &Row) -> usize {
        rank.len() + self.query.answer_bytes(row.key.key(), &row.value)
    }

    /// The answer, in order.
    pub fn into_rows(self) -> Vec<Row> {
        let offset = match self.mutants.is(Mutant::GatherForgetsOffset) {
            true => 0,
            false => self.query.offset,
        };
        let rows = self.rows.into_values().skip(offset);
        rows.take(self.query.limit.unwrap_or(usize::MAX)).collect()
    }
}

/// Whether a rank can be that of a record under `key`: no two records then have the same.
pub(super) fn ends_with(rank: &[u8], key: &[u8]) -> bool {
    rank.ends_with(key)
}

#[cfg(test)]
mod tests;
