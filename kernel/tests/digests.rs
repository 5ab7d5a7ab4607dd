//! Digests of states: what they see, and how often they do not.

use kernel::crdt::{DigestKey, LwwMap, Version};
use kernel::env::{Mutants, SeededRng, WriterId};
use kernel::hlc::Stamp;
use kernel::merkle::{Item, Sum};

#[derive(Debug, Clone, Copy, PartialEq)]
struct Record {
    key: u64,
    time: Stamp,
    value: u64,
}

fn stamp(ms: u64) -> Stamp {
    Stamp::new(ms, 0, WriterId(1)).expect("a time in range")
}

/// A map of replicas under one key: it digests rows without holding them.
fn digests(key: u8) -> LwwMap {
    LwwMap::new(DigestKey::new([key; 16]), Mutants::default())
}

/// What a replica digests.
fn digest(digests: &LwwMap, record: &Record) -> u128 {
    let value = record.value.to_be_bytes();
    digests.digest_of(&record.key.to_be_bytes(), &Version::new(record.time, "w", Some(&value)))
}

fn sum(records: &[Record]) -> u128 {
    let digests = digests(5);
    let items = records.iter().map(|record| Item {
        key_hash: record.key,
        digest: digest(&digests, record),
    });
    items.collect::<Sum>().digest
}

const A: Record = Record {
    key: 1,
    time: Stamp::ZERO,
    value: 10,
};
const B: Record = Record {
    key: 2,
    time: Stamp::ZERO,
    value: 20,
};

#[test]
fn digest_blind_to_content() {
    let later = Record { time: stamp(1), ..A };
    let by_another = Stamp::new(0, 0, WriterId(2)).expect("a time in range");
    let by_another = Record { time: by_another, ..A };
    let other = Record { value: 11, ..A };
    let moved = Record { key: 3, ..A };
    for changed in [later, by_another, other, moved] {
        assert_ne!(sum(&[A, B]), sum(&[changed, B]), "{changed:?}");
    }
    assert_eq!(sum(&[A, B]), sum(&[B, A]));
}

#[test]
fn digests_that_cancel() {
    assert_ne!(sum(&[A, A]), 0);
    assert_ne!(sum(&[A, A, B]), sum(&[B]));
    assert_ne!(sum(&[A, A]), sum(&[B, B]));
    let swapped = [Record { value: B.value, ..A }, Record { value: A.value, ..B }];
    assert_ne!(sum(&[A, B]), sum(&swapped));
    let keys = [Record { key: B.key, ..A }, Record { key: A.key, ..B }];
    assert_ne!(sum(&[A, B]), sum(&keys));
}

/// A state that changes by one step at a time, with its digest.
struct State {
    digests: LwwMap,
    records: Vec<(Record, u128)>,
    digest: u128,
    keys: u64,
}

const RECORDS: std::ops::Range<usize> = 8..64;

impl State {
    fn new() -> Self {
        let mut state = Self {
            digests: digests(6),
            records: Vec::new(),
            digest: 0,
            keys: 0,
        };
        (0..RECORDS.start as u64).for_each(|value| state.push(0, value));
        state
    }

    fn push(&mut self, ms: u64, value: u64) {
        self.keys += 1;
        let record = Record {
            key: self.keys,
            time: stamp(ms),
            value,
        };
        let own = digest(&self.digests, &record);
        self.digest = self.digest.wrapping_add(own);
        self.records.push((record, own));
    }

    fn replace(&mut self, at: usize, record: Record) {
        let own = digest(&self.digests, &record);
        let (old, gone) = std::mem::replace(&mut self.records[at], (record, own));
        assert_ne!(old, record, "a step that changes nothing");
        self.digest = self.digest.wrapping_sub(gone).wrapping_add(own);
    }

    fn pop(&mut self, at: usize) {
        let (_, gone) = self.records.swap_remove(at);
        self.digest = self.digest.wrapping_sub(gone);
    }

    /// One step to a state that is unequal.
    fn step(&mut self, drawn: u64) {
        let len = self.records.len() as u64;
        let (at, to) = ((drawn >> 8) % len, (drawn >> 24) % len);
        let (at, to) = (at as usize, to as usize);
        let (one, two) = (self.records[at].0, self.records[to].0);
        match drawn % 8 {
            0 if len > RECORDS.start as u64 => self.pop(at),
            1 if len < RECORDS.end as u64 => self.push(drawn >> 40, drawn),
            // The same content under another key.
            2 if len < RECORDS.end as u64 => self.push(one.time.millis(), one.value),
            3 => {
                self.keys += 1;
                let key = self.keys;
                self.replace(at, Record { key, ..one });
            }
            4 => {
                let time = stamp(one.time.millis() + 1 + (drawn >> 60));
                self.replace(at, Record { time, ..one });
            }
            5 if one.value != two.value => {
                let value = two.value;
                self.replace(at, Record { value, ..one });
                self.replace(
                    to,
                    Record {
                        value: one.value,
                        ..two
                    },
                );
            }
            6 if one.time != two.time => {
                let time = two.time;
                self.replace(at, Record { time, ..one });
                self.replace(to, Record { time: one.time, ..two });
            }
            _ => {
                let value = one.value ^ 1 << (drawn >> 58);
                self.replace(at, Record { value, ..one });
            }
        }
    }
}

#[test]
fn digests_collide_no_more_than_chance() {
    const TRIALS: u64 = 100_000_000;
    const CUT: u128 = (1 << 24) - 1;
    let mut rng = SeededRng::from_u64(24);
    let mut state = State::new();
    let mut collisions = 0;
    for _ in 0..TRIALS {
        let before = state.digest;
        state.step(rng.next_u64());
        collisions += u32::from((before ^ state.digest) & CUT == 0);
    }
    let records: Vec<_> = state.records.iter().map(|(record, _)| *record).collect();
    let whole = records.iter().map(|record| digest(&state.digests, record));
    assert_eq!(state.digest, whole.fold(0, u128::wrapping_add), "the digest was kept");
    // Chance makes 6 of them, and more than 20 once in a million seeds. None at all, once in 400, would be a test that is blind.
    assert!(
        (1..=20).contains(&collisions),
        "{collisions} collisions in {TRIALS} trials"
    );
}
