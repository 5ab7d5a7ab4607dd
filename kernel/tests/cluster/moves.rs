//! Partitions that move while things go wrong.

use std::cell::{Cell, RefCell};

use kernel::env::Mutants;
use kernel::machine::StorageError;
use kernel::node::NodeConfig;
use kernel::wire::cluster::Word;
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::Disk;
use crate::net::{Net, config, partition};

/// So many members, and a hundred keys in them.
fn filled(nodes: usize) -> (Net, Vec<String>) {
    filled_with(Mutants::default(), nodes)
}

/// The same with a bug.
fn filled_with(mutants: Mutants, nodes: usize) -> (Net, Vec<String>) {
    let mut net = Net::broken(nodes, mutants);
    let keys = net.fill(100);
    (net, keys)
}

/// Nothing that was acknowledged is lost, and each partition lies where it should and nowhere else.
fn check(net: &mut Net, keys: &[String]) {
    net.settle();
    // Whoever has something left gives it away in the next round.
    net.run(6_000);
    net.check_holders(keys);
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(
            net.read(0, key, ReadConsistency::Quorum),
            [format!("value {n}")],
            "{key}"
        );
    }
}

/// A key that moves to `node`, while moves are open.
fn moving_to(net: &mut Net, node: usize, keys: &[String]) -> String {
    let moves = |key: &&String| net.placement(0, key).1.contains(&node);
    keys.iter().find(moves).expect("some of a hundred move").clone()
}

#[test]
fn after_the_moves_nobody_holds_what_lies_elsewhere() {
    let (mut net, keys) = filled(1);
    for node in 1..5 {
        net.add(config(node));
        net.settle();
    }
    check(&mut net, &keys);
    for node in 0..5 {
        let stats = net.host(node).node.stats();
        assert!(stats.records < 100, "n{node} holds {}", stats.records);
        assert_eq!(stats.moves, (0, 0));
    }
    let dropped: u64 = (0..5).map(|node| net.host(node).node.stats().dropped).sum();
    assert!(dropped > 0);
}

#[test]
fn a_node_that_dies_while_it_is_filled_goes_on_when_it_is_back() {
    let (mut net, keys) = filled(3);
    net.add(config(3));
    net.until(|net| net.host(3).node.store().len() > 3);
    assert!(net.moves(0) > 0);
    let disk = net.crash(3);
    net.run(2_000);
    assert!(net.moves(0) > 0, "nobody else can close what moves to it");
    // The others go on meanwhile.
    assert_eq!(net.write(1, &keys[0], 6, 0, Consistency::Quorum), ["ack REPLICATED"]);
    net.boot(3, disk);
    check(&mut net, &keys);
}

#[test]
fn a_node_that_dies_while_it_is_filled_and_comes_back_empty_is_another() {
    let (mut net, keys) = filled(3);
    net.add(config(3));
    net.until(|net| net.host(3).node.store().len() > 3);
    let id = net.host(3).node.id();
    net.crash(3);
    net.run(1_000);
    net.boot(3, Disk::default());
    check(&mut net, &keys);
    assert_ne!(net.host(3).node.id(), id);
    assert_eq!(net.host(0).node.stats().members, 4);
}

/// A node with 60 keys in one partition, and another that takes it over, a record in a tenth of a second.
fn filled_slowly() -> (Net, Vec<String>) {
    let mut net = Net::of(1);
    let keys: Vec<String> = (0..60).map(|n| format!("{{t}}{n}")).collect();
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(net.write(0, key, 5, n as u8, Consistency::Quorum), ["ack REPLICATED"]);
    }
    let mut slow = config(1);
    slow.limits.move_bytes_per_s = 400;
    net.add(slow);
    net.until(|net| net.moves(0) > 0);
    (net, keys)
}

#[test]
fn what_was_taken_over_and_is_lost_is_taken_over_again() {
    let (mut net, keys) = filled_slowly();
    // What comes is only in memory; then the link is lost, and what was in memory as well.
    net.run(600);
    net.host(1).hold = true;
    net.run(2_000);
    assert!(!net.host(1).held.is_empty());
    net.split(&[0], &[1]);
    net.host(1).hold = false;
    net.host(1).fail_held(StorageError::Io);
    net.run(500);
    net.heal();
    net.until(|net| net.moves(0) == 0);
    let missing = keys.iter().filter(|key| net.holders(key) != [0, 1]);
    assert_eq!(missing.count(), 0, "it says that it is filled");
}

#[test]
fn what_is_taken_over_goes_on_where_a_link_was_lost() {
    let (mut net, keys) = filled_slowly();
    for _ in 0..60 {
        net.run(600);
        net.split(&[0], &[1]);
        net.heal();
    }
    assert_eq!(net.moves(0), 0, "no link lasted for longer than five records");
    check(&mut net, &keys);
}

#[test]
fn who_gives_dies_while_another_is_filled() {
    let (mut net, keys) = filled(3);
    net.add(config(3));
    net.until(|net| net.host(3).node.store().len() > 3);
    let disk = net.crash(1);
    net.settle();
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(
            net.read(3, key, ReadConsistency::Quorum),
            [format!("value {n}")],
            "{key}"
        );
    }
    net.boot(1, disk);
    check(&mut net, &keys);
}

#[test]
fn a_split_during_a_move_closes_nothing_on_the_smaller_side() {
    let (mut net, keys) = filled(4);
    net.add(config(4));
    net.until(|net| net.host(4).node.store().len() > 3);
    net.split(&[0, 4], &[1, 2, 3]);
    let epoch = net.host(0).node.stats().epoch;
    net.run(3_000);
    assert_eq!(net.host(0).node.stats().epoch, epoch);
    assert!(net.moves(0) > 0 && net.moves(1) > 0);
    net.heal();
    check(&mut net, &keys);
}

#[test]
fn a_move_that_is_given_another_target_is_another_move() {
    let (mut net, keys) = filled(3);
    net.add(config(3));
    net.until(|net| net.host(3).node.store().len() > 3);
    let open = net.moves(0);
    net.add(config(4));
    net.until(|net| net.host(0).node.stats().members == 5);
    assert!(open > 0 && net.moves(0) > 0);
    check(&mut net, &keys);
}

/// Whether any node takes a write by quorum while each majority of the old replicas and of the new ones is on another side of a split.
fn taken_by_one_majority(mutants: Mutants) -> bool {
    let (mut net, keys) = filled_with(mutants, 3);
    net.add(NodeConfig { mutants, ..config(3) });
    net.until(|net| net.moves(0) > 0 && net.host(3).node.is_member());
    let key = moving_to(&mut net, 3, &keys);
    let (old, new) = net.placement(0, &key);
    let leaves = *old
        .iter()
        .find(|node| !new.contains(node))
        .expect("somebody gives it away");
    let stays: Vec<usize> = old.iter().copied().filter(|node| *node != leaves).collect();
    // On one side a majority of the new replicas, on the other one of the old.
    net.split(&[stays[0], 3], &[stays[1], leaves]);
    net.run(1_000);
    let mut taken = false;
    for node in 0..4 {
        let wrote = net.write(node, &key, 7, 77, Consistency::Quorum);
        let read = net.read(node, &key, ReadConsistency::Quorum);
        taken |= !wrote[0].starts_with("424 ") || !read[0].starts_with("424 ");
    }
    net.heal();
    net.run(1_000);
    assert_eq!(net.write(3, &key, 8, 78, Consistency::Quorum), ["ack REPLICATED"]);
    net.settle();
    for node in 0..4 {
        assert_eq!(net.read(node, &key, ReadConsistency::Quorum), ["value 78"]);
    }
    taken
}

#[test]
fn during_a_move_a_quorum_is_both_majorities() {
    assert!(!taken_by_one_majority(Mutants::default()));
    #[cfg(feature = "testing")]
    assert!(taken_by_one_majority(Mutants::only(
        kernel::env::Mutant::OldMajorityForgotten
    )));
}

#[test]
fn what_a_quorum_has_taken_during_a_move_is_read_during_and_after_it() {
    let (mut net, keys) = filled(3);
    net.add(config(3));
    net.until(|net| net.moves(0) > 0 && net.host(3).node.is_member());
    let key = moving_to(&mut net, 3, &keys);
    net.split(&[3], &[0, 1, 2]);
    net.run(1_000);
    assert!(net.moves(0) > 0);
    assert_eq!(
        net.write(1, &key, 7, 77, Consistency::Quorum),
        ["ack REPLICATED"],
        "two of the old are two of the new"
    );
    for node in 0..3 {
        assert_eq!(net.read(node, &key, ReadConsistency::Quorum), ["value 77"]);
    }
    assert!(
        net.write(1, &key, 8, 78, Consistency::Strong)[0].starts_with("424 "),
        "all of both"
    );
    net.heal();
    net.settle();
    net.run(6_000);
    net.check_holders(&keys);
    for node in 0..4 {
        assert_eq!(net.read(node, &key, ReadConsistency::Quorum), ["value 77"]);
    }
}

#[test]
fn no_more_partitions_are_filled_at_once_than_the_limit_says() {
    let (mut net, keys) = filled(2);
    let mut slow = config(2);
    slow.limits.moves_at_once = 2;
    net.add(slow);
    let most = Cell::new(0);
    net.until(|net| {
        let stats = net.host(2).node.stats();
        most.set(stats.filling.max(most.get()));
        stats.members == 3 && stats.moves.0 == 0
    });
    assert_eq!(most.get(), 2);
    check(&mut net, &keys);
}

#[test]
fn no_more_bytes_come_in_a_second_than_the_limit_says() {
    let (mut net, keys) = filled(2);
    let value: Vec<u8> = [0xc5, 3, 132].into_iter().chain([7; 900]).collect();
    for key in &keys {
        assert_eq!(net.write_value(0, key, 9, &value), ["ack PERSISTED"]);
    }
    let moved = |net: &mut Net| (0..2).map(|node| net.host(node).node.stats().moved_bytes).sum::<u64>();
    let mut slow = config(2);
    slow.limits.move_bytes_per_s = 20_000;
    net.add(slow);
    net.until(|net| net.host(2).node.stats().filling > 0);
    let (begun_us, before) = (net.host(2).now.mono_us, moved(&mut net));
    net.until(|net| net.host(2).node.stats().members == 3 && net.moves(2) == 0);
    let seconds = (net.host(2).now.mono_us - begun_us) as f64 / 1e6;
    let per_s = (moved(&mut net) - before) as f64 / seconds;
    for node in 0..3 {
        let repaired = net.host(node).node.stats().repairs.record_bytes;
        assert_eq!(repaired, 0, "what moves comes by no other way");
    }
    assert!((10_000.0..24_000.0).contains(&per_s), "{per_s} in {seconds} s");
    net.settle();
    net.run(6_000);
    net.check_holders(&keys);
}

/// It acts as owner where it reaches nobody else: what it acknowledges is not for it alone.
#[test]
fn what_a_node_takes_before_it_is_filled_is_given_to_the_old_replicas_that_it_reaches() {
    let (mut net, keys) = filled(3);
    let mut slow = config(3);
    slow.limits.move_bytes_per_s = 1;
    net.add(slow);
    net.until(|net| net.host(3).node.stats().members == 4 && net.moves(3) > 0);
    let key = moving_to(&mut net, 3, &keys);
    net.split(&[3], &[0, 1, 2]);
    net.run(3_000);
    assert_eq!(net.write(3, &key, 9, 77, Consistency::Eventual), ["ack PERSISTED"]);
    net.crash(0);
    net.crash(1);
    net.heal();
    net.run(9_000);
    assert!(net.moves(2) > 0);
    assert_eq!(net.read(2, &key, ReadConsistency::Any), ["value 77"]);
}

/// A fourth node reaches one of the three others alone. How many moves are open after a while.
fn filled_by_one_alone(mutants: Mutants) -> u64 {
    let (mut net, _) = filled(3);
    net.add(NodeConfig { mutants, ..config(3) });
    net.split(&[3], &[1, 2]);
    net.run(10_000);
    assert_eq!(net.host(0).node.stats().members, 4);
    net.moves(0)
}

#[test]
fn nothing_is_whole_before_a_majority_of_the_old_replicas_was_asked() {
    assert!(filled_by_one_alone(Mutants::default()) > 0);
    #[cfg(feature = "testing")]
    assert_eq!(
        filled_by_one_alone(Mutants::only(kernel::env::Mutant::WholeTooEarly)),
        0
    );
}

#[test]
fn after_a_failed_commit_nothing_counts_as_filled_before_it_was_pulled_again() {
    let (mut net, keys) = filled(3);
    net.add(config(3));
    net.until(|net| net.host(3).node.stats().filled > 0);
    // What comes from now on is only in memory.
    net.host(3).hold = true;
    net.until(|net| !net.host(3).held.is_empty());
    let host = net.host(3);
    host.hold = false;
    host.fail_held(StorageError::Io);
    host.advance(10);
    let stats = host.node.stats();
    assert!(stats.moves.1 > 0, "it has read what it has on disk");
    assert_eq!(stats.filled, 0);
    check(&mut net, &keys);
}

/// A word that another has everything may be older than the last write that came here before the move was known.
#[test]
fn what_was_written_since_another_had_everything_is_not_dropped() {
    let (mut net, keys) = filled(3);
    net.add(config(3));
    // Whoever has given one away, knows it, and has not dropped it yet; and one who holds it.
    let left = RefCell::new(None);
    net.until(|net| {
        let found = keys.iter().find_map(|key| {
            let gave = net.holders(key).into_iter().find(|node| {
                let (replicas, target) = net.placement(*node, key);
                !replicas.contains(node) && !target.contains(node)
            })?;
            Some((key.clone(), gave, net.placement(gave, key).0[0]))
        });
        *left.borrow_mut() = found;
        left.borrow().is_some()
    });
    let (key, gave, holder) = left.take().expect("found");
    let key = &key;
    let (conn, id) = (net.link(gave, holder), partition(key));
    for (says, dropped) in [(1, false), (0, true)] {
        let digest = net.host(gave).node.store().partition(id).digest() + says;
        let word = Word::Covered(vec![(id, digest)]).to_frame();
        net.host(gave).receive(conn, &word);
        net.host(gave).advance(10);
        assert_eq!(!net.holders(key).contains(&gave), dropped);
    }
}
