//! Commits, failures of them, recovery, and the end.

use kernel::env::Limits;
use kernel::machine::{Command, Input, Phase, StorageError};
use kernel::node::NodeConfig;
use kernel::wire::ReadConsistency;
use kernel::wire::client;
use kernel::wire::op::Ask;
use kernel::wire::server::ServerMessage;

use crate::host::{CLIENT, Disk, Host, contents, delete, put};

fn write(host: &mut Host, conn: kernel::env::ConnId, id: &str, key: &str, value: u8) {
    host.receive(conn, &client::op(&put(id, key, 5, &[value]), Ask::default()));
}

#[test]
fn nothing_is_said_before_it_is_durable_and_order_holds() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    host.take(conn);
    host.hold = true;
    write(&mut host, conn, "1", "k", 7);
    let get = client::Get {
        id: "r",
        map: "m",
        key: b"k",
        consistency: ReadConsistency::default(),
    };
    host.receive(conn, &client::get_key(&get));
    host.receive(conn, &client::ping(3));
    let other = host.open(2, CLIENT);
    host.receive(other, &client::ping(3));
    assert_eq!(host.take(conn).len(), 0);
    assert_eq!(host.take(other).len(), 2, "others do not wait");
    while host.commit_next() {}
    let frames = host.take(conn);
    let kinds: Vec<_> = frames.iter().map(|f| ServerMessage::decode(f, 64).unwrap()).collect();
    assert!(matches!(
        kinds[..],
        [
            ServerMessage::OpAck { .. },
            ServerMessage::Value { found: Some(_), .. },
            ServerMessage::Pong
        ]
    ));
}

#[test]
fn a_failed_commit_answers_everything_in_flight_and_the_node_recovers() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    write(&mut host, conn, "0", "kept", 1);
    let log_entries = host.node.store().committed_number();
    host.take(conn);
    host.hold = true;
    write(&mut host, conn, "1", "a", 7);
    write(&mut host, conn, "2", "b", 7);
    let get = client::Get {
        id: "r",
        map: "m",
        key: b"a",
        consistency: ReadConsistency::default(),
    };
    host.receive(conn, &client::get_key(&get));
    let first = host.held.pop_front().unwrap();
    host.step(Input::Committed {
        ticket: first.ticket,
        result: Err(StorageError::Io),
    });
    let frames = host.take(conn);
    let kinds: Vec<_> = frames.iter().map(|f| ServerMessage::decode(f, 64).unwrap()).collect();
    assert!(
        matches!(
            kinds[..],
            [
                ServerMessage::OpRejected { id: "1", code: 500, .. },
                ServerMessage::OpRejected { id: "2", code: 500, .. },
                ServerMessage::Error {
                    request: "r",
                    code: 503,
                    ..
                },
            ]
        ),
        "{kinds:?}"
    );
    let second = host.held.pop_front().unwrap();
    host.step(Input::Committed {
        ticket: second.ticket,
        result: Err(StorageError::Io),
    });
    write(&mut host, conn, "3", "c", 7);
    assert!(matches!(
        ServerMessage::decode(&host.take(conn)[0], 64).unwrap(),
        ServerMessage::OpRejected { id: "3", code: 503, .. }
    ));
    host.fail_held(StorageError::Io);
    assert_eq!(
        host.phases.last(),
        Some(&Phase::Ready {
            records: 0,
            log_entries
        })
    );
    host.hold = false;
    assert_eq!(contents(&host).len(), 1);
    write(&mut host, conn, "1", "a", 7);
    assert_eq!(contents(&host).len(), 2);
}

#[test]
fn a_restart_finds_what_was_durable_and_the_clock_goes_on() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    let boot = host.node.store().committed_number();
    for n in 0..5u8 {
        let key = format!("k{n}");
        write(&mut host, conn, "1", &key, n);
    }
    host.advance(2_000);
    assert_eq!(
        (host.disk.applied, host.disk.log.len()),
        (boot + 5, 1),
        "applied, and cut but for the last"
    );
    host.receive(conn, &client::op(&delete("1", "k0", 9), Ask::default()));
    host.receive(conn, &client::op(&put("1", "late", 1_050_000, &[1]), Ask::default()));
    let before = contents(&host);
    let clock = host.node.store().durable_clock();
    assert!(clock.millis() >= 1_050_000, "the clock follows what it saw");

    let again = Host::boot(NodeConfig::new("n"), host.crash(), 99);
    assert_eq!(
        again.phases,
        [
            Phase::Recovering,
            Phase::Ready {
                records: 5,
                log_entries: 2
            }
        ]
    );
    assert_eq!(contents(&again), before);
    assert!(again.node.store().durable_clock() >= clock);
}

#[test]
fn a_disk_that_makes_no_sense_is_not_served() {
    let mut host = Host::new("n");
    let conn = host.open(1, CLIENT);
    for n in 0..4u8 {
        let key = format!("k{n}");
        write(&mut host, conn, "1", &key, n);
    }
    let disk = host.crash();
    let failed = Some(Phase::Failed {
        error: StorageError::Corrupt,
    });
    let boot = |disk: Disk| Host::boot(NodeConfig::new("n"), disk, 7).phases.last().copied();

    let mut gap = disk.clone();
    gap.log.remove(&1);
    assert_eq!(boot(gap), failed, "entries are missing between the records and the log");
    let mut hole = disk.clone();
    hole.log.remove(&3);
    assert_eq!(boot(hole), failed, "an entry is missing within the log");
    let mut behind = disk.clone();
    behind.applied = 9;
    assert_eq!(boot(behind), failed, "the log ends before what the records hold");
    let mut lost = disk.clone();
    lost.log.clear();
    lost.applied = 4;
    assert_eq!(boot(lost), failed, "the whole log is gone");
    let mut absurd = disk.clone();
    absurd.applied = u64::MAX;
    assert_eq!(boot(absurd), failed, "nobody has applied so much");
    let mut flipped = disk.clone();
    let entry = flipped.log.get_mut(&2).unwrap();
    let mut bytes = entry.to_vec();
    bytes[30] ^= 1;
    *entry = bytes.into();
    assert_eq!(boot(flipped), failed, "a bit is wrong");
    assert!(matches!(boot(disk), Some(Phase::Ready { .. })));
}

#[test]
fn a_full_disk_is_refused_before_anything_is_merged() {
    let mut host = Host::new("n");
    host.room = 200;
    let conn = host.open(1, CLIENT);
    write(&mut host, conn, "0", "k", 1);
    host.room = 50;
    write(&mut host, conn, "1", "a", 1);
    host.take(conn);
    let before = contents(&host);
    write(&mut host, conn, "2", "b", 1);
    assert!(matches!(
        ServerMessage::decode(&host.take(conn)[0], 64).unwrap(),
        ServerMessage::OpRejected { id: "2", code: 507, .. }
    ));
    assert_eq!(contents(&host), before);
    write(&mut host, conn, "1", "a", 1);
    assert!(
        matches!(
            ServerMessage::decode(&host.take(conn)[0], 64).unwrap(),
            ServerMessage::OpAck { last_id: "0", beyond, .. } if beyond[0].id == "1"
        ),
        "a retry of what is there needs no room"
    );
}

#[test]
fn too_much_in_flight_is_refused() {
    let config = NodeConfig {
        limits: Limits {
            commit_bytes_in_flight: 150,
            ..Limits::default()
        },
        ..NodeConfig::new("n")
    };
    let mut host = Host::boot(config, Disk::default(), 1);
    let conn = host.open(1, CLIENT);
    host.hold = true;
    for id in ["1", "2", "3"] {
        write(&mut host, conn, id, id, 1);
    }
    while host.commit_next() {}
    let frames = host.take(conn);
    assert!(matches!(
        ServerMessage::decode(frames.last().unwrap(), 64).unwrap(),
        ServerMessage::OpRejected { id: "3", code: 429, .. }
    ));
}

#[test]
fn a_drained_node_leaves_nothing_to_be_applied() {
    let mut host = Host::new("n");
    let boot = host.node.store().committed_number();
    let conn = host.open(1, CLIENT);
    host.hold = true;
    write(&mut host, conn, "1", "k", 1);
    host.step(Input::Command(Command::Drain));
    assert_ne!(host.phases.last(), Some(&Phase::Stopped), "a commit is in flight");
    host.hold = false;
    while host.commit_next() {}
    host.step(Input::Wake);
    assert_eq!(host.phases.last(), Some(&Phase::Stopped));
    assert_eq!((host.disk.applied, host.disk.log.len()), (boot + 1, 1));
}
