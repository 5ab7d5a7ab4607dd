//! A new generation, where too few members are left to agree on anything (rule 9 of the promises).

use kernel::machine::Phase;
use kernel::wire::admin::Order;
use kernel::wire::{Code, Consistency, ReadConsistency};
use rmpv::Value;

use crate::admin::refused;
use crate::net::Net;

fn names(list: &Value) -> Vec<&str> {
    let names = list.as_array().expect("a list").iter();
    names.map(|name| name.as_str().expect("a name")).collect()
}

/// Three nodes, of which the last two have died; the disks of those. The second had acknowledged a write alone.
fn two_of_three_died(net: &mut Net) -> [crate::host::Disk; 2] {
    for n in 0..20 {
        net.write(0, &format!("k{n}"), 5, n, Consistency::Quorum);
    }
    let key = net.key_owned_by(1);
    net.split(&[1], &[0, 2]);
    assert_eq!(net.write(1, &key, 9, 99, Consistency::Eventual), ["ack PERSISTED"]);
    let disks = [net.crash(1), net.crash(2)];
    net.heal();
    net.run(3_000);
    disks
}

#[test]
fn nothing_is_forced_where_members_can_agree() {
    let mut net = Net::of(3);
    net.crash(2);
    net.run(1_000);
    for order in [Order::Losses, Order::Recover] {
        refused(net.change(0, order, ""), Code::NotPossible, "cluster remove");
    }
    assert_eq!(net.host(0).node.stats().members, 3);
}

#[test]
fn the_one_that_is_left_goes_on_and_who_comes_back_brings_what_it_has() {
    let mut net = Net::of(3);
    let key = net.key_owned_by(1);
    let [first, second] = two_of_three_died(&mut net);
    assert!(net.write(0, "k1", 10, 50, Consistency::Quorum)[0].contains("have 1 of 3"));
    refused(
        net.change(0, Order::Remove, "n1"),
        Code::NoQuorum,
        "have 1 of 3, need 2",
    );

    let told = net.change(0, Order::Losses, "").expect("it only tells");
    assert_eq!((&told["change"], &told["generation"]), (&"losses".into(), &2.into()));
    assert_eq!(
        (names(&told["left"]), names(&told["givenUp"])),
        (vec!["n0"], vec!["n1", "n2"])
    );
    assert_eq!((&told["gone"], &told["doubtful"]), (&0.into(), &271.into()));
    assert_eq!(net.host(0).node.stats().members, 3, "it has only told");

    let done = net.change(0, Order::Recover, "").expect("it is forced");
    assert_eq!((&done["change"], &done["generation"]), (&"recover".into(), &2.into()));
    assert_eq!(done["epoch"], net.host(0).node.stats().epoch.into());
    assert_eq!(net.host(0).node.stats().members, 1);
    assert_eq!(net.write(0, "k1", 10, 50, Consistency::Strong), ["ack REPLICATED"]);
    assert_eq!(net.read(0, "k2", ReadConsistency::Quorum), ["value 2"]);

    // They come back, and the write that one of them had acknowledged alone with it.
    net.boot(1, first);
    net.boot(2, second);
    net.settle();
    net.run(6_000);
    for node in 0..3 {
        assert_eq!(net.host(node).node.stats().members, 3);
        assert_eq!(net.read(node, &key, ReadConsistency::Quorum), ["value 99"]);
        assert_eq!(net.read(node, "k1", ReadConsistency::Quorum), ["value 50"]);
    }
}

#[test]
fn two_that_were_forced_on_both_sides_become_one_again() {
    let mut net = Net::of(3);
    let [first, _] = two_of_three_died(&mut net);
    net.boot(1, first);
    net.split(&[0], &[1]);
    net.run(3_000);
    for node in [0, 1] {
        net.change(node, Order::Recover, "").expect("it is forced");
        let value = 60 + node as u8;
        assert_eq!(
            net.write(node, &format!("k{node}"), 10, value, Consistency::Quorum),
            ["ack REPLICATED"]
        );
    }
    net.heal();
    net.settle();
    net.run(6_000);
    for node in [0, 1] {
        assert_eq!(net.host(node).node.stats().members, 2);
        assert_eq!(net.read(node, "k0", ReadConsistency::Quorum), ["value 60"]);
        assert_eq!(net.read(node, "k1", ReadConsistency::Quorum), ["value 61"]);
    }
}

#[test]
fn those_that_reach_each_other_go_on_together() {
    let mut net = Net::of(5);
    for node in 2..5 {
        net.crash(node);
    }
    net.run(3_000);
    let done = net.change(1, Order::Recover, "").expect("it is forced");
    assert_eq!(names(&done["left"]).len(), 2);
    let gone = done["gone"].as_u64().expect("a number");
    assert!(
        gone > 0,
        "three replicas of five nodes: some lay with those three alone"
    );
    net.settle();
    assert_eq!(net.host(0).node.stats().members, 2);
    assert!(matches!(net.host(0).phases.last(), Some(Phase::Ready { .. })));
    assert_eq!(net.write(0, "k", 10, 50, Consistency::Strong), ["ack REPLICATED"]);
}
