//! What nodes say to each other, and whatever else comes in frames.

use kernel::cluster::repair::{Answer, Ask as RepairAsk, Seal};
use kernel::crdt::Record;
use kernel::env::{Limits, NodeId, SeededRng, WriterId};
use kernel::hlc::Stamp;
use kernel::merkle::Item;
use kernel::partition::PartitionId;
use kernel::reconcile::ShortItem;
use kernel::store::RecordKey;
use kernel::wire::client::{self, ClientMessage};
use kernel::wire::cluster::{Wanted, Word};
use kernel::wire::peer::{self, PeerMessage, Ping};
use kernel::wire::repair::{self, Answered, Asked, Repair};
use kernel::wire::server::{self, ServerMessage};

use crate::{DEPTH, op};

#[test]
fn every_cut_and_every_changed_byte_is_read_or_refused() {
    let mut rng = SeededRng::from_u64(1);
    let nonce = rng.entropy();
    let hello = peer::Hello {
        version: 1,
        id: NodeId(3),
        addr: "n:1",
        weight: 100,
        zone: "z",
        cluster_name: "orrery",
        cluster: 4,
        epoch: 5,
        name: "n",
        boot: WriterId(1),
        boots: &[[1; 8], [2; 8]],
        booted: 9,
        committed: 6,
        routing: 2,
        nonce,
    };
    let key = RecordKey::new("m", b"k", &Limits::default()).expect("short");
    let record = Record::new(&op().version);
    let changes = peer::changes(std::iter::once((&key, &record)), 5, 100, || Some(6)).remove(0);
    let ping = Ping {
        epoch: 1,
        committed: 2,
        wall_ms: 3,
        sent_us: 4,
    };
    let word = Word::Pull {
        most: 9,
        wanted: vec![Wanted {
            partition: PartitionId::new(270).expect("in range"),
            since: 7,
            from: Some(b"from"),
            digest: 8,
        }],
    };
    let frames = [
        client::op_batch(&[op(), op()]),
        client::sync_body("c", &[op()]),
        client::auth("t"),
        client::ping(1),
        server::auth_ack(true, "n", Stamp::ZERO),
        peer::hello(&hello),
        changes,
        peer::ping(ping),
        peer::pong(9),
        peer::again(),
        word.to_frame(),
        peer::digests(1, 2, PartitionId::all().map(|id| (id, 7))),
    ];
    for frame in frames.into_iter().chain(of_a_repair()) {
        for len in 0..frame.len() {
            read_all(&frame[..len]);
            assert!(kernel::msgpack::validate(&frame[..len], DEPTH).is_err());
        }
        for at in 0..frame.len() {
            let mut bad = frame.to_vec();
            bad[at] = rng.next_u64() as u8;
            read_all(&bad);
        }
    }
}

/// Reads a frame as everything that it could be. That it comes back at all is the test.
fn read_all(frame: &[u8]) -> usize {
    let ops = match ClientMessage::decode(frame, DEPTH) {
        Ok(ClientMessage::Op(ops) | ClientMessage::Batch(ops) | ClientMessage::Sync(ops)) => ops.count(),
        _ => 0,
    };
    let rows = match PeerMessage::decode(frame) {
        Ok(PeerMessage::Digests { digests, .. }) => digests.iter().count(),
        Ok(PeerMessage::Cluster(body)) => usize::from(Word::decode(body).is_some()),
        Ok(message) => message.rows().map_or(0, Iterator::count),
        Err(_) => 0,
    };
    ops + rows + usize::from(ServerMessage::decode(frame, DEPTH).is_ok())
}

/// A frame of each kind.
fn of_a_repair() -> Vec<bytes::Bytes> {
    let seal = Seal {
        digest: 1 << 100,
        total: 3,
        as_of: 4,
    };
    let item = Item {
        key_hash: 5 << 40,
        digest: 6 << 80,
    };
    let key = RecordKey::new("m", b"k", &Limits::default()).expect("a short key");
    let rows = vec![(key, Record::new(&op().version))];
    let (question, batch) = (vec![7; 9], vec![8; 18]);
    let asks = [
        RepairAsk::Symbols { question },
        RepairAsk::List { from: 9 },
        RepairAsk::Want {
            at: 1,
            items: vec![ShortItem::of(item)],
        },
        RepairAsk::Give {
            upto: 2,
            rows: rows.clone(),
        },
        RepairAsk::End {
            whole: true,
            gave: false,
            clean: 7,
        },
    ];
    let answers = [
        Answer::Symbols { seal, batch },
        Answer::Items {
            seal,
            from: 1,
            items: vec![item],
        },
        Answer::Rows {
            at: 1,
            upto: 2,
            sum: 1 << 90,
            rows,
        },
        Answer::Taken { upto: 2, all: true },
        Answer::Gone,
    ];
    let partition = PartitionId::new(270).expect("in range");
    let asks = asks.iter().map(|ask| repair::ask(1, partition, ask));
    asks.chain(answers.iter().map(|answer| repair::answer(1, answer)))
        .collect()
}

#[test]
fn what_a_repair_says_is_what_is_heard() {
    let mut heard = Vec::new();
    for frame in of_a_repair() {
        let Ok(PeerMessage::Repair { session: 1, message }) = PeerMessage::decode(&frame) else {
            panic!("{frame:?}");
        };
        let rows = message.rows().map_or(0, Iterator::count);
        heard.push((
            format!("{message:?}")
                .split(['{', '('])
                .next()
                .unwrap()
                .trim()
                .to_string(),
            rows,
        ));
        match message {
            Repair::Ask { partition, ask } => {
                assert_eq!(partition.index(), 270);
                match ask {
                    Asked::Symbols { question } => assert_eq!(question, [7; 9]),
                    Asked::List { from } => assert_eq!(from, 9),
                    Asked::Want { at, items } => {
                        assert_eq!((at, items), (1, &[[0, 0, 5, 0, 0, 0, 0, 0, 0]][..]));
                    }
                    Asked::Give { upto, .. } => assert_eq!(upto, 2),
                    Asked::End { whole, gave, clean } => assert_eq!((whole, gave, clean), (true, false, 7)),
                }
            }
            Repair::Answer(answer) => match answer {
                Answered::Symbols { seal, batch } => {
                    assert_eq!(
                        (seal.digest, seal.total, seal.as_of, batch),
                        (1 << 100, 3, 4, &[8; 18][..])
                    );
                }
                Answered::Items { from, items, .. } => {
                    assert_eq!(
                        (from, items.to_vec()[0].key_hash, items.to_vec()[0].digest),
                        (1, 5 << 40, 6 << 80)
                    );
                }
                Answered::Rows { at, upto, sum, .. } => assert_eq!((at, upto, sum), (1, 2, 1 << 90)),
                Answered::Taken { upto, all } => assert!(upto == 2 && all),
                Answered::Gone => {}
            },
        }
    }
    assert_eq!(heard.len(), 10);
    assert_eq!(heard.iter().map(|(_, rows)| rows).sum::<usize>(), 2);
}
