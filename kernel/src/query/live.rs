//! A query that is kept: what enters, changes and leaves.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::window::{Window, event};
use super::{Error, Gone, Query, Row};
use crate::env::Limits;
use crate::partition::{PartitionBy, PartitionSet, partition_of_key};
use crate::store::{RecordKey, Store};

/// What a change did to one row of a live query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeType {
    /// It is in the answer now.
    Enter,
    /// It was and is in the answer, with another value.
    Update,
    /// It is in the answer no more.
    Leave,
}

impl ChangeType {
    /// TopGun's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enter => "ENTER",
            Self::Update => "UPDATE",
            Self::Leave => "LEAVE",
        }
    }
}

/// A change of an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// What happened.
    pub change: ChangeType,
    /// To which record. Unless it is the one that was changed, its version is the one in the store.
    pub key: RecordKey,
}

/// What is left of events that came one after the other, when they are told of at once: what entered and left again was never
/// there. Those that leave are told of first, so that an answer with a limit is never over it.
pub fn net(events: Vec<Event>) -> Vec<Event> {
    // Whether a key was in the answer before, and whether it is now; in the order in which they were first heard of.
    let mut order = Vec::new();
    let mut seen: BTreeMap<RecordKey, (bool, bool)> = BTreeMap::new();
    for Event { change, key } in events {
        let is = change != ChangeType::Leave;
        match seen.get_mut(&key) {
            Some((_, now)) => *now = is,
            None => {
                seen.insert(key.clone(), (change != ChangeType::Enter, is));
                order.push(key);
            }
        }
    }
    let of = |key: RecordKey| {
        let (was, is) = *seen.get(&key)?;
        event(&key, was, is)
    };
    let mut events: Vec<Event> = order.into_iter().filter_map(of).collect();
    events.sort_by_key(|event| event.change != ChangeType::Leave);
    events
}

/// A query and what is in its answer, kept up with the changes of its map in some partitions.
///
/// Without a limit and an offset it remembers the keys that match. With either it remembers, of all records that match and not
/// only of those in the answer, the key and where it stands, so that it knows who moves up when one leaves. Either is bounded
/// as an answer is, by `query_rows` and `query_bytes`.
///
/// ```text
/// let (mut live, rows) = Live::open(query, &store, &within, limits)?;   // answer with `rows`, in order
/// // after each merge that changed something:
/// for event in live.change(&key, value)? { … }                          // tell of `event`, in order
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Live {
    query: Query,
    gone: Gone,
    /// The partitions whose records count, and how the map routes to them.
    within: PartitionSet,
    by: Option<PartitionBy>,
    /// Those that match, by their key in the map.
    members: BTreeMap<Bytes, Member>,
    window: Option<Window>,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Member {
    name: RecordKey,
    /// Where it stands; empty without a window.
    rank: Bytes,
}

impl Live {
    /// A live query over the partitions `within` of a store as it is, and its first answer, in order.
    ///
    /// # Errors
    /// As for [`Query::run`]; with a limit, also if too many records match for all of them to be remembered.
    pub fn open(
        query: Query,
        store: &Store,
        within: &PartitionSet,
        limits: &Limits,
    ) -> Result<(Self, Vec<Row>), Error> {
        Self::open_but(Gone::default(), query, store, within, limits)
    }

    /// The same, but for some versions, as long as they are the ones in the store.
    ///
    /// # Errors
    /// As for [`Live::open`].
    pub fn open_but(
        gone: Gone,
        query: Query,
        store: &Store,
        within: &PartitionSet,
        limits: &Limits,
    ) -> Result<(Self, Vec<Row>), Error> {
        let rows = query.run_but(&gone, store, within, limits)?;
        let mut live = Self {
            gone: Gone::default(),
            window: query.has_window().then(|| Window::of(&query)),
            within: *within,
            by: store.routing().of_map(&query.map).cloned(),
            query,
            members: BTreeMap::new(),
            bytes: 0,
            rows_max: limits.query_rows,
            bytes_max: limits.query_bytes,
        };
        if live.window.is_none() {
            for row in &rows {
                live.insert(row.key.clone(), Bytes::new())?;
            }
        } else if !live.query.is_empty() {
            let map = live.query.map.clone();
            for row in store.map_rows(&map, within).filter(|row| !gone.has(row)) {
                if let Some(rank) = live.query.rank(row.key, row.value) {
                    live.insert(row.name(), rank.into())?;
                }
            }
        }
        live.gone = gone;
        Ok((live, rows))
    }

    /// The query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The value that a key has for it: what [`Live::change`] takes.
    pub fn value<'s>(&self, store: &'s Store, key: &RecordKey) -> Option<&'s [u8]> {
        let live = store.live(key).filter(|version| !self.gone.has_version(key, version));
        live.and_then(|version| version.value)
    }

    /// How many records match, in the answer or beyond its ends.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether no record matches.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes notice that `key` has the value `new` now, in another version than before; without one it is gone.
    /// Keys of other maps and of other partitions make no difference.
    ///
    /// One event comes of it, and at most one more for each end of the answer: a record that enters a full answer pushes
    /// another one out, and one that leaves makes room for the next. Those that leave are told of first.
    ///
    /// # Errors
    /// [`Error::TooManyRows`] and [`Error::TooManyBytes`]: more match than can be remembered, and what is remembered is what it
    /// was before. Nothing that it says from then on can be relied on; the query must be opened again.
    pub fn change(&mut self, key: &RecordKey, new: Option<&[u8]>) -> Result<Vec<Event>, Error> {
        if key.map() != self.query.map || self.query.is_empty() || !self.is_within(key.key()) {
            return Ok(Vec::new());
        }
        let rank = new.and_then(|value| self.query.rank(key.key(), value));
        let rank = rank.map(|rank| match self.window {
            Some(_) => Bytes::from(rank),
            None => Bytes::new(),
        });
        self.check_room(key.key(), rank.as_ref())?;
        let old = self.forget(key.key());
        if let Some(rank) = &rank {
            self.remember(key.clone(), rank.clone());
        }
        Ok(match &mut self.window {
            None => event(key, old.is_some(), rank.is_some()).into_iter().collect(),
            Some(window) => window.change(key, old.as_ref(), rank),
        })
    }

    fn is_within(&self, key: &[u8]) -> bool {
        self.within.is_all() || self.within.contains(partition_of_key(key, self.by.as_ref()))
    }

    /// Whether a change of `key` to `rank` leaves no more than may be remembered.
    fn check_room(&self, key: &[u8], rank: Option<&Bytes>) -> Result<(), Error> {
        let Some(rank) = rank else {
            return Ok(());
        };
        let old = self.members.get(key);
        let limit = self.rows_max;
        if old.is_none() && self.members.len() >= limit {
            return Err(Error::TooManyRows { limit });
        }
        let limit = self.bytes_max;
        let bytes = self.bytes - old.map_or(0, Member::bytes) + key.len() + rank.len();
        if bytes > limit {
            return Err(Error::TooManyBytes { limit });
        }
        Ok(())
    }

    fn insert(&mut self, name: RecordKey, rank: Bytes) -> Result<(), Error> {
        self.check_room(name.key(), Some(&rank))?;
        if let Some(window) = &mut self.window {
            window.insert(rank.clone(), name.clone());
        }
        self.remember(name, rank);
        Ok(())
    }

    fn remember(&mut self, name: RecordKey, rank: Bytes) {
        let key = name.as_bytes().slice_ref(name.key());
        let member = Member { name, rank };
        self.bytes += member.bytes();
        self.members.insert(key, member);
    }

    /// Where it stood.
    fn forget(&mut self, key: &[u8]) -> Option<Bytes> {
        let member = self.members.remove(key)?;
        self.bytes -= member.bytes();
        Some(member.rank)
    }
}

impl Member {
    fn bytes(&self) -> usize {
        self.name.key().len() + self.rank.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::model::{name, put, record, store};
    use crate::query::{Direction, Path, Predicate};

    struct World {
        store: Store,
        live: Live,
        ms: u64,
    }

    impl World {
        /// With `n` of each key, ordered by it.
        fn new(filter: &str, limit: Option<usize>, limits: &Limits, rows: &[(&str, u8)]) -> Self {
            let mut store = store();
            for (key, n) in rows {
                put(
                    &mut store,
                    "m",
                    key.as_bytes(),
                    &record(1, Some(&[0x81, 0xa1, b'n', *n])),
                );
            }
            let query = Query {
                predicate: Predicate::parse(filter, limits).unwrap(),
                order: vec![(Path::parse("n").unwrap(), Direction::Ascending)],
                limit,
                ..Query::of("m")
            };
            let (live, _) = Live::open(query, &store, &PartitionSet::all(), limits).unwrap();
            Self { store, live, ms: 1 }
        }

        /// Sets or deletes, and says what it did, as `+a -b ~c`.
        fn change(&mut self, map: &str, key: &str, n: Option<u8>) -> String {
            self.ms += 1;
            let value = n.map(|n| [0x81, 0xa1, b'n', n]);
            put(
                &mut self.store,
                map,
                key.as_bytes(),
                &record(self.ms, value.as_ref().map(|v| &v[..])),
            );
            let name = name(map, key.as_bytes());
            let events = self
                .live
                .change(&name, self.store.live(&name).and_then(|version| version.value))
                .unwrap();
            let sign = |event: &Event| match event.change {
                ChangeType::Enter => '+',
                ChangeType::Update => '~',
                ChangeType::Leave => '-',
            };
            let shown = |event: &Event| format!("{}{}", sign(event), String::from_utf8_lossy(event.key.key()));
            events.iter().map(shown).collect::<Vec<_>>().join(" ")
        }
    }

    #[test]
    fn without_a_limit_each_record_is_on_its_own() {
        let mut world = World::new("n > 2", None, &Limits::default(), &[("a", 1), ("b", 3)]);
        assert_eq!(world.change("m", "a", Some(2)), "");
        assert_eq!(world.change("m", "a", Some(3)), "+a");
        assert_eq!(world.change("m", "a", Some(4)), "~a");
        assert_eq!(world.change("m", "a", Some(1)), "-a");
        assert_eq!(world.change("m", "b", None), "-b");
        assert_eq!(world.change("m", "b", None), "");
        assert_eq!(world.change("other", "a", Some(9)), "");
        assert!(world.live.is_empty());
    }

    #[test]
    fn with_a_limit_one_pushes_out_another() {
        let rows = [("a", 1), ("b", 3), ("c", 5), ("d", 7)];
        let mut world = World::new("n < 100", Some(2), &Limits::default(), &rows);
        assert_eq!(world.live.len(), 4);
        assert_eq!(world.change("m", "c", Some(6)), "");
        assert_eq!(world.change("m", "c", Some(2)), "-b +c");
        assert_eq!(world.change("m", "a", Some(0)), "~a");
        assert_eq!(world.change("m", "a", Some(9)), "-a +b");
        assert_eq!(world.change("m", "b", None), "-b +d");
        assert_eq!(world.change("m", "a", None), "");
        assert_eq!(world.change("m", "d", Some(127)), "-d");
        assert_eq!(world.change("m", "e", Some(8)), "+e");
        assert_eq!(world.change("m", "c", Some(4)), "~c");
    }

    #[test]
    fn a_limit_of_nothing_shows_nothing() {
        let mut world = World::new("", Some(0), &Limits::default(), &[]);
        assert_eq!(world.change("m", "a", Some(1)), "");
    }

    #[test]
    fn query_rows_and_query_bytes_bound_what_is_remembered() {
        let limits = Limits {
            query_rows: 2,
            ..Limits::default()
        };
        for limit in [None, Some(1)] {
            let mut world = World::new("n < 9", limit, &limits, &[("a", 1), ("b", 2)]);
            let entered = world.live.change(&name("m", b"c"), Some(b"\x81\xa1n\x03"));
            assert_eq!(entered, Err(Error::TooManyRows { limit: 2 }));
            assert_eq!(world.change("m", "b", Some(9)), if limit.is_none() { "-b" } else { "" });
            assert_eq!(world.live.len(), 1);
        }
        let limits = Limits {
            query_bytes: 20,
            ..Limits::default()
        };
        let mut world = World::new("", Some(1), &limits, &[("a", 1)]);
        let long = name("m", &[b'x'; 20]);
        let entered = world.live.change(&long, Some(b"\x80"));
        assert_eq!(entered, Err(Error::TooManyBytes { limit: 20 }));
    }
}
