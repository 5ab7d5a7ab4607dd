//! Wall clocks that are off (rule 2 of the promises): who is further from the others than half of what stamps may be ahead admits
//! nothing, and says so.

use kernel::env::Mutants;
use kernel::query::{Predicate, Query};
use kernel::wire::{Consistency, ReadConsistency};

use crate::net::Net;
use crate::queries::ask_on;

/// The clock of one of three shows another time, and everybody hears of it.
fn with_a_clock_that_jumps(by_ms: i64, mutants: Mutants) -> Net {
    let mut net = Net::broken(3, mutants);
    jump(&mut net, 1, by_ms);
    net
}

fn jump(net: &mut Net, node: usize, by_ms: i64) {
    let host = net.host(node);
    host.now.wall_ms = host.now.wall_ms.saturating_add_signed(by_ms);
    net.run(500);
}

fn written(net: &mut Net, owner: usize) -> Vec<String> {
    let key = net.key_owned_by(owner);
    net.write(0, &key, 5, 1, Consistency::Eventual)
}

#[test]
fn a_node_whose_clock_is_off_admits_nothing_until_it_is_right_again() {
    for by_ms in [40_000, -40_000] {
        let mut net = with_a_clock_that_jumps(by_ms, Mutants::default());
        let refused = written(&mut net, 1);
        assert!(
            refused[0].starts_with("425 the clock of this node has jumped"),
            "{refused:?}"
        );
        for owner in [0, 2] {
            assert_eq!(
                written(&mut net, owner),
                ["ack PERSISTED"],
                "the others are in the right"
            );
        }
        jump(&mut net, 1, -by_ms);
        assert_eq!(written(&mut net, 1), ["ack PERSISTED"]);
    }
}

#[test]
fn a_clock_that_goes_wrong_little_by_little_is_told_by_how_much() {
    let mut net = Net::of(3);
    jump(&mut net, 1, 20_000);
    assert_eq!(net.host(1).node.stats().clock_off_ms, 0);
    jump(&mut net, 1, 20_000);
    let refused = written(&mut net, 1);
    assert!(
        refused[0].starts_with("425 the clock of this node is 40"),
        "{refused:?}"
    );
    assert!(refused[0].contains("ahead of the median"), "{refused:?}");
    let off = net.host(1).node.stats().clock_off_ms;
    assert!((-40_100..=-39_900).contains(&off), "{off}");
}

#[test]
fn a_little_off_is_near_enough() {
    let mut net = with_a_clock_that_jumps(29_000, Mutants::default());
    assert_eq!(written(&mut net, 1), ["ack PERSISTED"]);
}

#[test]
fn all_jump_together_and_are_believed() {
    let mut net = Net::of(3);
    for node in 0..3 {
        let host = net.host(node);
        host.now.wall_ms += 3_600_000;
    }
    net.run(1_000);
    for owner in 0..3 {
        assert_eq!(written(&mut net, owner), ["ack PERSISTED"]);
    }
}

/// Such as on a machine that was asleep: there is nobody else to ask, and they are a majority.
#[test]
fn two_of_three_that_jump_together_while_the_third_is_dead_are_believed() {
    for by_ms in [3_600_000, -3_600_000] {
        let mut net = Net::of(3);
        net.crash(2);
        net.run(2_000);
        for node in 0..2 {
            let host = net.host(node);
            host.now.wall_ms = host.now.wall_ms.saturating_add_signed(by_ms);
        }
        net.run(1_000);
        for owner in 0..2 {
            assert_eq!(written(&mut net, owner), ["ack PERSISTED"], "{by_ms}");
        }
    }
}

#[cfg(feature = "testing")]
#[test]
fn a_clock_that_is_always_trusted_admits_what_is_off() {
    let mut net = with_a_clock_that_jumps(40_000, Mutants::only(kernel::env::Mutant::ClockAlwaysTrusted));
    assert_eq!(written(&mut net, 1), ["ack PERSISTED"]);
}

/// A key with a value that a client of the node at place `client` of the key's replicas wrote, and that expires in ten seconds. The clock
/// of the one at place `fast` is ahead.
fn expiring(fast: usize, client: usize) -> (Net, String, Vec<usize>) {
    let mut net = Net::of(3);
    let key = "k".to_owned();
    let (replicas, _) = net.placement(0, &key);
    jump(&mut net, replicas[fast], 20_000);
    let ms = net.host(replicas[1 - fast]).now.wall_ms;
    let said = net.write_expiring(replicas[client], &key, ms, 10_000);
    assert_eq!(said, ["ack PERSISTED"]);
    (net, key, replicas)
}

fn rows(net: &mut Net, node: usize, key: &str) -> usize {
    rows_on(net, node, crate::net::CLIENT_CONN, key)
}

fn rows_of_another(net: &mut Net, node: usize, key: &str) -> usize {
    let conn = net.open(node, crate::host::EXCHANGE);
    rows_on(net, node, conn, key)
}

fn rows_on(net: &mut Net, node: usize, conn: kernel::env::ConnId, key: &str) -> usize {
    let query = Query {
        predicate: Predicate::parse(&format!("_key = '{key}'"), &Default::default()).expect("a filter"),
        ..Query::of("m")
    };
    ask_on(net, node, conn, &query).rows.len()
}

#[test]
fn what_a_client_was_told_to_have_expired_no_slower_clock_shows_it_again() {
    // Another node answers the query.
    let (mut net, key, at) = expiring(1, 2);
    assert_eq!(rows(&mut net, at[2], &key), 1);
    net.split(&at[..1], &at[1..]);
    net.run(1_000);
    let said = net.read(at[2], &key, ReadConsistency::Owner);
    assert_eq!(said, ["nothing"], "by the faster clock");
    net.heal();
    net.settle();
    assert_eq!(rows(&mut net, at[2], &key), 0, "by the slower one");
    assert_eq!(
        rows_of_another(&mut net, at[2], &key),
        1,
        "another client was told nothing"
    );

    // The node that the client is connected with does.
    let (mut net, key, at) = expiring(0, 1);
    net.run(1_000);
    let said = net.read(at[1], &key, ReadConsistency::Owner);
    assert_eq!(said, ["nothing"], "by the faster clock");
    net.crash(at[0]);
    net.run(1_000);
    assert_eq!(rows(&mut net, at[1], &key), 0, "by the slower one");
    assert_eq!(
        rows_of_another(&mut net, at[1], &key),
        1,
        "another client was told nothing"
    );
}

#[test]
fn what_has_expired_does_not_enter_a_live_query_again_with_another_owner() {
    // The faster clock is the owner's. The client watches at a node that is none of the first two.
    let (mut net, key, at) = expiring(0, 2);
    let (conn, query) = (crate::net::CLIENT_CONN, Query::of("m"));
    let mut told = crate::queries::watch_on(&mut net, at[2], conn, &query);
    net.run(1_000);
    told.hear(&mut net, at[2], conn);
    assert!(told.rows.is_empty());
    assert_eq!(net.read(at[2], &key, ReadConsistency::Owner), ["nothing"]);
    net.crash(at[0]);
    net.run(2_000);
    told.hear(&mut net, at[2], conn);
    assert!(told.rows.is_empty(), "{:?}", told.rows);
    assert_eq!(net.read(at[2], &key, ReadConsistency::Owner), ["nothing"]);
}
