//! Disks that are older than what the others have seen of them, and disks that run twice (rule 7 of the promises).

use std::collections::BTreeSet;

use kernel::env::Mutants;
use kernel::node::NodeConfig;
use kernel::wire::admin::Order;
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::{Disk, PEER};
use crate::net::{Net, config};

/// The disk of a node as it is. The node is booted with it again.
fn copy(net: &mut Net, node: usize) -> Disk {
    let disk = net.crash(node);
    net.boot(node, disk.clone());
    net.run(2_000);
    net.settle();
    disk
}

fn ids(net: &mut Net) -> BTreeSet<u64> {
    let state = net.host(0).node.cluster().expect("a member").clone();
    state.members.iter().map(|member| member.id.0).collect()
}

fn keys() -> Vec<String> {
    (0..40).map(|n| format!("k{n}")).collect()
}

fn write_all(net: &mut Net, ms: u64, value: u8) {
    for key in keys() {
        assert_eq!(net.write(1, &key, ms, value, Consistency::Quorum), ["ack REPLICATED"]);
    }
    // Everybody has heard how far the others are.
    net.run(500);
}

#[test]
fn a_node_with_an_older_disk_begins_anew_under_another_id() {
    let mut net = Net::of(3);
    let id = net.host(2).node.id();
    write_all(&mut net, 5, 1);
    let old = copy(&mut net, 2);
    assert_eq!(net.host(2).node.id(), id, "that was its own disk");
    write_all(&mut net, 6, 2);
    net.crash(2);
    net.boot(2, old);
    net.settle();
    assert_ne!(net.host(2).node.id(), id);
    assert_eq!(ids(&mut net).len(), 3);
    net.check_holders(&keys());
    for key in keys() {
        assert_eq!(net.read(2, &key, ReadConsistency::Quorum), ["value 2"]);
    }
    // The others know the new one from now on, and it them.
    let disk = net.crash(2);
    let id = ids(&mut net);
    net.boot(2, disk);
    net.settle();
    assert_eq!(ids(&mut net), id);
}

#[test]
fn a_boot_that_the_disk_lacks_is_enough() {
    let mut net = Net::of(3);
    let id = net.host(2).node.id();
    net.run(500);
    let old = copy(&mut net, 2);
    // Nothing but the boot was written since.
    net.run(500);
    net.crash(2);
    net.boot(2, old);
    net.settle();
    assert_ne!(net.host(2).node.id(), id);
}

/// Two of three take a write while the third is away. Then one of the two is set back, and the other away: what the first and the third
/// read, of what the second has.
fn read_with_an_older_disk(mutants: Mutants) -> Vec<String> {
    let mut net = Net::of(0);
    (0..3).for_each(|node| {
        _ = net.add(NodeConfig {
            mutants,
            ..config(node)
        })
    });
    net.settle();
    write_all(&mut net, 5, 1);
    let old = copy(&mut net, 2);
    write_all(&mut net, 6, 2);
    net.split(&[0], &[1, 2]);
    net.run(2_000);
    assert_eq!(net.write(1, "k0", 7, 3, Consistency::Quorum), ["ack REPLICATED"]);
    net.crash(2);
    net.heal();
    net.split(&[1], &[0, 2]);
    net.boot(2, old);
    net.run(3_000);
    let read = [0, 2]
        .map(|node| net.read(node, "k0", ReadConsistency::Quorum))
        .concat();
    net.heal();
    net.run(2_000);
    net.settle();
    for node in 0..3 {
        assert_eq!(net.read(node, "k0", ReadConsistency::Quorum), ["value 3"]);
    }
    read
}

#[test]
fn an_older_disk_is_in_no_majority() {
    let is_value = |answer: &String| answer.starts_with("value");
    let read = read_with_an_older_disk(Mutants::default());
    assert!(!read.iter().any(is_value), "{read:?}");
    #[cfg(feature = "testing")]
    {
        let read = read_with_an_older_disk(Mutants::only(kernel::env::Mutant::SetBackDiskVotes));
        assert!(read.iter().any(is_value), "{read:?}");
    }
}

#[test]
fn of_two_nodes_on_copies_of_one_disk_one_becomes_a_node_of_its_own() {
    for writes in [false, true] {
        let mut net = Net::of(3);
        let before = ids(&mut net);
        let disk = copy(&mut net, 2);
        if writes {
            write_all(&mut net, 5, 1);
        }
        let clone = net.add_on(
            NodeConfig {
                addr: "elsewhere".into(),
                ..config(2)
            },
            disk,
        );
        net.settle();
        let after = ids(&mut net);
        assert_eq!(after.len(), 4, "one more");
        assert_ne!(net.host(clone).node.id(), net.host(2).node.id());
        assert!(after.is_superset(&before), "one of the two is who they both were");
    }
}

#[test]
fn a_disk_that_was_booted_often_is_judged_like_any_other() {
    let mut net = Net::of(3);
    for _ in 0..20 {
        copy(&mut net, 2);
    }
    let id = net.host(2).node.id();
    let old = copy(&mut net, 2);
    assert_eq!(net.host(2).node.id(), id);
    net.crash(2);
    net.boot(2, old);
    net.run(2_000);
    net.settle();
    assert_ne!(net.host(2).node.id(), id);
}

#[test]
fn who_was_away_for_many_boots_believes_them() {
    let mut net = Net::of(3);
    let id = net.host(2).node.id();
    net.split(&[0], &[1, 2]);
    for _ in 0..20 {
        let disk = net.crash(2);
        net.boot(2, disk);
        net.run(200);
    }
    net.heal();
    net.run(3_000);
    net.settle();
    assert_eq!(net.host(2).node.id(), id);
}

#[test]
fn an_older_disk_that_knows_none_of_the_others_is_told_as_well() {
    let mut net = Net::of(1);
    let old = copy(&mut net, 0);
    net.add(config(1));
    net.add(config(2));
    net.settle();
    let id = net.host(0).node.id();
    net.crash(0);
    net.boot(0, old);
    net.run(5_000);
    net.settle();
    assert_ne!(net.host(0).node.id(), id);
    assert_eq!(net.host(1).node.stats().members, 3);
}

/// Copies that were taken one after another are restored: the newest is in the right, and alone.
#[test]
fn of_copies_from_different_times_the_newest_goes_on_when_somebody_says_so() {
    let mut net = Net::of(3);
    let mut copies = vec![];
    for node in 0..3 {
        write_all(&mut net, 5 + node as u64, node as u8);
        copies.push(copy(&mut net, node));
        net.run(1_000);
    }
    write_all(&mut net, 20, 20);
    (0..3).for_each(|node| _ = net.crash(node));
    for (node, disk) in copies.into_iter().enumerate() {
        net.boot(node, disk);
    }
    net.run(5_000);
    assert!(net.write(2, "k0", 30, 30, Consistency::Quorum)[0].contains("have 1 of 3"));
    net.change(2, Order::Recover, "").expect("it is forced");
    net.settle();
    net.run(6_000);
    assert_eq!(ids(&mut net).len(), 3);
    net.check_holders(&keys());
    for key in keys() {
        assert_eq!(net.read(0, &key, ReadConsistency::Quorum), ["value 2"]);
    }
}

/// Who is just being greeted would take what the new node says for words of the old one, its votes included.
#[test]
fn a_handshake_that_was_begun_as_the_old_one_is_not_ended_by_the_new_one() {
    let mut net = Net::of(3);
    net.run(500);
    let old = copy(&mut net, 2);
    net.run(500);
    net.crash(2);
    net.boot(2, old);
    let (id, conn) = (net.host(2).node.id(), net.open(2, PEER));
    let hello = net.host(2).take(conn).remove(0);
    net.until(|net| net.host(2).node.id() != id);
    // An echo is answered by a refusal, and so is anything else on a connection that is open.
    net.host(2).receive(conn, &hello);
    assert!(net.host(2).take(conn).is_empty());
}
