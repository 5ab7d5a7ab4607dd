//! `POST /sync`, and what is said to those who get it wrong.

use futures_lite::StreamExt;
use futures_lite::future::block_on;
use kernel::crdt::Version;
use kernel::env::WriterId;
use kernel::hlc::Stamp;
use kernel::wire::op::Op;
use kernel::wire::{Consistency, client};
use runtime_real::net::json;
use runtime_real::net::socket::dial;
use serde_json::{Value, json};

use crate::process::Process;

const JSON: (&str, &str) = ("content-type", "application/json");
const MSGPACK: (&str, &str) = ("content-type", "application/x-msgpack");

fn operations(key: &str, value: &Value) -> Vec<u8> {
    let record =
        json!({"value": value, "timestamp": {"millis": 1_700_000_000_000_u64, "counter": 0, "nodeId": "curl"}});
    let op = json!({"id": "7", "mapName": "m", "key": key, "opType": "PUT", "record": record});
    json!({"clientId": "curl", "operations": [op]}).to_string().into_bytes()
}

#[test]
fn operations_go_up_and_acknowledgements_come_down() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));

    let (status, head, body) = node.http("POST", "/sync", &[JSON], &operations("j", &json!({"a": [1, 2.5]})));
    assert!(
        status == 200 && head.contains("content-type: application/json"),
        "{head}"
    );
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["ack"]["lastId"], "7", "{answer}");
    assert_eq!(answer["ack"]["results"][0]["success"], true, "{answer}");
    assert_eq!(node.ok(&["get", "m", "j"]), "{\"a\":[1,2.5]}");

    let op = Op {
        id: "8",
        map: "m",
        key: b"b",
        consistency: Consistency::default(),
        version: Version::new(
            Stamp::new(1_700_000_000_000, 0, WriterId::of("script")).unwrap(),
            "script",
            Some(&[0x92, 1, 2]),
        ),
    };
    let (status, head, body) = node.http("POST", "/sync", &[MSGPACK], &client::sync_body("script", &[op]));
    assert!(
        status == 200 && head.contains("content-type: application/x-msgpack"),
        "{head}"
    );
    let answer: Value = serde_json::from_str(&json::from_msgpack(&body).unwrap()).unwrap();
    assert_eq!(answer["ack"]["lastId"], "8", "{answer}");
    assert_eq!(node.ok(&["get", "m", "b"]), "[1,2]");
}

#[test]
fn a_bad_body_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    let large = vec![b' '; (17 << 20) + 1];
    let unknown_field = b"{\"clientId\": \"c\", \"operations\": 7}";
    let deep = "[".repeat(10_000);
    for (kind, body, status) in [
        (JSON, &b"{\"clientId\": "[..], 400),
        (JSON, b"7", 400),
        (JSON, b"{}", 400),
        (JSON, unknown_field, 400),
        (JSON, deep.as_bytes(), 400),
        (JSON, b"", 400),
        (MSGPACK, b"", 400),
        (MSGPACK, b"\xc1", 400),
        (MSGPACK, b"\x81\xa8clientId", 400),
        (MSGPACK, &[0x91; 10_000], 413),
        (MSGPACK, &large, 413),
        (("content-type", "text/plain"), b"{}", 415),
    ] {
        let (got, head, answer) = node.http("POST", "/sync", &[kind], body);
        let shown = String::from_utf8_lossy(&answer);
        let start = String::from_utf8_lossy(&body[..body.len().min(40)]);
        assert_eq!(got, status, "{start:?}: {head}\n{shown}");
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_else(|error| panic!("{error}: {shown}"));
        for field in ["code", "message", "hint"] {
            assert!(answer[field].is_string(), "{shown}");
        }
    }
    // None of it harmed anybody.
    assert_eq!(node.http("POST", "/sync", &[JSON], &operations("k", &json!(1))).0, 200);
}

#[test]
fn a_secret_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "correct horse battery\n").unwrap();
    let file = secret.to_str().unwrap();
    let node = Process::start_with(&dir.path().join("data"), &["--cluster-secret-file", file]);

    let body = operations("k", &json!(1));
    let (status, head, _) = node.http("POST", "/sync", &[JSON], &body);
    assert!(status == 401 && head.contains("www-authenticate: Bearer"), "{head}");
    let wrong = ("authorization", "Bearer wrong horse battery");
    let (status, head, body_of_wrong) = node.http("POST", "/sync", &[JSON, wrong], &body);
    assert_eq!(status, 403, "{head} {}", String::from_utf8_lossy(&body_of_wrong));
    let right = ("authorization", "Bearer correct horse battery");
    assert_eq!(node.http("POST", "/sync", &[JSON, right], &body).0, 200);

    let get = ["get", "m", "k"];
    let done = node.cli(&get);
    assert!(done.code == Some(3) && done.err.contains("--token"), "{done:?}");
    let done = node.cli(&[&get[..], &["--token", "wrong horse battery"]].concat());
    assert!(done.code == Some(3) && done.err.contains("AuthFailed"), "{done:?}");
    let done = node.cli(&[&get[..], &["--token", "correct horse battery"]].concat());
    assert_eq!((done.code, done.out.as_str()), (Some(0), "1\n"));
    assert!(!node.log().contains("horse"), "the secret is in the log");
}

#[test]
fn a_socket_is_greeted_in_the_form_that_it_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    let first = |path| {
        block_on(async {
            let mut socket = dial(&node.addr, path, 1 << 20).await.unwrap();
            socket.next().await.unwrap().unwrap()
        })
    };
    assert!(first("/ws").is_binary());
    let greeting = first("/ws?format=json").into_text().unwrap();
    let greeting: Value = serde_json::from_str(&greeting).unwrap();
    assert_eq!(
        (&greeting["type"], &greeting["open"]),
        (&json!("AUTH_ACK"), &json!(true))
    );
}

#[test]
fn health_and_unknown_paths_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    assert_eq!(node.http("GET", "/health/live", &[], b"").0, 200);
    assert_eq!(node.http("GET", "/health/ready", &[], b"").0, 200);
    assert_eq!(node.http("GET", "/", &[], b"").0, 404);
    assert_eq!(node.http("GET", "/sync", &[], b"").0, 405);
}
