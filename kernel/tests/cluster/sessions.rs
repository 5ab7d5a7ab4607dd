//! A client on one connection is shown nothing older than what it was told, whoever acts as owner by then.

use kernel::machine::Input;
use kernel::wire::client::{Get, get_key};
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::CLIENT;
use crate::net::{CLIENT_CONN, Net};

const BEHIND: &str = "412 ";

/// Five nodes, and a key whose replicas do not reach each other: all others reach them. Given are its owner and backups, and
/// a node that is none of them.
fn owner_apart() -> (Net, String, Vec<usize>, usize) {
    let mut net = Net::of(5);
    let key = net.key_owned_by(2);
    assert_eq!(net.write(0, &key, 5, 1, Consistency::Quorum), ["ack REPLICATED"]);
    let (replicas, _) = net.placement(0, &key);
    let elsewhere = (0..5)
        .find(|node| !replicas.contains(node))
        .expect("three of five hold it");
    net.split(&replicas[..1], &replicas[1..]);
    net.run(1_000);
    (net, key, replicas, elsewhere)
}

#[test]
fn a_client_reads_its_writes_when_another_replica_acts_as_owner_or_is_told_that_it_cannot() {
    let (mut net, key, replicas, at) = owner_apart();
    assert_eq!(net.write(at, &key, 6, 2, Consistency::Eventual), ["ack PERSISTED"]);
    let disk = net.crash(replicas[0]);
    net.run(1_000);
    for level in [ReadConsistency::Owner, ReadConsistency::Quorum, ReadConsistency::Any] {
        let said = net.read(at, &key, level);
        assert!(said[0].starts_with(BEHIND), "{said:?}");
    }
    // Another client was told of nothing.
    let other = (0..5)
        .find(|node| !replicas.contains(node) && *node != at)
        .expect("two of five do not hold it");
    assert_eq!(net.read(other, &key, ReadConsistency::Owner), ["value 1"]);
    net.boot(replicas[0], disk);
    net.heal();
    net.settle();
    net.run(3_000);
    assert_eq!(net.read(at, &key, ReadConsistency::Owner), ["value 2"]);
}

#[test]
fn what_a_client_has_read_it_does_not_read_older() {
    let (mut net, key, replicas, at) = owner_apart();
    let writer = (0..5)
        .find(|node| !replicas.contains(node) && *node != at)
        .expect("two of five do not hold it");
    assert_eq!(net.write(writer, &key, 6, 2, Consistency::Eventual), ["ack PERSISTED"]);
    assert_eq!(net.read(at, &key, ReadConsistency::Owner), ["value 2"]);
    net.crash(replicas[0]);
    net.run(1_000);
    assert!(net.read(at, &key, ReadConsistency::Owner)[0].starts_with(BEHIND));
    // A write of its own is a newer one, and that it may read.
    assert_eq!(net.write(at, &key, 7, 3, Consistency::Eventual), ["ack PERSISTED"]);
    assert_eq!(net.read(at, &key, ReadConsistency::Owner), ["value 3"]);
}

#[test]
fn what_a_client_was_told_is_gone_does_not_come_back_with_another_owner() {
    for read_before in [false, true] {
        let (mut net, key, replicas, at) = owner_apart();
        let writer = (0..5)
            .find(|node| !replicas.contains(node) && *node != at)
            .expect("two of five do not hold it");
        if read_before {
            assert_eq!(net.read(at, &key, ReadConsistency::Owner), ["value 1"]);
        }
        assert_eq!(net.delete(writer, &key, 6), ["ack PERSISTED"]);
        assert_eq!(net.read(at, &key, ReadConsistency::Owner), ["nothing"]);
        net.crash(replicas[0]);
        net.run(1_000);
        let said = net.read(at, &key, ReadConsistency::Owner);
        assert!(said[0].starts_with(BEHIND), "{said:?}");
    }
}

#[test]
fn what_a_majority_said_is_gone_does_not_come_back_with_another_owner() {
    let mut net = Net::of(4);
    let key = net.key_owned_by(0);
    assert_eq!(net.write(0, &key, 5, 1, Consistency::Strong), ["ack REPLICATED"]);
    let (replicas, _) = net.placement(0, &key);
    let at = (0..4)
        .find(|node| !replicas.contains(node))
        .expect("three of four hold it");
    // The last of them does not hear of the delete, and acts as owner afterwards.
    net.split(&replicas[..2], &replicas[2..]);
    net.run(1_000);
    assert_eq!(net.delete(replicas[0], &key, 6), ["ack PERSISTED"]);
    assert_eq!(net.read(at, &key, ReadConsistency::Quorum), ["nothing"]);
    (0..2).for_each(|place| _ = net.crash(replicas[place]));
    net.run(1_000);
    let said = net.read(at, &key, ReadConsistency::Owner);
    assert!(said[0].starts_with(BEHIND), "{said:?}");
}

/// What was told of the first of them is no reason to refuse the second, which was asked before.
#[test]
fn what_is_gone_is_told_as_often_as_it_is_asked_for() {
    let mut net = Net::of(3);
    let key = net.key_owned_by(2);
    assert_eq!(net.write(0, &key, 5, 1, Consistency::Quorum), ["ack REPLICATED"]);
    assert_eq!(net.delete(2, &key, 6), ["ack PERSISTED"]);
    for consistency in [ReadConsistency::Owner, ReadConsistency::Quorum] {
        for id in ["1", "2"] {
            let get = Get {
                id,
                map: "m",
                key: key.as_bytes(),
                consistency,
            };
            net.host(0).receive(CLIENT_CONN, &get_key(&get));
        }
        net.run(50);
        assert_eq!(net.answers(0), ["nothing", "nothing"]);
        // Another session, for which all is new.
        net.host(0).step(Input::Closed { conn: CLIENT_CONN });
        net.host(0).open(CLIENT_CONN.0, CLIENT);
        net.answers(0);
    }
}

#[test]
fn another_connection_is_another_session() {
    let (mut net, key, replicas, at) = owner_apart();
    assert_eq!(net.write(at, &key, 6, 2, Consistency::Eventual), ["ack PERSISTED"]);
    net.crash(replicas[0]);
    net.run(1_000);
    let host = net.host(at);
    host.step(Input::Closed { conn: CLIENT_CONN });
    host.open(CLIENT_CONN.0, CLIENT);
    assert_eq!(net.read(at, &key, ReadConsistency::Owner), ["value 1"]);
}
