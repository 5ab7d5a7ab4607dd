//! The map against a model that knows nothing but which changes a replica has heard of.

use super::*;
use alloc::collections::BTreeSet;
use proptest::prelude::*;

const REPLICAS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Add {
        at: usize,
        key: u8,
        element: u8,
    },
    Remove {
        at: usize,
        key: u8,
        element: u8,
    },
    RemoveKey {
        at: usize,
        key: u8,
    },
    /// One change's delta, whichever and however old.
    Send {
        change: usize,
        to: usize,
    },
    /// Several changes in one delta.
    Group {
        changes: Vec<usize>,
        to: usize,
    },
    Gossip {
        from: usize,
        to: usize,
    },
    /// Everybody gets everything, then the floor passes all writers, and all begin anew.
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..REPLICAS, 0u8..3, 0u8..3).prop_map(|(at, key, element)| Step::Add { at, key, element }),
        3 => (0..REPLICAS, 0u8..3, 0u8..3).prop_map(|(at, key, element)| Step::Remove { at, key, element }),
        1 => (0..REPLICAS, 0u8..3).prop_map(|(at, key)| Step::RemoveKey { at, key }),
        6 => (any::<usize>(), 0..REPLICAS).prop_map(|(change, to)| Step::Send { change, to }),
        2 => (proptest::collection::vec(any::<usize>(), 2..5), 0..REPLICAS)
            .prop_map(|(changes, to)| Step::Group { changes, to }),
        2 => (0..REPLICAS, 0..REPLICAS).prop_map(|(from, to)| Step::Gossip { from, to }),
        1 => Just(Step::Settle),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A change as the model knows it: what it adds, and the changes whose adds its writer saw and undid.
struct Change {
    adds: Option<(u8, u8)>,
    undoes: BTreeSet<usize>,
    delta: Delta,
}

struct Replica {
    map: OrMap,
    dots: DotSource,
    heard_of: BTreeSet<usize>,
}

struct World {
    replicas: Vec<Replica>,
    changes: Vec<Change>,
    now_ms: u64,
    floor: u64,
}

impl World {
    fn new() -> Self {
        let replicas = (0..REPLICAS as u64).map(|writer| Replica {
            map: empty(),
            dots: DotSource::new(stamp(1, writer)),
            heard_of: BTreeSet::new(),
        });
        Self {
            replicas: replicas.collect(),
            changes: Vec::new(),
            now_ms: 1,
            floor: 0,
        }
    }

    /// The changes that a replica has heard of whose adds no other that it has heard of undoes.
    fn alive(&self, at: usize) -> impl Iterator<Item = (usize, (u8, u8))> {
        let heard_of = &self.replicas[at].heard_of;
        let undone: BTreeSet<_> = heard_of
            .iter()
            .flat_map(|change| &self.changes[*change].undoes)
            .collect();
        let adds = heard_of
            .iter()
            .filter_map(|change| Some((*change, self.changes[*change].adds?)));
        adds.filter(move |(change, _)| !undone.contains(change))
    }

    fn change(&mut self, at: usize, adds: Option<(u8, u8)>, seen: impl Fn((u8, u8)) -> bool, delta: Delta) {
        let undoes = self
            .alive(at)
            .filter(|(_, place)| seen(*place))
            .map(|(change, _)| change);
        let undoes = undoes.collect();
        self.replicas[at].heard_of.insert(self.changes.len());
        self.changes.push(Change { adds, undoes, delta });
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Add {
                at,
                key,
                element: value,
            } => {
                let replica = &mut self.replicas[at];
                let dot = replica.dots.next(self.floor).unwrap();
                let delta = replica.map.add(&[key], &element(value), dot);
                self.change(at, Some((key, value)), |place| place == (key, value), delta);
            }
            Step::Remove {
                at,
                key,
                element: value,
            } => {
                let delta = self.replicas[at].map.remove(&[key], &element(value));
                self.change(at, None, |place| place == (key, value), delta);
            }
            Step::RemoveKey { at, key } => {
                let delta = self.replicas[at].map.remove_key(&[key]);
                self.change(at, None, |place| place.0 == key, delta);
            }
            Step::Send { change, to } => self.send(&[change], to),
            Step::Group { changes, to } => self.send(&changes, to),
            Step::Gossip { from, to } => {
                let (heard_of, state) = (self.replicas[from].heard_of.clone(), self.replicas[from].map.as_delta());
                self.replicas[to].heard_of.extend(heard_of);
                self.replicas[to].map.merge(&sent(&state));
            }
            Step::Settle => self.settle(),
        }
    }

    fn send(&mut self, changes: &[usize], to: usize) {
        if self.changes.is_empty() {
            return;
        }
        let changes = changes.iter().map(|change| change % self.changes.len());
        let deltas = changes.clone().map(|change| self.changes[change].delta.clone());
        let delta = sent(&Delta::group(deltas));
        self.replicas[to].heard_of.extend(changes);
        self.replicas[to].map.merge(&delta);
    }

    fn settle(&mut self) {
        for _ in 0..2 {
            for from in 0..REPLICAS {
                for to in 0..REPLICAS {
                    self.step(Step::Gossip { from, to });
                }
            }
        }
        self.floor = floor(self.now_ms);
        self.now_ms += 1;
        let heard_of = self.replicas[0].heard_of.clone();
        for (writer, replica) in self.replicas.iter_mut().enumerate() {
            assert_eq!(replica.heard_of, heard_of);
            replica.map.collect(self.floor);
            assert_eq!(replica.map.context().len(), 0);
            assert!(replica.dots.next(self.floor).is_err());
            replica.dots = DotSource::new(stamp(self.now_ms, writer as u64));
        }
        let [first, others @ ..] = self.replicas.as_slice() else {
            return;
        };
        assert!(others.iter().all(|other| same(&first.map, &other.map)));
    }

    fn check(&self) {
        for (at, replica) in self.replicas.iter().enumerate() {
            let expected: BTreeSet<_> = self.alive(at).map(|(_, place)| place).collect();
            let keys = replica.map.iter_after(None);
            let held: BTreeSet<_> = keys.flat_map(|(key, of)| of.map(move |e| (key[0], e[0]))).collect();
            assert_eq!(held, expected, "at {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_element_is_there_iff_an_add_of_it_is_undone_by_nothing_heard_of(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
        world.settle();
        world.check();
    }
}
