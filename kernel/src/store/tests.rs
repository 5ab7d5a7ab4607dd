//! The way of a change to disk and back, against a model: whatever a host does and wherever it stops, what is recovered is what the
//! durable entries of the log say, read one after the other.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use alloc::{format, vec};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::env::{Now, WriterId};
use crate::machine::{Fetch, Fetched, StorageError};

/// What the durable entries say.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    records: BTreeMap<RecordKey, Record>,
    system: BTreeMap<&'static str, Bytes>,
}

#[derive(Debug, Clone, Default)]
struct Disk {
    log: BTreeMap<u64, Bytes>,
    records: BTreeMap<Bytes, Bytes>,
    applied: u64,
}

impl Disk {
    fn last(&self) -> u64 {
        self.log.last_key_value().map_or(self.applied, |(number, _)| *number)
    }

    fn apply(&mut self, batch: Batch) {
        assert!(batch.upto >= self.applied && batch.upto <= self.last());
        assert!(batch.puts.is_sorted_by(|a, b| a.0 < b.0) && batch.deletes.is_sorted_by(|a, b| a < b));
        self.records.extend(batch.puts);
        for key in &batch.deletes {
            self.records.remove(key);
        }
        self.applied = batch.upto;
    }

    /// Answers a few rows at a time.
    fn fetch(&self, fetch: Fetch) -> Fetched {
        const ROWS: usize = 3;
        match fetch {
            Fetch::Recover => Fetched::Recovered {
                applied: self.applied,
                log: self.log.first_key_value().map(|(first, _)| (*first, self.last())),
                room: Room { bytes: 1 << 30 },
            },
            Fetch::Records { after, .. } => {
                let rest = self.records.iter();
                let rest = rest.filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
                let rows: Vec<_> = rest.take(ROWS).map(|(key, row)| (key.clone(), row.clone())).collect();
                let done = rows.len() < ROWS;
                Fetched::Records { rows, done }
            }
            Fetch::Log { from, .. } => {
                let rest = self.log.range(from..).take(ROWS);
                let entries = rest.map(|(number, entry)| (*number, entry.clone())).collect();
                Fetched::Log { entries, done: false }
            }
        }
    }

    fn recover(&self, config: &StoreConfig) -> Result<Store, StorageError> {
        let mut recovery = Recovery::new(Store::new(config));
        let now = Now { wall_ms: 0, mono_us: 0 };
        let mut fetch = Fetch::Recover;
        loop {
            match recovery.fetched(now, self.fetch(fetch))? {
                Next::Fetch(next) => fetch = next,
                Next::Done => return Ok(recovery.finish().0),
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Merge { key: usize, ms: u64, kind: u8 },
    System { name: usize, value: u8 },
    Drop(usize),
    Forget(usize),
    Seal,
    Commit,
    BeginApply,
    Applied(bool),
    Crash { survivors: usize, apply: bool },
    Checkpoint,
    Advance(u64),
}

const NAMES: [&str; 3] = ["cluster", "id", "vote"];

/// Keys of two partitions and two maps.
fn key(number: usize) -> RecordKey {
    let (map, tag) = (["m", "n"][number / 2 % 2], ["a", "b"][number % 2]);
    RecordKey::new(map, format!("{{{tag}}}{number}").as_bytes(), &Limits::default()).unwrap()
}

const KEYS: usize = 24;

fn record(ms: u64, kind: u8) -> Record {
    let stamp = Stamp::new(ms, 0, WriterId(u64::from(kind))).unwrap();
    let value = [kind];
    let written = Version::new(
        stamp,
        ["w", "v"][usize::from(kind) % 2],
        (kind > 0).then_some(&value[..]),
    );
    Record::new(&Version {
        ttl_ms: (kind > 2).then_some(u64::from(kind) * 10),
        ..written
    })
}

/// A store, its disk, and what is on the way between them.
struct Run {
    config: StoreConfig,
    store: Store,
    disk: Disk,
    flying: VecDeque<(u64, Bytes)>,
    applying: Option<Batch>,
    model: Model,
    /// What the log said up to each entry.
    said: BTreeMap<u64, Model>,
    now_us: u64,
}

impl Run {
    fn new(mutants: Mutants) -> Self {
        let config = StoreConfig {
            limits: Limits {
                // Two rows of a dropped partition at once.
                apply_bytes: DELETE_BYTES + 10,
                ..Limits::default()
            },
            mutants,
            ..StoreConfig::default()
        };
        let disk = Disk::default();
        Self {
            store: disk.recover(&config).unwrap(),
            config,
            disk,
            flying: VecDeque::new(),
            applying: None,
            model: Model::default(),
            said: [(0, Model::default())].into(),
            now_us: 0,
        }
    }

    fn act(&mut self, act: &Act) {
        self.now_us += 2_000_000;
        match *act {
            Act::Merge { key: number, ms, kind } => {
                let (key, record) = (key(number), record(ms, kind));
                let held = self.model.records.get(&key).cloned();
                let wins = held.is_none_or(|held| record.version().wins_over(&held.version()));
                assert_eq!(self.store.merge(key.clone(), record.clone()).is_change(), wins);
                if wins {
                    self.model.records.insert(key, record);
                }
            }
            Act::System { name, value } => {
                let value = Bytes::from(vec![value; 3]);
                self.store.put_system(NAMES[name], value.clone());
                self.model.system.insert(NAMES[name], value);
            }
            Act::Drop(number) => {
                let id = self.store.partition_of(&key(number));
                let before = self.model.records.len();
                let store = &self.store;
                self.model.records.retain(|key, _| store.partition_of(key) != id);
                let went = self.store.drop_partition(id);
                assert_eq!(went as usize, before - self.model.records.len());
                assert!(
                    self.store
                        .staged()
                        .iter()
                        .all(|change| self.store.partition_of(&change.key) != id)
                );
            }
            Act::Forget(number) => {
                let key = key(number);
                let was_there = self.model.records.remove(&key).is_some();
                assert_eq!(self.store.forget(&key), was_there);
                assert!(self.store.staged().iter().all(|change| change.key != key));
            }
            Act::Seal => {
                if self.store.has_staged() {
                    let bound = ENTRY_BYTES + self.store.staged_bytes;
                    let (number, entry) = self.store.seal(Stamp::ZERO);
                    assert!(entry.len() as u64 <= bound, "what was asked for is enough");
                    self.flying.push_back((number, entry));
                    self.said.insert(number, self.model.clone());
                }
            }
            Act::Commit => {
                if let Some((number, entry)) = self.flying.pop_front() {
                    self.disk.log.insert(number, entry);
                    self.store.committed(self.now_us);
                }
            }
            Act::BeginApply => {
                if self.applying.is_none() {
                    self.applying = self.store.begin_apply(self.now_us, true);
                }
            }
            Act::Applied(ok) => {
                if let Some(batch) = self.applying.take() {
                    if ok {
                        self.disk.apply(batch);
                    }
                    if let Some(cut) = self.store.applied(ok, self.now_us) {
                        self.disk.log = self.disk.log.split_off(&(cut + 1));
                    }
                }
            }
            Act::Crash { survivors, apply } => {
                self.disk.log.extend(self.flying.drain(..).take(survivors));
                if let Some(batch) = self.applying.take().filter(|_| apply) {
                    self.disk.apply(batch);
                }
                self.flying.clear();
                self.store = self.disk.recover(&self.config).unwrap();
                self.model = self.said[&self.disk.last()].clone();
                self.said.split_off(&(self.disk.last() + 1));
            }
            Act::Checkpoint => {
                let bytes = postcard::to_allocvec(&self.store).unwrap();
                self.store = postcard::from_bytes(&bytes).unwrap();
                assert_eq!(postcard::to_allocvec(&self.store).unwrap(), bytes);
            }
            Act::Advance(ms) => _ = self.store.advance(ms),
        }
    }

    /// What a store holds is what the model says, and nothing of what it says no more is left anywhere.
    fn compare(&self, store: &Store, model: &Model) -> Result<(), TestCaseError> {
        let rows: BTreeMap<_, _> = store
            .rows()
            .map(|(key, version)| (key, Record::new(&version)))
            .collect();
        prop_assert_eq!(&rows, &model.records);
        let system: BTreeMap<_, _> = store.system_rows().map(|(name, value)| (name, value.clone())).collect();
        prop_assert_eq!(&system, &model.system);
        // As if nothing else had ever been there.
        let mut other = Store::new(&self.config);
        for (key, record) in &model.records {
            other.merge(key.clone(), record.clone());
        }
        prop_assert_eq!(store.len(), other.len());
        prop_assert_eq!(store.held(), other.held());
        for id in PartitionId::all() {
            let bytes = |store: &Store| postcard::to_allocvec(store.partition(id)).unwrap();
            prop_assert_eq!(store.partition(id).digest(), other.partition(id).digest());
            prop_assert!(bytes(store) == bytes(&other), "equal partitions are equal bytes");
        }
        let now_ms = store.expiry.now_ms();
        let told = other.advance(now_ms);
        prop_assert!(told.len() <= KEYS);
        prop_assert_eq!(&store.expiry.is_due(), &false);
        prop_assert_eq!(store.expires_at_ms(), other.expires_at_ms());
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        self.compare(&self.store, &self.model)?;
        let recovered = self.disk.recover(&self.config).unwrap();
        self.compare(&recovered, &self.said[&self.disk.last()])
    }

    /// Brings all there is into the records. They hold what the model says then, and nothing else.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        self.act(&Act::Seal);
        let mut applies = 0;
        while !self.store.is_clean() {
            self.act(&Act::Commit);
            self.act(&Act::BeginApply);
            self.act(&Act::Applied(true));
            applies += 1;
            prop_assert!(applies < 1_000, "it comes to an end");
        }
        self.check()?;
        let mut left = self.disk.records.clone();
        left.remove(behind::CLOCK_ROW);
        for (name, value) in &self.model.system {
            let row = left.remove(&system::row_key(name)).expect("a system row");
            prop_assert_eq!(&decode_row(&system::row_key(name), &row).unwrap(), value);
        }
        let records = self.model.records.keys().map(|key| key.as_bytes());
        prop_assert!(left.keys().eq(records), "{:?} is left", left.keys());
        prop_assert_eq!(self.disk.applied, self.disk.last());
        Ok(())
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0..KEYS, 1..40_u64, 0..5_u8).prop_map(|(key, ms, kind)| Act::Merge { key, ms, kind }),
        2 => (0..NAMES.len(), any::<u8>()).prop_map(|(name, value)| Act::System { name, value }),
        2 => (0..2_usize).prop_map(Act::Drop),
        2 => (0..KEYS).prop_map(Act::Forget),
        6 => Just(Act::Seal),
        6 => Just(Act::Commit),
        5 => Just(Act::BeginApply),
        5 => prop::bool::weighted(0.7).prop_map(Act::Applied),
        1 => (0..4_usize, any::<bool>()).prop_map(|(survivors, apply)| Act::Crash { survivors, apply }),
        1 => Just(Act::Checkpoint),
        1 => (0..90_u64).prop_map(Act::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_is_recovered_is_what_the_log_says(acts in prop::collection::vec(act(), 1..120)) {
        let mut run = Run::new(Mutants::default());
        for act in &acts {
            run.act(act);
            run.check()?;
        }
        run.finish()?;
    }
}

fn merges(ms: u64, keys: impl Iterator<Item = usize>) -> impl Iterator<Item = Act> {
    keys.map(move |key| Act::Merge { key, ms, kind: 1 })
}

/// Through the log, and not into the records.
const COMMIT: [Act; 2] = [Act::Seal, Act::Commit];
const APPLY: [Act; 2] = [Act::BeginApply, Act::Applied(true)];

/// Rows in the records, some in the log only, and then both partitions are dropped; one of them is written to again.
fn a_drop() -> Vec<Act> {
    let written = merges(1, 0..20).chain(COMMIT).chain(APPLY);
    let more = merges(2, 16..24).chain(COMMIT);
    let dropped = [Act::Drop(0), Act::Drop(1), Act::Forget(3)].into_iter().chain(COMMIT);
    let again = merges(1, [0, 4, 22].into_iter()).chain(COMMIT);
    written.chain(more).chain(dropped).chain(again).collect()
}

#[test]
fn a_dropped_partition_leaves_the_records_a_few_rows_at_a_time_and_can_be_written_to_again() {
    let mut run = Run::new(Mutants::default());
    a_drop().iter().for_each(|act| run.act(act));
    let applied = run.disk.applied;
    let mut applies = 0;
    while !run.store.is_clean() {
        let batch = run.store.begin_apply(run.now_us, false).expect("it goes on at once");
        let last = batch.upto > applied;
        assert!(batch.deletes.len() <= 2, "{}", batch.deletes.len());
        assert!(last || batch.puts.is_empty(), "what is newer waits for the deletes");
        run.disk.apply(batch);
        run.store.applied(true, run.now_us);
        // The power may go after each of them.
        run.check().unwrap();
        applies += 1;
        assert_eq!(last, run.store.is_clean());
    }
    assert_eq!(applies, 12);
    run.finish().unwrap();
    assert_eq!(run.store.len(), 3);
}

#[test]
fn a_failed_apply_does_not_bring_back_what_was_dropped_meanwhile() {
    for drops in [vec![Act::Drop(0), Act::Drop(1)], (0..4).map(Act::Forget).collect()] {
        let mut run = Run::new(Mutants::default());
        let written = merges(1, 0..4).chain(COMMIT).chain([Act::BeginApply]);
        let dropped = drops.into_iter().chain(COMMIT).chain([Act::Applied(false)]);
        written.chain(dropped).for_each(|act| run.act(&act));
        run.finish().unwrap();
        assert_eq!((run.store.len(), run.disk.records.len()), (0, 1), "the clock is left");
    }
}

#[cfg(feature = "testing")]
#[test]
fn a_replay_that_passes_over_drops_is_found() {
    for (mutants, found) in [
        (Mutants::default(), false),
        (Mutants::only(Mutant::DropResurrected), true),
    ] {
        let mut run = Run::new(mutants);
        a_drop().iter().for_each(|act| run.act(act));
        assert_eq!(run.check().is_err(), found);
    }
    let mut run = Run::new(Mutants::only(Mutant::DropResurrected));
    let forgotten = merges(1, 0..4).chain(COMMIT).chain([Act::Forget(1)]).chain(COMMIT);
    forgotten.for_each(|act| run.act(&act));
    assert!(run.check().is_err());
}

#[test]
fn what_a_step_drops_is_no_change_that_anybody_is_told_of() {
    let mut run = Run::new(Mutants::default());
    let written = merges(1, 0..4).chain(COMMIT);
    let step = merges(2, 0..4).chain([Act::Drop(0), Act::Forget(1)]);
    written.chain(step).for_each(|act| run.act(&act));
    let staged: Vec<_> = run.store.staged().iter().map(|change| change.key.clone()).collect();
    assert_eq!(staged, [key(3)]);
    assert!(run.store.has_staged());
    for act in [Act::Drop(1)].into_iter().chain(COMMIT) {
        run.act(&act);
    }
    assert!(!run.store.has_staged() && run.store.is_empty());
    run.act(&Act::Drop(1));
    run.act(&Act::Forget(1));
    assert!(!run.store.has_staged(), "what is not there need not be dropped");
    run.finish().unwrap();
}

#[test]
fn system_rows_need_room_and_what_is_there_already_needs_none() {
    let mut store = Store::new(&StoreConfig::default());
    store.grant(Room { bytes: 100 });
    let bytes = system_bytes(4, 20);
    assert_eq!(store.room_for(bytes), Ok(()));
    store.put_system("vote", Bytes::from(vec![1; 9]));
    store.put_system("vote", Bytes::from(vec![1; 20]));
    assert_eq!(store.staged_bytes, bytes, "the last one counts");
    assert_eq!(store.room_for(bytes), Ok(()));
    assert_eq!(store.room_for(bytes + 20), Err(NoRoom::Full));
    assert!(store.has_staged() && !store.is_clean());
    store.seal(Stamp::ZERO);
    store.put_system("vote", Bytes::from(vec![1; 20]));
    assert!(!store.has_staged());
    assert_eq!((store.len(), store.held()), (0, Held::default()));
}

#[test]
#[should_panic(expected = "a system row is small")]
fn a_large_system_row_is_a_bug() {
    let large = Bytes::from(vec![0; SYSTEM_ROW_BYTES + 1]);
    Store::new(&StoreConfig::default()).put_system("large", large);
}

#[test]
#[should_panic(expected = "system rows are few")]
fn too_many_system_rows_are_a_bug() {
    let mut store = Store::new(&StoreConfig::default());
    for number in 0..=SYSTEM_ROWS {
        store.put_system(&format!("{number}"), Bytes::new());
    }
}

#[test]
fn rows_of_the_kernel_that_it_does_not_write_are_corrupt() {
    let long = [&b"\0s"[..], &[b'x'; SYSTEM_NAME_BYTES + 1]].concat();
    for name in [&b"\0s"[..], b"\0s\xff", &long, b"\0other"] {
        let mut disk = Disk::default();
        let name = Bytes::copy_from_slice(name);
        disk.records.insert(name.clone(), codec::encode_row(&name, &[1]));
        assert_eq!(
            disk.recover(&StoreConfig::default()).err(),
            Some(StorageError::Corrupt),
            "{name:?}"
        );
    }
}
