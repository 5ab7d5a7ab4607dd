//! **Promises** that nobody waits for ever: once every fault is over and all is quiet, each write that was stamped is done or
//! refused for good, and each read is answered or refused for good. A run that does not come to rest within the time that its
//! plan gives it after the last fault is stuck, and fails as such; this makes sure that rest is not reached by forgetting.
//! **From** liveness (Alpern and Schneider, "Defining Liveness", 1985), bounded as in TigerBeetle's simulator, whose second
//! phase heals a majority and then waits for it to catch up. Compared is the list of what was asked, kept apart from the
//! clients' own.

use std::collections::BTreeMap;

use bytes::Bytes;
use kernel::hlc::Stamp;

use super::nothing_invented::name;
use super::{Invariant, Seen};
use crate::client::{IMPOSTOR, Said};

/// See the module.
#[derive(Debug, Default)]
pub struct AllAnswered {
    /// Writes that were stamped and are not settled, and how many of one stamp, key and writer there are.
    writes: BTreeMap<(Bytes, Stamp, String), u64>,
    /// The writes and reads that were asked and are not settled, by client and number.
    asked: BTreeMap<(usize, u64), Asked>,
}

#[derive(Debug)]
enum Asked {
    Write((Bytes, Stamp, String)),
    Read(Bytes),
}

impl AllAnswered {
    fn settle(&mut self, client: usize, request: u64) {
        if let Some(Asked::Write(write)) = self.asked.remove(&(client, request))
            && let Some(left) = self.writes.get_mut(&write)
        {
            *left -= 1;
            if *left == 0 {
                self.writes.remove(&write);
            }
        }
    }

    fn rest(&self) -> Result<(), String> {
        let reads = self.asked.iter().filter_map(|((client, request), asked)| match asked {
            Asked::Read(key) => Some((client, request, key)),
            Asked::Write(_) => None,
        });
        if let Some((client, request, key)) = reads.into_iter().next() {
            let key = name(key);
            return Err(format!(
                "every read is answered in the end; read {request} of c{client}, of {key}, is not"
            ));
        }
        if let Some((key, stamp, writer)) = self.writes.keys().next() {
            let (key, ms) = (name(key), stamp.millis());
            return Err(format!(
                "every write is answered in the end; that of {writer} to {key} at {ms} is not"
            ));
        }
        Ok(())
    }
}

impl Invariant for AllAnswered {
    fn name(&self) -> &'static str {
        "all-answered"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            // Who may not write is not answered.
            Seen::Wrote(write) if !write.version.writer.starts_with(IMPOSTOR) => {
                let version = &write.version;
                let id = (write.key.clone(), version.stamp, version.writer.clone());
                *self.writes.entry(id).or_default() += 1;
            }
            Seen::Talked { client, talk } => match &talk.said {
                Said::AsksToWrite { request, write, .. } => {
                    let version = &write.version;
                    let id = (write.key.clone(), version.stamp, version.writer.clone());
                    self.asked.insert((*client, *request), Asked::Write(id));
                }
                Said::AsksToRead { request, key, .. } => {
                    self.asked.insert((*client, *request), Asked::Read(key.clone()));
                }
                Said::Done { request, .. } | Said::Found { request, .. } => self.settle(*client, *request),
                Said::Refused { request, for_good } if *for_good => self.settle(*client, *request),
                Said::GivesUp => self.asked.retain(|(asker, _), _| asker != client),
                _ => {}
            },
            Seen::Quiet { .. } => return self.rest(),
            _ => {}
        }
        Ok(())
    }
}
