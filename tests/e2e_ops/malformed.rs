//! Six hundred frames and bodies that are wrong in every way that there is, over real sockets. Each gets an answer or a clean
//! close; the node stays up, says nothing of a panic, and is no larger for it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use async_tungstenite::tungstenite::Message;
use bytes::Bytes;
use futures_lite::future::{block_on, or};
use futures_lite::{Stream, StreamExt};
use kernel::crdt::Version;
use kernel::env::{Limits, NodeId, SeededRng, WriterId};
use kernel::hlc::Stamp;
use kernel::msgpack::Writer;
use kernel::partition::PartitionId;
use kernel::query::Query;
use kernel::wire::op::{Ask, Op};
use kernel::wire::{Consistency, ReadConsistency, client, peer, query, repair};
use runtime_real::net::socket::dial;

use crate::process::{DEADLINE, Process};

const LONGEST: usize = 17 << 20;

fn op() -> Op<'static> {
    Op {
        id: "1",
        map: "m",
        key: b"key",
        consistency: Consistency::default(),
        version: Version::new(
            Stamp::new(1_700_000_000_000, 7, WriterId::of("w")).expect("in range"),
            "w",
            Some(&[0x93, 1, 2, 3]),
        ),
    }
}

fn frames_of_clients() -> Vec<Bytes> {
    let get = client::Get {
        id: "r",
        map: "m",
        key: b"key",
        consistency: ReadConsistency::default(),
    };
    vec![
        client::op(&op(), Ask::default()),
        client::op_batch(&[op(), op(), op()]),
        client::get_key(&get),
        client::auth("token"),
        client::ping(1),
        query::query_sub("q", &Query::of("m")),
    ]
}

fn frames_of_peers() -> Vec<Bytes> {
    let hello = peer::Hello {
        version: kernel::wire::PEER_PROTOCOL_VERSION,
        id: NodeId(5),
        addr: "nowhere:1",
        weight: 1,
        zone: "",
        cluster_name: "orrery",
        cluster: 0,
        epoch: 0,
        name: "liar",
        boot: WriterId(7),
        boots: &[],
        booted: 0,
        committed: 0,
        routing: 0,
        nonce: [1; 32],
    };
    vec![
        peer::hello(&hello),
        peer::proof(&[2; 32]),
        peer::digests(1, 0, PartitionId::all().map(|id| (id, 3))),
        repair::ask(1, PartitionId::new(7).expect("one of 271"), &repair_ask()),
        peer::refused("no"),
        peer::ping(peer::Ping::default()),
    ]
}

fn repair_ask() -> kernel::cluster::repair::Ask {
    kernel::cluster::repair::Ask::List { from: 1 }
}

/// A message of which one field is what it should not be.
fn field(kind: &str, name: &str, value: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    out.map(2).text("type").text(kind).text(name);
    value(&mut out);
    out.into_vec()
}

/// `frame`, wrong in the `way`th way.
fn spoilt(frame: &[u8], way: usize, rng: &mut SeededRng) -> Vec<u8> {
    let mut bad = frame.to_vec();
    let at = rng.below(bad.len() as u64) as usize;
    match way % 14 {
        0 => bad.truncate(at),
        1 => bad.extend_from_slice(&[0xc0; 3]),
        2 => bad[at] = rng.next_u64() as u8,
        3 => bad[at] = 0xc1,
        4 => bad.splice(at..at, [0xdd, 0xff, 0xff, 0xff, 0xff]).for_each(drop),
        5 => bad.splice(at..at, [0xc6, 0x7f, 0xff, 0xff, 0xff]).for_each(drop),
        6 => bad = vec![0x91; 5_000],
        7 => {
            bad = field("PING", "timestamp", |out| {
                out.f64(f64::NAN);
            })
        }
        8 => {
            bad = field("PING", "timestamp", |out| {
                out.i64(-5);
            })
        }
        9 => {
            bad = field("NO_SUCH_TYPE", "payload", |out| {
                out.null();
            })
        }
        10 => {
            bad = field("OP_BATCH", "payload", |out| {
                out.u64(7);
            })
        }
        11 => bad = b"\x82\xa4type\xa4PING\xa9timestamp\xa2\xff\xfe".to_vec(),
        12 => rng.fill(&mut bad),
        _ => bad.clear(),
    }
    bad
}

/// The next message, or `None` once the connection is closed; a node that says nothing fails the test.
async fn next<E>(socket: &mut (impl Stream<Item = Result<Message, E>> + Unpin), about: &str) -> Option<Message> {
    let silence = async {
        smol::Timer::after(DEADLINE).await;
        panic!("no answer and no close: {about}")
    };
    match or(socket.next(), silence).await {
        None | Some(Err(_)) | Some(Ok(Message::Close(_))) => None,
        Some(Ok(message)) => Some(message),
    }
}

/// A time that no other `PING` here carries, as it comes back in MessagePack and in JSON.
const MARK: u64 = 77_777;
const MARK_BACK: [&[u8]; 2] = [&[0xce, 0, 1, 0x2f, 0xd1], b":77777"];

/// Sends each message with a `PING` behind it. Each is answered before that, or ends the connection; how many were answered.
async fn over_websocket(node: &Process, bad: Vec<Message>, ping: Message) -> usize {
    let mut answered = 0;
    let mut open = None;
    for message in bad {
        let about = format!("{message:?}").chars().take(200).collect::<String>();
        let mut socket = match open.take() {
            Some(socket) => socket,
            None => {
                let mut socket = dial(&node.addr, "/ws", LONGEST)
                    .await
                    .expect("the node takes connections");
                next(&mut socket, "a new connection")
                    .await
                    .expect("an open node says so");
                socket
            }
        };
        let sent = socket.send(message).await.is_ok() && socket.send(ping.clone()).await.is_ok();
        let mut said = 0;
        while let Some(frame) = next(&mut socket, &about).await {
            let frame = frame.into_data();
            if MARK_BACK
                .iter()
                .any(|mark| frame.windows(mark.len()).any(|bytes| bytes == *mark))
            {
                assert!(sent && said > 0, "passed over in silence: {about}");
                answered += 1;
                open = Some(socket);
                break;
            }
            said += 1;
        }
    }
    answered
}

/// Sends each frame on a connection of its own; all of them are closed.
async fn over_peers(node: &Process, bad: Vec<Message>) {
    let mut sockets = Vec::new();
    for message in bad {
        let about = format!("{message:?}");
        let mut socket = dial(&node.addr, "/peer", LONGEST)
            .await
            .expect("the node takes connections");
        // It may be closed before it was told.
        let _ = socket.send(message).await;
        sockets.push((socket, about));
    }
    for (mut socket, about) in sockets {
        while next(&mut socket, &about).await.is_some() {}
    }
}

fn texts(rng: &mut SeededRng) -> Vec<Message> {
    let good = r#"{"type":"CLIENT_OP","payload":{"id":"1","mapName":"m","key":"k","record":{"value":1,
        "timestamp":{"millis":5,"counter":0,"nodeId":"w"}}}}"#;
    let mut all: Vec<String> = (0..60)
        .map(|_| {
            let at = rng.below(good.len() as u64) as usize;
            let (head, tail) = good.split_at(at);
            match rng.below(3) {
                0 => head.to_owned(),
                1 => format!("{head}\"{tail}"),
                _ => format!("{head}{{{tail}"),
            }
        })
        .collect();
    all.push("[".repeat(100_000));
    all.push(r#"{"type":"PING","timestamp":1e400}"#.into());
    all.push(r#"{"type":"PING","timestamp":-1}"#.into());
    all.push(r#"{"type":"\ud800"}"#.into());
    all.push("null".into());
    all.push(String::new());
    all.into_iter().map(Message::text).collect()
}

/// Raw bytes on the port; what comes back until the node closes, which it must.
fn raw(node: &Process, bytes: &[u8], half_close: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(&node.addr).expect("the node takes connections");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    // The node may close before it was told everything.
    let _ = stream.write_all(bytes);
    if half_close {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut said = Vec::new();
    let ended = stream.read_to_end(&mut said);
    let timed_out = ended.is_err_and(|error| matches!(error.kind(), std::io::ErrorKind::WouldBlock));
    assert!(!timed_out, "no close after {:?}", String::from_utf8_lossy(bytes));
    said
}

fn memory_bytes(node: &Process) -> u64 {
    let (_, _, body) = node.http("GET", "/metrics", &[], b"");
    let text = String::from_utf8_lossy(&body).into_owned();
    let line = text
        .lines()
        .find(|line| line.starts_with("orrery_process_resident_memory_bytes"));
    let number = line.and_then(|line| line.split(' ').nth(1)).expect("the memory's size");
    number.parse::<f64>().expect("a number") as u64
}

#[test]
fn six_hundred_malformed_messages_are_answered_or_end_their_connection() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Process::start_with(dir.path(), &["--silence", "1100ms"]);
    let mut rng = SeededRng::from_u64(600);
    let before = memory_bytes(&node);
    let mut sent = 0;

    let mut spoil = |frames: Vec<Bytes>, count: usize| -> Vec<Message> {
        let bad = (0..count).map(|n| spoilt(&frames[n % frames.len()], n / frames.len(), &mut rng));
        bad.map(|bad| Message::Binary(bad.into())).collect()
    };
    let (clients, peers) = (spoil(frames_of_clients(), 300), spoil(frames_of_peers(), 70));
    let bodies = spoil(vec![client::sync_body("c", &[op(), op()])], 100);
    let texts = texts(&mut rng);
    sent += clients.len() + peers.len() + texts.len();
    let answered = block_on(over_websocket(&node, clients, Message::Binary(client::ping(MARK))));
    assert!(answered > 290, "a bad frame costs a client no connection: {answered}");
    block_on(over_peers(&node, peers));
    let ping = Message::text(format!(r#"{{"type":"PING","timestamp":{MARK}}}"#));
    block_on(over_websocket(&node, texts, ping));

    for (n, body) in bodies.into_iter().enumerate() {
        let kind = if n % 3 == 0 {
            "application/json"
        } else {
            "application/x-msgpack"
        };
        let (status, _, answer) = node.http("POST", "/sync", &[("content-type", kind)], &body.into_data());
        let text = String::from_utf8_lossy(&answer).into_owned();
        // A changed byte may leave a body that says something else, and is done.
        assert!(status == 200 || (400..500).contains(&status), "{status} {text}");
        assert!(status == 200 || text.contains("\"hint\""), "{status} {text}");
        sent += 1;
    }

    let upgrade = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let with_frame = |frame: &[u8]| [upgrade.as_bytes(), frame].concat();
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let rude: Vec<Vec<u8>> = vec![
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"\r\n\r\n\r\n\r\n".to_vec(),
        b"POST /sync HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_vec(),
        b"POST /sync HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec(),
        b"POST /sync HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{".to_vec(),
        b"POST /sync HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n".to_vec(),
        b"POST /sync HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\r\n".to_vec(),
        long.into_bytes(),
        // A frame that is not masked, one with reserved bits, one that claims 2^62 bytes, one that ends within its head.
        with_frame(&[0x82, 0x01, 0x00]),
        with_frame(&[0xf2, 0x81, 0, 0, 0, 0, 1]),
        with_frame(&[0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        with_frame(&[0x82]),
        // A continuation of nothing, a fragmented ping, a text that is no UTF-8.
        with_frame(&[0x80, 0x80, 0, 0, 0, 0]),
        with_frame(&[0x09, 0x80, 0, 0, 0, 0]),
        with_frame(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]),
    ];
    for bytes in rude.iter().cycle().take(64) {
        raw(&node, bytes, true);
        sent += 1;
    }

    assert!(sent >= 600, "{sent} messages");
    assert_eq!(node.http("GET", "/health/ready", &[], b"").0, 200);
    node.ok(&["set", "m", "after", "7"]);
    assert_eq!(node.ok(&["get", "m", "after"]), "7");
    assert!(!node.log().contains("panicked"), "{}", node.log());
    let grown = memory_bytes(&node).saturating_sub(before);
    println!("{sent} messages, {} KiB more", grown >> 10);
    assert!(grown < 64 << 20, "grown by {grown} bytes");
    assert!(Limits::default().frame_bytes <= LONGEST);
}
