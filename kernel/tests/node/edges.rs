//! Inputs at awkward moments.

use bytes::Bytes;
use kernel::crdt::{Record, Version};
use kernel::env::{ConnId, Limits, WriterId};
use kernel::hlc::{MAX_MILLIS, Stamp};
use kernel::machine::{Command, Fetched, Input, Machine, Output, Phase, StorageError};
use kernel::node::{Node, NodeConfig};
use kernel::store::{RecordKey, decode_entry};
use kernel::wire::op::Ask;
use kernel::wire::server::{Done, ServerMessage};
use kernel::wire::{ReadConsistency, client};

use crate::host::{CLIENT, Disk, EXCHANGE, Host, Wire, brings, contents, owned_key, pair, put};

fn write(host: &mut Host, conn: ConnId, id: &str, key: &str) {
    host.receive(conn, &client::op(&put(id, key, 5, &[1]), Ask::default()));
}

fn get(key: &str) -> Bytes {
    let get = client::Get {
        id: "r",
        map: "m",
        key: key.as_bytes(),
        consistency: ReadConsistency::default(),
    };
    client::get_key(&get)
}

pub fn limited(name: &str, limits: Limits) -> NodeConfig {
    NodeConfig {
        limits,
        ..NodeConfig::new(name)
    }
}

#[test]
fn a_read_on_another_connection_waits_for_what_it_shows() {
    let mut host = Host::new("n");
    let (writer, reader) = (host.open(1, CLIENT), host.open(2, CLIENT));
    host.take(reader);
    host.hold = true;
    write(&mut host, writer, "1", "k");
    host.receive(reader, &get("k"));
    // And so does the acknowledgement of a repeat: it says that the first one is safe.
    write(&mut host, reader, "1", "k");
    assert!(host.take(reader).is_empty());
    while host.commit_next() {}
    assert_eq!(host.take(reader).len(), 2);
}

#[test]
fn what_only_waited_its_turn_is_said_when_the_commit_fails() {
    let mut host = Host::new("n");
    let (conn, exchange) = (host.open(1, CLIENT), host.open(2, EXCHANGE));
    host.take(conn);
    host.hold = true;
    write(&mut host, conn, "1", "k");
    let long = "x".repeat(400);
    host.receive(conn, &client::ping(7));
    let batch = [put("4", "a", 5, &[1]), put("5", &long, 5, &[1])];
    host.receive(conn, &client::op_batch(&batch));
    host.receive(exchange, &client::sync_body("c", &batch));
    host.fail_held(StorageError::Io);
    let frames = host.take(conn);
    let said: Vec<_> = frames
        .iter()
        .map(|frame| match ServerMessage::decode(frame, 64).unwrap() {
            ServerMessage::OpRejected { id, code, .. } => format!("{id} {code}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(said, ["1 500", "Pong", "5 413", "4 500"]);
    let body = host.take(exchange);
    assert_eq!(body.len(), 1, "one answer");
    let text = String::from_utf8_lossy(&body[0]).into_owned();
    assert!(text.contains("in flight") && text.contains("over 383"), "{text}");
}

#[test]
fn bytes_held_for_a_failed_commit_are_given_back() {
    let limits = Limits {
        unsent_bytes: 300,
        frame_bytes: 300,
        ..Limits::default()
    };
    let mut host = Host::limited(limits);
    let conn = host.open(1, CLIENT);
    for round in 0..20u64 {
        host.hold = true;
        write(&mut host, conn, "1", &format!("k{round}"));
        host.fail_held(StorageError::Io);
        host.hold = false;
        host.step(Input::Wake);
        for frame in host.take(conn) {
            let bytes = frame.len() as u64;
            host.step(Input::Drained { conn, bytes });
        }
    }
    assert!(host.closed.is_empty());
    write(&mut host, conn, "1", "k");
    assert!(matches!(
        ServerMessage::decode(&host.take(conn)[0], 64),
        Ok(ServerMessage::OpAck { .. })
    ));
}

#[test]
fn draining_with_a_failing_apply_still_waits_for_the_commits_in_flight() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    host.hold = true;
    write(&mut host, conn, "1", "a");
    host.commit_next();
    host.step(Input::Wake);
    host.advance(1_000);
    let apply = host.held_applies.pop_front().expect("an apply after a second");
    write(&mut host, conn, "2", "b");
    host.take(conn);
    host.step(Input::Command(Command::Drain));
    let (ticket, result) = (apply.ticket, Err(StorageError::Io));
    host.step(Input::Applied { ticket, result });
    assert_ne!(host.phases.last(), Some(&Phase::Stopped));
    while host.commit_next() {}
    host.step(Input::Wake);
    assert_eq!(host.phases.last(), Some(&Phase::Stopped));
    assert_eq!(host.take(conn).len(), 1, "the write was acknowledged");
}

#[test]
fn recovery_waits_for_the_apply_in_flight() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    host.hold = true;
    write(&mut host, conn, "1", "a");
    host.commit_next();
    host.step(Input::Wake);
    host.advance(1_000);
    let apply = host.held_applies.pop_front().expect("an apply after a second");
    write(&mut host, conn, "2", "b");
    host.fail_held(StorageError::Io);
    let recoveries = |host: &Host| host.phases.iter().filter(|phase| **phase == Phase::Recovering).count();
    assert_eq!(recoveries(&host), 1, "only that of the boot");
    let (ticket, result) = (apply.ticket, Err(StorageError::Io));
    host.step(Input::Applied { ticket, result });
    assert_eq!(recoveries(&host), 2);
}

#[test]
fn a_failed_commit_cuts_the_links() {
    let (mut a, mut b) = pair(NodeConfig::new("a"), NodeConfig::new("b"));
    let client = a.open(100, CLIENT);
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    a.hold = true;
    let key = owned_key(&a);
    write(&mut a, client, "1", &key);
    a.fail_held(StorageError::Io);
    assert_eq!(a.closed, [wire.a]);
}

#[test]
fn a_failed_read_of_storage_is_tried_again() {
    let mut node = Node::new(NodeConfig::new("n"));
    let mut out = Output::default();
    let now = kernel::env::Now::default();
    node.step(now, Input::Boot { entropy: [1; 32] }, &mut out);
    let (ticket, _) = out.fetch[0];
    let mut out = Output::default();
    let result: Result<Fetched, _> = Err(StorageError::Io);
    node.step(now, Input::Fetched { ticket, result }, &mut out);
    let wake = out.wake.expect("it wants to try again");
    let mut out = Output::default();
    let later = kernel::env::Now { mono_us: wake, ..now };
    node.step(later, Input::Wake, &mut out);
    assert_eq!(out.fetch.len(), 1);
}

#[test]
fn the_clock_goes_on_after_a_restart_with_the_wall_clock_put_back() {
    let clock = |disk: &Disk| {
        let entry = disk.log.last_key_value().expect("an entry").1;
        decode_entry(entry).expect("an entry of this kernel").clock
    };
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    write(&mut host, conn, "1", "a");
    host.advance(2_000);
    for round in 0..2 {
        let before = clock(&host.disk);
        // Once with the clock in the records alone but for the last entry, once with it in the log.
        host = Host::boot(NodeConfig::new("n"), host.crash(), 50 + round);
        host.now.wall_ms = 10;
        let conn = host.open(1, CLIENT);
        let key = format!("b{round}");
        write(&mut host, conn, "1", &key);
        assert!(clock(&host.disk) > before);
    }
}

#[test]
fn a_stamp_at_the_end_of_time_leaves_a_disk_that_can_be_read() {
    let (mut a, mut b) = pair(NodeConfig::new("a"), NodeConfig::new("b"));
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    let key = RecordKey::new("m", b"k", &Limits::default()).unwrap();
    let last = Stamp::new(MAX_MILLIS, u16::MAX, WriterId::of("w")).unwrap();
    let record = Record::new(&Version::new(last, "w", Some(&[1])));
    for frame in brings(&key, &record) {
        b.receive(wire.b, &frame);
    }
    let client = b.open(100, CLIENT);
    let other = owned_key(&b);
    write(&mut b, client, "1", &other);
    let before = contents(&b);
    let b = Host::boot(NodeConfig::new("b"), b.crash(), 60);
    assert_eq!(contents(&b), before);
    assert_eq!(before.len(), 2);
}

#[test]
fn smaller_limits_do_not_make_a_healthy_disk_unreadable() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    write(&mut host, conn, "1", "a key of some length");
    let config = NodeConfig {
        limits: Limits {
            key_bytes: 4,
            value_bytes: 1,
            id_bytes: 1,
            ..Limits::default()
        },
        ..NodeConfig::new("n")
    };
    let again = Host::boot(config, host.crash(), 9);
    assert_eq!(contents(&again).len(), 1);
}

#[test]
fn a_record_beyond_a_peers_limits_does_not_stop_the_others() {
    let small = NodeConfig {
        limits: Limits {
            key_bytes: 4,
            ..Limits::default()
        },
        ..NodeConfig::new("b")
    };
    let (mut a, mut b) = pair(NodeConfig::new("a"), small);
    let client = a.open(100, CLIENT);
    write(&mut a, client, "1", "a long key");
    write(&mut a, client, "2", "k");
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    assert_eq!(contents(&b).len(), 1);
    assert!(a.closed.is_empty() && b.closed.is_empty());
}

#[test]
fn whoever_repeats_a_hello_is_dialled_again() {
    let joins = NodeConfig {
        join: vec!["other".into()],
        ..NodeConfig::new("a")
    };
    let mut a = Host::boot(joins, Disk::default(), 1);
    let (peer, addr) = a.dials.pop().unwrap();
    assert_eq!(addr, "other");
    let conn = ConnId(1);
    a.step(Input::Opened {
        conn,
        kind: crate::host::PEER,
        peer: Some(peer),
    });
    let hello = a.take(conn).remove(0);
    a.receive(conn, &hello);
    assert_eq!(a.closed, [conn]);
    a.advance(10_000);
    assert_eq!(a.dials.len(), 1);
}

#[test]
fn one_partition_of_many_chunks_is_reconciled() {
    let limits = Limits {
        chunk_bytes: 150,
        unsent_bytes: 1_000,
        // What they say about who is alive is not counted here.
        probe_ms: 60_000,
        ..Limits::default()
    };
    let (mut a, mut b) = pair(limited("a", limits.clone()), limited("b", limits));
    let (client_a, client_b) = (a.open(100, CLIENT), b.open(100, CLIENT));
    for n in 0..60 {
        let (host, conn) = if n % 3 == 0 {
            (&mut a, client_a)
        } else {
            (&mut b, client_b)
        };
        write(host, conn, "1", &format!("{{t}}{n:02}"));
        host.step(Input::Drained { conn, bytes: 1_000 });
    }
    let wire = Wire::connect(&mut a, &mut b, 1);
    let mut frames = wire.carry(&mut a, &mut b);
    for _ in 0..40 {
        a.advance(1_000);
        b.advance(1_000);
        frames += wire.carry(&mut a, &mut b);
    }
    assert_eq!(contents(&a).len(), 60);
    assert_eq!(contents(&a), contents(&b));
    assert!(frames < 400, "{frames} frames");
}

#[test]
fn what_was_in_a_damaged_frame_is_not_acknowledged_with_what_follows() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    host.take(conn);
    let frame = |id| client::op(&put(id, "k", 1_000, &[1]), Ask::default());
    let mut damaged = frame("5").to_vec();
    damaged[0] = 0xc1;
    host.receive(conn, &damaged);
    host.receive(conn, &frame("6"));
    let said = host.take(conn);
    let ack = ServerMessage::decode(&said[1], 64);
    let achieved = "PERSISTED";
    let beyond = vec![Done { id: "6", achieved }];
    assert_eq!(
        ack,
        Ok(ServerMessage::OpAck {
            last_id: "0",
            beyond,
            achieved
        })
    );
}
