//! Giving what moves elsewhere: the other side of [`moves`](super::moves).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::crdt::Record;
use crate::env::{ConnId, Mutant};
use crate::node::Node;
use crate::partition::PartitionId;
use crate::session::Shows;
use crate::store::{Position, RecordKey};
use crate::wire::cluster::{Part, Wanted, Word};

/// A question that waits until its answer can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    partition: PartitionId,
    since: u64,
    from: Option<Bytes>,
    digest: u128,
}

impl Waiting {
    fn as_wanted(&self) -> Wanted<'_> {
        Wanted {
            partition: self.partition,
            since: self.since,
            from: self.from.as_deref(),
            digest: self.digest,
        }
    }
}

/// The rows of a chunk, and where the next one begins.
type Chunk = (Vec<(RecordKey, Record)>, Option<Bytes>);

impl Node {
    /// A node that is being filled asks for what is here. On a link that is full the answer waits; who asks again asks for that instead.
    /// `false`: it makes no sense.
    pub(super) fn pulled(&mut self, conn: ConnId, most: u64, wanted: &[Wanted<'_>]) -> bool {
        let partitions: BTreeSet<PartitionId> = wanted.iter().map(|wanted| wanted.partition).collect();
        let begins = |wanted: &Wanted<'_>| wanted.from.is_none_or(|from| Position::from_bytes(from).is_some());
        if partitions.len() != wanted.len() || !wanted.iter().all(begins) {
            return false;
        }
        if self.is_below_floor() {
            return true;
        }
        let is_full = self.conns.is_full(conn, &self.config.limits);
        let waiting = wanted.iter().filter(|_| is_full).map(|wanted| Waiting {
            partition: wanted.partition,
            since: wanted.since,
            from: wanted.from.map(Bytes::copy_from_slice),
            digest: wanted.digest,
        });
        let waiting = waiting.collect();
        if let Some(link) = self.peers.link(conn) {
            link.pulled = (most, waiting);
        }
        if !is_full {
            self.give_parts(conn, most, wanted);
        }
        true
    }

    /// Answers what has waited, if it can be sent now.
    pub(super) fn give_what_waits(&mut self, conn: ConnId) {
        let is_full = self.conns.is_full(conn, &self.config.limits);
        let waiting = self.peers.link(conn).filter(|_| !is_full);
        let (most, waiting) = waiting
            .map(|link| core::mem::take(&mut link.pulled))
            .unwrap_or_default();
        if !waiting.is_empty() {
            let wanted: Vec<Wanted<'_>> = waiting.iter().map(Waiting::as_wanted).collect();
            self.give_parts(conn, most, &wanted);
        }
    }

    /// Who asks is told only what it could not be told before the move: this node has adopted it, and confirms nothing to who has not.
    fn give_parts(&mut self, conn: ConnId, most: u64, wanted: &[Wanted<'_>]) {
        let adopted = self.membership.epoch();
        let without_promise = self.config.mutants.is(Mutant::FillBeforePromise);
        let chunk_bytes = self.config.limits.chunk_bytes;
        let mut left = usize::try_from(most).unwrap_or(chunk_bytes).min(chunk_bytes);
        let mut any = false;
        let mut chunks: Vec<(&Wanted<'_>, Chunk)> = Vec::new();
        for wanted in wanted
            .iter()
            .filter(|wanted| wanted.since <= adopted || without_promise)
        {
            // What has nothing to send goes with the rest, however much that is.
            if let Some(chunk) = self.chunk(wanted, &mut left, &mut any) {
                chunks.push((wanted, chunk));
            }
        }
        let parts = chunks.iter().map(|(wanted, (rows, next))| Part {
            partition: wanted.partition,
            since: wanted.since,
            from: wanted.from,
            rows: rows
                .iter()
                .map(|(key, record)| (&key.as_bytes()[..], &record.as_bytes()[..]))
                .collect(),
            next: next.as_deref(),
        });
        let parts: Vec<Part<'_>> = parts.collect();
        if !parts.is_empty() {
            let rows = parts.iter().flat_map(|part| &part.rows);
            self.tally.moved_bytes += rows.map(|(key, record)| (key.len() + record.len()) as u64).sum::<u64>();
            self.outbox.push(conn, Word::Parts(parts).to_frame(), Shows::State);
        }
    }

    /// The next rows of a partition, as long as bytes are left for them; nothing, if there are rows and no bytes left.
    fn chunk(&self, wanted: &Wanted<'_>, left: &mut usize, any: &mut bool) -> Option<Chunk> {
        let maps = self.store.partition(wanted.partition);
        let mut rows = Vec::new();
        if wanted.from.is_none() && maps.digest() == wanted.digest {
            return Some((rows, None));
        }
        let mut last = None;
        for (map, row) in maps.rows_from(wanted.from.and_then(Position::from_bytes)) {
            let position = Position { map, place: row.place };
            let (key, record) = (RecordKey::of_row(map, row.key), Record::new(&row.version));
            let bytes = key.as_bytes().len() + record.as_bytes().len();
            // A position's rows go together: there is no name for a place between them. One row may have more than all that is left.
            if bytes > *left && *any && last != Some(position) {
                *left = 0;
                return last.map(|_| (rows, Some(Bytes::copy_from_slice(&position.to_bytes()))));
            }
            (last, *any) = (Some(position), true);
            *left = left.saturating_sub(bytes);
            rows.push((key, record));
        }
        Some((rows, None))
    }
}
