//! Queries, once and live.

use kernel::env::{ConnId, Limits, Mutants};
use kernel::machine::{ConnKind, Input, StorageError};
use kernel::node::NodeConfig;
use kernel::query::{ChangeType, Predicate, Query};
use kernel::wire::client;
use kernel::wire::op::{Ask, Op};
use kernel::wire::query::{query_once, query_sub, query_unsub};
use kernel::wire::server::ServerMessage;

use crate::host::{CLIENT, Disk, EXCHANGE, Host, delete, put};

pub fn ask(filter: &str) -> Query {
    Query {
        predicate: Predicate::parse(filter, &Limits::default()).expect("a filter"),
        ..Query::of("m")
    }
}

/// What was said on `conn`, a word or two for each frame.
pub fn said(host: &mut Host, conn: ConnId) -> Vec<String> {
    let frames = host.take(conn);
    let said = frames.iter().map(
        |frame| match ServerMessage::decode(frame, 64).expect("a message of the protocol") {
            ServerMessage::QueryResp { id, results } => {
                let keys = results
                    .rows()
                    .map(|row| String::from_utf8_lossy(row.expect("a row").0).into_owned());
                format!("{id}: {}", keys.collect::<Vec<_>>().join(" "))
            }
            ServerMessage::QueryUpdate(update) => {
                let key = String::from_utf8_lossy(update.key).into_owned();
                let gone = update.value.is_none_or(|value| value == [0xc0]);
                assert_eq!(gone, update.change == ChangeType::Leave);
                format!("{}: {} {key}", update.id, update.change.word())
            }
            ServerMessage::OpAck { .. } => "ack".into(),
            ServerMessage::Error { code, request, .. } => format!("{request}: {code}"),
            ServerMessage::OpRejected { code, .. } => code.to_string(),
            other => panic!("{other:?}"),
        },
    );
    said.collect()
}

fn write(host: &mut Host, op: Op<'_>) {
    host.receive(ConnId(100), &client::op(&op, Ask::default()));
}

fn node() -> (Host, ConnId) {
    let mut host = Host::new("n");
    host.open(100, CLIENT);
    let watcher = host.open(1, CLIENT);
    host.take(watcher);
    (host, watcher)
}

#[test]
fn a_query_is_answered_and_then_live() {
    let (mut host, watcher) = node();
    write(&mut host, put("1", "a", 5, &[1]));
    write(&mut host, put("1", "b", 5, &[9]));
    host.receive(watcher, &query_sub("q", &ask("_key != zzz")));
    assert_eq!(said(&mut host, watcher), ["q: a b"]);
    write(&mut host, put("1", "c", 5, &[1]));
    write(&mut host, put("1", "a", 6, &[2]));
    write(&mut host, delete("1", "b", 7));
    write(&mut host, put("1", "b", 6, &[2]));
    assert_eq!(said(&mut host, watcher), ["q: ENTER c", "q: UPDATE a", "q: LEAVE b"]);
    host.receive(watcher, &query_unsub("q"));
    write(&mut host, put("1", "d", 5, &[1]));
    assert!(said(&mut host, watcher).is_empty());
}

/// A batch is one change: what would have moved up in the middle of it, and is gone at its end, was never there.
#[test]
fn a_batch_is_told_of_as_a_whole() {
    let (mut host, watcher) = node();
    for key in ["a", "b", "c", "d"] {
        write(&mut host, put("1", key, 5, &[1]));
    }
    let first = Query {
        limit: Some(1),
        ..ask("_key != zzz")
    };
    host.receive(watcher, &query_sub("q", &first));
    let batch = [
        delete("1", "a", 6),
        delete("2", "b", 6),
        put("3", "c", 6, &[2]),
        put("4", "d", 6, &[3]),
    ];
    host.receive(ConnId(100), &client::op_batch(&batch));
    assert_eq!(said(&mut host, watcher), ["q: a", "q: LEAVE a", "q: ENTER c"]);
    let batch = [put("1", "c", 7, &[1]), put("2", "c", 8, &[2]), put("3", "x", 8, &[2])];
    host.receive(ConnId(100), &client::op_batch(&batch));
    assert_eq!(said(&mut host, watcher), ["q: UPDATE c"]);
}

#[test]
fn nothing_is_told_before_it_is_durable() {
    let (mut host, watcher) = node();
    host.receive(watcher, &query_sub("q", &ask("_key != zzz")));
    host.take(watcher);
    host.hold = true;
    write(&mut host, put("1", "a", 5, &[1]));
    host.receive(watcher, &query_sub("late", &ask("_key = a")));
    assert!(host.take(watcher).is_empty());
    while host.commit_next() {}
    assert_eq!(said(&mut host, watcher), ["q: ENTER a", "late: a"]);
}

#[test]
fn after_a_failed_commit_the_answer_is_told_anew() {
    let (mut host, watcher) = node();
    write(&mut host, put("1", "kept", 5, &[1]));
    host.receive(watcher, &query_sub("q", &ask("_key != zzz")));
    host.take(watcher);
    host.hold = true;
    write(&mut host, put("1", "lost", 5, &[1]));
    host.fail_held(StorageError::Io);
    host.hold = false;
    host.step(Input::Wake);
    assert_eq!(said(&mut host, watcher), ["q: kept"]);
    write(&mut host, put("1", "next", 5, &[1]));
    assert_eq!(said(&mut host, watcher), ["q: ENTER next"]);
}

/// A query whose first answer waits for the commit that fails: an error and then an answer would be two.
#[test]
fn a_query_is_answered_once_though_its_commit_failed() {
    let (mut host, watcher) = node();
    host.hold = true;
    write(&mut host, put("1", "lost", 5, &[1]));
    host.receive(watcher, &query_sub("q", &ask("_key != zzz")));
    host.receive(watcher, &query_once("once", &ask("_key != zzz")));
    host.fail_held(StorageError::Io);
    host.hold = false;
    host.step(Input::Wake);
    assert_eq!(said(&mut host, watcher), ["once: 503", "q: "]);
}

/// What one who watches 30 keys and does not read is told once it does.
fn told_late(mutants: Mutants) -> Option<String> {
    let limits = Limits {
        unsent_bytes: 400,
        ..Limits::default()
    };
    let config = NodeConfig {
        limits,
        mutants,
        ..NodeConfig::new("n")
    };
    let mut host = Host::boot(config, Disk::default(), 1);
    host.open(100, CLIENT);
    let watcher = host.open(1, CLIENT);
    host.receive(watcher, &query_sub("q", &ask("_key != zzz")));
    let mut given = 0;
    for n in 0..30 {
        write(&mut host, put("1", &format!("k{n:02}"), 5, &[1]));
        let conn = ConnId(100);
        let bytes = host.take(conn).iter().map(|frame| frame.len() as u64).sum();
        host.step(Input::Drained { conn, bytes });
    }
    for frame in host.take(watcher) {
        given += frame.len() as u64;
    }
    assert!(given < 1_000, "{given} bytes for one that does not read");
    host.step(Input::Drained {
        conn: watcher,
        bytes: given,
    });
    said(&mut host, watcher).pop()
}

#[test]
fn who_does_not_read_is_told_anew_once_it_does() {
    let last = told_late(Mutants::default()).expect("a new answer");
    assert_eq!(last.split(' ').count(), 31, "{last}");
    #[cfg(feature = "testing")]
    assert_eq!(told_late(Mutants::only(kernel::env::Mutant::SlowWatcherSkipped)), None);
}

#[test]
fn what_cannot_be_answered_is_refused_by_name() {
    let limits = Limits {
        subscriptions: 1,
        ..Limits::default()
    };
    let mut host = Host::limited(limits);
    let conn = host.open(1, CLIENT);
    host.take(conn);
    host.receive(conn, &query_sub("q", &ask("a = 1")));
    host.receive(conn, &query_sub("q", &ask("a = 2")));
    assert_eq!(said(&mut host, conn), ["q: ", "q: "], "the same name replaces");
    host.receive(conn, &query_sub("r", &ask("a = 1")));
    assert_eq!(said(&mut host, conn), ["r: 413"]);
    let exchange = host.open(2, EXCHANGE);
    host.receive(exchange, &query_sub("once", &ask("a = 1")));
    assert_eq!(said(&mut host, exchange), ["once: "]);
}

#[test]
fn a_query_that_is_asked_once_is_answered_and_forgotten() {
    // Of more records than a live query may remember, the first can be had.
    let limits = Limits {
        query_rows: 2,
        subscriptions: 0,
        ..Limits::default()
    };
    let mut host = Host::limited(limits);
    host.open(100, CLIENT);
    let conn = host.open(1, CLIENT);
    host.take(conn);
    for key in ["a", "b", "c"] {
        write(&mut host, put("1", key, 5, &[1]));
    }
    let first = Query {
        limit: Some(2),
        ..ask("_key != zzz")
    };
    host.receive(conn, &query_once("q", &first));
    assert_eq!(said(&mut host, conn), ["q: a b"]);
    write(&mut host, put("2", "a", 6, &[2]));
    assert_eq!(said(&mut host, conn), [""; 0]);
}

#[test]
fn what_a_peer_brings_is_told_too() {
    let (mut a, mut b) = crate::host::pair(NodeConfig::new("a"), NodeConfig::new("b"));
    let watcher = b.open(1, CLIENT);
    let wire = crate::host::Wire::connect(&mut a, &mut b, 7);
    wire.carry(&mut a, &mut b);
    b.take(watcher);
    b.receive(watcher, &query_sub("q", &ask("_key != zzz")));
    wire.carry(&mut a, &mut b);
    assert_eq!(said(&mut b, watcher), ["q: "]);
    a.open(100, CLIENT);
    write(&mut a, put("1", "k", 5, &[1]));
    wire.carry(&mut a, &mut b);
    assert_eq!(said(&mut b, watcher), ["q: ENTER k"]);
}

#[test]
fn a_connection_is_not_given_more_than_it_carries() {
    let (mut host, _) = node();
    let narrow = host.open(
        2,
        ConnKind {
            frame_bytes: 200,
            ..CLIENT
        },
    );
    host.take(narrow);
    let value = |len: u8| [&[0xc4, len][..], &vec![0; len.into()]].concat();
    write(&mut host, put("1", "a", 1_000, &value(60)));
    host.receive(narrow, &query_sub("q", &Query::of("m")));
    assert_eq!(said(&mut host, narrow), ["q: a"]);
    write(&mut host, put("2", "b", 1_000, &value(150)));
    assert_eq!(said(&mut host, narrow), ["q: 413"], "an update too long ends the query");
    host.receive(narrow, &query_sub("q", &Query::of("m")));
    assert_eq!(said(&mut host, narrow), ["q: 413"], "an answer too long is refused");
    write(&mut host, delete("3", "b", 2_000));
    assert_eq!(said(&mut host, narrow), [""; 0], "and there is no such query");
}
