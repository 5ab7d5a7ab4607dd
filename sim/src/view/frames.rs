//! What a frame says, in one line, and which keys it is about.

use std::collections::BTreeMap;

use kernel::cluster::agreed::{Became, Wish};
use kernel::env::Limits;
use kernel::wire::Code;
use kernel::wire::client::ClientMessage;
use kernel::wire::op::Ops;
use kernel::wire::peer::PeerMessage;
use kernel::wire::repair::{Answered, Asked, Repair};
use kernel::wire::server::ServerMessage;

use super::words;
use crate::client::read_sync_answer;
use crate::endpoint::Endpoint;

/// What kind of message a frame is: its colour on the page. The order is that of the page's legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    Done,
    Refused,
    Read,
    Changes,
    Repair,
    Handshake,
    Heartbeat,
    Unreadable,
}

/// A frame, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub kind: Kind,
    pub text: String,
    /// Whole names of records.
    pub keys: Vec<Vec<u8>>,
}

impl Summary {
    fn new(kind: Kind, text: impl Into<String>, keys: Vec<Vec<u8>>) -> Self {
        let text = text.into();
        Self { kind, text, keys }
    }
}

/// Reads frames. Answers name only the request that they answer, so it remembers what was asked.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Of each client's requests, the keys that an answer to this one speaks of: those of a batch up to it, in the order
    /// in which they were sent.
    asked: BTreeMap<(usize, String), Vec<Vec<u8>>>,
    /// The map that each live query of a client is about.
    queried: BTreeMap<(usize, String), String>,
}

impl Reader {
    /// Reads a frame that got from `from` to `to`.
    pub fn read(&mut self, from: Endpoint, to: Endpoint, frame: &[u8]) -> Summary {
        let depth = Limits::default().depth;
        let read = match (from, to) {
            (Endpoint::Node(_), Endpoint::Node(_)) => PeerMessage::decode(frame).map(peer).ok(),
            (Endpoint::Client(client), _) => ClientMessage::decode(frame, depth)
                .map(|message| self.request(client, message))
                .ok(),
            (_, Endpoint::Client(client)) => match ServerMessage::decode(frame, depth) {
                Ok(message) => Some(self.answer(client, message)),
                Err(_) => self.sync_answer(client, frame),
            },
        };
        read.unwrap_or_else(|| Summary::new(Kind::Unreadable, format!("unreadable, {} bytes", frame.len()), vec![]))
    }

    fn request(&mut self, client: usize, message: ClientMessage<'_>) -> Summary {
        match message {
            ClientMessage::Auth { .. } => Summary::new(Kind::Handshake, "AUTH", vec![]),
            ClientMessage::Op(ops) => self.writes(client, "CLIENT_OP", ops),
            ClientMessage::Batch(ops) => self.writes(client, "OP_BATCH", ops),
            ClientMessage::Sync(ops) => self.writes(client, "sync", ops),
            ClientMessage::Get(get) => {
                let key = name(get.map, get.key);
                self.asked.insert((client, get.id.into()), vec![key.clone()]);
                Summary::new(Kind::Read, format!("GET {}", words::key(&key)), vec![key])
            }
            ClientMessage::QuerySub(sub) => {
                self.queried.insert((client, sub.id.into()), sub.map.into());
                Summary::new(Kind::Read, format!("QUERY_SUB {} of {}", sub.id, sub.map), vec![])
            }
            ClientMessage::QueryUnsub { id } => Summary::new(Kind::Read, format!("QUERY_UNSUB {id}"), vec![]),
            ClientMessage::Status => Summary::new(Kind::Read, "STATUS", vec![]),
            ClientMessage::Cluster => Summary::new(Kind::Read, "CLUSTER", vec![]),
            ClientMessage::ClusterRepair => Summary::new(Kind::Read, "CLUSTER_REPAIR", vec![]),
            ClientMessage::ClusterChange(asked) => {
                let text = format!("CLUSTER_CHANGE {} {}", asked.order.word(), asked.node);
                Summary::new(Kind::Write, text, vec![])
            }
            ClientMessage::ClusterLocate(at) => {
                let key = name(at.map, at.key);
                Summary::new(Kind::Read, format!("CLUSTER_LOCATE {}", words::key(&key)), vec![key])
            }
            ClientMessage::Agreed(ask) => {
                let word = match ask.wish {
                    Wish::Lock { .. } => "LOCK_REQUEST",
                    Wish::Unlock { .. } => "LOCK_RELEASE",
                    Wish::Define { .. } => "DEFINE",
                    Wish::Look => "DEFINITION",
                };
                Summary::new(Kind::Write, format!("{word} {}", ask.name), vec![])
            }
            ClientMessage::Ping { .. } => Summary::new(Kind::Heartbeat, "PING", vec![]),
        }
    }

    fn writes(&mut self, client: usize, word: &str, ops: Ops<'_>) -> Summary {
        let mut keys = Vec::new();
        let mut shown = Vec::new();
        for op in ops.flatten() {
            let key = name(op.map, op.key);
            shown.push(format!("{} = {}", words::key(&key), words::value(op.version.value)));
            keys.push(key);
            self.asked.insert((client, op.id.into()), keys.clone());
        }
        Summary::new(Kind::Write, format!("{word} {}", some_of(&shown)), keys)
    }

    fn answer(&self, client: usize, message: ServerMessage<'_>) -> Summary {
        let code = |number: u64| Code::from_number(number).map_or(number.to_string(), |code| code.name().into());
        match message {
            ServerMessage::AuthRequired => Summary::new(Kind::Handshake, "AUTH_REQUIRED", vec![]),
            ServerMessage::AuthAck { .. } => Summary::new(Kind::Handshake, "AUTH_ACK", vec![]),
            ServerMessage::AuthFail { reason } => Summary::new(Kind::Refused, format!("AUTH_FAIL: {reason}"), vec![]),
            ServerMessage::OpAck { last_id, beyond, .. } => {
                let mut keys = self.upto(client, last_id);
                keys.extend(beyond.into_iter().filter_map(|done| self.upto(client, done.id).pop()));
                Summary::new(Kind::Done, format!("OP_ACK {}", shown(&keys)), keys)
            }
            ServerMessage::OpRejected {
                id,
                code: number,
                reason,
            } => {
                let keys: Vec<_> = self.upto(client, id).pop().into_iter().collect();
                let text = format!("OP_REJECTED {} {}: {reason}", shown(&keys), code(number));
                Summary::new(Kind::Refused, text, keys)
            }
            ServerMessage::Error {
                request,
                code: number,
                reason,
            } => {
                let keys = self.upto(client, request);
                Summary::new(Kind::Refused, format!("ERROR {}: {reason}", code(number)), keys)
            }
            ServerMessage::Pong => Summary::new(Kind::Heartbeat, "PONG", vec![]),
            ServerMessage::Value { id, found, stale_ms } => {
                let keys = self.upto(client, id);
                let value = found.map_or("nothing".into(), |(value, _)| words::value(Some(value)));
                let age = stale_ms.map_or(String::new(), |ms| format!(", at most {ms} ms old"));
                Summary::new(Kind::Read, format!("VALUE {} = {value}{age}", shown(&keys)), keys)
            }
            ServerMessage::QueryResp { id, results } => {
                let keys: Vec<_> = results
                    .rows()
                    .flatten()
                    .map(|(key, _)| self.row(client, id, key))
                    .collect();
                Summary::new(Kind::Read, format!("QUERY_RESP {id}: {}", shown(&keys)), keys)
            }
            ServerMessage::QueryUpdate(update) => {
                let key = self.row(client, update.id, update.key);
                let value = update
                    .value
                    .map_or(String::new(), |value| format!(" = {}", words::value(Some(value))));
                let word = update.change.word();
                let text = format!("QUERY_UPDATE {}: {word} {}{value}", update.id, words::key(&key));
                Summary::new(Kind::Read, text, vec![key])
            }
            ServerMessage::Agreed { became, .. } => {
                let text = match became {
                    Became::Granted { token, .. } => format!("LOCK_GRANTED {token}"),
                    Became::Released(success) => format!("LOCK_RELEASED {success}"),
                    Became::Defined { version, .. } => format!("DEFINED {version}"),
                    other => format!("{other:?}"),
                };
                Summary::new(Kind::Done, text, vec![])
            }
            ServerMessage::Status { .. } => Summary::new(Kind::Read, "STATUS_RESP", vec![]),
            ServerMessage::Cluster { .. } => Summary::new(Kind::Read, "CLUSTER_RESP", vec![]),
        }
    }

    /// The answer to the body of `POST /sync`.
    fn sync_answer(&self, client: usize, frame: &[u8]) -> Option<Summary> {
        let answer = read_sync_answer(frame)?;
        let key_of = |id: u64| self.upto(client, &id.to_string()).pop();
        let done: Vec<_> = answer.done.into_iter().filter_map(|(id, _)| key_of(id)).collect();
        let mut text = format!("sync done: {}", shown(&done));
        let mut keys = done;
        let mut kind = Kind::Done;
        for (id, number) in answer.refused {
            let code = Code::from_number(number).map_or("an unknown code", Code::name);
            let key: Vec<_> = key_of(id).into_iter().collect();
            text += &format!("; refused: {} {code}", shown(&key));
            keys.extend(key);
            kind = Kind::Refused;
        }
        Some(Summary::new(kind, text, keys))
    }

    fn upto(&self, client: usize, id: &str) -> Vec<Vec<u8>> {
        self.asked.get(&(client, id.to_string())).cloned().unwrap_or_default()
    }

    fn row(&self, client: usize, query: &str, key: &[u8]) -> Vec<u8> {
        let map = self.queried.get(&(client, query.to_string()));
        name(map.map_or("?", String::as_str), key)
    }
}

fn peer(message: PeerMessage<'_>) -> Summary {
    let keys_of =
        |rows: kernel::wire::peer::Rows<'_>| -> Vec<Vec<u8>> { rows.flatten().map(|(key, _)| key.to_vec()).collect() };
    match message {
        PeerMessage::Hello(hello) => Summary::new(Kind::Handshake, format!("PEER_HELLO {}", hello.name), vec![]),
        PeerMessage::Proof(_) => Summary::new(Kind::Handshake, "PEER_PROOF", vec![]),
        PeerMessage::Again => Summary::new(Kind::Handshake, "PEER_AGAIN", vec![]),
        PeerMessage::Refused(reason) => Summary::new(Kind::Refused, format!("PEER_REFUSED {reason}"), vec![]),
        PeerMessage::Changes(changes) => {
            let keys = keys_of(changes.rows);
            Summary::new(Kind::Changes, format!("CHANGES {}", shown(&keys)), keys)
        }
        PeerMessage::Digests { round, .. } => Summary::new(Kind::Repair, format!("DIGESTS round {round}"), vec![]),
        PeerMessage::Repair { session, message } => {
            let keys = message.rows().map(keys_of).unwrap_or_default();
            Summary::new(Kind::Repair, repair(session, &message, &keys), keys)
        }
        PeerMessage::Cluster(body) => word(body),
        PeerMessage::Ping(ping) => Summary::new(
            Kind::Heartbeat,
            format!("PING epoch {}, committed {}", ping.epoch, ping.committed),
            vec![],
        ),
        PeerMessage::Pong { taken } => Summary::new(Kind::Heartbeat, format!("PONG taken {taken}"), vec![]),
    }
}

/// What members say about the cluster.
fn word(body: &[u8]) -> Summary {
    use kernel::register::Message;
    use kernel::wire::cluster::{Reply, Word};
    let (kind, text) = match Word::decode(body) {
        Some(Word::Register(message)) => {
            let text = match message {
                Message::Have { version } => format!("HAVE version {version}"),
                Message::Prepare { version, ballot } => format!("PREPARE version {version} by {}", ballot.round),
                Message::Promise { version, ballot, .. } => format!("PROMISE version {version} by {}", ballot.round),
                Message::Accept { version, ballot, .. } => format!("ACCEPT version {version} by {}", ballot.round),
                Message::Accepted { version, ballot } => format!("ACCEPTED version {version} by {}", ballot.round),
                Message::Refused { version, .. } => format!("REFUSED version {version}"),
                Message::Learn { version, .. } => format!("LEARN version {version}"),
            };
            (Kind::Handshake, text)
        }
        Some(Word::Gossip(_)) => (Kind::Heartbeat, "GOSSIP".into()),
        Some(Word::Filled(moves)) => (Kind::Repair, format!("FILLED {} partitions", moves.len())),
        Some(Word::Pull { wanted, .. }) => (Kind::Repair, format!("PULL {} partitions", wanted.len())),
        Some(Word::Parts(parts)) => {
            let records: usize = parts.iter().map(|part| part.rows.len()).sum();
            let more = parts.iter().filter(|part| part.next.is_some()).count();
            let text = format!(
                "PARTS of {} partitions: {records} records, {more} with more to come",
                parts.len()
            );
            (Kind::Repair, text)
        }
        Some(Word::Covered(partitions)) => (Kind::Repair, format!("COVERED {} partitions", partitions.len())),
        Some(Word::Taken(numbers)) => (Kind::Done, format!("TAKEN {numbers:?}")),
        Some(Word::Ask { request, .. }) => (Kind::Write, format!("ASK {request}")),
        Some(Word::Answer { request, reply }) => {
            let what = match reply {
                Reply::Ops(results) => format!("{} writes", results.len()),
                Reply::Value { .. } => "a value".into(),
                Reply::Refused(refusal) => format!("refused: {}", refusal.code.name()),
            };
            (Kind::Done, format!("ANSWER {request}: {what}"))
        }
        Some(Word::Read { request, .. }) => (Kind::Read, format!("READ {request}")),
        Some(Word::Held { request, record }) => {
            let held = if record.is_some() { "a record" } else { "nothing" };
            (Kind::Read, format!("HELD {request}: {held}"))
        }
        Some(word) => part_of_query(&word),
        None => (Kind::Handshake, "CLUSTER, unreadable".into()),
    };
    Summary::new(kind, text, vec![])
}

/// What they say about the parts of queries.
fn part_of_query(word: &kernel::wire::cluster::Word<'_>) -> (Kind, String) {
    use kernel::wire::cluster::Word;
    match word {
        Word::Watch(watch) => {
            let (request, partitions) = (watch.request, watch.partitions.len());
            (
                Kind::Read,
                format!("WATCH {request}: {partitions} partitions of {}", watch.map),
            )
        }
        Word::Rows(rows) => {
            let covers = rows
                .covers
                .map(|set| format!(", the last, of {} partitions", set.len()));
            let (request, part, count) = (rows.request, rows.part, rows.rows.len());
            (
                Kind::Read,
                format!("ROWS {request}: {count} in chunk {part}{}", covers.unwrap_or_default()),
            )
        }
        Word::Told { request, number, rows } => {
            (Kind::Changes, format!("TOLD {request}, {number}: {} rows", rows.len()))
        }
        Word::Upto(list) => (Kind::Heartbeat, format!("UPTO {list:?}")),
        Word::Heard(list) => (Kind::Heartbeat, format!("HEARD {list:?}")),
        Word::Level { asked_us, skipped, .. } => (Kind::Heartbeat, format!("LEVEL {asked_us}, {skipped} skipped")),
        Word::Unwatch(requests) => (Kind::Done, format!("UNWATCH {requests:?}")),
        Word::Ended { request, refusal } => (Kind::Done, format!("ENDED {request}: {}", refusal.code.name())),
        _ => (Kind::Handshake, "CLUSTER".into()),
    }
}

fn repair(session: u64, message: &Repair<'_>, keys: &[Vec<u8>]) -> String {
    let said = match message {
        Repair::Ask { partition, ask } => {
            let partition = partition.index();
            match ask {
                Asked::Symbols { .. } => format!("SYMBOLS_ASK of partition {partition}"),
                Asked::List { from } => format!("ITEMS_ASK of partition {partition}, from {from}"),
                Asked::Want { at, items } => format!("WANT {} items of partition {partition}, from {at}", items.len()),
                Asked::Give { .. } => format!("GIVE {}", shown(keys)),
                Asked::End { whole: true, .. } => format!("REPAIR_END of partition {partition}, whole"),
                Asked::End { whole: false, .. } => format!("REPAIR_END of partition {partition}"),
            }
        }
        Repair::Answer(answer) => match answer {
            Answered::Symbols { seal, .. } => format!("SYMBOLS of {} items", seal.total),
            Answered::Items { seal, from, .. } => format!("ITEMS of {}, from {from}", seal.total),
            Answered::Rows { .. } => format!("RECORDS {}", shown(keys)),
            Answered::Taken { all: true, .. } => "TAKEN".to_string(),
            Answered::Taken { .. } => "TAKEN, not all".to_string(),
            Answered::Gone => "GONE".to_string(),
        },
    };
    format!("{said} (repair {session})")
}

/// The whole name of a record.
fn name(map: &str, key: &[u8]) -> Vec<u8> {
    [map.as_bytes(), &[0], key].concat()
}

fn shown(keys: &[Vec<u8>]) -> String {
    let shown: Vec<String> = keys.iter().map(|name| words::key(name)).collect();
    some_of(&shown)
}

/// The first few, and how many more there are.
fn some_of(all: &[String]) -> String {
    const MOST: usize = 4;
    match all.len() {
        0 => "nothing".into(),
        len if len <= MOST => all.join(", "),
        len => format!("{} and {} more", all[..MOST].join(", "), len - MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::document;
    use kernel::crdt::{Record, Version};
    use kernel::env::WriterId;
    use kernel::hlc::Stamp;
    use kernel::store::RecordKey;
    use kernel::wire::client::{Get, get_key, op_batch, sync_body};
    use kernel::wire::op::Op;
    use kernel::wire::server::{Outcome, Refusal, op_ack, sync_answer, value};
    use kernel::wire::{Consistency, ReadConsistency, peer, server};

    const NODE: Endpoint = Endpoint::Node(0);
    const CLIENT: Endpoint = Endpoint::Client(0);

    fn stamp() -> Stamp {
        Stamp::new(5, 0, WriterId(1)).unwrap()
    }

    fn refusal(code: Code) -> Refusal {
        let reason = "no".into();
        Refusal { code, reason }
    }

    fn ops<'a>(ids: &[&'a str], value: &'a [u8]) -> Vec<Op<'a>> {
        let version = Version::new(stamp(), "c0", Some(value));
        let op = |id: &&'a str| Op {
            id,
            map: "m",
            key: id.as_bytes(),
            consistency: Consistency::default(),
            version,
        };
        ids.iter().map(op).collect()
    }

    fn outcomes<'a>(done: &[&'a str], refused: &[&'a str]) -> Vec<Outcome<'a>> {
        let done = done.iter().map(|id| Outcome {
            id,
            result: Ok(Consistency::default()),
        });
        let refused = refused.iter().map(|id| Outcome {
            id,
            result: Err(refusal(Code::Overloaded)),
        });
        done.chain(refused).collect()
    }

    #[test]
    fn an_answer_is_about_the_keys_of_its_request() {
        let mut reader = Reader::default();
        let document = document(7);
        let said = reader.read(CLIENT, NODE, &op_batch(&ops(&["1", "2", "3"], &document)));
        let text = "OP_BATCH m/1 = {n: 7}, m/2 = {n: 7}, m/3 = {n: 7}";
        assert_eq!((said.kind, said.text.as_str()), (Kind::Write, text));
        let ack = op_ack(&outcomes(&["1", "2"], &[]), true).unwrap();
        let said = reader.read(NODE, CLIENT, &ack);
        assert_eq!((said.kind, said.text.as_str()), (Kind::Done, "OP_ACK m/1, m/2"));
        assert_eq!(said.keys, [b"m\x001", b"m\x002"]);
        let refused = server::op_rejected("3", &refusal(Code::StorageFull));
        let said = reader.read(NODE, CLIENT, &refused);
        assert!(said.text.starts_with("OP_REJECTED m/3 StorageFull"), "{}", said.text);
        assert_eq!(said.kind, Kind::Refused);
        // Of what another client asked nothing is known.
        assert!(reader.read(NODE, Endpoint::Client(1), &ack).keys.is_empty());
    }

    #[test]
    fn reads_and_exchanges_are_told_too() {
        let mut reader = Reader::default();
        let get = Get {
            id: "9",
            map: "m",
            key: b"k",
            consistency: ReadConsistency::default(),
        };
        assert_eq!(reader.read(CLIENT, NODE, &get_key(&get)).text, "GET m/k");
        let said = reader.read(NODE, CLIENT, &value("9", "m", b"k", None, None));
        assert_eq!((said.text.as_str(), said.keys.len()), ("VALUE m/k = nothing", 1));
        let document = document(7);
        reader.read(CLIENT, NODE, &sync_body("c0", &ops(&["1", "2"], &document)));
        let said = reader.read(NODE, CLIENT, &sync_answer("n0", stamp(), &outcomes(&["1"], &["2"])));
        assert_eq!(said.text, "sync done: m/1; refused: m/2 Overloaded");
        assert_eq!((said.kind, said.keys.len()), (Kind::Refused, 2));
    }

    #[test]
    fn what_nodes_say_is_told_and_what_nobody_can_read_is_counted() {
        let mut reader = Reader::default();
        let document = document(7);
        let record = Record::new(&Version::new(stamp(), "c0", Some(&document)));
        let keys: Vec<RecordKey> = (0..6)
            .map(|n| RecordKey::new("m", &[b'a' + n], &Limits::default()).unwrap())
            .collect();
        let frames = peer::changes(keys.iter().map(|key| (key, &record)), 1, 1 << 20, || None);
        let said = reader.read(NODE, Endpoint::Node(1), &frames[0]);
        assert_eq!(said.text, "CHANGES m/a, m/b, m/c, m/d and 2 more");
        assert_eq!((said.kind, said.keys.len()), (Kind::Changes, 6));
        let said = reader.read(CLIENT, NODE, b"\xc1damaged");
        assert_eq!(
            (said.kind, said.text.as_str()),
            (Kind::Unreadable, "unreadable, 8 bytes")
        );
    }
}
