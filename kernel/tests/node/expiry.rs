//! Times to live: what has expired is not read, wherever it is asked for, and those who watch are told.

use kernel::crdt::Version;
use kernel::env::{ConnId, Limits};
use kernel::hlc::Stamp;
use kernel::machine::{Input, StorageError};
use kernel::node::NodeConfig;
use kernel::wire::ReadConsistency;
use kernel::wire::client::{self, Get};
use kernel::wire::op::{Ask, Op};
use kernel::wire::query::query_sub;
use kernel::wire::server::ServerMessage;

use crate::host::{CLIENT, Disk, Host, Wire, contents, owned_key, pair, put};
use crate::queries::{ask, said};

const WRITER: ConnId = ConnId(100);

fn write(host: &mut Host, op: Op<'_>) {
    host.receive(WRITER, &client::op(&op, Ask::default()));
    host.take(WRITER);
}

fn brief<'a>(key: &'a str, ms: u64, ttl_ms: u64) -> Op<'a> {
    let written = put("1", key, ms, &[7]);
    Op {
        version: Version {
            ttl_ms: Some(ttl_ms),
            ..written.version
        },
        ..written
    }
}

/// Whether a read of what is here finds something.
fn get(host: &mut Host, key: &str) -> bool {
    let get = Get {
        id: "g",
        map: "m",
        key: key.as_bytes(),
        consistency: ReadConsistency::Any,
    };
    host.receive(WRITER, &client::get_key(&get));
    let frames = host.take(WRITER);
    let frame = frames.last().expect("an answer");
    match ServerMessage::decode(frame, 64).expect("a message of the protocol") {
        ServerMessage::Value { found, .. } => found.is_some(),
        other => panic!("{other:?}"),
    }
}

fn host() -> Host {
    let mut host = Host::new("n");
    host.open(WRITER.0, CLIENT);
    host.take(WRITER);
    host
}

#[test]
fn a_value_is_read_until_its_time_and_a_restart_makes_no_difference() {
    let mut host = host();
    let start_ms = host.now.wall_ms;
    write(&mut host, brief("k", start_ms, 500));
    write(&mut host, put("2", "for ever", start_ms, &[1]));
    assert!(get(&mut host, "k"));
    assert!(get(&mut host, "for ever"));
    host.advance(499);
    assert!(get(&mut host, "k"));
    host.advance(1);
    assert!(!get(&mut host, "k"));
    assert!(get(&mut host, "for ever"));
    let now = host.now;
    let mut host = Host::boot(NodeConfig::new("n"), host.crash(), 9);
    host.now.wall_ms = now.wall_ms - 400;
    host.open(WRITER.0, CLIENT);
    assert!(!get(&mut host, "k"), "nor when the wall clock was put back");
    // An expired version still wins over what is older than it.
    write(&mut host, put("3", "k", start_ms - 1, &[1]));
    assert!(!get(&mut host, "k"));
    write(&mut host, put("4", "k", start_ms + 1, &[1]));
    assert!(get(&mut host, "k"));
}

#[test]
fn who_watches_is_told_when_a_value_expires() {
    let mut host = host();
    let start_ms = host.now.wall_ms;
    let watcher = host.open(1, CLIENT);
    host.take(watcher);
    host.receive(watcher, &query_sub("q", &ask("_key != zzz")));
    write(&mut host, brief("a", start_ms, 500));
    write(&mut host, brief("b", start_ms, 300));
    write(&mut host, brief("c", start_ms, 300));
    write(&mut host, put("1", "c", start_ms + 1, &[1]));
    assert_eq!(
        said(&mut host, watcher),
        ["q: ", "q: ENTER a", "q: ENTER b", "q: ENTER c", "q: UPDATE c"]
    );
    host.advance(299);
    assert!(said(&mut host, watcher).is_empty());
    // Nothing but the time makes the node step.
    host.advance(1);
    assert_eq!(said(&mut host, watcher), ["q: LEAVE b"]);
    host.advance(1_000);
    assert_eq!(said(&mut host, watcher), ["q: LEAVE a"]);
    host.receive(watcher, &query_sub("again", &ask("_key != zzz")));
    assert_eq!(said(&mut host, watcher), ["again: c"]);
}

#[test]
fn what_is_expired_when_it_comes_is_taken_and_never_shown() {
    let mut host = host();
    let start_ms = host.now.wall_ms;
    write(&mut host, put("1", "first", start_ms, &[1]));
    let watcher = host.open(1, CLIENT);
    host.receive(watcher, &query_sub("q", &ask("_key != zzz")));
    host.take(watcher);
    write(&mut host, brief("k", start_ms - 1_000, 500));
    assert!(said(&mut host, watcher).is_empty());
    assert!(!get(&mut host, "k"));
    assert_eq!(contents(&host).len(), 2, "it is a version like any other");
}

/// The wall clock jumps ahead by an hour and is put right: what has expired by it stays so, for as long as the node lives, when
/// its storage fails, and after a restart.
#[test]
fn what_has_expired_does_not_come_back() {
    let mut host = host();
    let start_ms = host.now.wall_ms;
    write(&mut host, brief("k", start_ms, 10_000));
    host.now.wall_ms = start_ms + 3_600_000;
    host.step(Input::Wake);
    assert!(!get(&mut host, "k"));
    host.now.wall_ms = start_ms + 100;
    assert!(!get(&mut host, "k"));
    host.hold = true;
    host.receive(WRITER, &client::op(&put("2", "other", start_ms, &[1]), Ask::default()));
    host.fail_held(StorageError::Io);
    host.hold = false;
    host.advance(2_000);
    host.open(WRITER.0 + 1, CLIENT);
    assert!(!get(&mut host, "k"), "after a failed commit");
    let mut host = Host::boot(NodeConfig::new("n"), host.crash(), 9);
    host.now.wall_ms = start_ms + 200;
    host.open(WRITER.0, CLIENT);
    assert!(!get(&mut host, "k"), "after a restart");
}

/// Nothing but the time has passed since the last write, longer than was reserved.
#[test]
fn a_node_that_has_nothing_to_do_reserves_time_for_what_expires() {
    let mut host = host();
    let start_ms = host.now.wall_ms;
    write(&mut host, brief("k", start_ms, 3_600_000));
    let entries = host.node.store().committed_number();
    host.advance(3_599_999);
    assert!(get(&mut host, "k"));
    assert_eq!(host.node.store().committed_number(), entries);
    host.advance(1);
    assert!(!get(&mut host, "k"));
    assert_eq!(
        host.node.store().committed_number(),
        entries + 1,
        "one bound, made durable"
    );
}

/// Replicas with different clocks hold the same and have the same digest, whether it has expired for them or not.
#[test]
fn replicas_agree_on_what_expires_when() {
    let (mut a, mut b) = pair(NodeConfig::new("a"), NodeConfig::new("b"));
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    b.open(WRITER.0, CLIENT);
    let start_ms = b.now.wall_ms;
    let key = owned_key(&b);
    write(&mut b, brief(&key, start_ms, 500));
    b.now.wall_ms += 2_000;
    wire.carry(&mut a, &mut b);
    a.open(WRITER.0, CLIENT);
    assert_eq!((get(&mut a, &key), get(&mut b, &key)), (true, false));
    assert_eq!(contents(&a), contents(&b));
    a.now.wall_ms += 2_000;
    assert!(!get(&mut a, &key));
}

/// The clock that a node tells its clients is never beyond what its disk knows, and is not behind it after a crash.
#[test]
fn clock_window_ms() {
    let config = |window_ms| NodeConfig {
        limits: Limits {
            clock_window_ms: window_ms,
            ..Limits::default()
        },
        ..NodeConfig::new("n")
    };
    let told = |host: &mut Host, conn: u64| -> Stamp {
        let conn = host.open(conn, CLIENT);
        let frames = host.take(conn);
        match ServerMessage::decode(&frames[0], 64).expect("a message of the protocol") {
            ServerMessage::AuthAck { clock } => clock.expect("a clock"),
            other => panic!("{other:?}"),
        }
    };
    let mut host = Host::boot(config(400), Disk::default(), 1);
    let start_ms = host.now.wall_ms;
    assert_eq!(
        told(&mut host, 1).millis(),
        start_ms,
        "with what is written at the boot"
    );
    host.open(WRITER.0, CLIENT);
    write(&mut host, put("1", "k", start_ms, &[1]));
    host.now.wall_ms += 300;
    assert_eq!(told(&mut host, 2).millis(), start_ms + 300);
    host.now.wall_ms += 300;
    let last = told(&mut host, 3);
    assert_eq!(last.millis(), start_ms + 400, "what follows is not reserved");
    let mut again = Host::boot(config(400), host.crash(), 2);
    again.now.wall_ms = start_ms / 2;
    assert!(told(&mut again, 4).time() >= last.time());
}

/// Time enters the cluster with an admitted stamp and in no other way: not with what a ping says.
#[test]
fn a_ping_lets_no_time_in() {
    let mut host = host();
    let start_ms = host.now.wall_ms;
    write(&mut host, put("1", "k", start_ms, &[1]));
    host.receive(WRITER, &client::ping(start_ms + 3_600_000));
    host.take(WRITER);
    write(&mut host, put("2", "k", start_ms + 1, &[2]));
    let conn = host.open(7, CLIENT);
    let frames = host.take(conn);
    let Ok(ServerMessage::AuthAck { clock: Some(clock) }) = ServerMessage::decode(&frames[0], 64) else {
        panic!("an open node greets with its clock");
    };
    assert!(clock.millis() <= start_ms + 1, "{}", clock.millis());
}
