//! **Promises** four things to a client that stays on one session, which is one connection to one node. *Read your writes*:
//! after a write is acknowledged, a read shows it, or what wins over it. *Monotonic reads*: after a read has shown a version, none
//! shows an older one; and once what it showed is gone, it stays gone. *Monotonic writes*: later writes have later stamps, and who
//! is told that one is done knows by then what became of those that it sent before. *Writes follow reads*: what is written
//! after a read is stamped later than what was read, so that it wins over it everywhere.
//! **From** Terry et al., "Session Guarantees for Weakly Consistent Replicated Data" (1994). The counterexample is an
//! answer out of a copy that lags behind the one that took the write.
//!
//! Compared is what one client was told, in the order in which it was told, with what all of them stamped. On a connection that
//! keeps its order an answer reflects all that was heard before it. On any other it reflects what was heard before it was
//! asked for; and updates of a query, for which nobody asks, may be late.
//!
//! Of the rows of a query, in a cluster of more than one, less is promised: the first answer shows nothing older than what the
//! session had been told, of that record, before it asked. What follows goes with whoever acts as owner by then, who may lack what
//! one replica alone acknowledged; and a row binds no later read, for it says nothing of when it was written.
//!
//! Clients that stamp alike (`twin`) break the rule that a stamp names one write. Replicas agree on which of the two it names, and
//! one that has not heard of both may show the other: in a cluster of more than one such versions count as the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use bytes::Bytes;
use kernel::env::ConnId;
use kernel::hlc::Stamp;

use super::{Invariant, Seen, Write};
use crate::client::{Said, TWIN, Talk};
use crate::model::{Version, show};
use crate::written::Written;

/// See the module.
#[derive(Debug, Default)]
pub struct SessionGuarantees {
    written: Written,
    /// When each write was stamped, by its stamp and writer: its place among all that was seen.
    stamped: BTreeMap<(Stamp, String), u64>,
    place: u64,
    sessions: BTreeMap<usize, Session>,
    /// The nodes that ever were up.
    nodes: BTreeSet<usize>,
}

/// What a session has shown of a record.
#[derive(Debug, Clone)]
struct Floor {
    version: Version,
    /// It was there, and is not any more.
    gone: bool,
    /// Known because the session wrote it, not because it was read.
    own: bool,
}

#[derive(Debug, Default)]
struct Session {
    conn: Option<ConnId>,
    floors: BTreeMap<Bytes, Floor>,
    /// What was known of every record when a query was asked, by the client's name for it.
    watched: BTreeMap<String, BTreeMap<Bytes, Floor>>,
    /// What was known of a record when it was asked for, the first time on this session: an answer may be to that.
    asked: BTreeMap<u64, Option<Floor>>,
    /// The stamps of the writes that were sent, by the client's number.
    stamps: BTreeMap<u64, Stamp>,
    /// Writes in the order in which they were sent, and those that nobody answered yet.
    sent: u64,
    first_sent: BTreeMap<u64, u64>,
    unanswered: BTreeMap<u64, u64>,
    waiting: BTreeSet<u64>,
    /// The latest stamps read, and when each was.
    read: Vec<(u64, Stamp)>,
}

impl Session {
    fn answered(&mut self, request: u64) {
        if let Some(place) = self.unanswered.remove(&request) {
            self.waiting.remove(&place);
        }
    }

    /// Sends a write: what was read before it was stamped is older, and so is what was written before.
    fn writes(&mut self, request: u64, write: &Write, stamped: Option<u64>) -> Result<(), String> {
        let stamp = write.version.stamp;
        let before = self
            .read
            .partition_point(|(place, _)| stamped.is_none_or(|at| *place < at));
        if let Some((_, read)) = before.checked_sub(1).and_then(|last| self.read.get(last))
            && *read >= stamp
            && write.version.writer != TWIN
        {
            let (written, ms) = (show(&write.key, Some(&write.version)), read.millis());
            return Err(format!(
                "writes follow reads; it wrote {written} after it had read what is of {ms}"
            ));
        }
        let earlier = self.stamps.range(..request).next_back().map(|(_, stamp)| *stamp);
        let later = self
            .stamps
            .range((Excluded(request), Unbounded))
            .next()
            .map(|(_, stamp)| *stamp);
        if earlier.is_some_and(|earlier| earlier >= stamp) || later.is_some_and(|later| later <= stamp) {
            let written = show(&write.key, Some(&write.version));
            return Err(format!(
                "writes of a session are stamped in their order; {written} is not"
            ));
        }
        self.stamps.insert(request, stamp);
        self.answered(request);
        self.sent += 1;
        self.first_sent.entry(request).or_insert(self.sent);
        self.unanswered.insert(request, self.sent);
        self.waiting.insert(self.sent);
        Ok(())
    }

    fn done(&mut self, request: u64, write: &Write, ordered: bool) -> Result<(), String> {
        // Of one that was sent twice, either may be what is answered.
        self.answered(request);
        let place = self.first_sent.get(&request);
        let earlier = place.zip(self.waiting.first()).filter(|(place, first)| first < place);
        if ordered && earlier.is_some() {
            let written = show(&write.key, Some(&write.version));
            return Err(format!(
                "acknowledgements come in the order of the writes; {written} is done, and one that was sent before is not \
                 answered"
            ));
        }
        self.raise(&write.key, &write.version, true);
        Ok(())
    }

    fn raise(&mut self, key: &Bytes, version: &Version, own: bool) {
        if self.floors.get(key).is_none_or(|floor| floor.version < *version) {
            let floor = Floor {
                version: version.clone(),
                gone: version.value.is_none(),
                own,
            };
            self.floors.insert(key.clone(), floor);
        }
    }
}

impl Floor {
    /// Whether that is one of two writes that were stamped alike, as far as anybody can say.
    fn is_alike(&self, version: Option<&Version>) -> bool {
        self.version.writer == TWIN && version.is_none_or(|version| version.stamp == self.version.stamp)
    }
}

/// What is wrong with a read that shows `version` to who knows `floor`.
fn judge(key: &Bytes, version: Option<&Version>, floor: &Floor, written: &Written) -> Option<String> {
    let guarantee = if floor.own {
        "a session reads its own writes"
    } else {
        "reads of a session go forward"
    };
    let known = show(key, Some(&floor.version));
    match version {
        Some(version) if floor.gone && *version <= floor.version => {
            let shown = show(key, Some(version));
            Some(format!("{guarantee}; it was shown {shown}, and {known} was gone"))
        }
        Some(version) if *version < floor.version => {
            let shown = show(key, Some(version));
            Some(format!("{guarantee}; it was shown {shown} after {known}"))
        }
        None if !floor.gone && !written.can_vanish(key, &floor.version) => Some(format!(
            "{guarantee}; it found nothing after {known}, which nobody deleted and which does not expire"
        )),
        _ => None,
    }
}

impl SessionGuarantees {
    fn hear(&mut self, client: usize, talk: &Talk) -> Result<(), String> {
        let session = self.sessions.entry(client).or_default();
        if session.conn != Some(talk.conn) {
            *session = Session {
                conn: Some(talk.conn),
                ..Session::default()
            };
        }
        match &talk.said {
            Said::AsksToWrite { request, write, .. } => {
                let id = (write.version.stamp, write.version.writer.clone());
                session.writes(*request, write, self.stamped.get(&id).copied())
            }
            Said::Done { request, write, .. } => session.done(*request, write, talk.ordered),
            Said::Refused { request, .. } => {
                session.answered(*request);
                Ok(())
            }
            Said::AsksToRead { request, key, .. } => {
                let floor = session.floors.get(key).cloned();
                session.asked.entry(*request).or_insert(floor);
                Ok(())
            }
            Said::Found { request, key, found } => {
                let asked = session.asked.remove(request).flatten();
                let version = found.as_ref().and_then(|found| self.written.find(key, found));
                if found.is_some() && version.is_none() {
                    // Nobody wrote it: another promise is broken.
                    return Ok(());
                }
                let now = session.floors.get(key).cloned();
                let floor = if talk.ordered { now } else { asked };
                let is_cluster = self.nodes.len() > 1;
                let wrong = floor
                    .as_ref()
                    .filter(|floor| !(is_cluster && floor.is_alike(version)))
                    .and_then(|floor| judge(key, version, floor, &self.written));
                if let Some(wrong) = wrong {
                    return Err(wrong);
                }
                match version {
                    Some(version) => {
                        let latest = session.read.last().map_or(Stamp::ZERO, |(_, stamp)| *stamp);
                        session.read.push((self.place, latest.max(version.stamp)));
                        session.raise(key, version, false);
                    }
                    None => {
                        let known = session.floors.get_mut(key).zip(floor);
                        if let Some((known, _)) = known.filter(|(known, floor)| known.version == floor.version) {
                            known.gone = true;
                        }
                    }
                }
                Ok(())
            }
            Said::AsksToWatch { query } => {
                // Asked again on the same session, the answer may be to the first time.
                let floors = &session.floors;
                session.watched.entry(query.clone()).or_insert_with(|| floors.clone());
                Ok(())
            }
            Said::Row { first, key, value } => {
                let mut versions = self.written.with_value(key, value);
                let (Some(version), None) = (versions.next(), versions.next()) else {
                    return Ok(());
                };
                let known = match (self.nodes.len() > 1, first) {
                    (false, _) => Some(&session.floors),
                    (true, Some(query)) => session.watched.get(query),
                    (true, None) => None,
                };
                let is_cluster = self.nodes.len() > 1;
                let floor = known.and_then(|known| known.get(key)).filter(|_| talk.ordered);
                let floor = floor.filter(|floor| !(is_cluster && floor.is_alike(Some(version))));
                if let Some(wrong) = floor.and_then(|floor| judge(key, Some(version), floor, &self.written)) {
                    return Err(wrong);
                }
                if self.nodes.len() < 2 {
                    session.raise(key, version, false);
                }
                Ok(())
            }
            Said::AsksRegister { .. } | Said::RegisterSays { .. } | Said::RegisterRefuses { .. } | Said::GivesUp => {
                Ok(())
            }
        }
    }
}

impl Invariant for SessionGuarantees {
    fn name(&self) -> &'static str {
        "session-guarantees"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        self.place += 1;
        match seen {
            Seen::Wrote(write) => {
                self.written.add(write);
                let id = (write.version.stamp, write.version.writer.clone());
                self.stamped.insert(id, self.place);
                Ok(())
            }
            Seen::Talked { client, talk } => {
                let told = self.hear(*client, talk);
                told.map_err(|wrong| format!("c{client} on its session with n{}: {wrong}", talk.node))
            }
            Seen::Booted { node } => {
                self.nodes.insert(*node);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
