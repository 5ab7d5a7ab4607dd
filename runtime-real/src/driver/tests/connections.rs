//! Connections: their life, their end, and what waits in them.

use super::world::World;

#[test]
fn what_was_written_is_drained_and_the_end_is_told_once() {
    let world = World::new();
    let client = world.connect();
    client.say("now:hello");
    world.settle();
    assert_eq!(client.hear().as_deref(), Some("now:hello"));
    drop(client);
    world.settle();
    let told = ["boot", "opened 1", "received 1 now:hello", "drained 1 9", "closed 1"];
    assert_eq!(world.told(), told);
}

#[test]
fn frames_that_came_before_the_end_are_told_before_it() {
    let mut world = World::with(|settings| settings.commit_bytes = 1);
    let client = world.connect();
    for frame in ["log:a", "log:b", "log:c"] {
        client.say(frame);
    }
    drop(client);
    world.settle();
    for _ in 0..3 {
        world.log_works();
    }
    let told = world.told();
    assert_eq!(told.last().unwrap(), "closed 1");
    assert_eq!(told.iter().filter(|line| line.starts_with("received")).count(), 3);
}

#[test]
fn what_a_lost_connection_did_not_send_is_given_back() {
    let world = World::new();
    let client = world.connect_narrow(1);
    for frame in ["now:a", "now:b", "now:c"] {
        client.say(frame);
    }
    world.settle();
    assert!(!world.told().iter().any(|line| line.starts_with("closed")));
    drop(client);
    world.settle();
    let told = world.told();
    let drained: u64 = told
        .iter()
        .filter_map(|line| line.strip_prefix("drained 1 "))
        .map(|bytes| bytes.parse::<u64>().unwrap())
        .sum();
    assert_eq!(drained, 15, "{told:?}");
    assert_eq!(told.last().unwrap(), "closed 1");
    assert_eq!(told.iter().filter(|line| *line == "closed 1").count(), 1);
}

#[test]
fn a_close_comes_after_what_was_given_and_nothing_is_heard_after_it() {
    let world = World::new();
    let client = world.connect();
    for frame in ["now:last", "bye:", "now:too late"] {
        client.say(frame);
    }
    world.settle();
    assert_eq!(client.hear().as_deref(), Some("now:last"));
    assert!(client.is_closed());
    drop(client);
    world.settle();
    let told = world.told();
    assert!(!told.iter().any(|line| line.contains("too late")), "{told:?}");
    assert_eq!(told.last().unwrap(), "closed 1");
}

#[test]
fn a_close_does_not_wait_for_ever_on_somebody_who_does_not_read() {
    let world = World::new();
    let client = world.connect_narrow(1);
    for frame in ["now:a", "now:b", "bye:"] {
        client.say(frame);
    }
    world.settle();
    assert!(!world.told().contains(&"closed 1".to_owned()));
    world.clock.turn(2_000_000);
    world.settle();
    assert_eq!(world.told().last().unwrap(), "closed 1");
    drop(client);
}

#[test]
fn a_dial_is_answered_also_when_nobody_answers_it() {
    let world = World::new();
    let client = world.connect();
    for frame in ["dia:somebody", "dia:nobody", "dia:silence"] {
        client.say(frame);
    }
    world.settle();
    let told = world.told();
    assert!(told.contains(&"opened 2 to a peer".to_owned()), "{told:?}");
    assert!(told.contains(&"dial failed: nobody there".to_owned()), "{told:?}");
    world.clock.turn(5_000_000);
    world.settle();
    assert!(world.told().contains(&"dial failed: no answer in time".to_owned()));
}

#[test]
fn a_wake_comes_when_asked_and_is_forgotten_by_the_next_step() {
    let world = World::new();
    let client = world.connect();
    client.say("wak:100");
    world.settle();
    world.told();
    world.clock.turn(99);
    world.settle();
    assert!(world.told().is_empty());
    world.clock.turn(1);
    world.settle();
    assert_eq!(world.told(), ["wake"]);
    client.say("wak:100");
    world.settle();
    client.say("non:e");
    world.settle();
    world.told();
    world.clock.turn(1_000);
    world.settle();
    assert!(world.told().is_empty());
}
