//! Nodes that refuse and hang up.

use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use async_tungstenite::tungstenite::Message;
use async_tungstenite::{WebSocketStream, accept_async};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use kernel::hlc::Stamp;
use kernel::wire::client::ClientMessage;
use kernel::wire::server::{self, Outcome, Refusal};
use kernel::wire::{Code, Consistency};

use crate::process::run;

type Socket = WebSocketStream<smol::net::TcpStream>;

/// The operations of a batch, as their ids, keys and stamps.
type Batch = Vec<(String, Vec<u8>, Stamp)>;

/// A node whose conversation with each of its callers is `talk`, until that says that it was the last.
fn node(mut talk: impl AsyncFnMut(&mut Socket) -> bool + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let node = thread::spawn(move || {
        block_on(async {
            loop {
                let (stream, _) = listener.accept().unwrap();
                let stream = smol::net::TcpStream::try_from(stream).unwrap();
                let mut socket = accept_async(stream).await.unwrap();
                let hello = server::auth_ack(true, "rude", Stamp::ZERO);
                socket.send(Message::Binary(hello)).await.unwrap();
                if talk(&mut socket).await {
                    return;
                }
            }
        });
    });
    (addr, node)
}

async fn batch(socket: &mut Socket) -> Batch {
    let frame = socket.next().await.unwrap().unwrap().into_data();
    let ClientMessage::Batch(ops) = ClientMessage::decode(&frame, 64).unwrap() else {
        panic!("an import sends batches");
    };
    ops.map(|op| {
        op.map(|op| (op.id.to_owned(), op.key.to_vec(), op.version.stamp))
            .unwrap()
    })
    .collect()
}

async fn acknowledge(socket: &mut Socket, ids: &[&str], gapless: bool) {
    let outcomes: Vec<_> = ids
        .iter()
        .map(|id| Outcome {
            id,
            result: Ok(Consistency::default()),
        })
        .collect();
    let ack = server::op_ack(&outcomes, gapless).unwrap();
    socket.send(Message::Binary(ack)).await.unwrap();
}

fn three_rows(dir: &tempfile::TempDir) -> String {
    let path = dir.path().join("three.csv");
    std::fs::write(&path, "a\nx\ny\nz\n").unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_row_that_was_refused_for_now_is_sent_again_under_its_stamp() {
    let dir = tempfile::tempdir().unwrap();
    let (addr, node) = node(async |socket| {
        // One, because nothing else is under way, and then those that gathered.
        let mut seen = batch(socket).await;
        for code in [Code::Overloaded, Code::NotReady, Code::OutcomeUnknown] {
            for (id, _, _) in &seen {
                let reason = "not now".to_owned();
                let refused = server::op_rejected(id, &Refusal { code, reason });
                socket.send(Message::Binary(refused)).await.unwrap();
            }
            let again = batch(socket).await;
            assert!(seen.iter().all(|op| again.contains(op)), "{seen:?} {again:?}");
            seen = again;
        }
        let mut done = 0;
        loop {
            let ids: Vec<_> = seen.iter().map(|(id, _, _)| id.as_str()).collect();
            acknowledge(socket, &ids, false).await;
            done += ids.len();
            if done == 3 {
                return true;
            }
            seen = batch(socket).await;
        }
    });
    let done = run(&["import", &three_rows(&dir), "--map", "m", "--addr", &addr]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.out.contains("3 rows acknowledged") && done.err.contains("waiting[Overloaded]"),
        "{done:?}"
    );
    node.join().unwrap();
}

#[test]
fn what_was_not_acknowledged_goes_again_on_the_next_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut lost: Option<Batch> = None;
    let (addr, node) = node(async move |socket| {
        let mut seen = batch(socket).await;
        let Some(lost) = &lost else {
            lost = Some(seen);
            return false;
        };
        assert!(lost.iter().all(|op| seen.contains(op)));
        loop {
            let ids: Vec<_> = seen.iter().map(|(id, _, _)| id.as_str()).collect();
            acknowledge(socket, &ids, true).await;
            if ids.contains(&"3") {
                return true;
            }
            seen = batch(socket).await;
        }
    });
    let done = run(&["import", &three_rows(&dir), "--map", "m", "--addr", &addr]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.out.contains("3 rows acknowledged") && done.err.contains("waiting[unreachable]"),
        "{done:?}"
    );
    node.join().unwrap();
}

#[test]
fn rows_that_left_and_were_never_answered_have_an_unknown_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let (addr, node) = node(async |socket| {
        batch(socket).await;
        true
    });
    let done = run(&[
        "import",
        &three_rows(&dir),
        "--map",
        "m",
        "--addr",
        &addr,
        "--retry-for",
        "0s",
    ]);
    assert_eq!(done.code, Some(5), "{done:?}");
    assert!(done.err.contains("nobody knows whether they were written"), "{done:?}");
    node.join().unwrap();
}

#[test]
fn a_refusal_that_waiting_does_not_help_ends_it_with_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let (addr, node) = node(async |socket| {
        let seen = batch(socket).await;
        let refusal = Refusal {
            code: Code::StorageFull,
            reason: "this node's storage is full".to_owned(),
        };
        for (id, _, _) in &seen {
            let refused = server::op_rejected(id, &refusal);
            socket.send(Message::Binary(refused)).await.unwrap();
        }
        // Until the other side hangs up.
        while let Some(Ok(_)) = socket.next().await {}
        true
    });
    let done = run(&["import", &three_rows(&dir), "--map", "m", "--addr", &addr]);
    assert!(
        done.code == Some(3) && done.err.contains("error[StorageFull]"),
        "{done:?}"
    );
    node.join().unwrap();
}
