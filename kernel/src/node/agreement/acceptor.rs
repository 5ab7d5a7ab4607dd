//! The replica's side of a named register: what it promises, and what it accepts.

use bytes::Bytes;

use super::{Voted, WRITER};
use crate::cluster::agreed::{DEFINITION_BYTES, REMEMBERED_BYTES};
use crate::crdt::{Record, Version};
use crate::env::{ConnId, Limits, Mutant};
use crate::hlc::Stamp;
use crate::node::Node;
use crate::session::Shows;
use crate::store::{ACCEPTED_MAP, PROMISED_MAP, REGISTER_BYTES, RecordKey, change_bytes};
use crate::wire::cluster::{Vote, Word};

impl Node {
    /// This replica's answer to a ballot: what it has accepted, or the ballot that it takes nothing below. Nothing, if it has no room for
    /// its promise, or is not the replica that the sender takes it for.
    pub(super) fn vote(&mut self, key: &RecordKey, epoch: u64, ballot: Stamp, value: Option<&[u8]>) -> Option<Voted> {
        if !self.counts(epoch, self.store.partition_of(key)) {
            return None;
        }
        let promised = RecordKey::of_row(PROMISED_MAP, key.key());
        let bytes = change_bytes(key.as_bytes().len(), value.map_or(0, <[u8]>::len) + WRITER.len() + 64);
        if self.store.room_for(bytes).is_err() {
            self.store.fell_short();
            return None;
        }
        let accepted = self.store.get(key);
        let accepted = accepted.map(|held| (held.stamp, Bytes::copy_from_slice(held.value.unwrap_or_default())));
        let least = self.store.get(&promised).map(|held| held.stamp);
        // Nothing new is written at or below that, by nobody.
        let least = least.max(Stamp::last_at(self.store.promised()).filter(|_| self.store.promised() > 0));
        let least = least.max(accepted.as_ref().map(|(stamp, _)| *stamp));
        let forgets = self.config.mutants.is(Mutant::PromiseForgotten) && value.is_some();
        if let Some(least) = least.filter(|least| ballot < *least && !forgets) {
            return Some(Voted::No(least));
        }
        // Something that is no tombstone, also where there is nothing to say: nobody may forget it.
        let record = Record::new(&Version::new(ballot, WRITER, Some(value.unwrap_or(&[0xc0]))));
        if Record::decode(record.as_bytes().clone(), &Limits::of_layout()).is_err() {
            // No ballot, or no value, that could be read again.
            return None;
        }
        self.hlc.observe(ballot);
        if value.is_some() {
            self.store.merge(key.clone(), record);
            return Some(Voted::Accepted);
        }
        self.store.merge(promised, record);
        let tells = !self.config.mutants.is(Mutant::PromiseTellsNothing);
        Some(Voted::Promised(accepted.filter(|_| tells)))
    }

    /// Another node proposes.
    pub(in crate::node) fn proposed(
        &mut self,
        conn: ConnId,
        request: u64,
        epoch: u64,
        key: &[u8],
        ballot: [u8; 16],
        value: Option<&[u8]>,
    ) {
        let fits = |value: &[u8]| (1..=DEFINITION_BYTES + REMEMBERED_BYTES).contains(&value.len());
        if key.len() > REGISTER_BYTES || !value.is_none_or(fits) {
            return;
        }
        let key = RecordKey::of_row(ACCEPTED_MAP, key);
        let at = Stamp::from_bytes(ballot);
        let Some(voted) = self.vote(&key, epoch, at, value) else {
            return self.teach(conn);
        };
        let vote = match &voted {
            Voted::Promised(accepted) => {
                let (by, accepted) = accepted
                    .as_ref()
                    .map_or((Stamp::ZERO, &[][..]), |(by, value)| (*by, value));
                let by = by.to_bytes();
                Vote::Promised { by, accepted }
            }
            Voted::Accepted => Vote::Accepted,
            Voted::No(least) => Vote::No(least.to_bytes()),
        };
        let word = Word::Voted { request, ballot, vote };
        self.outbox.push(conn, word.to_frame(), Shows::State);
    }
}
