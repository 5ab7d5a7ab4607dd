//! What a node holds at one moment, partition by partition: its digests, and the records that they are meant to stand for.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use kernel::partition::{PARTITIONS, PartitionId};
use kernel::store::{Maps, Store};

use crate::model::{State, Version};

/// What one node holds in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The node.
    pub node: usize,
    /// Its floor, in units of [`Stamp::time`](kernel::hlc::Stamp::time).
    pub floor: u64,
    /// The digest of each partition, as the node computes it.
    pub digests: Vec<u128>,
    /// The records of each partition that has some. A partition that is as it was when the same [`Looker`] looked before is the
    /// same allocation.
    pub records: BTreeMap<usize, Rc<State>>,
}

/// Looks into one node again and again.
///
/// A partition is read again when its digest is another, and in its turn whatever its digest says: a digest that forgets a change
/// must not hide it for long. Copied is only a partition in which a row is not as it was.
#[derive(Debug, Default)]
pub struct Looker {
    /// By partition: its rows as they were, in the order in which it has them.
    rows: Vec<Vec<(Bytes, Version)>>,
    records: BTreeMap<usize, Rc<State>>,
    /// The digest of each partition when it was looked at last.
    digests: Vec<u128>,
    looks: usize,
}

impl Looker {
    /// So many looks read every partition once.
    const TURN: usize = 8;

    /// What the store of a node holds now, as far as it is the turn of each partition. The last look should be
    /// [`Looker::look_at_all`].
    pub fn look(&mut self, node: usize, store: &Store) -> Holding {
        self.looks += 1;
        let turn = self.looks % Self::TURN;
        self.read(node, store, |partition| partition % Self::TURN == turn)
    }

    /// What the store of a node holds now: every row is compared.
    pub fn look_at_all(&mut self, node: usize, store: &Store) -> Holding {
        self.read(node, store, |_| true)
    }

    fn read(&mut self, node: usize, store: &Store, is_due: impl Fn(usize) -> bool) -> Holding {
        let digests: Vec<u128> = PartitionId::all().map(|id| store.partition(id).digest()).collect();
        self.rows.resize(usize::from(PARTITIONS), Vec::new());
        for id in PartitionId::all() {
            let at = id.index();
            let same = self.digests.get(at) == digests.get(at);
            let (maps, rows) = (store.partition(id), &mut self.rows[at]);
            if (same && !is_due(at)) || is_as_it_was(rows, maps) {
                continue;
            }
            *rows = copy_of(maps);
            let at_home = |key: &Bytes| home(store, key) == Some(id);
            let state: State = rows.iter().filter(|(key, _)| at_home(key)).cloned().collect();
            match state.is_empty() {
                true => self.records.remove(&at),
                false => self.records.insert(at, Rc::new(state)),
            };
        }
        self.digests.clone_from(&digests);
        Holding {
            node,
            floor: store.floor(),
            digests,
            records: self.records.clone(),
        }
    }
}

/// The whole name of a row.
fn name_of(map: &str, key: &[u8]) -> Bytes {
    [map.as_bytes(), &[0], key].concat().into()
}

fn copy_of(maps: &Maps) -> Vec<(Bytes, Version)> {
    let rows = maps.rows();
    rows.map(|(map, row)| (name_of(map, row.key), Version::of(&row.version)))
        .collect()
}

fn is_as_it_was(rows: &[(Bytes, Version)], maps: &Maps) -> bool {
    let mut before = rows.iter();
    let same = maps.rows().all(|(map, row)| {
        before.next().is_some_and(|(name, version)| {
            let key = name
                .strip_prefix(map.as_bytes())
                .and_then(|rest| rest.strip_prefix(&[0]));
            key == Some(row.key) && version.view() == row.version
        })
    });
    same && before.next().is_none()
}

/// Where a record belongs: one that lies elsewhere is in a digest in which it should not be.
fn home(store: &Store, name: &Bytes) -> Option<PartitionId> {
    let end = name.iter().position(|byte| *byte == 0)?;
    let map = std::str::from_utf8(&name[..end]).ok()?;
    Some(store.routing().partition(map, &name[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::crdt::{self, Record};
    use kernel::env::{Limits, Mutant, Mutants, WriterId};
    use kernel::hlc::Stamp;
    use kernel::store::{RecordKey, StoreConfig};

    fn put(store: &mut Store, key: &str, ms: u64, value: &[u8]) {
        let limits = Limits::default();
        let key = RecordKey::new("m", key.as_bytes(), &limits).unwrap();
        let stamp = Stamp::new(ms, 0, WriterId(1)).unwrap();
        let version = crdt::Version::new(stamp, "w", Some(value));
        let merged = store.merge(key, Record::new(&version));
        assert!(merged.is_change());
    }

    #[test]
    fn only_what_is_not_as_it_was_is_copied_and_nothing_is_missed() {
        let mut store = Store::new(&StoreConfig::default());
        let mut looker = Looker::default();
        (0..600).for_each(|key| put(&mut store, &format!("k{key}"), 5, &[1]));
        let before = looker.look(0, &store);
        assert_eq!(before.records.values().map(|state| state.len()).sum::<usize>(), 600);
        put(&mut store, "k7", 6, &[2]);
        put(&mut store, "new", 6, &[3]);
        let after = looker.look(0, &store);
        assert_eq!(
            after,
            Looker::default().look_at_all(0, &store),
            "as if nobody had looked before"
        );
        let fresh = after.records.iter().filter(|(at, state)| {
            let same = |known: &Rc<State>| Rc::ptr_eq(known, state);
            !before.records.get(at).is_some_and(same)
        });
        assert_eq!(fresh.count(), 2);
        let gone = looker.look_at_all(0, &Store::new(&StoreConfig::default()));
        assert!(gone.records.is_empty());
    }
    #[test]
    fn a_change_that_a_digest_forgets_is_found_in_its_turn_and_by_the_last_look() {
        let config = StoreConfig {
            mutants: Mutants::only(Mutant::DigestWithoutValue),
            ..StoreConfig::default()
        };
        let mut store = Store::new(&config);
        put(&mut store, "k", 5, &[1]);
        let (mut looker, mut last) = (Looker::default(), Looker::default());
        let before = looker.look(0, &store);
        assert_eq!(last.look(0, &store), before);
        // The same stamp and writer, and a greater value: without values the digest stays as it was.
        put(&mut store, "k", 5, &[2]);
        let now = Looker::default().look_at_all(0, &store);
        assert_eq!(now.digests, before.digests);
        assert_ne!(now.records, before.records);
        assert_eq!(last.look_at_all(0, &store), now);
        assert!((0..Looker::TURN).any(|_| looker.look(0, &store) == now));
    }
}
