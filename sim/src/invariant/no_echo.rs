//! **Promises** that a change does not go back to the peer that it came from: the step that takes changes from a connection sends
//! none of them on that connection.
//! **From** what every flooding protocol needs to end at all: the split horizon of RIP (RFC 2453, section 3.4.3). Nothing would be wrong
//! in the end, only everything sent twice. Repairs are another matter: they answer a question, and may well send what the other
//! side has by now.

use kernel::env::ConnId;
use kernel::machine::Input;
use kernel::wire::peer::PeerMessage;

use super::{Invariant, Seen};
use crate::traffic::is_one_of;

/// See the module.
#[derive(Debug)]
pub struct NoEcho;

/// The records in a frame of changes, each with its key.
fn changes(frame: &[u8]) -> Vec<(&[u8], &[u8])> {
    if !is_one_of(frame, &["CHANGES"]) {
        return Vec::new();
    }
    match PeerMessage::decode(frame) {
        Ok(PeerMessage::Changes(changes)) => changes.rows.flatten().collect(),
        _ => Vec::new(),
    }
}

/// The same of a frame that is sent. One that asks for a confirmation is sent to whoever owes one: the other side may just have
/// given the same.
fn given(frame: &[u8]) -> Vec<(&[u8], &[u8])> {
    match PeerMessage::decode(frame) {
        Ok(PeerMessage::Changes(sent)) if sent.number.is_none() => changes(frame),
        _ => Vec::new(),
    }
}

impl Invariant for NoEcho {
    fn name(&self) -> &'static str {
        "no-echo"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Stepped { step, .. } = seen else {
            return Ok(());
        };
        let Input::Received { conn, frame } = step.input else {
            return Ok(());
        };
        let taken = changes(frame);
        if taken.is_empty() {
            return Ok(());
        }
        let ConnId(number) = conn;
        let waiting = step.output.commit.iter().flat_map(|commit| &commit.envelopes);
        let mut back = step
            .output
            .send
            .iter()
            .chain(waiting)
            .filter(|envelope| envelope.conn == *conn);
        let echo = back.find_map(|envelope| given(&envelope.frame).into_iter().find(|row| taken.contains(row)));
        match echo {
            None => Ok(()),
            Some((key, _)) => {
                let (node, key) = (step.node, String::from_utf8_lossy(key).replace('\0', "/"));
                Err(format!(
                    "n{node} sends no change back to where it came from; it sent {key} back on connection {number}"
                ))
            }
        }
    }
}
