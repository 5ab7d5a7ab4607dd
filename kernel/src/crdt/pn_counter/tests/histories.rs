//! Replicas through random histories, beside a model that knows only which increments each has heard of.

use super::*;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use proptest::prelude::*;

const REPLICAS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A replica counts, under its birth of now or under a new one.
    Count { at: usize, by: i64, reborn: bool },
    /// A message of the past (any, any number of times) arrives.
    Deliver { message: prop::sample::Index, to: usize },
    /// A replica sends its whole state.
    Send { from: usize },
    /// All promise, exchange what they admitted below, and confirm.
    Advance,
    /// A replica folds, at a moment of its own.
    Fold { at: usize },
}

/// What was done: the history is nothing but these, and the value of a replica the sum of those that it has heard of.
struct Operation {
    birth: Stamp,
    by: i64,
}

/// A message, and the operations that it tells of.
struct Message {
    bytes: Bytes,
    is_state: bool,
    tells: BTreeSet<usize>,
}

struct Replica {
    counter: PnCounter,
    birth: Stamp,
    heard: BTreeSet<usize>,
}

struct Run {
    now_ms: u64,
    floor: u64,
    operations: Vec<Operation>,
    replicas: Vec<Replica>,
    messages: Vec<Message>,
}

impl Run {
    fn new() -> Self {
        let replica = |n: usize| Replica {
            counter: PnCounter::new(),
            birth: Stamp::new(1, 0, WriterId(n as u64)).unwrap(),
            heard: BTreeSet::new(),
        };
        Self {
            now_ms: 1,
            floor: 0,
            operations: vec![],
            replicas: (0..REPLICAS).map(replica).collect(),
            messages: vec![],
        }
    }

    fn step(&mut self, step: Step) {
        self.now_ms += 1;
        match step {
            Step::Count { at, by, reborn } => self.count(at, by, reborn),
            Step::Deliver { message, to } if !self.messages.is_empty() => {
                let message = message.index(self.messages.len());
                self.deliver(message, to);
            }
            Step::Deliver { .. } => {}
            Step::Send { from } => {
                self.send(from);
            }
            Step::Advance => self.advance(),
            Step::Fold { at } => self.replicas[at].counter.collect(self.floor),
        }
    }

    fn sum(&self, of: &BTreeSet<usize>) -> i128 {
        of.iter().map(|n| i128::from(self.operations[*n].by)).sum()
    }

    fn count(&mut self, at: usize, by: i64, reborn: bool) {
        if reborn || is_at_or_below(self.replicas[at].birth, self.floor) {
            self.replicas[at].birth = Stamp::new(self.now_ms, 0, WriterId(at as u64)).unwrap();
        }
        let replica = &self.replicas[at];
        let birth = replica.birth;
        let own = |n: &&usize| {
            let operation = &self.operations[**n];
            operation.birth == birth && (operation.by > 0) == (by > 0)
        };
        let own: BTreeSet<usize> = replica.heard.iter().filter(own).copied().collect();
        let after = self.sum(&replica.heard) + i128::from(by);
        let expected = if self.sum(&own).unsigned_abs() + u128::from(by.unsigned_abs()) > u128::from(u64::MAX) {
            Err(IncrementError::SlotFull)
        } else if (by > 0 && after > i128::from(i64::MAX)) || (by < 0 && after < i128::from(i64::MIN)) {
            Err(IncrementError::Overflow(Overflow))
        } else {
            Ok(())
        };
        let delta = self.replicas[at].counter.increment(birth, by);
        assert_eq!(delta.as_ref().map(|_| ()).map_err(|e| *e), expected);
        let Ok(delta) = delta else { return };
        let number = self.operations.len();
        self.operations.push(Operation { birth, by });
        self.replicas[at].heard.insert(number);
        let heard = self.replicas[at].heard.iter();
        let tells = heard.filter(|n| self.operations[**n].birth == birth).copied().collect();
        self.messages.push(Message {
            bytes: delta.encode(),
            is_state: false,
            tells,
        });
    }

    fn send(&mut self, from: usize) -> usize {
        self.messages.push(Message {
            bytes: self.replicas[from].counter.encode(),
            is_state: true,
            tells: self.replicas[from].heard.clone(),
        });
        self.messages.len() - 1
    }

    fn deliver(&mut self, message: usize, to: usize) {
        let Message { bytes, is_state, tells } = &self.messages[message];
        let replica = &mut self.replicas[to];
        let before = replica.counter.clone();
        if *is_state {
            let state = PnCounter::decode(bytes, &Limits::default()).unwrap();
            replica.counter.merge_state(&state);
        } else {
            let delta = Delta::decode(bytes, &Limits::default()).unwrap();
            replica.counter.merge(&delta);
        }
        replica.heard.extend(tells);
        assert_eq!(joined(&before, &replica.counter), replica.counter, "monotone");
    }

    fn exchange(&mut self) {
        for from in 0..REPLICAS {
            let message = self.send(from);
            for to in 0..REPLICAS {
                self.deliver(message, to);
            }
        }
        for to in 0..REPLICAS {
            self.deliver(self.messages.len() - REPLICAS, to);
            self.deliver(self.messages.len() - 1, to);
        }
    }

    /// The floor comes to a little before now. Every birth from here on is later than it, and each replica has heard of all
    /// that was counted under the earlier ones: what replicas that promise and confirm see to.
    fn advance(&mut self) {
        self.exchange();
        self.floor = self.floor.max(up_to(self.now_ms.saturating_sub(3)));
    }

    fn check(&self) {
        for replica in &self.replicas {
            let expected = i64::try_from(self.sum(&replica.heard)).map_err(|_| Overflow);
            assert_eq!(replica.counter.value(), expected);
            assert_eq!(sent(&replica.counter), replica.counter);
        }
    }
}

fn steps(amounts: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Step>> {
    let at = || 0..REPLICAS;
    let step = prop_oneof![
        6 => (at(), amounts, prop::bool::weighted(0.2)).prop_map(|(at, by, reborn)| Step::Count { at, by, reborn }),
        6 => (any::<prop::sample::Index>(), at()).prop_map(|(message, to)| Step::Deliver { message, to }),
        2 => at().prop_map(|from| Step::Send { from }),
        1 => Just(Step::Advance),
        2 => at().prop_map(|at| Step::Fold { at }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn run(steps: Vec<Step>) {
    let mut run = Run::new();
    for step in steps {
        run.step(step);
        run.check();
    }
    run.exchange();
    run.check();
    let [first, rest @ ..] = &mut run.replicas[..] else {
        panic!("replicas")
    };
    for other in rest {
        assert_eq!(other.counter, first.counter, "all heard the same");
        assert_eq!(other.counter.digest(&key()), first.counter.digest(&key()));
    }
}

proptest! {
    #[test]
    fn each_increment_counts_once(steps in steps(prop_oneof![-5i64..0, 1i64..6])) {
        run(steps);
    }

    #[test]
    fn sums_at_the_ends_of_the_range_are_exact_or_refused(
        steps in steps(prop_oneof![Just(i64::MAX), Just(i64::MIN), Just(-1), Just(1), Just(i64::MAX / 2), Just(i64::MIN / 2)]),
    ) {
        run(steps);
    }
}
