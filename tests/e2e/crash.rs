//! Ends that nobody wanted, and one that somebody did.

use std::cell::Cell;

use rustix::process::Signal;

use crate::process::Process;
use crate::writer::{read_all, value, write_all};

const SETS: usize = 10_000;

/// Every acknowledged write is there, and every other is there whole or not at all.
fn check(node: &Process, acked: impl Fn(usize) -> bool) {
    let numbers: Vec<usize> = (0..SETS).collect();
    for (number, found) in read_all(node, &numbers).into_iter().enumerate() {
        match found {
            Some(found) => assert_eq!(found, format!("\"{}\"", value(number)), "{number} is there in part"),
            None => assert!(!acked(number), "{number} was acknowledged and is gone\n{}", node.log()),
        }
    }
}

#[test]
fn a_kill_in_the_middle_of_ten_thousand_sets_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let numbers: Vec<usize> = (0..SETS).collect();

    let node = Process::start(&data);
    let (mut acks, mut killed) = (0, false);
    let acked = write_all(&node, &numbers, |_| {
        acks += 1;
        if acks == 3_000 {
            node.signal(Signal::KILL);
            killed = true;
        }
    });
    assert!(
        killed && (3_000..SETS).contains(&acked.len()),
        "{} acknowledged",
        acked.len()
    );
    node.kill();

    let node = Process::start(&data);
    check(&node, |number| acked.contains(&number));

    // The client sends what was not acknowledged again, under the same stamps.
    let rest: Vec<usize> = numbers
        .iter()
        .copied()
        .filter(|number| !acked.contains(number))
        .collect();
    assert_eq!(write_all(&node, &rest, |_| {}).len(), rest.len());
    node.kill();
    check(&Process::start(&data), |_| true);
}

#[test]
fn a_node_that_is_asked_to_stop_loses_nothing_acknowledged_and_exits_well() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let numbers: Vec<usize> = (0..SETS).collect();

    let node = Process::start(&data);
    let acks = Cell::new(0);
    let acked = write_all(&node, &numbers, |_| {
        acks.set(acks.get() + 1);
        if acks.get() == 3_000 {
            node.signal(Signal::TERM);
        }
    });
    assert!((3_000..SETS).contains(&acked.len()), "{} acknowledged", acked.len());
    let log = dir.path().join("data.stderr");
    assert_eq!(node.wait().code(), Some(0), "{}", std::fs::read_to_string(log).unwrap());

    let node = Process::start(&data);
    assert!(
        node.log().contains("log_entries=0"),
        "the records were brought up to the log\n{}",
        node.log()
    );
    check(&node, |number| acked.contains(&number));
}
