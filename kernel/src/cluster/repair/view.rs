//! The side that answers: a partition as it was when it was first asked about.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::repair::{Answer, Seal, message_bytes, row_bytes};
use crate::crdt::Record;
use crate::env::{Limits, Mutant};
use crate::merkle::Item;
use crate::partition::PartitionId;
use crate::reconcile::{BadBatch, Encoder, SHORT_BYTES, ShortItem};
use crate::store::Maps;

/// Bytes of an item in a list.
pub(super) const ITEM_BYTES: usize = 24;
/// Symbols that may always be tried, however few items there are.
const LEAST_SYMBOLS: u64 = 64;

/// A partition, frozen: coded symbols of a set that changes while they are streamed are symbols of no set.
#[derive(Debug, Serialize, Deserialize)]
pub struct View {
    partition: PartitionId,
    encoder: Encoder,
    seal: Seal,
    used_us: u64,
}

impl View {
    /// What `maps` hold now, which is what the log holds up to its entry `as_of`.
    pub fn freeze(partition: PartitionId, maps: &Maps, as_of: u64, now_us: u64) -> Self {
        let encoder = Encoder::new(maps.digest_key(), maps.items());
        let seal = seal(encoder.items(), as_of);
        Self {
            partition,
            encoder,
            seal,
            used_us: now_us,
        }
    }

    /// Which partition.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The digest of what it shows: that of the partition, when it was frozen.
    pub fn digest(&self) -> u128 {
        self.seal.digest
    }

    /// When it was last asked for something.
    pub fn used_us(&self) -> u64 {
        self.used_us
    }

    /// Somebody asks for something.
    pub fn touch(&mut self, now_us: u64) {
        self.used_us = now_us;
    }

    /// Answers a question for coded symbols: with a list, where that is no more.
    ///
    /// # Errors
    /// [`BadBatch`], if it is no question.
    pub fn symbols(&mut self, maps: &Maps, question: &[u8], limits: &Limits) -> Result<Answer, BadBatch> {
        if maps.mutants().is(Mutant::SymbolsOfAMovingSet) {
            let moved = Self::freeze(self.partition, maps, self.seal.as_of, self.used_us);
            (self.encoder, self.seal) = (moved.encoder, moved.seal);
        }
        if self.seal.total <= limits.repair_list_items as u64 {
            return Ok(self.list(0, limits));
        }
        // Two symbols are the bytes of an item in a list.
        let bound = (2 * self.seal.total)
            .max(LEAST_SYMBOLS)
            .min(limits.repair_symbols as u64);
        match self.encoder.answer(question, bound as usize, message_bytes(limits)) {
            Ok(batch) => Ok(Answer::Symbols { seal: self.seal, batch }),
            Err(BadBatch::Beyond(_)) => Ok(self.list(0, limits)),
            Err(bad) => Err(bad),
        }
    }

    /// Answers with the items from number `from` on, as many as a message holds.
    pub fn list(&self, from: u64, limits: &Limits) -> Answer {
        let most = (message_bytes(limits) / ITEM_BYTES).max(1);
        let first = usize::try_from(from).unwrap_or(usize::MAX);
        let items = self.encoder.items().get(first..).unwrap_or_default();
        Answer::Items {
            seal: self.seal,
            from,
            items: items[..items.len().min(most)].to_vec(),
        }
    }

    /// Answers with the versions of `items` that `maps` hold now, for as many of the items as a message holds.
    pub fn rows(&self, maps: &Maps, at: u64, items: &[[u8; SHORT_BYTES]], limits: &Limits) -> Answer {
        let (mut upto, mut sum, mut bytes) = (at, 0u128, 0);
        let mut rows = Vec::new();
        for short in items.iter().map(|bytes| ShortItem::from_bytes(*bytes)) {
            let held = maps.rows_below(short.prefix());
            let held: Vec<_> = held.map(|(_, key, version)| (key, Record::new(&version))).collect();
            let more: usize = held.iter().map(row_bytes).sum();
            if upto > at && bytes + more > message_bytes(limits) {
                break;
            }
            bytes += more;
            rows.extend(held);
            // One that the view does not have was made up by an accident of the symbols. The sum is going to say so.
            let frozen = self.encoder.find(short).map_or(0, |item| item.digest);
            sum = sum.wrapping_add(frozen);
            upto = upto.saturating_add(1);
        }
        if maps.mutants().is(Mutant::WantForgetsLast) {
            rows.pop();
        }
        Answer::Rows { at, upto, sum, rows }
    }
}

fn seal(items: &[Item], as_of: u64) -> Seal {
    Seal {
        digest: digest(items),
        total: items.len() as u64,
        as_of,
    }
}

/// What items add up to.
pub(super) fn digest(items: &[Item]) -> u128 {
    items.iter().fold(0, |sum, item| sum.wrapping_add(item.digest))
}
