//! A query that is kept: what enters, changes and leaves.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::window::Window;
use super::{Error, Query, Row};
use crate::env::Limits;
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

/// A query and what is in its answer, kept up with the changes of its map.
///
/// Without a limit it remembers the keys that match. With one it remembers, of all records that match and not only of those in
/// the answer, the key and where it stands, so that it knows who moves up when one leaves. Either is bounded as an answer is,
/// by `query_rows` and `query_bytes`.
///
/// ```text
/// let (mut live, rows) = Live::open(query, &store, limits)?;   // answer with `rows`, in order
/// // after each merge that changed something:
/// for event in live.change(&key, value)? { … }                 // tell of `event`, in order
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Live {
    query: Query,
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
    /// A live query over a store as it is, and its first answer, in order.
    ///
    /// # Errors
    /// As for [`Query::run`]; with a limit, also if too many records match for all of them to be remembered.
    pub fn open(query: Query, store: &Store, limits: &Limits) -> Result<(Self, Vec<Row>), Error> {
        let rows = query.run(store, limits)?;
        let mut live = Self::empty(query, limits);
        if live.window.is_none() {
            for row in &rows {
                live.insert(row.key.clone(), Bytes::new())?;
            }
        } else {
            let map = live.query.map.clone();
            for row in store.map_rows(&map) {
                if let Some(rank) = live.query.rank(row.key, row.value) {
                    live.insert(row.name(), rank.into())?;
                }
            }
        }
        Ok((live, rows))
    }

    fn empty(query: Query, limits: &Limits) -> Self {
        let window = query.limit.map(Window::new);
        Self {
            query,
            members: BTreeMap::new(),
            window,
            bytes: 0,
            rows_max: limits.query_rows,
            bytes_max: limits.query_bytes,
        }
    }

    /// The query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// How many records match, in the answer or beyond its limit.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether no record matches.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes notice that `key` has the value `new` now, in another version than before; without one it is gone.
    /// Keys of other maps make no difference.
    ///
    /// At most two events come of it, as a record that enters a full answer pushes the last one out, and one that leaves makes
    /// room for the next: the one that leaves is told of first.
    ///
    /// # Errors
    /// [`Error::TooManyRows`] and [`Error::TooManyBytes`]: more match than can be remembered, and what is remembered is what it
    /// was before. Nothing that it says from then on can be relied on; the query must be opened again.
    pub fn change(&mut self, key: &RecordKey, new: Option<&[u8]>) -> Result<Vec<Event>, Error> {
        // A window of nothing shows nothing.
        if key.map() != self.query.map || self.query.limit == Some(0) {
            return Ok(Vec::new());
        }
        let rank = new.and_then(|value| self.query.rank(key.key(), value));
        match &mut self.window {
            None => {
                let was = self.members.contains_key(key.key());
                match (was, rank.is_some()) {
                    (false, true) => self.insert(key.clone(), Bytes::new())?,
                    (true, false) => self.remove(key.key()),
                    _ => {}
                }
                Ok(event(key, was, rank.is_some()).into_iter().collect())
            }
            Some(window) => {
                let edge = window.edge.clone();
                let old = self.members.get(key.key());
                let was = old.is_some_and(|member| window.shows(&member.rank));
                let new_rank = rank.map(Bytes::from);
                self.check_room(key.key(), new_rank.as_ref())?;
                self.remove(key.key());
                if let Some(rank) = &new_rank {
                    self.insert(key.clone(), rank.clone())?;
                }
                let Some(window) = &self.window else {
                    return Ok(Vec::new());
                };
                let is = new_rank.is_some_and(|rank| window.shows(&rank));
                let mut events: Vec<_> = event(key, was, is).into_iter().collect();
                // Another one has moved over the edge, the other way.
                let other = match (was, is) {
                    (true, false) => window.edge.as_ref().map(|edge| (ChangeType::Enter, edge)),
                    (false, true) => edge.as_ref().map(|edge| (ChangeType::Leave, edge)),
                    _ => None,
                };
                if let Some((change, edge)) = other
                    && let Some(key) = window.ranked.get(edge)
                {
                    events.push(Event {
                        change,
                        key: key.clone(),
                    });
                    events.sort_by_key(|event| event.change != ChangeType::Leave);
                }
                Ok(events)
            }
        }
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
        let key = name.as_bytes().slice_ref(name.key());
        let member = Member { name, rank };
        self.bytes += member.bytes();
        self.members.insert(key, member);
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) {
        let Some(member) = self.members.remove(key) else {
            return;
        };
        self.bytes -= member.bytes();
        if let Some(window) = &mut self.window {
            window.remove(&member.rank);
        }
    }
}

impl Member {
    fn bytes(&self) -> usize {
        self.name.key().len() + self.rank.len()
    }
}

fn event(key: &RecordKey, was: bool, is: bool) -> Option<Event> {
    let change = match (was, is) {
        (false, false) => return None,
        (false, true) => ChangeType::Enter,
        (true, true) => ChangeType::Update,
        (true, false) => ChangeType::Leave,
    };
    let key = key.clone();
    Some(Event { change, key })
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
            let (live, _) = Live::open(query, &store, limits).unwrap();
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
