//! The one port, with a machine behind it that echoes.
#![allow(clippy::unwrap_used)] // helpers of a test are a test

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_channel::{Sender, bounded};
use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use bytes::Bytes;
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use kernel::env::{Limits, Now, Ticket};
use kernel::machine::{Command, Commit, Envelope, Input, Machine, Output, Phase};
use kernel::node::Stats;
use runtime_real::host::{Host, HostError, Milestone};
use runtime_real::metrics::Watched;
use runtime_real::net::socket::{Socket, dial};
use runtime_real::storage::Folder;

/// Says everything back, once it is on disk. To the frame 0 it says nothing, and closes.
#[derive(Default)]
struct Echo(u64);

impl Watched for Echo {
    fn stats(&self) -> Stats {
        Stats::default()
    }
}

impl Machine for Echo {
    fn step(&mut self, _now: Now, input: Input<'_>, out: &mut Output) {
        match input {
            Input::Boot { .. } => {
                out.phase = Some(Phase::Ready {
                    records: 0,
                    log_entries: 0,
                });
            }
            Input::Received { conn, frame: [0] } => out.close.push(conn),
            Input::Received { conn, frame } => {
                self.0 += 1;
                let frame = Bytes::copy_from_slice(frame);
                out.commit = Some(Commit {
                    ticket: Ticket(self.0),
                    entry: Some((self.0, frame.clone())),
                    envelopes: vec![Envelope { conn, frame }],
                });
            }
            Input::Command(Command::Drain) => out.phase = Some(Phase::Stopped),
            _ => {}
        }
    }
}

struct Node {
    addr: SocketAddr,
    stop: Sender<Command>,
    thread: JoinHandle<Result<(), HostError>>,
    _data: tempfile::TempDir,
}

impl Node {
    fn start() -> Self {
        Self::with(|_| {})
    }

    fn with(adjust: impl FnOnce(&mut Limits)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut limits = Limits::default();
        adjust(&mut limits);
        let host = Host {
            folder: Folder::open(data.path()).unwrap(),
            listen: "127.0.0.1:0".parse().unwrap(),
            limits,
            secret: None,
            tls: None,
            version: "0",
        };
        let (stop, orders) = bounded(1);
        let (milestones, reached) = mpsc::channel();
        let thread = thread::spawn(move || {
            host.run(
                |_| Ok(Echo::default()),
                orders,
                move |milestone| {
                    let _ = milestones.send(milestone);
                },
            )
        });
        let Ok(Milestone::Listening(addr)) = reached.recv_timeout(Duration::from_secs(10)) else {
            panic!("the node does not listen: {:?}", thread.join());
        };
        assert_eq!(reached.recv_timeout(Duration::from_secs(10)), Ok(Milestone::Ready));
        Self {
            addr,
            stop,
            thread,
            _data: data,
        }
    }

    fn stop(self) {
        self.stop.send_blocking(Command::Drain).unwrap();
        self.thread.join().unwrap().unwrap();
    }

    /// Sends bytes and reads until the node closes.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        read_to_end(&mut stream)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    fn socket(&self, path: &str) -> Socket {
        block_on(dial(&self.addr.to_string(), path, 1 << 20)).unwrap()
    }
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&answer)),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn ask(socket: &mut Socket, message: Message) -> Option<Message> {
    block_on(async {
        socket.send(message).await.unwrap();
        socket.next().await.map(Result::unwrap)
    })
}

fn closed_with(answer: Option<Message>) -> (CloseCode, String) {
    match answer {
        Some(Message::Close(Some(frame))) => (frame.code, frame.reason.to_string()),
        other => panic!("no close frame but {other:?}"),
    }
}

fn assert_refused(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
    assert!(
        answer.contains("\"message\":") && answer.contains("\"hint\":"),
        "{answer}"
    );
}

#[test]
fn a_socket_speaks_what_its_client_speaks() {
    let node = Node::start();
    for path in ["/ws", "/peer"] {
        let mut socket = node.socket(path);
        let binary = Message::binary(vec![0x92, 1, 2]);
        assert_eq!(ask(&mut socket, binary.clone()), Some(binary));
    }
    let mut socket = node.socket("/ws");
    let text = Message::text(r#"{"type":"PING","n":[1,2.5]}"#);
    assert_eq!(ask(&mut socket, text.clone()), Some(text));
    node.stop();
}

#[test]
fn a_socket_that_breaks_the_rules_is_told_why_it_is_closed() {
    let node = Node::with(|limits| limits.frame_bytes = 1_000);
    let (code, reason) = closed_with(ask(&mut node.socket("/ws"), Message::text("{nope")));
    assert!(
        code == CloseCode::Invalid && reason.contains("not valid JSON"),
        "{reason}"
    );
    let (code, reason) = closed_with(ask(&mut node.socket("/ws"), Message::binary(vec![1; 1_001])));
    assert!(code == CloseCode::Size && reason.contains("1000 bytes"), "{reason}");
    let (code, _) = closed_with(ask(&mut node.socket("/peer"), Message::text("[]")));
    assert_eq!(code, CloseCode::Unsupported);
    node.stop();
}

#[test]
fn an_exchange_has_one_frame_each_way() {
    let node = Node::start();
    let answer = node.request(
        "POST",
        "/sync",
        "content-type: application/x-msgpack\r\n",
        &[0x92, 1, 2],
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("content-type: application/x-msgpack") && answer.ends_with("\u{1}\u{2}"),
        "{answer}"
    );
    let json = "content-type: application/json; charset=utf-8\r\n";
    let answer = node.request("POST", "/sync", json, b"{\"a\": [1, 2.0]}");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{\"a\":[1,2.0]}"),
        "{answer}"
    );
    assert_refused(&node.request("POST", "/sync", json, b"0"), 503, "no_answer");
    node.stop();
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let node = Node::with(|limits| limits.frame_bytes = 1_000);
    let json = "content-type: application/json\r\n";
    assert_refused(&node.request("GET", "/nowhere", "", b""), 404, "no_such_path");
    assert_refused(&node.request("GET", "/sync", "", b""), 405, "wrong_method");
    assert_refused(&node.request("POST", "/health/live", "", b""), 405, "wrong_method");
    assert_refused(&node.request("GET", "/ws", "", b""), 426, "websocket_required");
    assert_refused(&node.request("POST", "/sync", "", b"[]"), 415, "wrong_content_type");
    assert_refused(&node.request("POST", "/sync", json, b"[nope"), 400, "bad_json");
    assert_refused(&node.request("POST", "/sync", json, &[b' '; 1_001]), 413, "too_large");
    let chunked = [
        &b"POST /sync HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"[..],
        b"transfer-encoding: chunked\r\n\r\n400\r\n",
        &[b' '; 1_024],
        b"\r\n0\r\n\r\n",
    ];
    assert_refused(&node.raw(&chunked.concat()), 413, "too_large");
    assert!(node.raw(b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    node.stop();
}

#[test]
fn health_is_shown() {
    let node = Node::start();
    for path in ["/health/live", "/health/ready"] {
        let answer = node.request("GET", path, "", b"");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    node.stop();
}

#[test]
fn a_web_page_from_elsewhere_may_not_use_an_open_node() {
    let node = Node::start();
    let upgrade = "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    for (origin, status) in [
        ("https://evil.example", "403"),
        ("null", "403"),
        ("http://localhost.evil.example", "403"),
    ] {
        let head = format!("GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\norigin: {origin}\r\n{upgrade}\r\n");
        let mut stream = node.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&start),
            format!("HTTP/1.1 {status}"),
            "{origin}"
        );
    }
    for origin in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"] {
        let head = format!("GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\norigin: {origin}\r\n{upgrade}\r\n");
        let mut stream = node.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(String::from_utf8_lossy(&start), "HTTP/1.1 101", "{origin}");
    }
    node.stop();
}

#[test]
fn one_connection_too_many_is_refused_clearly() {
    let node = Node::with(|limits| limits.connections = 2);
    let first = node.socket("/ws");
    let mut second = node.socket("/ws");
    let binary = Message::binary(vec![1]);
    assert_eq!(ask(&mut second, binary.clone()), Some(binary.clone()));
    assert_refused(&read_to_end(&mut node.connect()), 503, "too_many_connections");
    drop(first);
    // The node notices the loss in its own time; until then it goes on refusing.
    let mut third = loop {
        if let Ok(socket) = block_on(dial(&node.addr.to_string(), "/ws", 1_000)) {
            break socket;
        }
    };
    assert_eq!(ask(&mut third, binary.clone()), Some(binary));
    node.stop();
}

#[test]
fn who_does_not_say_what_it_wants_is_dropped() {
    let node = Node::with(|limits| limits.silence_ms = 200);
    let mut silent = node.connect();
    let mut slow = node.connect();
    slow.write_all(b"GET /health/live HTTP/1.1\r\nhos").unwrap();
    let mut stuck = node.connect();
    stuck
        .write_all(b"POST /sync HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n[")
        .unwrap();
    read_to_end(&mut silent);
    read_to_end(&mut slow);
    assert_refused(&read_to_end(&mut stuck), 408, "too_slow");
    node.stop();
}
