//! The rules of order between a machine and its disk.

use kernel::machine::{Command, StorageError};

use super::world::World;
use crate::driver::DriverError;

fn only(told: &[String], word: &str) -> Vec<String> {
    told.iter().filter(|line| line.starts_with(word)).cloned().collect()
}

#[test]
fn an_envelope_waits_until_its_commit_is_durable() {
    let mut world = World::new();
    let client = world.connect();
    client.say("log:a");
    world.settle();
    assert_eq!(client.hear(), None);
    world.log_works();
    assert_eq!(client.hear().as_deref(), Some("log:a"));
    assert_eq!(only(&world.told(), "committed"), ["committed 1 ok"]);
}

#[test]
fn all_that_waits_is_one_transaction_and_replies_keep_their_order() {
    let mut world = World::new();
    let client = world.connect();
    for frame in ["log:a", "bar:b", "log:c", "bar:d"] {
        client.say(frame);
    }
    world.settle();
    world.log_works();
    assert_eq!(world.stored.lock().unwrap().appends, [[1, 2]]);
    let heard: Vec<_> = std::iter::from_fn(|| client.hear()).collect();
    assert_eq!(heard, ["log:a", "bar:b", "log:c", "bar:d"]);
    let told = only(&world.told(), "committed");
    assert_eq!(
        told,
        ["committed 1 ok", "committed 2 ok", "committed 3 ok", "committed 4 ok"]
    );
}

#[test]
fn a_barrier_alone_costs_no_sync_and_keeps_its_place() {
    let mut world = World::new();
    let client = world.connect();
    client.say("bar:a");
    world.settle();
    assert_eq!(client.hear(), None, "not even a barrier overtakes the log");
    world.log_works();
    assert_eq!(client.hear().as_deref(), Some("bar:a"));
    assert!(world.stored.lock().unwrap().appends.is_empty());
}

#[test]
fn what_a_machine_says_on_hearing_of_a_commit_comes_after_what_waited_for_it() {
    let mut world = World::new();
    let client = world.connect();
    client.say("thn:a");
    world.settle();
    world.log_works();
    let heard: Vec<_> = std::iter::from_fn(|| client.hear()).collect();
    assert_eq!(heard, ["thn:a", "after"]);
}

#[test]
fn a_failed_commit_fails_the_later_ones_until_a_recovery() {
    let mut world = World::new();
    let client = world.connect();
    world.stored.lock().unwrap().fail_append = Some(StorageError::Full);
    for frame in ["bar:first", "log:a", "bar:b"] {
        client.say(frame);
    }
    world.settle();
    world.log_works();
    for frame in ["log:c", "app:d", "rec:", "log:e", "app:f"] {
        client.say(frame);
    }
    world.settle();
    world.log_works();
    world.records_work();
    let told = world.told();
    assert_eq!(
        only(&told, "committed"),
        [
            "committed 1 ok", // had nothing before it that could fail
            "committed 2 Full",
            "committed 3 Full",
            "committed 4 Io",
            "committed 7 ok",
        ]
    );
    assert_eq!(only(&told, "applied"), ["applied 5 Io", "applied 8 ok"]);
    assert_eq!(only(&told, "fetched"), ["fetched 6 ok"]);
    let heard: Vec<_> = std::iter::from_fn(|| client.hear()).collect();
    assert_eq!(heard, ["bar:first", "log:e"], "envelopes of failed commits are dropped");
    assert_eq!(world.stored.lock().unwrap().applies, [3]);
}

#[test]
fn a_failed_apply_fails_those_behind_it_but_no_commit() {
    let mut world = World::new();
    let client = world.connect();
    world.stored.lock().unwrap().fail_apply = Some(StorageError::Full);
    for frame in ["log:a", "app:b", "app:c"] {
        client.say(frame);
    }
    world.settle();
    world.records_work();
    world.log_works();
    client.say("app:d");
    world.settle();
    world.records_work();
    let told = world.told();
    assert_eq!(
        only(&told, "applied"),
        ["applied 2 Full", "applied 3 Io", "applied 4 ok"]
    );
    assert_eq!(only(&told, "committed"), ["committed 1 ok"]);
}

#[test]
fn fetches_are_answered_in_order_whichever_loop_is_faster() {
    let mut world = World::new();
    let client = world.connect();
    client.say("fet:");
    world.settle();
    world.records_work();
    assert!(only(&world.told(), "fetched").is_empty());
    world.log_works();
    assert_eq!(only(&world.told(), "fetched"), ["fetched 1 ok", "fetched 2 ok"]);
}

#[test]
fn a_log_that_does_not_go_on_where_the_records_end_is_corrupt() {
    for (log, applied, said) in [
        (Some((4, 9)), 3, "ok"),
        (Some((2, 9)), 9, "ok"),
        (None, 9, "ok"),
        (Some((5, 9)), 3, "Corrupt"),
        (Some((1, 2)), 3, "Corrupt"),
    ] {
        let mut world = World::new();
        let client = world.connect();
        {
            let mut stored = world.stored.lock().unwrap();
            (stored.log, stored.applied) = (log, applied);
        }
        client.say("rec:");
        world.settle();
        world.log_works();
        world.records_work();
        assert_eq!(
            only(&world.told(), "fetched"),
            [format!("fetched 1 {said}")],
            "{log:?} {applied}"
        );
    }
}

#[test]
fn frames_wait_while_too_much_waits_for_its_commit() {
    let mut world = World::with(|settings| settings.commit_bytes = 10);
    let client = world.connect();
    for _ in 0..5 {
        client.say("log:a");
    }
    world.settle();
    assert_eq!(only(&world.told(), "received").len(), 2);
    world.log_works();
    assert_eq!(only(&world.told(), "received").len(), 2);
    world.log_works();
    world.log_works();
    assert_eq!(only(&world.told(), "received").len(), 1);
    assert_eq!(std::iter::from_fn(|| client.hear()).count(), 5);
}

#[test]
fn a_drain_answers_what_is_in_flight_and_then_closes() {
    let mut world = World::new();
    let client = world.connect();
    client.say("log:a");
    world.settle();
    world.command(Command::Drain);
    assert!(world.end().is_none());
    world.log_works();
    assert_eq!(client.hear().as_deref(), Some("log:a"));
    assert!(client.is_closed());
    drop(client);
    world.settle();
    assert!(matches!(world.end(), Some(Ok(()))));
}

#[test]
fn a_client_that_says_no_goodbye_cannot_hold_up_the_end() {
    let world = World::new();
    let client = world.connect();
    world.command(Command::Drain);
    assert!(world.end().is_none());
    world.clock.turn(2_000_000);
    world.settle();
    world.clock.turn(2_000_000);
    world.settle();
    assert!(matches!(world.end(), Some(Ok(()))));
    assert!(client.is_closed());
}

#[test]
fn a_disk_that_is_gone_ends_the_driver() {
    let mut world = World::new();
    world.log_dies();
    assert!(matches!(world.end(), Some(Err(DriverError::StorageGone))));
}
