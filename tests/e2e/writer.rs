//! A client that keeps many writes in flight, and knows which were acknowledged.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_tungstenite::tungstenite::Message;
use bytes::Bytes;
use futures_lite::StreamExt;
use futures_lite::future::{block_on, zip};
use kernel::crdt::Version;
use kernel::env::WriterId;
use kernel::hlc::Stamp;
use kernel::msgpack::Writer;
use kernel::wire::op::{Ask, Op};
use kernel::wire::server::ServerMessage;
use kernel::wire::{Consistency, ReadConsistency, client};
use runtime_real::net::socket::dial;

use crate::process::Process;

/// Writes that wait for their acknowledgement at once.
const WINDOW: usize = 1_000;

const FRAME_BYTES: usize = 1 << 20;
const DEPTH: usize = 16;
const WRITER: &str = "e2e";

pub fn key(number: usize) -> String {
    format!("key-{number:05}")
}

/// The value of a key: long enough that half of one would be noticed.
pub fn value(number: usize) -> String {
    format!("{number:05}-").repeat(40)
}

fn put(number: usize) -> Bytes {
    let mut text = Writer::new();
    text.text(&value(number));
    let value = text.into_bytes();
    let (id, key) = (number.to_string(), key(number));
    let op = Op {
        id: &id,
        map: "crash",
        key: key.as_bytes(),
        consistency: Consistency::default(),
        version: Version::new(
            Stamp::new(1_700_000_000_000 + number as u64, 0, WriterId::of(WRITER)).unwrap(),
            WRITER,
            Some(&value),
        ),
    };
    client::op(&op, Ask::default())
}

/// Writes `numbers`, and gives those that were acknowledged before all were done or the connection was lost. `acked` hears
/// of each.
pub fn write_all(node: &Process, numbers: &[usize], mut acked: impl FnMut(usize)) -> BTreeSet<usize> {
    let done = Mutex::new(BTreeSet::new());
    block_on(async {
        let socket = dial(&node.addr, "/ws", FRAME_BYTES).await.unwrap();
        let (mut sender, mut receiver) = socket.split();
        let (gave, taken) = async_channel::bounded::<()>(WINDOW);
        let writing = async {
            for &number in numbers {
                // Either fails when the connection is lost.
                if gave.send(()).await.is_err() || sender.send(Message::Binary(put(number))).await.is_err() {
                    return;
                }
            }
        };
        let reading = async {
            let taken = taken;
            while let Some(Ok(message)) = receiver.next().await {
                let Message::Binary(frame) = message else { continue };
                match ServerMessage::decode(&frame, DEPTH).unwrap() {
                    ServerMessage::OpAck { last_id, .. } => {
                        let number = last_id.parse().unwrap();
                        assert!(done.lock().unwrap().insert(number), "{number} was acknowledged twice");
                        acked(number);
                    }
                    ServerMessage::AuthAck { .. } => continue,
                    // A node that is stopping refuses what comes then.
                    ServerMessage::OpRejected { .. } | ServerMessage::Error { .. } => {}
                    other => panic!("{other:?}"),
                }
                let _ = taken.try_recv();
                if done.lock().unwrap().len() == numbers.len() {
                    return;
                }
            }
        };
        zip(writing, reading).await;
    });
    done.into_inner().unwrap()
}

/// What is under each of `numbers`, as JSON.
pub fn read_all(node: &Process, numbers: &[usize]) -> Vec<Option<String>> {
    block_on(async {
        let mut socket = dial(&node.addr, "/ws", FRAME_BYTES).await.unwrap();
        let mut found = Vec::new();
        for &number in numbers {
            let (id, key) = (number.to_string(), key(number));
            let get = client::Get {
                id: &id,
                map: "crash",
                key: key.as_bytes(),
                consistency: ReadConsistency::default(),
            };
            socket.send(Message::Binary(client::get_key(&get))).await.unwrap();
            found.push(loop {
                let frame = socket.next().await.unwrap().unwrap().into_data();
                match ServerMessage::decode(&frame, DEPTH).unwrap() {
                    ServerMessage::AuthAck { .. } => {}
                    ServerMessage::Value { found, .. } => {
                        break found.map(|(value, _)| runtime_real::net::json::from_msgpack(value).unwrap());
                    }
                    other => panic!("{other:?}"),
                }
            });
        }
        found
    })
}
