//! What an acknowledgement stands for.

use bytes::Bytes;
use kernel::wire::client;
use kernel::wire::op::{Ask, Op};
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::put;
use crate::net::{CLIENT_CONN, Net, config};

#[test]
fn any_node_takes_a_write_and_its_owner_sees_to_it() {
    let mut net = Net::of(5);
    for node in 0..5 {
        let key = net.key_owned_by(2);
        assert_eq!(
            net.write(node, &key, 5 + node as u64, node as u8, Consistency::Eventual),
            ["ack PERSISTED"]
        );
        for reader in 0..5 {
            assert_eq!(
                net.read(reader, &key, ReadConsistency::Owner),
                [format!("value {node}")]
            );
            assert_eq!(
                net.read(reader, &key, ReadConsistency::Quorum),
                [format!("value {node}")]
            );
        }
        assert_eq!(net.holders(&key).len(), 3);
    }
}

#[test]
fn a_quorum_is_of_the_configured_replicas() {
    let mut net = Net::of(3);
    let key = net.key_owned_by(0);
    for level in [Consistency::Quorum, Consistency::Strong] {
        assert_eq!(net.write(1, &key, 5, 1, level), ["ack REPLICATED"]);
    }
    net.crash(2);
    net.run(1_000);
    assert_eq!(net.write(1, &key, 6, 2, Consistency::Quorum), ["ack REPLICATED"]);
    let refused = "424 too few replicas can be reached: have 2 of 3, need 3";
    assert_eq!(net.write(1, &key, 7, 3, Consistency::Strong), [refused]);
    net.crash(1);
    net.run(1_000);
    let refused = "424 too few replicas can be reached: have 1 of 3, need 2";
    assert_eq!(net.write(0, &key, 8, 4, Consistency::Quorum), [refused]);
    assert_eq!(net.read(0, &key, ReadConsistency::Quorum), [refused]);
    assert_eq!(
        net.read(0, &key, ReadConsistency::Owner),
        ["value 2"],
        "nothing of what was refused was merged"
    );
    assert_eq!(
        net.write(0, &key, 9, 5, Consistency::Eventual),
        ["ack PERSISTED"],
        "but this goes on"
    );
}

#[test]
fn both_sides_of_a_split_take_eventual_writes_and_one_takes_quorum_writes() {
    let mut net = Net::of(3);
    let key = net.key_owned_by(0);
    net.split(&[0], &[1, 2]);
    net.run(1_000);
    assert_eq!(net.write(0, &key, 5, 1, Consistency::Eventual), ["ack PERSISTED"]);
    assert_eq!(net.write(1, &key, 6, 2, Consistency::Quorum), ["ack REPLICATED"]);
    assert!(net.write(0, &key, 7, 3, Consistency::Quorum)[0].starts_with("424 "));
    assert_eq!(net.write(0, "other", 7, 3, Consistency::Eventual), ["ack PERSISTED"]);
    net.heal();
    net.settle();
    net.run(3_000);
    assert_eq!(net.read(0, &key, ReadConsistency::Owner), ["value 2"]);
    assert_eq!(net.read(1, "other", ReadConsistency::Owner), ["value 3"]);
}

#[test]
fn a_quorum_write_that_takes_too_long_is_answered_with_what_is_known() {
    let mut net = Net::of(3);
    let mut hasty = config(0);
    hasty.limits.request_ms = 200;
    let disk = net.crash(0);
    net.set_config(0, hasty);
    net.boot(0, disk);
    net.settle();
    let key = net.key_owned_by(0);
    net.mute(0, 1);
    net.mute(0, 2);
    let at_once = net.write(0, &key, 5, 1, Consistency::Quorum);
    assert!(at_once.is_empty(), "the others may yet answer: {at_once:?}");
    net.run(200);
    let answers = net.answers(0);
    assert!(answers[0].contains("may have been applied"), "{answers:?}");
    assert!(answers[0].contains("1 of 3"), "{answers:?}");
}

/// What a majority has is enough for the answer; whoever else was asked and lacks it is given it.
#[test]
fn a_read_by_quorum_repairs_who_lags_behind() {
    let mut net = Net::of(0);
    for node in 0..3 {
        let mut config = config(node);
        // By itself nobody would compare anything for an hour.
        config.limits.anti_entropy_ms = 3_600_000;
        net.add(config);
    }
    net.settle();
    let key = net.key_owned_by(0);
    net.mute(0, 2);
    net.mute(1, 2);
    assert_eq!(net.write(0, &key, 5, 1, Consistency::Quorum), ["ack REPLICATED"]);
    net.heal();
    net.run(200);
    assert_eq!(net.holders(&key), [0, 1]);
    assert_eq!(net.read(0, &key, ReadConsistency::Quorum), ["value 1"]);
    net.run(100);
    assert_eq!(net.holders(&key), [0, 1, 2]);
}

/// Both backups of a partition take nothing for a while. What waits for them is bounded, and so is who waits for them.
#[test]
fn slow_backups_hold_up_who_writes_by_quorum_and_are_repaired_of_the_rest() {
    const UNSENT: u64 = 100_000;
    const REQUESTS: usize = 200;
    // What nodes say of themselves meanwhile comes on top: digests, and who is alive.
    const LITTLE: u64 = 40_000;
    let mut net = Net::of(0);
    for node in 0..3 {
        let mut config = config(node);
        config.limits.unsent_bytes = UNSENT;
        config.limits.requests = REQUESTS;
        config.limits.silence_ms = 60_000;
        net.add(config);
    }
    net.settle();
    let value: Vec<u8> = [0xc5, 3, 132].into_iter().chain([7; 900]).collect();
    let keys: Vec<String> = (0..10_000).map(|n| format!("k{n}")).collect();
    let owned: Vec<&String> = keys
        .iter()
        .filter(|key| net.placement(0, key).0[0] == 0)
        .take(500)
        .collect();
    net.slow.extend([1, 2]);
    net.host(0).take(CLIENT_CONN);
    let mut answers = Vec::new();
    for (n, key) in owned.iter().enumerate() {
        let id = n.to_string();
        let consistency = Consistency::Quorum;
        let op = Op {
            consistency,
            ..put(&id, key, 5, &value)
        };
        net.host(0).receive(CLIENT_CONN, &client::op(&op, Ask::default()));
        // Within the time that each of them has.
        net.run(if n % 2 == 0 { 10 } else { 0 });
        answers.extend(net.answers(0));
    }
    let links = [net.link(0, 1), net.link(0, 2)];
    for link in links {
        let waits = net
            .host(0)
            .received
            .get(&link)
            .map_or(0, |frames| frames.iter().map(Bytes::len).sum());
        assert!(waits as u64 <= UNSENT + LITTLE, "{waits} bytes wait for a backup");
    }
    let waiting = owned.len() - answers.len();
    assert!((REQUESTS / 2..=REQUESTS).contains(&waiting), "{waiting} writes wait");
    let others: Vec<_> = answers.iter().filter(|answer| !answer.starts_with("429 ")).collect();
    assert!(others.is_empty(), "{others:?}");
    net.slow.clear();
    net.run(12_000);
    let later = net.answers(0);
    assert_eq!(later.len(), waiting);
    for key in &owned[..waiting] {
        assert_eq!(net.holders(key), [0, 1, 2], "{key}");
    }
}
