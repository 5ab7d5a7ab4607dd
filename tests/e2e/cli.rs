//! The command line: what it prints, and with what it exits.

use std::net::TcpListener;
use std::thread;

use async_tungstenite::accept_async;
use async_tungstenite::tungstenite::Message;
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use kernel::hlc::Stamp;
use kernel::wire::server;
use rustix::process::Signal;

use runtime_real::net::socket::dial;

use crate::process::{Process, eventually, run};

#[test]
fn values_come_back_as_they_were_set() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    assert_eq!(
        node.ok(&["set", "greetings", "hello", "\"world\""]),
        "set: eventual, disk"
    );
    for (value, shown) in [
        ("\"world\"", "\"world\""),
        ("plain text", "\"plain text\""),
        ("7", "7"),
        ("-7", "-7"),
        ("7.0", "7.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("{\"b\": [1, null, true], \"a\": {}}", "{\"b\":[1,null,true],\"a\":{}}"),
        ("null", "null"),
        ("é", "\"é\""),
    ] {
        node.ok(&["set", "m", "k", value]);
        assert_eq!(node.ok(&["get", "m", "k"]), shown);
    }
    assert_eq!(node.ok(&["del", "m", "k"]), "deleted: eventual, disk");
    assert_eq!(node.cli(&["get", "m", "k"]).code, Some(1));
    node.ok(&[
        "set",
        "m",
        "k",
        "1",
        "--durability",
        "memory",
        "--consistency",
        "eventual",
    ]);
    assert_eq!(node.ok(&["get", "m", "k", "--consistency", "any"]), "1");
    assert!(node.ok(&["status"]).contains("records      2"));
}

#[test]
fn a_value_with_a_time_to_live_goes_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = Process::start(&data);
    node.ok(&["set", "m", "brief", "1", "--ttl", "400ms"]);
    node.ok(&["set", "m", "long", "1", "--ttl", "60m"]);
    node.ok(&["set", "m", "again", "1", "--ttl", "1ms"]);
    node.ok(&["set", "m", "again", "2"]);
    let gone = |node: &Process| node.cli(&["get", "m", "brief"]).code == Some(1);
    eventually("the value expires", || gone(&node).then_some(()));
    assert_eq!(node.ok(&["get", "m", "again"]).trim(), "2");
    node.kill();
    let node = Process::start(&data);
    assert!(gone(&node), "and stays away");
    assert_eq!(node.ok(&["get", "m", "long"]).trim(), "1");
    for wrong in ["0s", "1", "-1s", "soon", "999999999999999m"] {
        let refused = node.cli(&["set", "m", "k", "1", "--ttl", wrong]);
        assert_eq!(refused.code, Some(2), "{wrong}: {refused:?}");
    }
}

#[test]
fn exit_codes_tell_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    assert_eq!(node.cli(&["set", "m", "k", "1"]).code, Some(0));
    assert_eq!(node.cli(&["get", "m", "nothing"]).code, Some(1));
    for wrong in [
        &["set", "m", "k"][..],
        &["get", "m", "k", "--consistency", "perhaps"],
        &["get", "m", "k", "--addr", "nowhere"],
        &["frobnicate"],
        &["--listen", "nowhere"],
        &["--partition-by", "m"],
    ] {
        assert_eq!(run(wrong).code, Some(2), "{wrong:?}");
    }
    assert_eq!(
        node.ok(&["set", "m", "k", "1", "--consistency", "strong"]),
        "set: strong, disk"
    );
    let long = "k".repeat(1_000);
    let refused = node.cli(&["set", "m", &long, "1"]);
    assert!(
        refused.code == Some(3) && refused.err.contains("error[TooLarge]"),
        "{refused:?}"
    );

    let addr = node.addr.clone();
    node.kill();
    let gone = run(&["get", "m", "k", "--addr", &addr]);
    assert!(gone.code == Some(4) && gone.err.contains(&addr), "{gone:?}");
}

#[test]
fn a_write_that_left_and_was_not_answered_has_an_unknown_outcome() {
    // A node that hangs up after the first write.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let node = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        block_on(async {
            let stream = smol::net::TcpStream::try_from(stream).unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            let hello = server::auth_ack(true, "rude", Stamp::ZERO);
            socket.send(Message::Binary(hello)).await.unwrap();
            socket.next().await.unwrap().unwrap();
        });
    });
    let done = run(&["set", "m", "k", "1", "--addr", &addr]);
    assert!(
        done.code == Some(5) && done.err.contains("error[unknown_outcome]"),
        "{done:?}"
    );
    node.join().unwrap();
}

#[test]
fn a_node_that_cannot_start_says_what_is_in_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let folder = data.to_str().unwrap();
    let node = Process::start(&data);

    let second = run(&["--data", folder, "--listen", "127.0.0.1:0"]);
    assert!(
        second.code == Some(2) && second.err.contains("error[data_in_use]"),
        "{second:?}"
    );
    assert!(second.err.contains(folder), "{second:?}");

    let elsewhere = dir.path().join("other");
    let elsewhere = elsewhere.to_str().unwrap();
    let taken = run(&["--data", elsewhere, "--listen", &node.addr]);
    assert!(
        taken.code == Some(2) && taken.err.contains("error[cannot_listen]"),
        "{taken:?}"
    );
    assert!(
        taken.err.contains(&node.addr) && taken.err.contains("hint:"),
        "{taken:?}"
    );

    let open = run(&["--data", elsewhere, "--listen", "0.0.0.0:0"]);
    assert!(
        open.code == Some(2) && open.err.contains("--cluster-secret-file"),
        "{open:?}"
    );

    let file = dir.path().join("file");
    std::fs::write(&file, "short").unwrap();
    let file = file.to_str().unwrap();
    let secret = run(&["--data", elsewhere, "--cluster-secret-file", file]);
    assert!(
        secret.code == Some(2) && secret.err.contains("error[secret_length]"),
        "{secret:?}"
    );
    let secret = run(&["--data", elsewhere, "--cluster-secret-file", "/nowhere/at/all"]);
    assert!(
        secret.code == Some(2) && secret.err.contains("/nowhere/at/all"),
        "{secret:?}"
    );
    std::fs::write(file, "long enough to be one").unwrap();
    let nowhere = run(&[
        "--data",
        elsewhere,
        "--listen",
        "0.0.0.0:0",
        "--cluster-secret-file",
        file,
    ]);
    assert!(
        nowhere.code == Some(2) && nowhere.err.contains("error[no_address]") && nowhere.err.contains("--advertise"),
        "{nowhere:?}"
    );
    for bad in [["--replicas", "8"], ["--weight", "0"], ["--cluster-name", ""]] {
        let done = run(&[&["--data", elsewhere][..], &bad].concat());
        assert!(
            done.code == Some(2) && done.err.contains(bad[0].trim_start_matches('-')),
            "{done:?}"
        );
    }
    let not_a_folder = run(&["--data", file]);
    assert!(
        not_a_folder.code == Some(2) && not_a_folder.err.contains(file),
        "{not_a_folder:?}"
    );
}

#[test]
fn a_node_keeps_its_name_and_logs_in_the_form_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = Process::start(&data);
    let name = node.status("node");
    node.signal(Signal::INT);
    assert_eq!(node.wait().code(), Some(0));
    let node = Process::start_with(&data, &["--log", "json"]);
    assert_eq!(node.status("node"), name);
    let last = node.log().lines().last().unwrap().to_owned();
    serde_json::from_str::<serde_json::Value>(&last).unwrap_or_else(|error| panic!("{error}: {last}"));
}

#[test]
fn a_second_signal_ends_a_node_that_waits_for_its_clients() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let node = Process::start(&dir.path().join(code.to_string()));
        // A client that never answers a goodbye.
        let _client = block_on(dial(&node.addr, "/ws", 1_000)).unwrap();
        node.signal(Signal::TERM);
        eventually("the machine has stopped", || {
            node.log().contains("stopped").then_some(())
        });
        node.signal(signal);
        assert_eq!(node.wait().code(), Some(code));
    }
}

#[test]
fn the_version_says_what_is_compiled_in() {
    let done = run(&["--version"]);
    assert!(done.out.starts_with("runtime-real 0."), "{done:?}");
    assert_eq!(done.out.contains("+testing"), kernel::env::TESTING);
}
