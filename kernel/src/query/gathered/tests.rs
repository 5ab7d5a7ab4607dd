use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::query::model::{name, put, record, store};
use crate::query::properties::{any_small, small_query};
use crate::query::{Direction, Live, Path};
use crate::store::Store;
use crate::value::Value;

/// How many sources there are.
const SOURCES: u8 = 3;

/// A store, split among sources that each keep a live query over their part; what gathers them, and who watches that.
struct World {
    store: Store,
    query: Query,
    owners: Vec<u8>,
    sources: Vec<Live>,
    gathered: GatheredLive,
    watcher: BTreeMap<RecordKey, Bytes>,
    ms: u64,
}

fn node(source: u8) -> NodeId {
    NodeId(source.into())
}

impl World {
    fn new(query: Query, owners: Vec<u8>, rows: Vec<(u8, Value)>, mutants: Mutants) -> Self {
        let (mut store, limits) = (store(), Limits::default());
        for (key, document) in rows {
            put(&mut store, "m", &[b'k', key], &record(1, Some(&document.encode())));
        }
        let gathered = GatheredLive::new(query.clone(), store.routing(), &limits, mutants);
        let mut world = Self {
            sources: Vec::new(),
            store,
            query,
            owners,
            gathered,
            watcher: BTreeMap::new(),
            ms: 1,
        };
        let answers = (0..SOURCES).map(|source| world.ask(source)).collect();
        let changes = world.gathered.replace(answers).unwrap();
        assert!(changes.iter().all(|change| change.change == ChangeType::Enter));
        world.watch(changes);
        world
    }

    fn part(&self, source: u8) -> PartitionSet {
        let own = |id: &PartitionId| self.owners[id.index() % self.owners.len()] == source;
        PartitionId::all().filter(own).collect()
    }

    /// Opens the live query of a source, anew if it has one.
    fn ask(&mut self, source: u8) -> Answer {
        let partitions = self.part(source);
        let query = self.query.of_source();
        let (live, rows) = Live::open(query, &self.store, &partitions, &Limits::default()).unwrap();
        let at = usize::from(source);
        match self.sources.get_mut(at) {
            Some(old) => *old = live,
            None => self.sources.push(live),
        }
        Answer {
            source: node(source),
            partitions,
            rows: rows.iter().map(|row| self.query.ranked(row)).collect(),
        }
    }

    fn write(&mut self, keys: &[(u8, Option<Value>)]) -> Vec<RecordKey> {
        self.ms += 1;
        let mut written: Vec<RecordKey> = Vec::new();
        for (key, document) in keys {
            let value = document.as_ref().map(Value::encode);
            let key = name("m", &[b'k', *key]);
            put(&mut self.store, "m", key.key(), &record(self.ms, value.as_deref()));
            self.ms += 1;
            written.push(key);
        }
        written.sort();
        written.dedup();
        written
    }

    /// What a source says of these changes.
    fn says(&mut self, source: u8, written: &[RecordKey]) -> Vec<Said> {
        let own = self.part(source);
        let live = &mut self.sources[usize::from(source)];
        let mut events = Vec::new();
        // Of what it has lost it hears no more.
        for key in written.iter().filter(|key| own.contains(self.store.partition_of(key))) {
            let value = self.store.live(key).and_then(|version| version.value);
            events.extend(live.change(key, value).unwrap());
        }
        let said = net(events).into_iter().map(|event| match event.change {
            ChangeType::Leave => Said::Left(event.key),
            _ => {
                let value = self.store.live(&event.key).and_then(|version| version.value).unwrap();
                let (key, value) = (event.key.clone(), Bytes::copy_from_slice(value));
                Said::Has(self.query.ranked(&Row { key, value }))
            }
        });
        said.collect()
    }

    /// The watcher is told, and can follow.
    fn watch(&mut self, changes: Vec<Change>) {
        let leaving = changes
            .iter()
            .take_while(|change| change.change == ChangeType::Leave)
            .count();
        assert!(
            changes[leaving..]
                .iter()
                .all(|change| change.change != ChangeType::Leave)
        );
        for Change { change, key, value } in changes {
            let before = match value {
                Some(value) => self.watcher.insert(key.clone(), value),
                None => self.watcher.remove(&key),
            };
            assert_eq!(before.is_some(), change != ChangeType::Enter, "{change:?} {key:?}");
            assert!(self.query.limit.is_none_or(|limit| self.watcher.len() <= limit));
        }
    }

    /// What one node that holds everything answers.
    fn alone(&self) -> Vec<Row> {
        let rows = self
            .query
            .run(&self.store, &PartitionSet::all(), &Limits::default())
            .unwrap();
        rows.iter().map(|row| self.query.ranked(row).row).collect()
    }

    fn is_right(&self) -> bool {
        let alone = self.alone();
        let seen = self.watcher.iter().map(|(key, value)| (key.clone(), value.clone()));
        let there: BTreeMap<_, _> = alone.iter().map(|row| (row.key.clone(), row.value.clone())).collect();
        self.gathered.rows() == alone && seen.collect::<BTreeMap<_, _>>() == there
    }

    /// Changes these keys, and tells everybody. Says whether the watcher was told of what has changed, and of nothing else.
    fn change(&mut self, keys: &[(u8, Option<Value>)]) -> bool {
        let old: BTreeMap<_, _> = self.watcher.clone();
        let written = self.write(keys);
        let mut told = BTreeSet::new();
        for source in 0..SOURCES {
            let said = self.says(source, &written);
            let changes = self.gathered.change(node(source), said).unwrap();
            told.extend(changes.iter().map(|change| change.key.clone()));
            self.watch(changes);
        }
        let written: BTreeSet<_> = written.into_iter().collect();
        let now = self.watcher.clone();
        let changed = |key: &&RecordKey| old.get(*key) != now.get(*key) || written.contains(*key);
        let changed: BTreeSet<_> = old.keys().chain(now.keys()).filter(changed).cloned().collect();
        // Over several sources in turn, one can push out what another lets in again.
        let one_at_a_time = keys.len() == 1;
        self.is_right() && (told == changed || (!one_at_a_time && told.is_superset(&changed)))
    }
}

fn any_world() -> impl Strategy<Value = World> {
    let parts = (small_query(), vec(0..SOURCES, 1..8), vec((0u8..8, any_small()), 0..10));
    parts.prop_map(|(query, owners, rows)| World::new(query, owners, rows, Mutants::default()))
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} by {:?}: {:?}", self.query, self.owners, self.alone())
    }
}

fn any_changes() -> impl Strategy<Value = Vec<(u8, Option<Value>)>> {
    vec((0u8..8, option::weighted(0.7, any_small())), 1..4)
}

proptest! {
    #[test]
    fn a_kept_answer_of_many_is_that_of_one(mut world in any_world(), steps in vec(any_changes(), 1..16)) {
        prop_assert!(world.is_right());
        for (number, step) in steps.iter().enumerate() {
            prop_assert!(world.change(step), "step {} of {:?}: {:?}", number, steps, world);
        }
    }

    /// Each step a part of the partitions changes hands, and records of it change with it. Both sides are asked anew.
    #[test]
    fn a_partition_that_moves_is_read_once(
        mut world in any_world(), steps in vec((any::<prop::sample::Index>(), 0..SOURCES, any_changes(), any::<bool>()), 1..8),
    ) {
        for (slot, to, changes, last) in steps {
            let slot = slot.index(world.owners.len());
            let from = std::mem::replace(&mut world.owners[slot], to);
            let written = world.write(&changes);
            let mut answers = vec![world.ask(from)];
            if from != to {
                answers.insert(usize::from(last), world.ask(to));
            }
            for other in (0..SOURCES).filter(|other| ![from, to].contains(other)) {
                let said = world.says(other, &written);
                let changes = world.gathered.change(node(other), said).unwrap();
                world.watch(changes);
            }
            let changes = world.gathered.replace(answers.clone()).unwrap();
            world.watch(changes);
            prop_assert!(world.is_right(), "{:?}", world);
            prop_assert_eq!(world.gathered.replace(answers).unwrap(), vec![], "nothing has changed since");
            prop_assert!(world.gathered.answered().is_all());
            prop_assert_eq!(world.gathered.short().count(), 0);
        }
    }

    /// The new owner takes over, and only then is the old one asked, if it must be. What the old one says of what it has lost
    /// is not heard.
    #[test]
    fn a_new_owner_takes_over_and_the_old_one_is_not_heard(
        mut world in any_world(), steps in vec((any::<prop::sample::Index>(), 0..SOURCES, any_changes()), 1..8),
    ) {
        for (slot, to, changes) in steps {
            let slot = slot.index(world.owners.len());
            let from = std::mem::replace(&mut world.owners[slot], to);
            let lost = world.part(to).difference(world.gathered.of_source(node(to)));
            let answer = world.ask(to);
            let told = world.gathered.replace(vec![answer]).unwrap();
            world.watch(told);
            let short: Vec<NodeId> = world.gathered.short().collect();
            let loses = world.query.limit.is_some() && !lost.is_empty() && !world.part(from).is_empty();
            prop_assert_eq!(&short, &if loses { vec![node(from)] } else { vec![] });
            if loses {
                let answer = world.ask(from);
                let told = world.gathered.replace(vec![answer]).unwrap();
                world.watch(told);
            }
            prop_assert!(world.is_right(), "{:?}", world);
            // Late news of the old owner.
            let late = (0u8..8).map(|key| name("m", &[b'k', key]));
            let late = late.filter(|key| from != to && lost.contains(world.store.partition_of(key)));
            let late: Vec<Said> = late.flat_map(|key| {
                let row = Row { key: key.clone(), value: Bytes::from_static(&[0x81, 0xa1, b'a', 1]) };
                [Said::Left(key), Said::Has(world.query.ranked(&row))]
            }).collect();
            prop_assert_eq!(world.gathered.change(node(from), late).unwrap(), vec![]);
            prop_assert!(world.change(&changes), "{:?}", world);
        }
    }

    #[test]
    fn what_is_kept_is_the_same_after_a_checkpoint(mut world in any_world(), steps in vec(any_changes(), 1..8)) {
        for step in steps {
            let bytes = postcard::to_allocvec(&world.gathered).unwrap();
            world.gathered = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(postcard::to_allocvec(&world.gathered).unwrap(), bytes);
            prop_assert!(world.change(&step), "{:?}", world);
        }
    }
}

fn number(n: u8) -> Value {
    Value::Map([("n".into(), i32::from(n).into())].into_iter().collect())
}

/// The second and third of some numbers.
fn second_and_third(mutants: Mutants) -> World {
    let query = Query {
        order: vec![(Path::parse("n").unwrap(), Direction::Ascending)],
        offset: 1,
        limit: Some(2),
        ..Query::of("m")
    };
    let rows = (0..6).map(|n| (n, number(10 * n))).collect();
    World::new(query, vec![0, 1, 2], rows, mutants)
}

#[test]
fn one_step_moves_records_over_both_ends() {
    let mut world = second_and_third(Mutants::default());
    let shown = |world: &World| world.watcher.keys().map(|key| key.key()[1]).collect::<Vec<_>>();
    assert_eq!(shown(&world), [1, 2]);
    assert!(world.change(&[(7, Some(number(1)))]));
    assert_eq!(shown(&world), [1, 7]);
    assert!(world.change(&[(0, None)]));
    assert_eq!(shown(&world), [1, 2]);
    assert!(world.change(&[(1, None), (2, None), (7, None)]));
    assert_eq!(shown(&world), [4, 5]);
}

/// On the way to the new answer record 5 is pushed out and let in again: nobody is told.
#[test]
fn what_is_where_it_was_is_not_told_of() {
    let query = Query {
        order: vec![(Path::parse("n").unwrap(), Direction::Ascending)],
        limit: Some(2),
        ..Query::of("m")
    };
    let rows = vec![(1, number(9)), (2, number(0)), (5, number(5))];
    let mut world = World::new(query, vec![0], rows, Mutants::default());
    world.write(&[(1, Some(number(1))), (2, Some(number(9)))]);
    let answer = world.ask(0);
    let told = world.gathered.replace(vec![answer]).unwrap();
    let told: Vec<_> = told.iter().map(|change| (change.change, change.key.key()[1])).collect();
    assert_eq!(told, [(ChangeType::Leave, 2), (ChangeType::Enter, 1)]);
    let said = [(1, 9), (2, 0)].map(|(key, n)| {
        let (key, value) = (name("m", &[b'k', key]), number(n).encode());
        Said::Has(world.query.ranked(&Row { key, value }))
    });
    let told = world
        .gathered
        .change(node(0), said.into_iter().rev().collect())
        .unwrap();
    let told: Vec<_> = told.iter().map(|change| (change.change, change.key.key()[1])).collect();
    assert_eq!(told, [(ChangeType::Leave, 1), (ChangeType::Enter, 2)]);
}

#[test]
fn query_rows_and_query_bytes_bound_what_is_kept() {
    let world = second_and_third(Mutants::default());
    let rows = world
        .query
        .of_source()
        .run(&world.store, &PartitionSet::all(), &Limits::default());
    let rows: Vec<Ranked> = rows.unwrap().iter().map(|row| world.query.ranked(row)).collect();
    let replace = |query_rows, query_bytes| {
        let limits = Limits {
            query_rows,
            query_bytes,
            ..Limits::default()
        };
        let mut gathered = GatheredLive::new(world.query.clone(), world.store.routing(), &limits, Mutants::default());
        let answer = Answer {
            source: node(0),
            partitions: PartitionSet::all(),
            rows: rows.clone(),
        };
        gathered.replace(vec![answer]).map(|changes| changes.len())
    };
    assert_eq!(replace(3, 1_000), Ok(2));
    assert_eq!(replace(2, 1_000), Err(Error::TooManyRows { limit: 2 }));
    assert_eq!(replace(3, 20), Err(Error::TooManyBytes { limit: 20 }));
}

#[cfg(feature = "testing")]
#[test]
fn who_forgets_the_offset_shows_something_else() {
    let world = second_and_third(Mutants::only(Mutant::GatherForgetsOffset));
    assert!(!world.is_right());
}
