//! What each client has been told on its connection: it is not shown anything older afterwards, whoever acts as owner by then.
//!
//! **Read your writes, and monotonic reads**, of one connection (Terry et al., "Session Guarantees for Weakly Consistent Replicated
//! Data", 1994). An eventual write is acknowledged by one replica; another one may act as owner a moment later. So for each key
//! that a client was told of the stamp is kept, and whoever is asked for the key has that stamp or a later one, or answers
//! [`Code::Behind`](crate::wire::Code::Behind). Kept are the latest keys of a connection, for a while: see
//! [`Limits::session_keys`] and [`Limits::session_ms`].

use alloc::collections::{BTreeMap, VecDeque};
use serde::{Deserialize, Serialize};

use crate::crdt::Version;
use crate::crdt::floor::is_at_or_below;
use crate::env::{ConnId, Limits, Now};
use crate::hlc::Stamp;
use crate::store::RecordKey;

/// What a client has been told of a key, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Floor {
    /// Of a version with this stamp, or a later one.
    pub stamp: Stamp,
    /// And then that there is nothing: what has this stamp has expired. By the clock of another node it may not have, and is not
    /// shown again all the same, if it is something that expires.
    pub gone: bool,
}

impl Floor {
    /// What a client may be shown, of what a replica holds: nothing where that has gone; an error if the replica lacks what the client
    /// was told of. What is as old as `settled` ([`Store::floor`](crate::store::Store::floor)) and is not there was deleted.
    ///
    /// # Errors
    /// [`Behind`].
    pub fn judge(floor: Option<Self>, held: Option<Stamp>, settled: u64) -> Result<Shown, Behind> {
        match floor {
            Some(floor) if held.is_none() && is_at_or_below(floor.stamp, settled) => Ok(Shown::Held),
            Some(floor) if held < Some(floor.stamp) => Err(Behind),
            Some(floor) if floor.gone && held == Some(floor.stamp) => Ok(Shown::Nothing),
            _ => Ok(Shown::Held),
        }
    }
}

/// What a client may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// What is held, unless it has expired.
    Held,
    /// That there is nothing, if what is held expires at all.
    Nothing,
}

impl Shown {
    /// Of what is held and has not expired by this node's clock, what is shown.
    pub fn of<'a>(self, live: Option<Version<'a>>) -> Option<Version<'a>> {
        live.filter(|version| self == Shown::Held || version.ttl_ms.is_none())
    }
}

/// A replica lacks what a client was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind;

/// What clients have been told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Floors {
    sessions: BTreeMap<ConnId, Session>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Session {
    stamps: BTreeMap<RecordKey, (Floor, u64)>,
    /// The keys, in the order in which they were first told of.
    order: VecDeque<RecordKey>,
}

impl Floors {
    /// A client is told of a version of a key: that its write is done, or what there is.
    pub fn raise(&mut self, conn: ConnId, key: &RecordKey, floor: Floor, now: Now, limits: &Limits) {
        if limits.session_keys == 0 {
            return;
        }
        let session = self.sessions.entry(conn).or_default();
        let told = (floor, now.mono_us);
        match session.stamps.get_mut(key) {
            Some(known) => *known = told.max(*known),
            None => {
                session.stamps.insert(key.clone(), told);
                session.order.push_back(key.clone());
                if session.order.len() > limits.session_keys
                    && let Some(oldest) = session.order.pop_front()
                {
                    session.stamps.remove(&oldest);
                }
            }
        }
    }

    /// What a client must at least be shown of a key.
    pub fn of(&self, conn: ConnId, key: &RecordKey, now: Now, limits: &Limits) -> Option<Floor> {
        let (floor, told_us) = self.sessions.get(&conn)?.stamps.get(key)?;
        (told_us + limits.session_ms * 1_000 > now.mono_us).then_some(*floor)
    }

    /// What a client must at least be shown of the keys of a map.
    pub fn of_map(
        &self,
        conn: ConnId,
        map: &str,
        now: Now,
        limits: &Limits,
    ) -> impl Iterator<Item = (&RecordKey, Floor)> {
        let stamps = self.sessions.get(&conn).into_iter().flat_map(|session| &session.stamps);
        let kept_us = limits.session_ms * 1_000;
        let kept = stamps.filter(move |(key, (_, told_us))| key.map() == map && told_us + kept_us > now.mono_us);
        kept.map(|(key, (floor, _))| (key, *floor))
    }

    /// A client is gone.
    pub fn close(&mut self, conn: ConnId) {
        self.sessions.remove(&conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::WriterId;

    #[test]
    fn a_session_remembers_the_latest_of_the_latest_keys_for_a_while() {
        let limits = Limits {
            session_keys: 2,
            session_ms: 10,
            ..Limits::default()
        };
        let at = |ms: u64| Now {
            wall_ms: ms,
            mono_us: ms * 1_000,
        };
        let key = |name: &str| RecordKey::new("m", name.as_bytes(), &limits).unwrap();
        let stamp = |ms| Floor {
            stamp: Stamp::new(ms, 0, WriterId(1)).unwrap(),
            gone: false,
        };
        let mut floors = Floors::default();
        floors.raise(ConnId(1), &key("a"), stamp(5), at(1), &limits);
        floors.raise(ConnId(1), &key("a"), stamp(3), at(2), &limits);
        assert_eq!(floors.of(ConnId(1), &key("a"), at(3), &limits), Some(stamp(5)));
        assert_eq!(floors.of(ConnId(2), &key("a"), at(3), &limits), None, "another session");
        assert_eq!(floors.of(ConnId(1), &key("a"), at(11), &limits), None, "too long ago");
        floors.raise(ConnId(1), &key("b"), stamp(5), at(1), &limits);
        floors.raise(ConnId(1), &key("c"), stamp(5), at(1), &limits);
        assert_eq!(floors.of(ConnId(1), &key("a"), at(3), &limits), None, "two later ones");
        assert_eq!(floors.of(ConnId(1), &key("c"), at(3), &limits), Some(stamp(5)));
        floors.close(ConnId(1));
        assert_eq!(floors.of(ConnId(1), &key("c"), at(3), &limits), None);
    }

    #[test]
    fn nothing_older_is_shown_and_what_was_gone_stays_gone() {
        let stamp = |ms| Stamp::new(ms, 0, WriterId(1)).unwrap();
        let floor = |ms, gone| Some(Floor { stamp: stamp(ms), gone });
        assert_eq!(Floor::judge(None, None, 0), Ok(Shown::Held));
        assert_eq!(Floor::judge(floor(2, false), None, 0), Err(Behind));
        assert_eq!(Floor::judge(floor(2, true), Some(stamp(1)), 0), Err(Behind));
        assert_eq!(Floor::judge(floor(2, false), Some(stamp(2)), 0), Ok(Shown::Held));
        assert_eq!(Floor::judge(floor(2, true), Some(stamp(2)), 0), Ok(Shown::Nothing));
        assert_eq!(Floor::judge(floor(2, true), Some(stamp(3)), 0), Ok(Shown::Held));
        let settled = |ms| stamp(ms).time();
        assert_eq!(
            Floor::judge(floor(2, false), None, settled(2)),
            Ok(Shown::Held),
            "it was collected"
        );
        assert_eq!(Floor::judge(floor(2, false), None, settled(1)), Err(Behind));
        assert_eq!(Floor::judge(floor(2, false), Some(stamp(1)), settled(2)), Err(Behind));
        assert!(floor(2, false) < floor(2, true) && floor(2, true) < floor(3, false));
    }
}
