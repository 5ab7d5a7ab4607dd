//! **Promises** that a quorum read sees every quorum write that was acknowledged before it began, across failures and moves: what it
//! shows is that write, or what wins over it.
//! **From** regular registers (Lamport, "On Interprocess Communication", 1986; Attiya, Bar-Noy, Dolev, "Sharing Memory Robustly in
//! Message-Passing Systems", 1995) and rule 7 of the promises; the counterexample is a replica that comes back empty or old, and votes.
//!
//! A write begins to be owed when its client hears that it is done, a read begins when it is first asked for.
//!
//! **What may be forgotten.** A disk that held the write and does not hold it any more has lost it, until the write is brought back to
//! it. A write is owed for as long as no more than a minority of the configured replicas have lost it. At its acknowledgement a
//! majority `m` of `n` had it; with at most `n - m` of them lost, `2m - n` and so one at least has it still, and the lost ones count
//! in no quorum before they have taken in a majority of the others. So the design owes it. When more have lost it at the same time,
//! no majority is left that is known to be whole, and nobody promises anything. Losses one after another, each made good
//! before the next, are none. A disk that never held the write cannot lose it: one that was wiped before, and lags
//! behind, excuses nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use kernel::wire::{Consistency, ReadConsistency};

use super::{Invariant, Seen};
use crate::client::{Found, Said, Talk};
use crate::kept::Kept;
use crate::model::{Version, show};
use crate::replicas::majority;
use crate::written::Written;

/// See the module.
#[derive(Debug, Default)]
pub struct QuorumReads {
    written: Written,
    kept: Kept,
    /// The quorum writes of each record that were acknowledged and may not be forgotten, and of how many replicas.
    owed: BTreeMap<Bytes, BTreeMap<Version, usize>>,
    /// The greatest one that was owed when a read was first asked for, by client and number.
    asked: BTreeMap<(usize, u64), Option<Version>>,
}

/// Whether so few of its replicas have lost a version that it is owed.
fn is_owed(kept: &Kept, replicas: usize, key: &Bytes, version: &Version) -> bool {
    kept.lost(key, version) <= replicas - majority(replicas)
}

impl QuorumReads {
    fn hear(&mut self, client: usize, talk: &Talk) -> Result<(), String> {
        match &talk.said {
            Said::Done { request, write, level } if *level > Consistency::Eventual => {
                // Disks may have been changed while the answer was on its way.
                let replicas = self.kept.replicas_of(client, *request);
                if is_owed(&self.kept, replicas, &write.key, &write.version) {
                    let owed = self.owed.entry(write.key.clone()).or_default();
                    owed.insert(write.version.clone(), replicas);
                }
            }
            Said::AsksToRead {
                request,
                key,
                level: ReadConsistency::Quorum,
            } => {
                let newest = self.owed.get(key).and_then(BTreeMap::last_key_value);
                let newest = newest.map(|(version, _)| version.clone());
                self.asked.entry((client, *request)).or_insert(newest);
            }
            Said::Found { request, key, found } => {
                if let Some(Some(newest)) = self.asked.remove(&(client, *request)) {
                    return self.judge(client, key, found.as_ref(), &newest);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What a read shows that was asked for when `newest` was owed. Some of it may have been lost since.
    fn judge(&self, client: usize, key: &Bytes, found: Option<&Found>, newest: &Version) -> Result<(), String> {
        let owed = self.owed.get(key).and_then(|owed| owed.range(..=newest).next_back());
        let Some((owed, _)) = owed else { return Ok(()) };
        let shown = found.and_then(|found| self.written.find(key, found));
        let sees = match (found, shown) {
            (None, _) => self.written.can_vanish(key, owed),
            (Some(_), Some(shown)) => shown >= owed,
            // Nobody wrote it: another promise is broken.
            (Some(_), None) => true,
        };
        if sees {
            return Ok(());
        }
        let (shown, owed) = (show(key, shown), show(key, Some(owed)));
        Err(format!(
            "a quorum read sees every quorum write that was acknowledged before; {owed} was, and c{client} was shown {shown}"
        ))
    }
}

impl Invariant for QuorumReads {
    fn name(&self) -> &'static str {
        "quorum-reads"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        self.kept.see(seen)?;
        match seen {
            Seen::Wrote(write) => self.written.add(write),
            Seen::DiskChanged { .. } => {
                let kept = &self.kept;
                let each = self.owed.iter_mut();
                each.for_each(|(key, owed)| owed.retain(|version, replicas| is_owed(kept, *replicas, key, version)));
            }
            Seen::Talked { client, talk } => return self.hear(*client, talk),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::tests::{KEY, version};

    #[test]
    fn a_write_is_owed_until_more_than_a_minority_has_lost_it() {
        let owed = |disks| is_owed(&Kept::of(disks), 3, &KEY, &version(5));
        assert!(owed([(5, 5), (5, 5), (0, 0)]), "a majority has it");
        assert!(owed([(5, 5), (5, 0), (0, 0)]), "one was wiped");
        assert!(
            owed([(5, 5), (5, 4), (4, 0)]),
            "one has an old disk; another was wiped that never had it"
        );
        assert!(owed([(5, 6), (5, 5), (5, 0)]), "what wins over it will do");
        assert!(!owed([(5, 5), (5, 0), (5, 4)]), "two of three at once");
        assert!(!owed([(5, 0), (5, 0), (0, 0)]), "nobody has it");
    }
}
