//! Two nodes and a connection between them.

use kernel::env::Limits;
use kernel::machine::Input;
use kernel::node::NodeConfig;
use kernel::partition::{PartitionBy, Routing};
use kernel::session::Secret;
use kernel::wire::client;
use kernel::wire::op::Ask;

use crate::host::{CLIENT, Disk, Host, Wire, contents, delete, put};

fn with_peer(name: &str) -> NodeConfig {
    NodeConfig {
        peers: vec!["other".into()],
        limits: Limits {
            chunk_bytes: 200,
            ..Limits::default()
        },
        ..NodeConfig::new(name)
    }
}

fn write(host: &mut Host, key: &str, ms: u64, value: u8) {
    let conn = kernel::env::ConnId(100);
    host.receive(conn, &client::op(&put("1", key, ms, &[value]), Ask::default()));
}

fn pair() -> (Host, Host) {
    let mut a = Host::boot(with_peer("a"), Disk::default(), 1);
    let mut b = Host::boot(NodeConfig::new("b"), Disk::default(), 2);
    a.open(100, CLIENT);
    b.open(100, CLIENT);
    (a, b)
}

#[test]
fn what_differs_is_exchanged_and_what_changes_is_forwarded() {
    let (mut a, mut b) = pair();
    for n in 0..50u8 {
        write(&mut a, &format!("a{n}"), 5, n & 0x7f);
        write(&mut b, &format!("b{n}"), 5, n & 0x7f);
        write(&mut a, &format!("both{n}"), 5, 1);
        write(&mut b, &format!("both{n}"), 6, 2);
    }
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    assert_eq!(contents(&a).len(), 150);
    assert_eq!(contents(&a), contents(&b));

    write(&mut b, "new", 7, 1);
    assert_eq!(wire.carry(&mut a, &mut b), 1, "one frame forwards one change");
    assert_eq!(contents(&a), contents(&b));
}

#[test]
fn equal_stamps_with_different_content_converge() {
    let (mut a, mut b) = pair();
    write(&mut a, "k", 5, 1);
    write(&mut b, "k", 5, 2);
    a.receive(
        kernel::env::ConnId(100),
        &client::op(&delete("1", "gone", 5), Ask::default()),
    );
    write(&mut b, "gone", 5, 2);
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    assert_eq!(contents(&a), contents(&b));
}

#[test]
fn a_difference_that_slipped_through_is_found_in_time() {
    let (mut a, mut b) = pair();
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    write(&mut b, "k", 5, 1);
    b.take(wire.b);
    assert_ne!(contents(&a), contents(&b), "the frame was lost");
    for _ in 0..40 {
        a.advance(1_000);
        b.advance(1_000);
        wire.carry(&mut a, &mut b);
    }
    assert_eq!(contents(&a), contents(&b));
}

#[test]
fn a_silent_peer_is_given_up_and_dialled_again() {
    let (mut a, mut b) = pair();
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    a.advance(5_000);
    assert_eq!(a.closed, [wire.a]);
    a.advance(1_000);
    assert_eq!(a.dials.len(), 1);
}

#[test]
fn strangers_are_turned_away() {
    let refused = |config: NodeConfig| {
        let mut a = Host::boot(with_peer("a"), Disk::default(), 1);
        let mut b = Host::boot(config, Disk::default(), 2);
        a.open(100, CLIENT);
        write(&mut a, "k", 5, 1);
        let wire = Wire::connect(&mut a, &mut b, 1);
        wire.carry(&mut a, &mut b);
        assert!(!a.closed.is_empty() || !b.closed.is_empty());
        assert!(contents(&b).is_empty());
    };
    refused(NodeConfig {
        secret: Some(Secret::new(b"other")),
        ..NodeConfig::new("b")
    });
    let mut routing = Routing::new();
    routing.declare("m", PartitionBy::Before(b'/'));
    refused(NodeConfig {
        routing,
        ..NodeConfig::new("b")
    });
    refused(NodeConfig::new("a"));
}

#[test]
fn of_two_links_to_one_node_one_stays() {
    let mut a = Host::boot(with_peer("a"), Disk::default(), 1);
    let mut b = Host::boot(with_peer("b"), Disk::default(), 2);
    let one = Wire::connect(&mut a, &mut b, 1);
    let two = Wire::connect(&mut b, &mut a, 2);
    for _ in 0..5 {
        one.carry(&mut a, &mut b);
        two.carry(&mut b, &mut a);
        for conn in a.closed.clone() {
            b.step(Input::Closed { conn });
        }
        for conn in b.closed.clone() {
            a.step(Input::Closed { conn });
        }
    }
    let mut gone: Vec<_> = a.closed.iter().chain(&b.closed).collect();
    gone.dedup();
    assert_eq!(gone.len(), 1, "both gave up the same one: {gone:?}");
}

#[test]
fn how_far_a_peer_is_behind_is_known_from_its_heartbeats_and_without_them() {
    let (mut a, mut b) = pair();
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    write(&mut a, "k", 5, 1);
    assert_eq!(a.node.stats().links[0].lag, 1);
    wire.carry(&mut a, &mut b);
    a.advance(1_000);
    wire.carry(&mut a, &mut b);
    assert_eq!(a.node.stats().links[0].lag, 0, "its heartbeat said so");
    a.step(Input::Closed { conn: wire.a });
    write(&mut a, "k", 6, 1);
    write(&mut a, "k", 7, 1);
    assert_eq!(a.node.stats().unlinked, [("b".to_string(), 2)]);
}
