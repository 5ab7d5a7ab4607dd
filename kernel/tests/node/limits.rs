//! Each limit, reached from outside.

use kernel::crdt::Version;
use kernel::env::{ConnId, Limits, WriterId};
use kernel::hlc::Stamp;
use kernel::node::NodeConfig;
use kernel::session::Secret;
use kernel::wire::ReadConsistency;
use kernel::wire::client;
use kernel::wire::op::{Ask, Op};
use kernel::wire::peer::{self, PeerMessage};
use kernel::wire::server::ServerMessage;

use crate::host::{CLIENT, Disk, Host, Wire, put};

/// The code and the reason that the last frame on `conn` refuses with.
fn refusal(host: &mut Host, conn: ConnId) -> (u64, String) {
    let frames = host.take(conn);
    match ServerMessage::decode(frames.last().expect("an answer"), 64).expect("a message of the protocol") {
        ServerMessage::Error { code, reason, .. } | ServerMessage::OpRejected { code, reason, .. } => {
            (code, reason.to_string())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn frame_bytes() {
    let mut host = Host::limited(Limits {
        frame_bytes: 100,
        ..Limits::default()
    });
    let conn = host.open(1, CLIENT);
    host.receive(conn, &[0; 101]);
    assert_eq!(
        refusal(&mut host, conn),
        (413, "the frame has 101 bytes, over 100".into())
    );
}

#[test]
fn unauthenticated_frame_bytes() {
    let config = NodeConfig {
        secret: Some(Secret::new(b"s")),
        limits: Limits {
            unauthenticated_frame_bytes: 50,
            ..Limits::default()
        },
        ..NodeConfig::new("n")
    };
    let mut host = Host::boot(config, Disk::default(), 1);
    let conn = host.open(1, CLIENT);
    host.receive(conn, &[0; 51]);
    assert_eq!(refusal(&mut host, conn).0, 413);
    host.receive(conn, &client::auth("s"));
    host.receive(conn, &[0; 51]);
    assert_eq!(
        refusal(&mut host, conn).0,
        400,
        "now it is read, and found to make no sense"
    );
}

#[test]
fn depth() {
    let mut host = Host::limited(Limits {
        depth: 6,
        ..Limits::default()
    });
    let conn = host.open(1, CLIENT);
    let mut write = |value: &[u8]| {
        host.receive(conn, &client::op(&put("1", "k", 5, value), Ask::default()));
        host.take(conn).pop().expect("an answer")
    };
    let flat = write(&[0x91, 0x01]);
    assert!(matches!(
        ServerMessage::decode(&flat, 64),
        Ok(ServerMessage::OpAck { .. })
    ));
    let deep = write(&[0x91, 0x91, 0x91, 0x91, 0x01]);
    assert!(matches!(
        ServerMessage::decode(&deep, 64),
        Ok(ServerMessage::Error { code: 413, .. })
    ));
}

#[test]
fn value_bytes_and_id_bytes_and_drift_ms() {
    let mut host = Host::limited(Limits {
        value_bytes: 4,
        id_bytes: 8,
        max_drift_ms: 10,
        ..Limits::default()
    });
    let conn = host.open(1, CLIENT);
    let wall_ms = host.now.wall_ms;
    let mut refused = |op: Op<'_>, word: &str| {
        host.receive(conn, &client::op(&op, Ask::default()));
        let (_, reason) = refusal(&mut host, conn);
        assert!(reason.contains(word), "{reason}");
    };
    refused(
        put("1", "k", 5, &[0xa4, b'a', b'b', b'c', b'd']),
        "the value has 5 bytes, over 4",
    );
    refused(put("123456789", "k", 5, &[1]), "the operation's id is over 8");
    let named = |writer| Op {
        version: Version::new(
            Stamp::new(5, 0, WriterId::of(writer)).expect("in range"),
            writer,
            Some(&[1]),
        ),
        ..put("1", "k", 5, &[1])
    };
    refused(named("123456789"), "timestamp.nodeId");
    refused(named(""), "timestamp.nodeId");
    refused(put("1", "k", wall_ms + 11, &[1]), "11 ms ahead");
    let on_time = put("1", "k", wall_ms + 10, &[1]);
    host.receive(conn, &client::op(&on_time, Ask::default()));
    let frames = host.take(conn);
    assert!(matches!(
        ServerMessage::decode(&frames[0], 64),
        Ok(ServerMessage::OpAck { .. })
    ));
}

#[test]
fn batch_ops() {
    let mut host = Host::limited(Limits {
        batch_ops: 2,
        ..Limits::default()
    });
    let conn = host.open(1, CLIENT);
    let op = put("1", "k", 5, &[1]);
    host.receive(conn, &client::op_batch(&[op, op, op]));
    assert_eq!(refusal(&mut host, conn).0, 413);
    assert!(host.node.store().is_empty(), "nothing of it was done");
}

#[test]
fn connections() {
    let mut host = Host::limited(Limits {
        connections: 1,
        ..Limits::default()
    });
    host.open(1, CLIENT);
    let second = host.open(2, CLIENT);
    assert_eq!(refusal(&mut host, second).0, 503);
    assert_eq!(host.closed, [second]);
    host.step(kernel::machine::Input::Closed { conn: ConnId(1) });
    host.open(3, CLIENT);
    assert_eq!(host.closed, [second]);
}

#[test]
fn unsent_bytes() {
    let mut host = Host::limited(Limits {
        unsent_bytes: 1_000,
        frame_bytes: 1_000,
        ..Limits::default()
    });
    let conn = host.open(1, CLIENT);
    let mut pings = 0;
    while host.closed.is_empty() {
        host.receive(conn, &client::ping(7));
        pings += 1;
        assert!(pings < 1_000, "a client that never reads is closed in the end");
    }
    let answers = host.take(conn);
    let refused = answers.iter().filter(|frame| {
        matches!(
            ServerMessage::decode(frame, 64),
            Ok(ServerMessage::Error { code: 429, .. })
        )
    });
    assert!(refused.count() > 0, "and told before");
    assert!(answers.iter().map(|frame| frame.len()).sum::<usize>() <= 3_000);
}

#[test]
fn apply_bytes_and_apply_delay_ms() {
    let write = |host: &mut Host| {
        let conn = host.open(1, CLIENT);
        host.receive(conn, &client::op(&put("1", "k", 5, &[1]), Ask::default()));
    };
    let mut host = Host::limited(Limits {
        apply_delay_ms: 70,
        ..Limits::default()
    });
    write(&mut host);
    host.advance(69);
    assert_eq!(host.disk.applied, 0);
    host.advance(1);
    assert_eq!(host.disk.applied, host.node.store().committed_number());
    let mut host = Host::limited(Limits {
        apply_bytes: 1,
        ..Limits::default()
    });
    write(&mut host);
    assert_eq!(host.disk.applied, host.node.store().committed_number());
}

#[test]
fn redial_ms_and_heartbeat_ms_and_silence_ms_and_anti_entropy_ms() {
    let limits = Limits {
        redial_ms: (10, 40),
        heartbeat_ms: 100,
        silence_ms: 1_000,
        anti_entropy_ms: 500,
        ..Limits::default()
    };
    let config = NodeConfig {
        join: vec!["b".into()],
        limits,
        ..NodeConfig::new("a")
    };
    let mut a = Host::boot(config, Disk::default(), 1);
    let mut b = Host::new("b");
    let mut failures = 0;
    for _ in 0..100 {
        if let Some((peer, _)) = a.dials.pop() {
            failures += 1;
            a.step(kernel::machine::Input::DialFailed {
                peer,
                reason: "refused",
            });
        }
        a.advance(10);
    }
    assert!(
        (25..60).contains(&failures),
        "{failures} dials in a second, 20 to 40 ms apart"
    );

    while a.dials.is_empty() {
        a.advance(10);
    }
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.join(&mut a, &mut b);
    let sent = |host: &mut Host, ms| {
        host.advance(ms);
        let frames = host.take(wire.a);
        let count = |wanted: fn(&PeerMessage<'_>) -> bool| {
            let frames = frames
                .iter()
                .map(|frame| PeerMessage::decode(frame).expect("a message of the protocol"));
            frames.filter(wanted).count()
        };
        let beats = count(|message| matches!(message, PeerMessage::Ping(_)));
        (beats, count(|message| matches!(message, PeerMessage::Digests { .. })))
    };
    // From the moment of a heartbeat on, at which it is heard of as well.
    while sent(&mut a, 1).0 == 0 {}
    b.receive(wire.b, &peer::ping(Default::default()));
    b.take(wire.b).iter().for_each(|frame| a.receive(wire.a, frame));
    let steps = [sent(&mut a, 99), sent(&mut a, 1), sent(&mut a, 400)];
    assert_eq!(steps.map(|(beats, _)| beats), [0, 1, 4]);
    let rounds: usize = steps.iter().map(|(_, rounds)| rounds).sum();
    assert_eq!(rounds, 1, "in half a second");
    a.advance(499);
    assert!(a.closed.is_empty());
    a.advance(1);
    assert_eq!(a.closed, [wire.a], "a second of silence");
}

#[test]
fn unsent_total_bytes() {
    let mut host = Host::limited(Limits {
        unsent_total_bytes: 300_000,
        ..Limits::default()
    });
    let value = [&[0xc5, 0x40, 0][..], &[7; 0x4000]].concat();
    let reader = host.open(1, CLIENT);
    host.receive(reader, &client::op(&put("1", "k", 5, &value), Ask::default()));
    let get = client::Get {
        id: "r",
        map: "m",
        key: b"k",
        consistency: ReadConsistency::default(),
    };
    for conn in 2..30 {
        let conn = host.open(conn, CLIENT);
        for _ in 0..5 {
            host.receive(conn, &client::get_key(&get));
        }
    }
    assert!(!host.closed.is_empty(), "those who do not read are closed");
    let held: usize = host.received.values().flatten().map(|frame| frame.len()).sum();
    assert!(held < 28 * 5 * 0x4000, "{held}");
    host.take(reader);
    host.receive(reader, &client::ping(1));
    assert_eq!(host.take(reader).len(), 1, "one who reads is not");
}
