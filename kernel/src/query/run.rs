//! Answering a query once, from the store as it is.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;
use core::str;
use serde::{Deserialize, Serialize};

use super::order::rank;
use super::{Error, Gone, Query};
use crate::env::Limits;
use crate::msgpack::Writer;
use crate::partition::PartitionSet;
use crate::store::{MapRow, RecordKey, Store};

/// A record of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The name of the record.
    pub key: RecordKey,
    /// Its value as MessagePack.
    pub value: Bytes,
}

/// A row of one of the sources whose answers are gathered: what is wanted of a record, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// Bytes that sort as the records of the answer do. They end with the key in the map: who sends them can leave that out.
    pub rank: Bytes,
    /// The record, with what is wanted of its value ([`Query::project`]) in place of all.
    pub row: Row,
}

impl Query {
    /// The records that match, in order, from a scan over the map in the partitions `within`.
    ///
    /// What is held on the way is an answer's worth of rows, with what is left out before it: with a limit, the best so far.
    ///
    /// # Errors
    /// [`Error::TooManyRows`], [`Error::TooManyBytes`].
    pub fn run(&self, store: &Store, within: &PartitionSet, limits: &Limits) -> Result<Vec<Row>, Error> {
        self.run_but(&Gone::default(), store, within, limits)
    }

    /// The same, but for some versions.
    ///
    /// # Errors
    /// As for [`Query::run`].
    pub fn run_but(
        &self,
        gone: &Gone,
        store: &Store,
        within: &PartitionSet,
        limits: &Limits,
    ) -> Result<Vec<Row>, Error> {
        let mut best = Best::new(self, limits);
        if self.is_empty() {
            return Ok(Vec::new());
        }
        for row in store.map_rows(&self.map, within).filter(|row| !gone.has(row)) {
            if let Some(rank) = self.rank(row.key, row.value) {
                best.offer(rank, &row)?;
            }
        }
        let mut rows = best.into_rows();
        rows.drain(..self.offset.min(rows.len()));
        Ok(rows)
    }

    /// A row that matches, as it goes to who gathers the answers of several sources.
    pub fn ranked(&self, row: &Row) -> Ranked {
        Ranked {
            rank: rank(&self.order, row.key.key(), &row.value).into(),
            row: Row {
                key: row.key.clone(),
                value: self.project(row),
            },
        }
    }

    /// Whether nothing is in the answer, whatever the records are.
    pub(super) fn is_empty(&self) -> bool {
        self.limit == Some(0)
    }

    /// Whether some of those that match may be left out of the answer.
    pub(super) fn has_window(&self) -> bool {
        self.offset > 0 || self.limit.is_some()
    }

    /// How many of the first records decide what is in the answer, if there is an end to it.
    pub(super) fn reach(&self) -> Option<usize> {
        self.limit.map(|limit| self.offset.saturating_add(limit))
    }

    /// Where a record stands in the answer, if it matches.
    pub(super) fn rank(&self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        self.predicate
            .matches(key, value)
            .then(|| rank(&self.order, key, value))
    }

    /// What is wanted of a row, as MessagePack: the whole value, or a map of the fields asked for, by the names that they
    /// were asked for by. A field that is not there is left out.
    pub fn project(&self, row: &Row) -> Bytes {
        let value = &row.value[..];
        let Some(fields) = &self.fields else {
            return row.value.clone();
        };
        // `None` for the key.
        let found = fields.iter().filter_map(|path| match path.is_key() {
            true => Some((path, None)),
            false => path.find(value).map(|field| (path, Some(field))),
        });
        let found: Vec<_> = found.collect();
        let mut out = Writer::new();
        out.map(found.len());
        for (path, field) in found {
            out.text(path.name());
            match (field, str::from_utf8(row.key.key())) {
                (Some(field), _) => out.raw(field),
                (None, Ok(key)) => out.text(key),
                (None, Err(_)) => out.bin(row.key.key()),
            };
        }
        out.into_bytes()
    }

    /// The bytes of a row that an answer carries, without what frames them.
    pub(super) fn answer_bytes(&self, key: &[u8], value: &[u8]) -> usize {
        let wanted = match &self.fields {
            None => value.len(),
            Some(fields) => {
                let found = fields
                    .iter()
                    .map(|path| path.name().len() + path.find(value).map_or(0, <[u8]>::len));
                found.sum()
            }
        };
        key.len() + wanted
    }
}

/// The first rows of an answer, so far.
struct Best<'q> {
    query: &'q Query,
    limits: &'q Limits,
    /// The last of them on top.
    rows: BinaryHeap<Candidate>,
    bytes: usize,
}

struct Candidate {
    rank: Vec<u8>,
    bytes: usize,
    row: Row,
}

impl<'q> Best<'q> {
    fn new(query: &'q Query, limits: &'q Limits) -> Self {
        Self {
            query,
            limits,
            rows: BinaryHeap::new(),
            bytes: 0,
        }
    }

    fn offer(&mut self, rank: Vec<u8>, row: &MapRow<'_>) -> Result<(), Error> {
        if self.query.reach() == Some(self.rows.len()) {
            if self.rows.peek().is_some_and(|last| last.rank < rank) {
                return Ok(());
            }
            self.bytes -= self.rows.pop().map_or(0, |last| last.bytes);
        }
        let bytes = rank.len() + self.query.answer_bytes(row.key, row.value);
        self.bytes += bytes;
        let limit = self.limits.query_bytes;
        if self.bytes > limit {
            return Err(Error::TooManyBytes { limit });
        }
        let limit = self.limits.query_rows;
        if self.rows.len() >= limit {
            return Err(Error::TooManyRows { limit });
        }
        let row = Row {
            key: row.name(),
            value: Bytes::copy_from_slice(row.value),
        };
        self.rows.push(Candidate { rank, bytes, row });
        Ok(())
    }

    fn into_rows(self) -> Vec<Row> {
        let rows = self.rows.into_sorted_vec();
        rows.into_iter().map(|candidate| candidate.row).collect()
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Candidate {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::model::{put, record, store};
    use crate::query::{Direction, Path, Predicate};

    fn path(name: &str) -> Path {
        Path::parse(name).unwrap()
    }

    fn keys(query: &Query, store: &Store) -> Vec<u8> {
        let rows = query.run(store, &PartitionSet::all(), &Limits::default()).unwrap();
        rows.iter().flat_map(|row| row.key.key().to_vec()).collect()
    }

    /// Maps `m` and `mm`, with the numbers of some letters under `n`.
    fn letters() -> Store {
        let mut store = store();
        for (key, n) in [("d", 2), ("a", 3), ("c", 1), ("b", 2), ("", 9)] {
            let value = [&b"\x82\xa1n"[..], &[n], b"\xa1x\x81\xa1y\x07"].concat();
            put(&mut store, "m", key.as_bytes(), &record(1, Some(&value)));
        }
        put(&mut store, "m", b"e", &record(1, Some(b"\x80")));
        put(&mut store, "m", b"f", &record(1, None));
        put(&mut store, "mm", b"z", &record(1, Some(b"\x81\xa1n\x02")));
        store
    }

    #[test]
    fn by_key_or_by_fields_and_then_by_key() {
        let store = letters();
        let mut query = Query::of("m");
        assert_eq!(keys(&query, &store), b"abcde");
        assert_eq!(
            query.run(&store, &PartitionSet::all(), &Limits::default()).unwrap()[0]
                .key
                .key(),
            b""
        );
        query.order = vec![(path("n"), Direction::Ascending)];
        assert_eq!(keys(&query, &store), b"ecbda");
        query.order = vec![(path("n"), Direction::Descending)];
        assert_eq!(keys(&query, &store), b"abdce");
        query.order.push((path("_key"), Direction::Descending));
        assert_eq!(keys(&query, &store), b"adbce");
        query.limit = Some(3);
        assert_eq!(keys(&query, &store), b"ad");
        query.offset = 1;
        assert_eq!(keys(&query, &store), b"adb");
        query.offset = 4;
        assert_eq!(keys(&query, &store), b"ce");
        query.offset = 6;
        assert_eq!(keys(&query, &store), b"");
        query.offset = 0;
        query.predicate = Predicate::parse("n <= 2 and _key != d", &Limits::default()).unwrap();
        assert_eq!(keys(&query, &store), b"bc");
        query.limit = Some(0);
        assert_eq!(keys(&query, &store), b"");
        assert_eq!(keys(&Query::of("none"), &store), b"");
        assert_eq!(keys(&Query::of("mm"), &store), b"z");
    }

    #[test]
    fn fields_are_picked_by_name() {
        let store = letters();
        let mut query = Query {
            limit: Some(2),
            ..Query::of("m")
        };
        let row = query
            .run(&store, &PartitionSet::all(), &Limits::default())
            .unwrap()
            .pop()
            .unwrap();
        assert_eq!(query.project(&row), row.value);
        query.fields = Some(vec![path("x.y"), path("gone"), path("_key")]);
        assert_eq!(&query.project(&row)[..], b"\x82\xa3x.y\x07\xa4_key\xa1a");
    }

    #[test]
    fn query_rows() {
        let store = letters();
        let limits = Limits {
            query_rows: 5,
            ..Limits::default()
        };
        let mut query = Query::of("m");
        assert_eq!(
            query.run(&store, &PartitionSet::all(), &limits),
            Err(Error::TooManyRows { limit: 5 })
        );
        query.limit = Some(5);
        assert_eq!(
            query.run(&store, &PartitionSet::all(), &limits).map(|rows| rows.len()),
            Ok(5)
        );
        query.limit = Some(6);
        assert_eq!(
            query.run(&store, &PartitionSet::all(), &limits),
            Err(Error::TooManyRows { limit: 5 })
        );
    }

    #[test]
    fn query_bytes() {
        let store = letters();
        let limits = Limits {
            query_bytes: 40,
            ..Limits::default()
        };
        let mut query = Query::of("m");
        assert_eq!(
            query.run(&store, &PartitionSet::all(), &limits),
            Err(Error::TooManyBytes { limit: 40 })
        );
        query.fields = Some(vec![path("n")]);
        assert!(query.run(&store, &PartitionSet::all(), &limits).is_ok());
        query.fields = None;
        query.limit = Some(2);
        assert!(query.run(&store, &PartitionSet::all(), &limits).is_ok());
    }
}
