//! A client whose connections carry one request and one answer each, as `POST /sync` does.

use bytes::Bytes;
use kernel::env::ConnId;
use kernel::msgpack::{Kind, Reader};
use kernel::wire::client::auth;

use super::{Action, Client, Line};

impl Client {
    /// A connection is open. An exchange is not greeted: whoever has a token says it first.
    pub(super) fn opened(&mut self, conn: ConnId, out: &mut Vec<Action>) {
        self.line = Line::Greeting(conn);
        if self.config.exchange {
            self.line = Line::Ready(conn);
            out.extend(self.config.token.map(|token| Action::Send(conn, auth(token))));
        }
    }

    /// Says its one request, unless it has.
    pub(super) fn pump_exchange(&mut self, at_us: u64, conn: ConnId, out: &mut Vec<Action>) {
        if !self.frames.is_empty() || self.awaits_reads() {
            return;
        }
        if !self.ask_writes(at_us, conn, out) && self.ask_reads(at_us, conn, 1, out) == 0 {
            return self.end_exchange(at_us, conn, out);
        }
        self.deadline_us = Some(at_us + self.patience_us());
    }

    /// The answer is there, or there is nothing to ask: the next request has a connection of its own, to the same node.
    pub(super) fn end_exchange(&mut self, at_us: u64, conn: ConnId, out: &mut Vec<Action>) {
        if self.line != Line::Ready(conn) {
            return;
        }
        let node = self.node;
        out.push(Action::Close(conn));
        self.move_on(at_us);
        self.node = node;
    }

    /// Takes the answer to a batch of writes. Whether it was one.
    pub(super) fn take_exchanged(&mut self, at_us: u64, conn: ConnId, frame: &Bytes, out: &mut Vec<Action>) -> bool {
        let Some(Answer { done, refused }) = read_answer(frame).filter(|_| self.config.exchange) else {
            return false;
        };
        if self.is_impostor() {
            let told = !done.is_empty();
            out.extend(told.then(|| Action::Intruded("that its writes are done".into())));
        }
        for (id, code) in refused {
            self.rejected(at_us, conn, id, code, out);
        }
        for (id, achieved) in done {
            self.done(conn, id, achieved, out);
        }
        true
    }
}

/// What became of a batch of writes.
#[derive(Default)]
pub(crate) struct Answer<'f> {
    /// The ids of those that are done, each with the node's word for how.
    pub done: Vec<(u64, &'f str)>,
    /// The ids of those that are refused, each with the number of the reason.
    pub refused: Vec<(u64, u64)>,
}

/// Reads the answer to a batch of writes. `None`: it is another message.
pub(crate) fn read_answer(frame: &[u8]) -> Option<Answer<'_>> {
    let Answer { mut done, mut refused } = Answer::default();
    let mut reader = Reader::new(frame);
    for _ in 0..reader.map().ok()? {
        match reader.text().ok()? {
            "type" => return None,
            "ack" => {
                let ack = fields(&mut reader, "results")?;
                let mut results = Reader::new(ack.unwrap_or(&[0x90]));
                for _ in 0..results.list().ok()? {
                    let start = results;
                    let id = fields(&mut results, "opId")?.and_then(number);
                    let level = fields(&mut { start }, "achievedLevel")?.and_then(word);
                    done.extend(id.map(|id| (id, level.unwrap_or_default())));
                }
            }
            "errors" => {
                for _ in 0..reader.list().ok()? {
                    let start = reader;
                    let code = fields(&mut reader, "code")?.and_then(number);
                    let id = fields(&mut { start }, "context")?.and_then(number);
                    refused.extend(id.zip(code));
                }
            }
            _ => reader.skip().ok()?,
        }
    }
    Some(Answer { done, refused })
}

/// One field of the map that comes next.
fn fields<'f>(reader: &mut Reader<'f>, wanted: &str) -> Option<Option<&'f [u8]>> {
    let mut found = None;
    for _ in 0..reader.map().ok()? {
        let name = reader.text().ok()?;
        let value = reader.raw().ok()?;
        if name == wanted {
            found = Some(value);
        }
    }
    Some(found)
}

fn word(raw: &[u8]) -> Option<&str> {
    Reader::new(raw).text().ok()
}

/// A number, or the text of one.
fn number(raw: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(raw);
    match reader.peek().ok()? {
        Kind::Text => reader.text().ok()?.parse().ok(),
        _ => reader.u64().ok(),
    }
}
