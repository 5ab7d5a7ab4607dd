//! Who comes and who goes, and that nothing is lost by it: at whatever moment, many at once, and those who come again.

use std::collections::BTreeMap;

use kernel::machine::Phase;
use kernel::wire::ReadConsistency;
use kernel::wire::admin::Order;

use crate::host::Disk;
use crate::net::{Net, config};

fn filled(nodes: usize) -> (Net, Vec<String>) {
    let mut net = Net::of(nodes);
    let keys = net.fill(60);
    (net, keys)
}

/// Every key has its value at each of these nodes, and lies with its replicas and nowhere else.
fn check(net: &mut Net, at: &[usize], keys: &[String]) {
    net.run(6_000);
    net.check_holders(keys);
    for (n, key) in keys.iter().enumerate() {
        for node in at {
            let read = net.read(*node, key, ReadConsistency::Quorum);
            assert_eq!(read, [format!("value {n}")], "{key}");
        }
    }
}

/// A node leaves, and stops once it holds nothing.
fn leave(net: &mut Net, node: usize) {
    net.change(node, Order::Leave, "").expect("all are there");
    net.until(|net| net.host(node).phases.last() == Some(&Phase::Removed));
    net.crash(node);
    net.settle();
}

#[test]
fn one_of_three_dies_for_good_at_any_moment_of_a_move() {
    // A moment is how many of the keys the new node has.
    for victim in 0..3 {
        for moment in [0, 1, 5, 10, 20, 30, 40] {
            let (mut net, keys) = filled(3);
            net.add(config(3));
            net.until(|net| {
                let stats = net.host(0).node.stats();
                let is_over = stats.members == 4 && stats.moves.0 == 0;
                (stats.moves.0 > 0 && net.host(3).node.store().len() >= moment) || is_over
            });
            net.vanish(victim);
            net.run(2_000);
            let left: Vec<usize> = (0..4).filter(|node| *node != victim).collect();
            for (n, key) in keys.iter().enumerate() {
                let read = net.read(left[0], key, ReadConsistency::Quorum);
                assert_eq!(read, [format!("value {n}")], "n{victim} died at {moment}");
            }
            net.change(left[1], Order::Remove, &format!("n{victim}"))
                .expect("three of four agree");
            net.settle();
            check(&mut net, &left[..1], &keys);
        }
    }
}

#[test]
fn ten_join_at_once() {
    let (mut net, keys) = filled(1);
    for node in 1..11 {
        net.add(config(node));
    }
    net.settle();
    let state = net.host(0).node.cluster().expect("a member").clone();
    assert_eq!(state.members.len(), 11);
    let mut held: BTreeMap<u64, usize> = BTreeMap::new();
    for placement in &state.placements {
        assert_eq!(placement.replicas.len(), 3);
        placement
            .replicas
            .iter()
            .for_each(|node| *held.entry(node.0).or_default() += 1);
    }
    let (least, most) = (held.values().min(), held.values().max());
    assert!(most <= least.map(|least| least + 1).as_ref(), "{held:?}");
    check(&mut net, &[0, 5, 10], &keys);
}

#[test]
fn who_has_left_joins_again_as_another() {
    let (mut net, keys) = filled(4);
    let id = net.host(3).node.id();
    for _ in 0..2 {
        leave(&mut net, 3);
        assert_eq!(net.host(0).node.stats().members, 3);
        net.boot(3, Disk::default());
        net.settle();
        assert_eq!(net.host(0).node.stats().members, 4);
        assert_ne!(net.host(3).node.id(), id);
        check(&mut net, &[0, 3], &keys);
    }
}
