//! Two nodes and a connection between them.

use kernel::env::Limits;
use kernel::machine::{Input, Phase};
use kernel::node::NodeConfig;
use kernel::partition::{PartitionBy, Routing};
use kernel::session::Secret;
use kernel::wire::client;
use kernel::wire::op::Ask;

use crate::host::{self, CLIENT, Disk, Host, PEER, Wire, contents, delete, owned_key, put};

fn with_peer(name: &str) -> NodeConfig {
    NodeConfig {
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
    let (mut a, mut b) = host::pair(with_peer("a"), NodeConfig::new("b"));
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
    let rounds = a.node.stats().rounds;
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    assert_eq!(contents(&a).len(), 150);
    assert_eq!(contents(&a), contents(&b));
    let stats = (a.node.stats(), b.node.stats());
    let repairs = stats.1.repairs;
    assert_eq!(
        (stats.0.rounds - rounds, stats.0.repairs.begun),
        (1, 0),
        "who dials shows digests, the other repairs"
    );
    assert!(
        repairs.differed > 50 && repairs.begun == repairs.differed && repairs.whole == repairs.begun,
        "{repairs:?}"
    );
    let last = stats.1.links[0].repaired.expect("a repair is over");
    assert!(
        last.whole && last.gave && last.as_of > 0 && last.account.round_trips > 1,
        "{last:?}"
    );
    assert_eq!((stats.1.links[0].repairing, repairs.fallbacks), ((0, 0), 0));

    let new = owned_key(&b);
    write(&mut b, &new, 7, 1);
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
    let key = owned_key(&b);
    write(&mut b, &key, 5, 1);
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
    let refused = |config: NodeConfig, word: &str| {
        let mut a = Host::boot(with_peer("a"), Disk::default(), 1);
        let config = NodeConfig {
            addr: "elsewhere".into(),
            join: vec!["a".into()],
            ..config
        };
        let mut b = Host::boot(config, Disk::default(), 2);
        a.open(100, CLIENT);
        write(&mut a, "k", 5, 1);
        let wire = Wire::connect(&mut b, &mut a, 1);
        wire.carry(&mut b, &mut a);
        let news = [a.node.take_news(), b.node.take_news()].concat();
        assert!(
            news.iter()
                .any(|news| news.lost.as_ref().is_some_and(|lost| lost.contains(word))),
            "{news:?}"
        );
        assert!(!a.closed.is_empty() || !b.closed.is_empty());
        for _ in 0..20 {
            a.advance(100);
        }
        assert!(contents(&b).is_empty());
        assert_eq!((a.node.stats().members, b.phases.last()), (1, Some(&Phase::Joining)));
    };
    refused(
        NodeConfig {
            secret: Some(Secret::new(b"other")),
            ..NodeConfig::new("b")
        },
        "secret",
    );
    let mut routing = Routing::new();
    routing.declare("m", PartitionBy::Before(b'/'));
    refused(
        NodeConfig {
            routing,
            ..NodeConfig::new("b")
        },
        "partition-by",
    );
    refused(NodeConfig::new("a"), "this node's");
}

#[test]
fn nodes_of_two_clusters_do_not_exchange_data() {
    let mut hosts = [("a", 1), ("b", 2)].map(|(name, boot)| Host::boot(with_peer(name), Disk::default(), boot));
    for host in &mut hosts {
        host.open(100, CLIENT);
        write(host, "k", 5, 1);
        host.open(1, PEER);
    }
    let [mut a, mut b] = hosts;
    let conn = kernel::env::ConnId(1);
    let wire = Wire { a: conn, b: conn };
    wire.carry(&mut a, &mut b);
    assert_eq!(a.closed, [conn]);
    assert_eq!(a.node.take_news()[0].lost, Some("it belongs to another cluster".into()));
    assert_eq!((a.node.stats().members, b.node.stats().members), (1, 1));
}

/// One that was proven and is told nothing: it is no member, and is not taken in while no majority can be reached.
#[test]
fn who_is_no_member_is_given_no_data() {
    let (mut a, mut b) = pair();
    write(&mut a, "k", 5, 1);
    let config = NodeConfig {
        join: vec!["a".into()],
        ..NodeConfig::new("c")
    };
    let mut c = Host::boot(config, Disk::default(), 3);
    c.open(100, CLIENT);
    let wire = Wire::connect(&mut c, &mut a, 1);
    for _ in 0..30 {
        wire.carry(&mut c, &mut a);
        c.advance(100);
        a.advance(100);
    }
    assert_eq!(c.node.stats().links.len(), 1, "they are linked");
    write(&mut c, "mine", 5, 1);
    wire.carry(&mut c, &mut a);
    assert!(contents(&c).is_empty());
    assert_eq!(contents(&a).len(), 1);
    assert_eq!(c.phases.last(), Some(&Phase::Joining));
    // With `b` they are a majority.
    let back = Wire::connect(&mut b, &mut a, 2);
    for _ in 0..60 {
        wire.carry(&mut c, &mut a);
        back.carry(&mut b, &mut a);
        for host in [&mut a, &mut b, &mut c] {
            host.advance(100);
        }
    }
    assert_eq!(c.node.stats().members, 3);
    assert_eq!(contents(&c), contents(&a));
}

#[test]
fn of_two_links_to_one_node_one_stays() {
    let (mut a, mut b) = pair();
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
    let key = owned_key(&a);
    write(&mut a, &key, 5, 1);
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

/// Two nodes that differ in one partition of many records, so that coded symbols name the differences.
fn one_large_partition(limits: &Limits) -> (Host, Host) {
    let config = |name| NodeConfig {
        limits: limits.clone(),
        ..NodeConfig::new(name)
    };
    let (mut a, mut b) = host::pair(config("a"), config("b"));
    for host in [&mut a, &mut b] {
        host.open(100, CLIENT);
        for n in 0..300 {
            write(host, &format!("{{tag}}{n}"), 5, 1);
        }
    }
    for n in 0..20 {
        write(&mut a, &format!("{{tag}}{n}"), 6, 2);
        write(&mut b, &format!("{{tag}}{}", 15 + n), 7, 3);
        write(&mut b, &format!("{{tag}}b{n}"), 5, 3);
    }
    (a, b)
}

#[test]
fn coded_symbols_name_what_differs_and_the_list_does_where_they_may_not() {
    for repair_symbols in [1 << 16, 8] {
        let (mut a, mut b) = one_large_partition(&Limits {
            repair_symbols,
            repair_bytes: 400,
            ..Limits::default()
        });
        let wire = Wire::connect(&mut a, &mut b, 1);
        wire.carry(&mut a, &mut b);
        assert_eq!(contents(&a), contents(&b));
        let (asks, answers) = (b.node.stats(), a.node.stats());
        let last = asks.links[0].repaired.expect("it is over");
        assert!(last.whole && last.gave);
        assert_eq!((asks.repairs.differed, asks.repairs.begun), (1, 1));
        assert_eq!(last.fell_back, repair_symbols == 8);
        assert_eq!(asks.repairs.fallbacks, u64::from(last.fell_back));
        assert_eq!(last.account.listed, if last.fell_back { 300 } else { 0 });
        assert!(last.account.symbols <= answers.repairs.symbols && answers.repairs.symbols <= repair_symbols as u64);
        assert_eq!(answers.repairs.symbols == 0, answers.repairs.symbol_bytes == 0);
        assert!(asks.repairs.record_bytes > 500 && answers.repairs.record_bytes > 300);
    }
}

#[test]
fn what_is_lost_of_a_repair_is_asked_again_and_what_is_not_answered_is_given_up() {
    let (mut a, mut b) = one_large_partition(&Limits::default());
    let wire = Wire::connect(&mut a, &mut b, 1);
    // Of what follows on the handshake two frames out of seven are lost.
    let (mut came, mut lost) = (0, 0);
    for turn in 0..400 {
        for frame in a.take(wire.a) {
            came += 1;
            match came > 4 && [3, 5].contains(&(came % 7)) {
                true => lost += 1,
                false => b.receive(wire.b, &frame),
            }
        }
        for frame in b.take(wire.b) {
            a.receive(wire.a, &frame);
        }
        if turn % 3 == 0 {
            a.advance(500);
            b.advance(500);
        }
    }
    assert!(lost > 5, "{lost}");
    assert_eq!(contents(&a), contents(&b));

    let (mut a, mut b) = one_large_partition(&Limits {
        silence_ms: 10_000,
        ..Limits::default()
    });
    let wire = Wire::connect(&mut a, &mut b, 1);
    for _ in 0..4 {
        a.take(wire.a).iter().for_each(|frame| b.receive(wire.b, frame));
        b.take(wire.b).iter().for_each(|frame| a.receive(wire.a, frame));
    }
    b.advance(1);
    let repairing = |host: &Host| host.node.stats().links[0].repairing;
    assert_eq!(repairing(&b), (1, 0));
    let ping = kernel::wire::peer::ping(Default::default());
    for _ in 0..11 {
        b.advance(1_000);
        b.receive(wire.b, &ping);
    }
    assert_eq!(repairing(&b), (0, 0));
    assert!(!b.node.stats().links[0].repaired.expect("it is over").whole);
}
