//! Bytes as frames, values, records and filters: every reader of the kernel takes them.

use std::hash::Hasher;

use bytes::Bytes;
use kernel::crdt::{DigestKey, Record};
use kernel::env::Limits;
use kernel::msgpack::{Error, Reader, Writer, validate};
use kernel::query::{Predicate, Query};
use kernel::reconcile::{Decoder, Encoder};
use kernel::store::{RecordKey, decode_entry, decode_row};
use kernel::value::Value;
use kernel::wire::client::ClientMessage;
use kernel::wire::cluster::Word;
use kernel::wire::op::{Op, Ops};
use kernel::wire::peer::PeerMessage;
use kernel::wire::query::QuerySub;
use kernel::wire::repair::{Answered, Asked, Repair};
use kernel::wire::server::ServerMessage;
use siphasher::sip::SipHasher13;

/// Gives `data` to every reader of the kernel. What is read must be within the limits, must agree with what other readers
/// make of it, and comes back when it is written.
///
/// # Panics
/// If the kernel does, or if two readers disagree.
pub fn wire_decode(data: &[u8]) {
    let limits = Limits::default();
    encoding(data);
    client(data, &limits);
    server(data, &limits);
    peer(data, &limits);
    stored(data, &limits);
    query("m", data, &limits);
    if let Ok(text) = std::str::from_utf8(data) {
        filter(text, &limits);
    }
}

/// Three readers of MessagePack, one opinion.
fn encoding(data: &[u8]) {
    for depth in [0, 3, 64] {
        let valid = validate(data, depth);
        let decoded = Value::decode(data, depth);
        assert_eq!(
            valid.is_ok(),
            decoded.is_ok(),
            "{valid:?} and {decoded:?} at depth {depth}"
        );
        if let Ok(value) = decoded {
            let written = value.encode();
            let again = Value::decode(&written, depth);
            assert_eq!(
                again.as_ref().map(Value::encode),
                Ok(written),
                "{value:?} is written as it is read"
            );
        }
        let mut reader = Reader::new(data);
        let walked = reader.skip().and_then(|()| reader.end());
        let tolerant = matches!(valid, Err(Error::TooDeep { .. } | Error::NotUtf8 { .. }));
        assert!(
            tolerant || walked.is_ok() == valid.is_ok(),
            "{walked:?} and {valid:?} at depth {depth}"
        );
    }
}

fn client(data: &[u8], limits: &Limits) {
    match ClientMessage::decode(data, limits.depth) {
        Ok(ClientMessage::Op(ops) | ClientMessage::Batch(ops) | ClientMessage::Sync(ops)) => operations(ops, limits),
        Ok(ClientMessage::QuerySub(QuerySub {
            map, query: q, fields, ..
        })) => {
            query(map, q, limits);
            if let Some(fields) = fields {
                let read = Query::read_fields(&mut Reader::new(fields), limits);
                assert!(read.is_err() || read.is_ok_and(|fields| fields.len() <= limits.query_fields));
            }
        }
        _ => {}
    }
}

fn operations(ops: Ops<'_>, limits: &Limits) {
    for op in ops {
        let op = match op {
            Ok(op) => op,
            Err(bad) => {
                assert!(!bad.error.to_string().is_empty());
                continue;
            }
        };
        let mut out = Writer::new();
        op.write(kernel::wire::op::Ask::default(), &mut out);
        let frame = kernel::wire::client::op(&op, kernel::wire::op::Ask::default());
        // A key may be text or bytes on its way in; what counts are the bytes.
        let again = ClientMessage::decode(&frame, limits.depth + 2);
        let Ok(ClientMessage::Op(mut again)) = again else {
            panic!("{op:?} is written as it is read, not {again:?}");
        };
        assert_eq!(again.next().and_then(Result::ok), Some(op));
        admitted(&op, limits);
    }
}

/// What the gate lets in makes a record that other nodes can read.
fn admitted(op: &Op<'_>, limits: &Limits) {
    let fits = op.version.writer.len() <= limits.id_bytes
        && op.version.value.is_none_or(|value| value.len() <= limits.value_bytes);
    if let (true, Ok(key)) = (fits, RecordKey::new(op.map, op.key, limits)) {
        let record = Record::new(&op.version);
        assert_eq!(RecordKey::decode(key.as_bytes().clone(), limits).as_ref(), Ok(&key));
        assert_eq!(Record::decode(record.as_bytes().clone(), limits).as_ref(), Ok(&record));
        assert_eq!(record.version(), op.version);
    }
}

fn server(data: &[u8], limits: &Limits) {
    if let Ok(ServerMessage::QueryResp { results, .. }) = ServerMessage::decode(data, limits.depth) {
        for (_, value) in results.rows().flatten() {
            assert_eq!(validate(value, limits.depth), Ok(()));
        }
    }
}

fn peer(data: &[u8], limits: &Limits) {
    let Ok(message) = PeerMessage::decode(data) else {
        return;
    };
    for (key, record) in message.rows().into_iter().flatten().flatten() {
        named(key, limits);
        version(record, limits);
    }
    match message {
        PeerMessage::Repair { message, .. } => repair(message, limits),
        PeerMessage::Cluster(body) => _ = Word::decode(body),
        _ => {}
    }
}

/// What is opaque in a message of a repair is read by who it is for.
fn repair(message: Repair<'_>, limits: &Limits) {
    let key = DigestKey::default();
    let mut own = Encoder::new(&key, Vec::new());
    match message {
        Repair::Ask {
            ask: Asked::Symbols { question },
            ..
        } => _ = own.answer(question, limits.repair_symbols, 1_000),
        Repair::Answer(Answered::Symbols { batch, .. }) => _ = Decoder::new(own, limits.repair_symbols).take(batch),
        Repair::Answer(Answered::Items { items, .. }) => _ = items.to_vec(),
        _ => {}
    }
}

fn named(bytes: &[u8], limits: &Limits) {
    if let Ok(name) = RecordKey::decode(Bytes::copy_from_slice(bytes), limits) {
        assert_eq!(RecordKey::new(name.map(), name.key(), limits), Ok(name));
    }
}

fn version(bytes: &[u8], limits: &Limits) {
    if let Ok(record) = Record::decode(Bytes::copy_from_slice(bytes), limits) {
        let version = record.version();
        assert_eq!(Record::new(&version), record);
        assert_eq!(version.is_tombstone(), version.value.is_none());
        assert!(!version.wins_over(&version));
    }
}

/// What lies on disk, as it is and with a right check behind it: random bytes would never have one.
fn stored(data: &[u8], limits: &Limits) {
    named(data, limits);
    version(data, limits);
    let _ = Word::decode(data);
    let entry = |bytes: Bytes| {
        let Ok(entry) = decode_entry(&bytes) else { return };
        let said = entry.drops.len() + entry.forgets.len() + entry.changes.len() + entry.system.len();
        assert!(2 * said <= bytes.len(), "what is read is bounded by what was given");
        for change in &entry.changes {
            assert!(change.entry_bytes() as usize <= bytes.len());
            assert!(change.key.map().len() + change.key.key().len() < change.key.as_bytes().len() + 1);
            assert!(change.record.version().writer.len() < 256);
        }
    };
    entry(Bytes::copy_from_slice(data));
    entry(with_check(&[], data));
    let row = decode_row(b"key", &Bytes::copy_from_slice(data));
    assert!(row.is_err() || row.is_ok_and(|content| content.len() + 9 == data.len()));
    if let Ok(content) = decode_row(b"key", &with_check(&[b"key"], data)) {
        version(&content, limits);
    }
}

/// `body` with the check that the kernel writes behind entries and rows (`kernel/src/store/codec.rs`).
fn with_check(before: &[&[u8]], body: &[u8]) -> Bytes {
    let mut hasher = SipHasher13::new();
    for part in before.iter().copied().chain([body]) {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part);
    }
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(&hasher.finish().to_be_bytes());
    bytes.into()
}

fn query(map: &str, data: &[u8], limits: &Limits) {
    // As a node does it: what reaches the reader of queries was validated with its frame.
    if validate(data, limits.depth).is_err() {
        return;
    }
    let Ok(query) = Query::read(map, &mut Reader::new(data), limits) else {
        return;
    };
    let mut out = Writer::new();
    query.write(&mut out);
    let again = Query::read(map, &mut Reader::new(&out.into_vec()), limits);
    assert_eq!(
        again.as_ref().map(|again| again == &query),
        Ok(true),
        "{query:?} is written as it is read"
    );
    predicate(&query.predicate, data);
}

fn predicate(predicate: &Predicate, value: &[u8]) {
    let is = predicate.matches(b"key", value);
    assert_ne!(predicate.clone().negated().matches(b"key", value), is);
    assert!(predicate.depth() <= 64 && !predicate.to_string().is_empty());
}

fn filter(text: &str, limits: &Limits) {
    let parsed = match Predicate::parse(text, limits) {
        Ok(parsed) => parsed,
        Err(wrong) => {
            assert!(!wrong.to_string().is_empty());
            return;
        }
    };
    predicate(&parsed, text.as_bytes());
    let mut out = Writer::new();
    parsed.write(&mut out);
    let sent = Predicate::read(&mut Reader::new(&out.into_vec()), limits);
    assert_eq!(sent.as_ref(), Ok(&parsed), "what is typed can be sent");
    let shown = parsed.to_string();
    if shown.len() <= limits.filter_bytes {
        let again = Predicate::parse(&shown, limits);
        assert_eq!(again.as_ref(), Ok(&parsed), "{shown}");
    }
}
