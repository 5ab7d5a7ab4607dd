//! Who belongs to the cluster.

use kernel::machine::{Phase, StorageError};
use kernel::node::NodeConfig;
use kernel::wire::admin::Order;
use kernel::wire::client;
use kernel::wire::op::Ask;
use kernel::wire::peer::PeerMessage;
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::{Disk, PEER, put};
use crate::net::{CLIENT_CONN, Net, config};

#[test]
fn a_node_alone_is_a_cluster() {
    let mut net = Net::of(1);
    assert_eq!(net.host(0).node.stats().members, 1);
    assert_eq!(net.write(0, "k", 5, 1, Consistency::Strong), ["ack REPLICATED"]);
}

#[test]
fn nodes_join_one_after_the_other_and_partitions_follow() {
    let mut net = Net::of(5);
    for node in 0..5 {
        let stats = net.host(node).node.stats();
        assert_eq!((stats.members, stats.orphans), (5, 0));
        assert!((54..=55).contains(&stats.owned), "n{node} owns {}", stats.owned);
    }
}

#[test]
fn what_was_written_before_a_node_joined_is_there_afterwards() {
    let mut net = Net::of(1);
    for n in 0..200 {
        net.write(0, &format!("k{n}"), 5, n as u8 & 0x7f, Consistency::Eventual);
    }
    net.add(config(1));
    net.settle();
    assert_eq!(net.host(1).node.store().len(), 200);
    net.add(config(2));
    net.add(config(3));
    net.settle();
    for n in 0..200 {
        assert!(net.holders(&format!("k{n}")).len() >= 3, "k{n}");
    }
}

#[test]
fn a_member_that_returns_with_its_disk_is_the_same_and_without_it_another() {
    let mut net = Net::of(3);
    let id = net.host(2).node.id();
    let disk = net.crash(2);
    net.run(1_000);
    net.boot(2, disk);
    net.settle();
    assert_eq!(net.host(2).node.id(), id);
    net.crash(2);
    net.run(1_000);
    net.boot(2, Disk::default());
    net.settle();
    assert_ne!(net.host(2).node.id(), id);
    assert_eq!(
        net.host(0).node.stats().members,
        3,
        "the one that was at its address is none any more"
    );
}

#[test]
fn the_smaller_side_of_a_split_cannot_change_the_list() {
    let mut net = Net::of(3);
    net.split(&[0], &[1, 2]);
    net.run(1_000);
    let mut joins = config(3);
    joins.join = vec!["n0".into()];
    net.add(joins);
    net.split(&[3], &[1, 2]);
    net.run(5_000);
    assert_eq!(net.host(0).node.stats().members, 3);
    assert_eq!(net.host(3).phases.last(), Some(&Phase::Joining));
    net.heal();
    net.settle();
    assert_eq!(net.host(0).node.stats().members, 4);
}

#[test]
fn who_joins_at_a_node_that_belongs_to_nothing_yet_gets_in_with_it() {
    let mut net = Net::of(1);
    net.mute(0, 1);
    net.add(config(1));
    let mut late = config(2);
    late.join = vec!["n1".into()];
    net.add(late);
    net.run(1_000);
    assert!(!net.host(1).node.is_member() && !net.host(2).node.is_member());
    net.heal();
    net.settle();
    assert!(net.host(2).node.is_member());
}

/// A node applies where nothing can be agreed, loses its disk, and gets in elsewhere as another node. Then the two sides meet.
fn applied_twice(silence_ms: u64, goes: impl Fn(&mut Net)) {
    let patient = |node| {
        let mut config = config(node);
        config.limits.silence_ms = silence_ms;
        config
    };
    let mut net = Net::of(0);
    (0..3).for_each(|node| _ = net.add(patient(node)));
    net.settle();
    net.split(&[0], &[1, 2]);
    net.add(patient(3));
    net.split(&[3], &[1, 2]);
    net.run(1_000);
    let applied = net.host(3).node.id();
    goes(&mut net);
    net.heal();
    net.split(&[0], &[1, 2, 3]);
    let mut elsewhere = patient(3);
    elsewhere.join = vec!["n1".into()];
    net.set_config(3, elsewhere);
    net.boot(3, Disk::default());
    net.run(5_000);
    let id = net.host(3).node.id();
    assert!(id != applied && net.host(3).node.is_member());
    net.heal();
    net.run(1_000);
    net.settle();
    assert_eq!(net.host(3).node.id(), id);
    assert!(net.host(3).node.is_member());
}

#[test]
fn who_applied_and_is_gone_does_not_put_out_who_is_at_its_address_now() {
    applied_twice(500, |net| _ = net.crash(3));
}

#[test]
fn nor_does_who_applied_and_is_not_known_to_be_gone_yet() {
    applied_twice(20_000, |net| net.vanish(3));
}

#[test]
fn a_member_that_has_failed_for_too_long_is_removed_while_others_can_take_its_place() {
    let mut net = Net::of(0);
    for node in 0..4 {
        net.add(NodeConfig {
            remove_after_ms: Some(2_000),
            ..config(node)
        });
    }
    net.settle();
    let keys: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    for key in &keys {
        assert_eq!(net.write(0, key, 5, 1, Consistency::Quorum), ["ack REPLICATED"]);
    }
    // Who comes back in time stays.
    let id = net.host(3).node.id();
    let disk = net.crash(3);
    net.run(1_500);
    net.boot(3, disk);
    net.run(5_000);
    assert_eq!((net.host(3).node.id(), net.host(0).node.stats().members), (id, 4));
    net.crash(3);
    net.run(5_000);
    assert_eq!(net.host(0).node.stats().members, 3);
    net.settle();
    net.check_holders(&keys);
    // Of three, each holds everything: there is nobody to take its place.
    net.crash(2);
    net.run(10_000);
    assert_eq!(net.host(0).node.stats().members, 3);
}

/// A new state was on its way to the disk when a commit failed. The next entry has that one's number, and not the state.
#[test]
fn no_node_says_that_it_has_a_state_which_a_failed_commit_took_with_it() {
    let mut net = Net::of(3);
    let key = net.key_owned_by(1);
    let before = net.host(1).node.stats().epoch;
    net.host(1).hold = true;
    net.add(config(3));
    net.until(|net| net.host(1).node.stats().epoch > before && !net.host(1).held.is_empty());
    let host = net.host(1);
    host.hold = false;
    host.fail_held(StorageError::Io);
    host.advance(10);
    assert_eq!(host.node.stats().epoch, before, "it was read again");
    for ms in 5..15 {
        host.receive(CLIENT_CONN, &client::op(&put("1", &key, ms, &[1]), Ask::default()));
        let conn = host.open(900 + ms, PEER);
        let hello = host.take(conn).remove(0);
        match PeerMessage::decode(&hello) {
            Ok(PeerMessage::Hello(hello)) => assert_eq!(hello.epoch, before),
            other => panic!("{other:?}"),
        }
    }
}

/// With two replicas a majority is both: where one is gone for good, the other alone has all that a majority had.
#[test]
fn with_few_replicas_what_a_removed_member_held_is_made_whole_as_well() {
    for replicas in [1, 2] {
        let mut net = Net::of(0);
        for node in 0..4 {
            net.add(NodeConfig {
                replicas,
                ..config(node)
            });
        }
        net.settle();
        let keys: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
        for key in &keys {
            assert_eq!(net.write(0, key, 5, 1, Consistency::Quorum), ["ack REPLICATED"]);
        }
        net.crash(3);
        net.run(1_000);
        net.change(0, Order::Remove, "n3").expect("three of four agree");
        net.settle();
        net.check_holders(&keys.iter().filter(|_| replicas == 2).cloned().collect::<Vec<_>>());
        for key in &keys {
            assert_eq!(
                net.write(1, key, 6, 2, Consistency::Quorum),
                ["ack REPLICATED"],
                "{replicas}"
            );
            assert_eq!(net.read(2, key, ReadConsistency::Quorum), ["value 2"]);
        }
    }
}

/// It knows of a cluster that asked it to join, and whose only member has lost its disk: it is no member of that, and never will be.
#[test]
fn who_was_asked_to_join_by_a_cluster_that_is_dead_joins_another() {
    let mut net = Net::of(1);
    net.add(config(1));
    net.until(|net| net.host(1).node.cluster().is_some());
    assert!(!net.host(1).node.is_member());
    let first = net.host(1).node.cluster().map(|state| state.cluster);
    net.crash(0);
    net.boot(0, Disk::default());
    net.settle();
    for node in 0..2 {
        let state = net.host(node).node.cluster().expect("it is a member").clone();
        assert_eq!(state.members.len(), 2);
        assert_ne!(Some(state.cluster), first);
    }
}
