//! What befalls a disk while nobody looks: pulled out, put back, copied, damaged. The node is down.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Undo, Use, VirtualDisk};
use crate::network::damage::flip;
use crate::reached::Spot;
use crate::streams::Draw;

/// What a disk holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    log: BTreeMap<u64, Bytes>,
    records: BTreeMap<Bytes, Bytes>,
    applied: u64,
    damaged: bool,
    harmed: bool,
}

impl VirtualDisk {
    /// What a crash would leave of it now.
    pub fn image(&self) -> Image {
        Image {
            log: self.log.clone(),
            records: self.records.clone(),
            applied: self.applied,
            damaged: self.damaged,
            harmed: self.harmed,
        }
    }

    /// Another disk is put in: an empty one is [`Image::default`].
    pub fn replace(&mut self, image: Image) {
        self.log_used_bytes = image.log.values().map(|entry| entry.len() as u64).sum();
        self.changes += 1;
        self.log = image.log;
        self.records = image.records;
        self.applied = image.applied;
        self.damaged = image.damaged;
        self.harmed = image.harmed;
        self.undo = None;
    }

    /// Whether it holds something else than what was written to it. A node that serves with such a disk does not look.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Whether anything of what was synced is not there, or not as it was: a node may refuse to serve with it.
    pub fn is_harmed(&self) -> bool {
        self.harmed
    }

    /// Flips a bit of what the next recovery reads. Whether there is any.
    pub fn flip(&mut self, at_us: u64) -> bool {
        let mut draw = self.streams.at(Use::Harm as u64, at_us);
        let entries = self.log.range_mut(self.applied + 1..).map(|(_, entry)| entry);
        let mut places: Vec<&mut Bytes> = self.records.values_mut().chain(entries).collect();
        let place = draw.below(places.len() as u64) as usize;
        let Some(place) = places.get_mut(place) else {
            return false;
        };
        **place = flip(place, &mut draw);
        self.changes += 1;
        (self.damaged, self.harmed) = (true, true);
        self.reached.hit(Spot::BitFlipped);
        true
    }

    /// The transaction that was synced last is gone, as if it had never been: an entry of the log, or an apply. Whether there
    /// was one.
    pub fn lose_transaction(&mut self, at_us: u64) -> bool {
        let mut draw = self.streams.at(Use::Harm as u64, at_us);
        let last = self.log.last_key_value().map(|(number, _)| *number);
        let entry = last.filter(|last| *last > self.applied);
        let lost = match (entry, self.undo.take()) {
            (Some(number), undo) if undo.is_none() || draw.chance(500) => {
                self.log.remove(&number);
                true
            }
            (_, Some(Undo { applied, replaced })) => {
                self.applied = applied;
                for (key, before) in replaced {
                    match before {
                        Some(before) => self.records.insert(key, before),
                        None => self.records.remove(&key),
                    };
                }
                true
            }
            (_, None) => false,
        };
        self.log_used_bytes = self.log.values().map(|entry| entry.len() as u64).sum();
        if lost {
            self.changes += 1;
            self.harmed = true;
            self.reached.hit(Spot::TransactionLost);
        }
        lost
    }

    /// Of the entries that were being synced, the first that was not written whole may be there in part.
    pub(super) fn tear(&mut self, group: usize, draw: &mut Draw) {
        let next = self.last_durable() + 1;
        let torn = self.commits.iter().take(group).find_map(|(_, entry)| {
            let (number, bytes) = entry.as_ref()?;
            (*number == next).then(|| bytes.clone())
        });
        if let Some(bytes) = torn.filter(|_| draw.chance(self.profile.torn_permille)) {
            let kept = draw.below(bytes.len() as u64) as usize;
            self.log_used_bytes += kept as u64;
            self.changes += 1;
            self.log.insert(next, bytes.slice(..kept));
            (self.damaged, self.harmed) = (true, true);
            self.reached.hit(Spot::EntryTorn);
        }
    }
}
