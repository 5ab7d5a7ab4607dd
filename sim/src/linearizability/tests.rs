use kernel::env::SeededRng;

use super::*;

/// A register of one number.
struct Number;

#[derive(Debug, Clone, PartialEq)]
enum Ask {
    Read,
    Write(u64),
    Cas(u64, u64),
}
use Ask::*;

impl Model for Number {
    type State = u64;
    type Input = Ask;
    /// What a read found; of a change, 1 if it was made.
    type Output = u64;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, input: &Ask) -> (u64, u64) {
        match input {
            Read => (*state, *state),
            Write(new) => (*new, 1),
            Cas(old, new) if old == state => (*new, 1),
            Cas(..) => (*state, 0),
        }
    }

    fn is_read(&self, input: &Ask) -> bool {
        *input == Read
    }
}

fn op(input: Ask, output: u64, called: u64, returned: u64) -> Operation<Ask, u64> {
    let outcome = Some((output, returned));
    Operation { input, called, outcome }
}

fn unknown(input: Ask, called: u64) -> Operation<Ask, u64> {
    Operation {
        input,
        called,
        outcome: None,
    }
}

#[test]
fn nothing_and_one_after_the_other_are_linearizable() {
    assert_eq!(check(&Number, &[]), Ok(vec![]));
    let history = [
        op(Write(1), 1, 0, 1),
        op(Read, 1, 2, 3),
        op(Cas(1, 2), 1, 4, 5),
        op(Read, 2, 6, 7),
    ];
    assert_eq!(check(&Number, &history), Ok(vec![0, 1, 2, 3]));
}

#[test]
fn a_read_during_a_write_sees_either() {
    for seen in [0, 1] {
        check(&Number, &[op(Write(1), 1, 0, 10), op(Read, seen, 3, 5)]).unwrap();
    }
    check(&Number, &[op(Write(1), 1, 0, 10), op(Read, 2, 3, 5)]).unwrap_err();
}

#[test]
fn a_stale_read_is_not_linearizable() {
    let stuck = check(&Number, &[op(Write(1), 1, 0, 1), op(Read, 0, 2, 3)]).unwrap_err();
    assert_eq!((stuck.longest, stuck.stuck_at), (vec![0], vec![1]));
}

#[test]
fn two_reads_do_not_go_back_in_time() {
    // Herlihy and Wing, 1990: each read by itself may see either value of the write that is under way; the second, once the
    // first has seen the new one, may not see the old one.
    let history = |first, second| {
        [
            op(Write(1), 1, 0, 100),
            op(Read, first, 10, 20),
            op(Read, second, 30, 40),
        ]
    };
    check(&Number, &history(0, 1)).unwrap();
    check(&Number, &history(1, 0)).unwrap_err();
}

#[test]
fn two_writers_seen_in_two_orders_are_not_linearizable() {
    let reads = |a, b| [op(Read, a, 20, 21), op(Read, b, 22, 23)];
    let writes = [op(Write(1), 1, 0, 50), op(Write(2), 1, 0, 50)];
    check(&Number, &[&writes[..], &reads(1, 2), &reads(2, 1)].concat()).unwrap_err();
    check(&Number, &[&writes[..], &reads(1, 2), &reads(2, 2)].concat()).unwrap();
}

#[test]
fn of_two_changes_of_one_value_only_one_is_made() {
    check(&Number, &[op(Cas(0, 1), 1, 0, 9), op(Cas(0, 2), 1, 1, 8)]).unwrap_err();
    check(&Number, &[op(Cas(0, 1), 1, 0, 9), op(Cas(0, 2), 0, 1, 8)]).unwrap();
}

#[test]
fn an_unknown_outcome_may_be_now_later_or_never() {
    let never = [unknown(Write(1), 0), op(Read, 0, 5, 6), op(Read, 0, 7, 8)];
    assert_eq!(check(&Number, &never), Ok(vec![1, 2]));
    let later = [unknown(Write(1), 0), op(Read, 0, 5, 6), op(Read, 1, 7, 8)];
    assert_eq!(check(&Number, &later), Ok(vec![1, 0, 2]));
    // Once, though.
    let twice = [
        unknown(Write(1), 0),
        op(Read, 1, 1, 2),
        op(Write(2), 1, 3, 4),
        op(Read, 1, 5, 6),
    ];
    check(&Number, &twice).unwrap_err();
    // And not before it was called.
    check(&Number, &[op(Read, 1, 0, 1), unknown(Write(1), 5)]).unwrap_err();
}

#[test]
fn what_touches_at_one_instant_is_concurrent() {
    check(&Number, &[op(Write(1), 1, 0, 5), op(Read, 0, 5, 6)]).unwrap();
}

/// A history of a real register, that lets each operation take effect at one instant between its call and its return.
fn real(rng: &mut SeededRng, operations: u64) -> Vec<Operation<Ask, u64>> {
    let mut points: Vec<(u64, Ask, u64, u64)> = (0..operations)
        .map(|at| {
            let point = rng.below(operations * 10);
            let ask = match rng.below(3) {
                0 => Read,
                1 => Write(rng.below(5)),
                _ => Cas(rng.below(5), at % 5),
            };
            (point, ask, point.saturating_sub(rng.below(40)), point + rng.below(40))
        })
        .collect();
    points.sort_by_key(|point| point.0);
    let mut state = Number.initial();
    let mut history = Vec::new();
    for (_, input, called, returned) in points {
        let (next, output) = Number.step(&state, &input);
        state = next;
        let outcome = (!rng.chance(150)).then_some((output, returned));
        history.push(Operation { input, called, outcome });
    }
    // In the order of their calls, which is not that of their effects.
    history.sort_by_key(|operation| operation.called);
    history
}

#[test]
fn the_history_of_a_register_is_linearizable_and_its_order_proves_it() {
    for seed in 0..60 {
        let history = real(&mut SeededRng::from_u64(seed), 60);
        let order = check(&Number, &history).unwrap_or_else(|stuck| panic!("seed {seed}: {stuck:?}"));
        let (mut state, mut last_call) = (Number.initial(), 0);
        for at in &order {
            let (next, output) = Number.step(&state, &history[*at].input);
            state = next;
            if let Some((answered, returned)) = &history[*at].outcome {
                assert_eq!(output, *answered, "seed {seed}");
                assert!(*returned >= last_call, "seed {seed}: {at} had returned before");
            }
            last_call = last_call.max(history[*at].called);
        }
        let known = |at: &usize| history[*at].outcome.is_some();
        let all = (0..history.len()).filter(known).count();
        assert_eq!(order.iter().filter(|at| known(at)).count(), all, "seed {seed}");
    }
}

#[test]
fn the_search_finds_what_trying_every_order_finds() {
    let mut verdicts = [0, 0];
    for seed in 0..400 {
        let mut rng = SeededRng::from_u64(seed);
        let mut history = real(&mut rng, 5);
        let lie = rng.below(5) as usize;
        if let Some((answer, _)) = &mut history[lie].outcome {
            *answer = rng.below(3);
        }
        let expected = any_order(&history, &mut Vec::new());
        assert_eq!(check(&Number, &history).is_ok(), expected, "seed {seed}: {history:?}");
        verdicts[usize::from(expected)] += 1;
    }
    assert!(verdicts.iter().all(|count| *count > 50), "both happen: {verdicts:?}");
}

/// The definition, word for word: whether some order of all known operations, and of some unknown ones, fits.
fn any_order(history: &[Operation<Ask, u64>], order: &mut Vec<usize>) -> bool {
    let known = |at: &usize| history[*at].outcome.is_some();
    if (0..history.len()).filter(known).all(|at| order.contains(&at)) && fits(history, order) {
        return true;
    }
    for at in 0..history.len() {
        if order.contains(&at) {
            continue;
        }
        order.push(at);
        let found = any_order(history, order);
        order.pop();
        if found {
            return true;
        }
    }
    false
}

fn fits(history: &[Operation<Ask, u64>], order: &[usize]) -> bool {
    let mut state = Number.initial();
    for (place, at) in order.iter().enumerate() {
        let (next, output) = Number.step(&state, &history[*at].input);
        state = next;
        let later = &order[place + 1..];
        let before = |b: &usize| matches!(history[*b].outcome, Some((_, returned)) if returned < history[*at].called);
        let answered = history[*at]
            .outcome
            .as_ref()
            .is_none_or(|(answer, _)| *answer == output);
        if !answered || later.iter().any(before) {
            return false;
        }
    }
    true
}
