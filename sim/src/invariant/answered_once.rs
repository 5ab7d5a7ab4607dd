//! **Promises** that every request is answered at most once on the connection that it came over: a write by an acknowledgement or
//! a refusal, a read by a value or an error, a query by its first answer; and nothing is answered that nobody asked. What
//! arrives twice, over datagrams or because a client asked again, may be answered twice. A live query may be answered anew for as
//! long as it is live: who gets another answer forgets the one before. An exchange gets no more
//! frames than came up.
//! **From** the request and response rules of every pipelined protocol (RFC 9112, section 9.3.2): who gets two replies to one
//! request takes the second for the answer to the next. Counted are the frames that arrive at a node and those that leave it.

use std::collections::{BTreeMap, VecDeque};

use kernel::env::{ConnId, Limits};
use kernel::machine::{Input, Role};
use kernel::wire::Code;
use kernel::wire::client::ClientMessage;
use kernel::wire::server::ServerMessage;

use super::{Departure, Invariant, Seen};

/// See the module.
#[derive(Debug)]
pub struct AnsweredOnce {
    limits: Limits,
    nodes: BTreeMap<usize, Node>,
}

#[derive(Debug, Default)]
struct Node {
    lines: BTreeMap<ConnId, Line>,
}

/// One connection of a client.
#[derive(Debug, Default)]
struct Line {
    push: bool,
    /// Frames that came.
    arrived: u64,
    /// The writes of each frame that came.
    frames: VecDeque<Vec<(String, Write)>>,
    /// Reads that came and were not answered.
    reads: BTreeMap<String, u64>,
    queries: BTreeMap<String, Query>,
    /// Frames that left an exchange.
    answers: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Open,
    Done,
    /// Refused; `true` if asking again cannot help.
    Refused(bool),
}

#[derive(Debug, Default)]
struct Query {
    owed: u64,
    /// It was answered, and nothing has ended it.
    is_live: bool,
}

impl AnsweredOnce {
    /// Of nodes with these limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            nodes: BTreeMap::new(),
        }
    }
}

impl Line {
    fn asked(&mut self, message: &ClientMessage<'_>) {
        match message {
            ClientMessage::Op(ops) | ClientMessage::Batch(ops) if self.push => {
                let ids = ops.clone().map(|op| op.map_or_else(|bad| bad.id, |op| op.id));
                let named = ids.filter(|id| !id.is_empty());
                self.frames
                    .push_back(named.map(|id| (id.into(), Write::Open)).collect());
            }
            ClientMessage::Get(get) => *self.reads.entry(get.id.into()).or_default() += 1,
            ClientMessage::Agreed(ask) => *self.reads.entry(ask.id.into()).or_default() += 1,
            ClientMessage::QuerySub(sub) => self.queries.entry(sub.id.into()).or_default().owed += 1,
            ClientMessage::QueryUnsub { id } => _ = self.queries.remove(*id),
            _ => {}
        }
    }

    /// What is wrong with an answer, if something is.
    fn answered(&mut self, message: &ServerMessage<'_>) -> Option<String> {
        let wrong = match message {
            ServerMessage::OpAck { last_id, beyond, .. } => {
                let last = (*last_id != "0" && !self.acknowledge(last_id)).then_some(*last_id);
                let mut beyond = beyond.iter();
                last.or_else(|| {
                    beyond
                        .find(|done| !self.settle(done.id, Write::Done))
                        .map(|done| done.id)
                })
            }
            ServerMessage::OpRejected { id, code, .. } if !id.is_empty() => {
                let is_final = Code::from_number(*code).is_some_and(Code::is_final);
                (!self.settle(id, Write::Refused(is_final))).then_some(*id)
            }
            ServerMessage::Value { id, .. } | ServerMessage::Agreed { id, .. } => (!self.read(id)).then_some(*id),
            ServerMessage::Error { request, .. } if !request.is_empty() => {
                (!self.read(request) && !self.end(request)).then_some(*request)
            }
            ServerMessage::QueryResp { id, .. } => (!self.query(id)).then_some(*id),
            _ => None,
        };
        self.frames
            .retain(|frame| frame.iter().any(|(_, write)| *write == Write::Open));
        wrong.map(str::to_string)
    }

    /// All writes up to `last` in one frame are done, but for those that were refused for good.
    fn acknowledge(&mut self, last: &str) -> bool {
        for frame in &mut self.frames {
            let Some(place) = frame.iter().position(|(id, _)| id == last) else {
                continue;
            };
            let covered = &mut frame[..=place];
            let open = covered.iter().any(|(_, write)| *write == Write::Open);
            let others = covered
                .iter()
                .all(|(_, write)| matches!(write, Write::Open | Write::Refused(true)));
            if open && others {
                covered
                    .iter_mut()
                    .filter(|(_, write)| *write == Write::Open)
                    .for_each(|(_, write)| *write = Write::Done);
                return true;
            }
        }
        false
    }

    fn settle(&mut self, wanted: &str, how: Write) -> bool {
        let mut all = self.frames.iter_mut().flatten();
        let open = all.find(|(id, write)| id == wanted && *write == Write::Open);
        open.map(|(_, write)| *write = how).is_some()
    }

    fn read(&mut self, id: &str) -> bool {
        let Some(owed) = self.reads.get_mut(id) else {
            return false;
        };
        *owed -= 1;
        if *owed == 0 {
            self.reads.remove(id);
        }
        true
    }

    fn query(&mut self, id: &str) -> bool {
        let Some(query) = self.queries.get_mut(id).filter(|query| query.owed > 0 || query.is_live) else {
            return false;
        };
        query.owed = query.owed.saturating_sub(1);
        query.is_live = self.push;
        true
    }

    /// An error ends a query, or refuses it.
    fn end(&mut self, id: &str) -> bool {
        let Some(query) = self.queries.get_mut(id).filter(|query| query.owed > 0 || query.is_live) else {
            return false;
        };
        query.owed = query.owed.saturating_sub(1);
        query.is_live = false;
        true
    }
}

impl Node {
    fn step(&mut self, step: &crate::trace::Step<'_>, limits: &Limits) {
        match step.input {
            Input::Opened { conn, kind, .. } if kind.role == Role::Client => {
                let line = Line {
                    push: kind.push,
                    ..Line::default()
                };
                self.lines.insert(*conn, line);
            }
            Input::Closed { conn } => _ = self.lines.remove(conn),
            Input::Received { conn, frame } => {
                if let Some(line) = self.lines.get_mut(conn) {
                    let message = ClientMessage::decode(frame, limits.depth);
                    line.arrived += 1;
                    if let Ok(message) = message {
                        line.asked(&message);
                    }
                }
            }
            _ => {}
        }
    }

    fn left(&mut self, left: &Departure<'_>, limits: &Limits) -> Result<(), String> {
        let Some(line) = self.lines.get_mut(&left.conn) else {
            return Ok(());
        };
        let (node, conn) = (left.node, left.conn.0);
        line.answers += 1;
        // One that is turned away is told so before it has asked.
        let due = line.arrived.max(1);
        if !line.push && line.answers > due {
            return Err(format!(
                "an exchange gets one answer; n{node} gave connection {conn} another"
            ));
        }
        let Ok(message) = ServerMessage::decode(left.frame, limits.depth) else {
            return Ok(());
        };
        match line.answered(&message) {
            None => Ok(()),
            Some(id) => Err(format!(
                "each request is answered once; n{node} answered `{id}` on connection {conn} once more than it was asked: \
                 {message:?}"
            )),
        }
    }
}

impl Invariant for AnsweredOnce {
    fn name(&self) -> &'static str {
        "answered-once"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => {
                self.nodes.insert(*node, Node::default());
                Ok(())
            }
            Seen::Stepped { step, .. } => {
                self.nodes.entry(step.node).or_default().step(step, &self.limits);
                Ok(())
            }
            Seen::Left(left) if left.role == Role::Client => {
                let node = self.nodes.entry(left.node).or_default();
                node.left(left, &self.limits)
            }
            _ => Ok(()),
        }
    }
}
