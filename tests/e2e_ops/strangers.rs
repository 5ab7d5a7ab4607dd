//! What somebody without the secret can make a node read: no more than `max-unauthenticated-frame`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, RecvTimeoutError};

use async_tungstenite::tungstenite::Message;
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use kernel::crdt::Version;
use kernel::env::WriterId;
use kernel::hlc::Stamp;
use kernel::msgpack::Writer;
use kernel::wire::op::{Ask, Op};
use kernel::wire::server::ServerMessage;
use kernel::wire::{Consistency, client};
use runtime_real::net::socket::dial;

use crate::process::{DEADLINE, PAUSE, Process, eventually};

const SECRET: &str = "correct horse battery";
const MIB: usize = 1 << 20;

fn start(dir: &std::path::Path, more: &[&str]) -> Process {
    let file = dir.join("cluster.secret");
    std::fs::write(&file, SECRET).unwrap();
    let more = [&["--cluster-secret-file", file.to_str().unwrap()], more].concat();
    Process::start_with(&dir.join("data"), &more)
}

fn put(bytes: usize) -> Op<'static> {
    let mut value = Writer::new();
    value.text(&"v".repeat(bytes));
    Op {
        id: "1",
        map: "m",
        key: b"k",
        consistency: Consistency::default(),
        version: Version::new(
            Stamp::new(1_700_000_000_000, 0, WriterId::of("w")).unwrap(),
            "w",
            Some(value.into_bytes().to_vec().leak()),
        ),
    }
}

#[test]
fn a_large_body_needs_the_right_token() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), &[]);
    let body = client::sync_body("w", &[put(MIB)]);
    let kind = ("content-type", "application/x-msgpack");
    let (status, ..) = node.http("POST", "/sync", &[kind], &body);
    assert_eq!(status, 401);
    let (status, ..) = node.http("POST", "/sync", &[kind, ("authorization", "Bearer nonsense")], &body);
    assert_eq!(status, 403);
    let bearer = format!("Bearer {SECRET}");
    let (status, ..) = node.http("POST", "/sync", &[kind, ("authorization", &bearer)], &body);
    assert_eq!(status, 200);
    let (status, ..) = node.http("POST", "/sync", &[kind], &client::sync_body("w", &[put(10)]));
    assert_eq!(status, 401, "a small one is read, and refused by the node");
}

#[test]
fn bodies_that_together_are_too_much_wait_and_are_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = Process::start_with(&data, &["--max-bodies", "4MiB", "--silence", "1100ms"]);
    let body = client::sync_body("w", &[put(3 * MIB)]);
    let head = |addr: &str| {
        format!(
            "POST /sync HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/x-msgpack\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
    };
    // The first takes its room with its head, and keeps it while its body comes byte by byte.
    let (stop, stopped) = mpsc::channel::<()>();
    let (mut slow, piece) = (TcpStream::connect(&node.addr).unwrap(), body.clone());
    slow.write_all(head(&node.addr).as_bytes()).unwrap();
    let holding = std::thread::spawn(move || {
        for byte in piece.chunks(1) {
            slow.write_all(byte).unwrap();
            if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    let post = || {
        node.http("POST", "/sync", &[("content-type", "application/x-msgpack")], &body)
            .0
    };
    // The second may be the first to be heard, but not twice.
    let refused = eventually("a body is refused", || Some(post()).filter(|status| *status != 200));
    assert_eq!(refused, 429);
    drop(stop);
    holding.join().unwrap();
    assert_eq!(post(), 200);
}

#[test]
fn a_client_may_send_its_token_and_go_on_without_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), &[]);
    block_on(async {
        let mut socket = dial(&node.addr, "/ws", 17 * MIB).await.unwrap();
        socket.send(Message::Binary(client::auth(SECRET))).await.unwrap();
        let large = client::op(&put(4 * MIB), Ask::default());
        socket.send(Message::Binary(large)).await.unwrap();
        loop {
            let frame = socket.next().await.unwrap().unwrap().into_data();
            match ServerMessage::decode(&frame, 8).unwrap() {
                ServerMessage::OpAck { achieved, .. } => break assert_eq!(achieved, "PERSISTED"),
                ServerMessage::AuthRequired | ServerMessage::AuthAck { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_stranger_is_read_so_far_and_then_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), &["--silence", "1100ms"]);
    for path in ["/ws", "/peer"] {
        let mut stream = TcpStream::connect(&node.addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let ask = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).unwrap();
        // A frame of 16 MiB, and then nobody who reads it: what the node does not take the system does not take either.
        let mut frame = vec![0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        frame.resize(16 * MIB, b'x');
        let mut writer = stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || writer.write_all(&frame).is_err());
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert!(said.starts_with(b"HTTP/1.1 101"), "{path}");
        assert!(writing.join().unwrap(), "{path}: all of it was read");
    }
}
