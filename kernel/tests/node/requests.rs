//! What a client sees.

use kernel::env::Limits;
use kernel::machine::{ConnKind, Phase};
use kernel::node::NodeConfig;
use kernel::session::Secret;
use kernel::wire::client;
use kernel::wire::op::{Ask, Op};
use kernel::wire::server::{Done, ServerMessage};
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::{CLIENT, Disk, EXCHANGE, Host, delete, put};

fn decode(frame: &[u8]) -> ServerMessage<'_> {
    ServerMessage::decode(frame, 64).expect("a message of the protocol")
}

/// A write that is named by an acknowledgement.
fn done(id: &str) -> Done<'_> {
    let achieved = "PERSISTED";
    Done { id, achieved }
}

fn get(host: &mut Host, conn: kernel::env::ConnId, key: &str) -> Option<Vec<u8>> {
    let get = client::Get {
        id: "r",
        map: "m",
        key: key.as_bytes(),
        consistency: ReadConsistency::default(),
    };
    host.receive(conn, &client::get_key(&get));
    let frames = host.take(conn);
    match decode(&frames[0]) {
        ServerMessage::Value { id: "r", found, .. } => found.map(|(value, _)| value.to_vec()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_open_node_says_so_and_serves() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    let hello = host.take(conn);
    assert!(matches!(decode(&hello[0]), ServerMessage::AuthAck { clock: Some(_) }));

    host.receive(conn, &client::op(&put("1", "k", 5, &[7]), Ask::default()));
    let frames = host.take(conn);
    assert_eq!(
        decode(&frames[0]),
        ServerMessage::OpAck {
            last_id: "1",
            beyond: vec![],
            achieved: "PERSISTED"
        }
    );
    assert_eq!(get(&mut host, conn, "k"), Some(vec![7]));

    host.receive(conn, &client::op(&delete("2", "k", 6), Ask::default()));
    host.take(conn);
    assert_eq!(get(&mut host, conn, "k"), None);
    host.receive(conn, &client::op(&put("3", "k", 5, &[7]), Ask::default()));
    host.take(conn);
    assert_eq!(get(&mut host, conn, "k"), None, "an older write does not come back");
}

#[test]
fn an_acknowledgement_never_covers_what_may_yet_be_taken() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    host.take(conn);
    let long = "x".repeat(400);
    let ahead = host.now.wall_ms + 70_000;
    let ack = |last_id, beyond: Vec<_>| ServerMessage::OpAck {
        last_id,
        beyond: beyond.into_iter().map(done).collect(),
        achieved: "PERSISTED",
    };

    // What can never be taken is done with: the client need not keep it.
    let ops = [put("1", "a", 5, &[1]), put("2", &long, 5, &[1]), put("3", "c", 5, &[1])];
    host.receive(conn, &client::op_batch(&ops));
    let frames = host.take(conn);
    assert!(matches!(
        decode(&frames[0]),
        ServerMessage::OpRejected { id: "2", code: 413, .. }
    ));
    assert_eq!(decode(&frames[1]), ack("3", vec![]));
    host.receive(conn, &client::op_batch(&ops[1..2]));
    assert_eq!(host.take(conn).len(), 1, "nothing was done, nothing is acknowledged");

    // What may yet be taken leaves a gap, for as long as the connection lasts.
    let ops = [
        put("4", "a", 6, &[1]),
        put("5", "b", ahead, &[1]),
        put("6", "c", 6, &[1]),
    ];
    host.receive(conn, &client::op_batch(&ops));
    assert_eq!(decode(&host.take(conn)[1]), ack("4", vec!["6"]));
    host.receive(conn, &client::op_batch(&[put("7", "a", 7, &[1])]));
    assert_eq!(decode(&host.take(conn)[0]), ack("0", vec!["7"]));

    // Ids that are no numbers would be taken for everything.
    let other = host.open(2, CLIENT);
    host.take(other);
    host.receive(other, &client::op_batch(&[put("x", "a", 8, &[1])]));
    assert_eq!(decode(&host.take(other)[0]), ack("0", vec!["x"]));
}

#[test]
fn without_order_an_acknowledgement_covers_only_what_it_names() {
    let mut host = Host::new("n");
    let datagrams = ConnKind {
        ordered: false,
        ..CLIENT
    };
    let conn = host.open(1, datagrams);
    host.take(conn);
    let long = "x".repeat(400);
    let ops = [put("1", &long, 5, &[1]), put("2", "b", 5, &[1]), put("3", "c", 5, &[1])];
    host.receive(conn, &client::op_batch(&ops));
    let frames = host.take(conn);
    assert!(matches!(
        decode(&frames[0]),
        ServerMessage::OpRejected { id: "1", code: 413, .. }
    ));
    let ack = ServerMessage::OpAck {
        last_id: "0",
        beyond: ["2", "3"].map(done).into(),
        achieved: "PERSISTED",
    };
    assert_eq!(decode(&frames[1]), ack, "it may be heard before the refusal is");
}

#[test]
fn who_follows_this_nodes_clock_is_not_ahead() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    host.now.wall_ms += 600_000;
    let ahead = host.now.wall_ms;
    host.receive(conn, &client::op(&put("1", "k", ahead, &[1]), Ask::default()));
    host.now.wall_ms -= 600_000;
    host.take(conn);
    host.receive(conn, &client::op(&put("2", "k", ahead, &[2]), Ask::default()));
    assert!(matches!(decode(&host.take(conn)[0]), ServerMessage::OpAck { .. }));
    host.receive(conn, &client::op(&put("3", "k", ahead + 1_000, &[2]), Ask::default()));
    assert!(matches!(
        decode(&host.take(conn)[0]),
        ServerMessage::OpRejected { code: 409, .. }
    ));
}

#[test]
fn a_secret_is_asked_for() {
    let config = NodeConfig {
        secret: Some(Secret::new(b"open sesame")),
        ..NodeConfig::new("n")
    };
    let mut host = Host::boot(config, Disk::default(), 1);
    let conn = host.open(1, CLIENT);
    assert_eq!(decode(&host.take(conn)[0]), ServerMessage::AuthRequired);
    host.receive(conn, &client::op(&put("1", "k", 5, &[7]), Ask::default()));
    assert!(matches!(
        decode(&host.take(conn)[0]),
        ServerMessage::Error { code: 401, .. }
    ));
    host.receive(conn, &client::auth("open sesame"));
    assert!(matches!(decode(&host.take(conn)[0]), ServerMessage::AuthAck { .. }));
    host.receive(conn, &client::op(&put("1", "k", 5, &[7]), Ask::default()));
    assert!(matches!(decode(&host.take(conn)[0]), ServerMessage::OpAck { .. }));

    let wrong = host.open(2, CLIENT);
    host.take(wrong);
    host.receive(wrong, &client::auth("open barley"));
    assert!(matches!(decode(&host.take(wrong)[0]), ServerMessage::AuthFail { .. }));
    assert_eq!(host.closed, [wrong]);

    let silent = host.open(3, CLIENT);
    host.advance(Limits::default().silence_ms);
    assert_eq!(host.closed, [wrong, silent]);

    let exchange = host.open(4, EXCHANGE);
    assert!(host.take(exchange).is_empty());
    host.receive(exchange, &client::auth("wrong"));
    host.receive(exchange, &client::sync_body("c", &[put("1", "x", 5, &[7])]));
    let frames = host.take(exchange);
    assert_eq!(frames.len(), 1, "one answer");
    assert!(matches!(decode(&frames[0]), ServerMessage::AuthFail { .. }));
}

#[test]
fn an_exchange_gets_one_answer() {
    let mut host = Host::new("n");
    let conn = host.open(1, EXCHANGE);
    let long = "x".repeat(400);
    host.receive(
        conn,
        &client::sync_body("c", &[put("1", "a", 5, &[1]), put("2", &long, 5, &[1])]),
    );
    let frames = host.take(conn);
    assert_eq!(frames.len(), 1);
    let text = String::from_utf8_lossy(&frames[0]).into_owned();
    for word in ["serverHlc", "lastId", "results", "errors", "PERSISTED"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn what_nobody_can_do_is_refused_by_name() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    host.take(conn);
    let mut refused = |frame: &[u8], code: u64, word: &str| {
        host.receive(conn, frame);
        let frames = host.take(conn);
        match decode(&frames[0]) {
            ServerMessage::OpRejected { code: c, reason, .. } | ServerMessage::Error { code: c, reason, .. } => {
                assert!(c == code && reason.contains(word), "{c} {reason}");
            }
            other => panic!("{other:?}"),
        }
    };
    refused(
        &client::op(&put("1", "k", 1_060_001, &[1]), Ask::default()),
        409,
        "60001 ms ahead",
    );
    refused(&client::op(&put("1", "k", 5, &[0xc1]), Ask::default()), 400, "0xc1");
    refused(b"\x81\xa4type\xa4WHAT", 404, "type");
    refused(b"\x80", 400, "type");
    refused(b"\xc1", 400, "0xc1");
    refused(b"\x82\xa4type\xa4PING\xa9timestamp\xff", 400, "timestamp");
    refused(b"", 400, "end");
}

/// Alone it is the whole of each partition's replicas, and says so.
#[test]
fn a_node_alone_is_its_own_quorum() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    host.take(conn);
    for consistency in [Consistency::Quorum, Consistency::Strong] {
        let op = Op {
            consistency,
            ..put("1", "k", 5, &[1])
        };
        host.receive(conn, &client::op(&op, Ask::default()));
        assert!(matches!(
            decode(&host.take(conn)[0]),
            ServerMessage::OpAck {
                achieved: "REPLICATED",
                ..
            }
        ));
    }
    let get = client::Get {
        id: "r",
        map: "m",
        key: b"k",
        consistency: ReadConsistency::Quorum,
    };
    host.receive(conn, &client::get_key(&get));
    assert!(matches!(
        decode(&host.take(conn)[0]),
        ServerMessage::Value { found: Some(_), .. }
    ));
}

#[test]
fn before_it_belongs_to_a_cluster_it_serves_nothing_but_its_status() {
    let config = NodeConfig {
        join: vec!["other".into()],
        ..NodeConfig::new("n")
    };
    let mut host = Host::boot(config, Disk::default(), 1);
    assert_eq!(host.phases, [Phase::Recovering, Phase::Joining]);
    let conn = host.open(1, CLIENT);
    host.take(conn);
    let get = client::Get {
        id: "r",
        map: "m",
        key: b"k",
        consistency: ReadConsistency::Any,
    };
    for frame in [
        client::op(&put("1", "k", 5, &[7]), Ask::default()),
        client::get_key(&get),
    ] {
        host.receive(conn, &frame);
        let frames = host.take(conn);
        match decode(&frames[0]) {
            ServerMessage::OpRejected { code, .. } | ServerMessage::Error { code, .. } => assert_eq!(code, 421),
            other => panic!("{other:?}"),
        }
    }
    host.receive(conn, &client::status());
    assert!(matches!(decode(&host.take(conn)[0]), ServerMessage::Status { .. }));
}
