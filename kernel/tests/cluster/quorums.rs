//! What an acknowledgement stands for.

use kernel::wire::{Consistency, ReadConsistency};

use crate::net::{Net, config};

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
