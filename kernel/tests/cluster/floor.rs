//! What was deleted is forgotten, and does not come back (rule 1 of the promises).

use kernel::crdt::Record;
use kernel::env::{Limits, Mutant, Mutants};
use kernel::node::NodeConfig;
use kernel::store::RecordKey;
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::{brings, put};
use crate::net::{Net, config};

const HORIZON_MS: u64 = 10_000;

fn settling(node: usize, mutants: Mutants) -> NodeConfig {
    let mut config = config(node);
    config.limits.offline_horizon_ms = HORIZON_MS;
    NodeConfig { mutants, ..config }
}

fn three(mutants: Mutants) -> Net {
    let mut net = Net::of(0);
    (0..3).for_each(|node| _ = net.add(settling(node, mutants)));
    net.settle();
    net
}

fn now_ms(net: &mut Net) -> u64 {
    net.host(0).now.wall_ms
}

fn write(net: &mut Net, node: usize, key: &str, value: u8, level: Consistency) -> Vec<String> {
    let ms = now_ms(net);
    net.write(node, key, ms, value, level)
}

fn delete(net: &mut Net, node: usize, key: &str) {
    let ms = now_ms(net);
    assert_eq!(net.delete(node, key, ms), ["ack PERSISTED"]);
}

fn floor_ms(net: &mut Net) -> u64 {
    net.host(0).node.stats().floor_ms
}

fn tombstones(net: &mut Net) -> Vec<u64> {
    let up = net.hosts.iter().flatten();
    up.map(|host| host.node.stats().tombstones).collect()
}

/// Lets time pass until something is so: a few horizons at most.
fn until(net: &mut Net, what: impl Fn(&mut Net) -> bool) {
    for _ in 0..500 {
        if what(net) {
            return;
        }
        net.run(100);
    }
    panic!("it never came to that: {:?}", net.host(0).node.stats());
}

/// Lets time pass until what was deleted by now is collected. Something is deleted for that.
fn collect(net: &mut Net) {
    let floor_ms = now_ms(net);
    delete(net, 0, "last");
    until(net, |net| self::floor_ms(net) > floor_ms);
    net.run(2_000);
    net.settle();
}

#[test]
fn what_was_deleted_is_collected_after_the_horizon_and_not_before() {
    let mut net = three(Mutants::default());
    for (node, key) in ["a", "b", "c"].iter().enumerate() {
        assert_eq!(write(&mut net, node, key, 1, Consistency::Quorum), ["ack REPLICATED"]);
    }
    delete(&mut net, 1, "a");
    let ms = now_ms(&mut net);
    net.write_expiring(2, "d", ms, 1_000);
    net.run(1_000);
    let last_ms = now_ms(&mut net);
    delete(&mut net, 0, "last");
    net.run(HORIZON_MS - 3_000);
    assert_eq!(tombstones(&mut net), [2, 2, 2]);
    assert_eq!(floor_ms(&mut net), 0, "nothing is that old");
    until(&mut net, |net| floor_ms(net) > last_ms);
    net.run(1_000);
    assert_eq!(tombstones(&mut net), [0, 0, 0]);
    for host in net.hosts.iter().flatten() {
        let stats = host.node.stats();
        assert_eq!(
            (stats.records, stats.collected),
            (2, 3),
            "the tombstones and what had expired"
        );
    }
    // What is left is read, and the deleted is not there, by whoever had been told of it.
    assert_eq!(net.read(1, "a", ReadConsistency::Owner), ["nothing"]);
    assert_eq!(net.read(0, "a", ReadConsistency::Quorum), ["nothing"]);
    assert_eq!(net.read(2, "b", ReadConsistency::Quorum), ["value 1"]);
    let rises = floor_ms(&mut net);
    net.run(3 * HORIZON_MS);
    assert_eq!(floor_ms(&mut net), rises, "there is nothing to collect");
}

#[test]
fn a_write_of_before_is_refused_by_name_and_a_retry_of_what_is_there_is_not() {
    for mutants in [Mutants::default(), Mutants::only(Mutant::AdmitsBelowFloor)] {
        let mut net = three(mutants);
        let old_ms = now_ms(&mut net);
        assert_eq!(write(&mut net, 0, "b", 1, Consistency::Quorum), ["ack REPLICATED"]);
        assert_eq!(write(&mut net, 0, "a", 1, Consistency::Quorum), ["ack REPLICATED"]);
        delete(&mut net, 1, "a");
        collect(&mut net);
        let answers = net.write(0, "a", old_ms, 1, Consistency::Eventual);
        if mutants != Mutants::default() {
            assert_eq!(answers, ["ack PERSISTED"], "it is back");
            continue;
        }
        assert!(answers[0].starts_with("416 the stamp is older"), "{answers:?}");
        assert_eq!(net.read(0, "a", ReadConsistency::Quorum), ["nothing"]);
        assert_eq!(
            net.write(0, "b", old_ms, 1, Consistency::Quorum),
            ["ack REPLICATED"],
            "it is there"
        );
        assert_eq!(write(&mut net, 0, "a", 2, Consistency::Quorum), ["ack REPLICATED"]);
        assert_eq!(net.read(2, "a", ReadConsistency::Quorum), ["value 2"]);
    }
}

/// One is cut off with a write that the others do not have, for longer than the horizon: the floor until then, and what is read of it in
/// the end.
fn one_is_away(mutants: Mutants) -> (u64, Vec<String>) {
    let mut net = three(mutants);
    assert_eq!(write(&mut net, 0, "a", 1, Consistency::Quorum), ["ack REPLICATED"]);
    delete(&mut net, 0, "a");
    net.split(&[2], &[0, 1]);
    net.run(2_000);
    assert_eq!(write(&mut net, 2, "b", 7, Consistency::Eventual), ["ack PERSISTED"]);
    delete(&mut net, 0, "a");
    net.run(3 * HORIZON_MS);
    let floor_ms = floor_ms(&mut net);
    net.heal();
    net.run(3_000);
    net.settle();
    let read = [0, 1, 2].map(|node| net.read(node, "b", ReadConsistency::Owner));
    collect(&mut net);
    assert_eq!(tombstones(&mut net), [0, 0, 0], "all are there again");
    (floor_ms, read.concat())
}

#[test]
fn who_is_away_holds_the_floor_and_loses_nothing() {
    let (floor_ms, read) = one_is_away(Mutants::default());
    assert_eq!(floor_ms, 0);
    assert_eq!(read, ["value 7"; 3]);
    let (floor_ms, read) = one_is_away(Mutants::only(Mutant::FloorOfTheLiving));
    assert!(floor_ms > 0);
    assert_eq!(read, ["nothing"; 3], "what it had acknowledged is lost");
}

/// A key is deleted while a copy is kept of the disk of one node, which comes back with that after the tombstone was collected: what is
/// read of it, and whether all hold the same.
fn an_old_disk_comes_back(mutants: Mutants) -> (Vec<String>, bool) {
    let mut net = three(mutants);
    let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
    for key in &keys {
        assert_eq!(write(&mut net, 0, key, 1, Consistency::Quorum), ["ack REPLICATED"]);
    }
    let old = net.crash(2);
    net.boot(2, old.clone());
    net.run(2_000);
    net.settle();
    for key in &keys {
        delete(&mut net, 0, key);
    }
    collect(&mut net);
    net.crash(2);
    net.boot(2, old);
    net.run(6_000);
    net.settle();
    let read = keys
        .iter()
        .map(|key| net.read(0, key, ReadConsistency::Quorum))
        .collect::<Vec<_>>();
    let records: Vec<u64> = net
        .hosts
        .iter()
        .flatten()
        .map(|host| host.node.stats().records)
        .collect();
    (read.concat(), records.iter().all(|count| *count == records[0]))
}

#[test]
fn what_an_old_disk_brings_back_was_deleted() {
    let (read, same) = an_old_disk_comes_back(Mutants::default());
    assert_eq!(read, ["nothing"; 20]);
    assert!(same);
    let (read, same) = an_old_disk_comes_back(Mutants::only(Mutant::KeepsBelowFloor));
    assert!(read.contains(&"value 1".into()) || !same, "{read:?}");
}

/// A change is on its way for so long that the delete that came after it was collected by then (Scylla issue 23712).
fn a_hint_is_late(mutants: Mutants) -> Vec<String> {
    let mut net = three(mutants);
    assert_eq!(write(&mut net, 0, "k", 1, Consistency::Quorum), ["ack REPLICATED"]);
    let (key, record) = {
        let store = net.host(0).node.store();
        let (key, version) = store.rows().next().expect("it is there");
        (key, Record::new(&version))
    };
    delete(&mut net, 0, "k");
    collect(&mut net);
    let link = net.link(2, 0);
    for frame in brings(&key, &record) {
        net.host(2).receive(link, &frame);
    }
    net.run(5_000);
    [0, 1, 2].map(|node| net.read(node, "k", ReadConsistency::Any)).concat()
}

#[test]
fn a_hint_that_is_older_than_a_collected_delete_brings_nothing_back() {
    assert_eq!(a_hint_is_late(Mutants::default()), ["nothing"; 3]);
    let read = a_hint_is_late(Mutants::only(Mutant::HintOlderThanTombstone));
    assert!(read.contains(&"value 1".into()), "{read:?}");
}

/// One takes much that the others lack, when the members have just agreed on a candidate: how many of it are read in the end. Repairs take
/// longer than to agree.
fn much_to_repair(mutants: Mutants) -> usize {
    let mut net = Net::of(0);
    for node in 0..3 {
        let mut config = settling(node, mutants);
        config.limits.repair_sessions = 1;
        net.add(config);
    }
    net.settle();
    let old_ms = now_ms(&mut net);
    delete(&mut net, 0, "gone");
    net.run(HORIZON_MS);
    net.until(|net| net.host(2).node.stats().promised_ms > old_ms);
    // They are about to say that they are clean.
    net.run(900);
    assert_eq!(floor_ms(&mut net), 0);
    // What it sends on is lost.
    net.mute(2, 0);
    net.mute(2, 1);
    let link = net.link(2, 0);
    let keys: Vec<String> = (0..300).map(|n| format!("k{n}")).collect();
    for key in &keys {
        let name = RecordKey::new("m", key.as_bytes(), &Limits::default()).expect("short");
        let record = Record::new(&put("1", key, old_ms, &[3]).version);
        for frame in brings(&name, &record) {
            net.host(2).receive(link, &frame);
        }
    }
    net.run(20);
    net.heal();
    net.run(20_000);
    assert!(floor_ms(&mut net) > 0);
    let reads = |net: &mut Net, key: &str| net.read(1, key, ReadConsistency::Any) == ["value 3"];
    keys.iter().filter(|key| reads(&mut net, key)).count()
}

#[test]
fn nothing_is_settled_before_it_was_compared() {
    assert_eq!(much_to_repair(Mutants::default()), 300);
    assert!(much_to_repair(Mutants::only(Mutant::ConfirmsUncompared)) < 300);
}
