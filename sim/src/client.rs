//! A client of the workload: it stamps its own writes, keeps them until they are acknowledged, and asks elsewhere when it
//! has waited long enough. Always with the same stamp, so that asking again does no harm.

use std::collections::{BTreeMap, VecDeque};

mod exchange;
mod impostor;

use bytes::Bytes;
use kernel::env::{ConnId, Limits, WriterId};
use kernel::hlc::Hlc;
use kernel::store::RecordKey;
use kernel::wire::Code;
use kernel::wire::client::{Get, auth, get_key, op, op_batch, sync_body};
use kernel::wire::op::{Ask, Op};
use kernel::wire::query::query_sub;
use kernel::wire::server::ServerMessage;

use crate::clock::EPOCH_MS;
use crate::invariant::Write;
use crate::model::Version;
use crate::network::NetInput;
use crate::watch::{Rows, View, Watch, document};

/// What a client is made with.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The name that it writes under.
    pub name: String,
    /// Whether somebody else writes under that name. Such a client does not follow the nodes' clocks, so that its stamps
    /// keep colliding with the other's.
    pub twin: bool,
    /// How far its wall clock is ahead.
    pub skew_ms: i64,
    /// How many nodes there are.
    pub nodes: usize,
    /// The one that it asks first.
    pub home: usize,
    /// How long it waits for an answer.
    pub patience_us: u64,
    /// Most operations in one frame.
    pub batch: usize,
    /// Its connections carry one request and one answer each.
    pub exchange: bool,
    /// What it presents to nodes that ask for a token.
    pub token: Option<&'static str>,
}

/// What nodes and clients know, where there is a secret.
pub const SECRET: &str = "orrery";

/// The names of those who do not know it begin so, and so does what they present.
pub const IMPOSTOR: &str = "impostor";

/// What a client wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a connection to a node.
    Dial(usize),
    /// Send a frame.
    Send(ConnId, Bytes),
    /// End a connection.
    Close(ConnId),
    /// It stamped a write.
    Wrote(Write),
    /// A node told it that a write is done.
    Acknowledged(usize, Write),
    /// It has no right to anything, and a node told it this.
    Intruded(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing to talk on until then.
    Down {
        until_us: u64,
    },
    Dialling,
    /// Open, and the node has not yet said that it may be used.
    Greeting(ConnId),
    Ready(ConnId),
}

#[derive(Debug)]
struct Pending {
    map: String,
    key: String,
    write: Write,
    /// Asked, on the line that is open now.
    asked: bool,
    not_before_us: u64,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    hlc: Hlc,
    line: Line,
    node: usize,
    offline_until_us: u64,
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
    /// The ids of each frame that was sent on this line and not fully answered.
    frames: VecDeque<Vec<u64>>,
    /// Reads to be asked, and those that were.
    reads: VecDeque<(u64, String, String)>,
    asked_reads: Vec<u64>,
    /// What it watches: the query with the id `w0` is the first.
    views: Vec<View>,
    deadline_us: Option<u64>,
    refused: u64,
    values_read: u64,
}

impl Client {
    /// A client that has not dialled yet.
    pub fn new(config: ClientConfig) -> Self {
        Self {
            hlc: Hlc::new(WriterId::of(&config.name)),
            line: Line::Down { until_us: 0 },
            node: config.home,
            config,
            offline_until_us: 0,
            next_id: 1,
            pending: BTreeMap::new(),
            frames: VecDeque::new(),
            reads: VecDeque::new(),
            asked_reads: Vec::new(),
            views: Vec::new(),
            deadline_us: None,
            refused: 0,
            values_read: 0,
        }
    }

    /// Whether it has an answer to everything that it wrote.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() || self.is_impostor()
    }

    /// How many of its writes were refused for good, and how many reads were answered.
    pub fn counts(&self) -> (u64, u64) {
        (self.refused, self.values_read)
    }

    /// Writes a number, perhaps for a while, or deletes.
    pub fn write(
        &mut self,
        at_us: u64,
        map: &str,
        key: &str,
        value: Option<(u64, Option<u64>)>,
        out: &mut Vec<Action>,
    ) {
        let (value, ttl_ms) = value.unzip();
        let (value, ttl_ms) = (value.map(document), ttl_ms.flatten());
        let wall_ms = (EPOCH_MS + at_us / 1_000).saturating_add_signed(self.config.skew_ms);
        let version = Version {
            stamp: self.hlc.now(wall_ms),
            ttl_ms,
            value,
            writer: self.config.name.clone(),
        };
        let name = RecordKey::new(map, key.as_bytes(), &Limits::default()).expect("a plan's names are short");
        let write = Write {
            key: name.as_bytes().clone(),
            version,
        };
        out.push(Action::Wrote(write.clone()));
        let pending = Pending {
            map: map.into(),
            key: key.into(),
            write,
            asked: false,
            not_before_us: 0,
        };
        self.pending.insert(self.next_id, pending);
        self.next_id += 1;
        self.pump(at_us, out);
    }

    /// Reads.
    pub fn read(&mut self, at_us: u64, map: &str, key: &str, out: &mut Vec<Action>) {
        self.reads.push_back((self.next_id, map.into(), key.into()));
        self.next_id += 1;
        self.pump(at_us, out);
    }

    /// Watches from now on.
    pub fn watch(&mut self, at_us: u64, watch: Watch, out: &mut Vec<Action>) {
        // An exchange cannot be pushed to, and an impostor is not going to be.
        if !self.config.exchange && !self.is_impostor() {
            self.views.push(View::new(watch));
            self.pump(at_us, out);
        }
    }

    /// What it watches, and what it knows of the answer: nothing, before there is one on the line that is open now.
    pub fn views(&self) -> impl Iterator<Item = (&Watch, Option<&Rows>)> {
        self.views.iter().map(|view| (&view.watch, view.rows.as_ref()))
    }

    /// The line that it talks on, if it is open.
    pub fn line(&self) -> Option<(usize, ConnId)> {
        match self.line {
            Line::Ready(conn) => Some((self.node, conn)),
            _ => None,
        }
    }

    fn view(&mut self, id: &str) -> Option<&mut View> {
        self.views.get_mut(id.strip_prefix('w')?.parse::<usize>().ok()?)
    }

    /// Has no network until then; what it writes meanwhile waits.
    pub fn go_offline(&mut self, at_us: u64, until_us: u64, out: &mut Vec<Action>) {
        self.offline_until_us = until_us.max(self.offline_until_us);
        self.hang_up(at_us, out);
    }

    /// Takes what the network says.
    pub fn hear(&mut self, at_us: u64, input: &NetInput, out: &mut Vec<Action>) {
        match (input, self.line) {
            (NetInput::Opened(conn, ..), Line::Dialling) => {
                self.opened(*conn, out);
                self.deadline_us = Some(at_us + self.config.patience_us);
            }
            (NetInput::Opened(conn, ..), _) => out.push(Action::Close(*conn)),
            (NetInput::DialFailed(..), Line::Dialling) => self.move_on(at_us),
            (NetInput::Closed(conn), Line::Greeting(open) | Line::Ready(open)) if *conn == open => self.move_on(at_us),
            (NetInput::Received(conn, frame), Line::Greeting(open) | Line::Ready(open)) if *conn == open => {
                // Whatever cannot be read is no answer: it will be asked again.
                if !self.take_exchanged(at_us, frame, out)
                    && let Ok(message) = ServerMessage::decode(frame, Limits::default().depth)
                {
                    self.take(at_us, open, message, out);
                }
                if self.config.exchange {
                    self.end_exchange(at_us, open, out);
                }
            }
            _ => {}
        }
        self.pump(at_us, out);
    }

    /// Lets time pass.
    pub fn wake(&mut self, at_us: u64, out: &mut Vec<Action>) {
        if self.deadline_us.is_some_and(|deadline_us| deadline_us <= at_us) {
            self.hang_up(at_us, out);
        }
        self.pump(at_us, out);
    }

    /// When it wants to be woken.
    pub fn wake_at_us(&self) -> Option<u64> {
        let line = match self.line {
            Line::Down { until_us } if self.has_work() => Some(until_us.max(self.offline_until_us)),
            _ => None,
        };
        let later = self.pending.values().filter(|op| !op.asked && op.not_before_us > 0);
        let later = later
            .map(|op| op.not_before_us)
            .min()
            // Over an exchange nothing more is asked, however long it takes.
            .filter(|_| matches!(self.line, Line::Ready(_)) && !self.config.exchange);
        [line, later, self.deadline_us].into_iter().flatten().min()
    }

    fn has_work(&self) -> bool {
        !self.pending.is_empty() || !self.reads.is_empty() || !self.views.is_empty()
    }

    fn take(&mut self, at_us: u64, conn: ConnId, message: ServerMessage<'_>, out: &mut Vec<Action>) {
        match message {
            message if self.is_impostor() => self.refused_entry(at_us, &message, out),
            ServerMessage::AuthRequired if !self.config.exchange => {
                let token = self.config.token.unwrap_or_default();
                out.push(Action::Send(conn, auth(token)));
            }
            ServerMessage::AuthFail { .. } => self.hang_up(at_us, out),
            ServerMessage::AuthAck { clock } => {
                if let Some(clock) = clock.filter(|_| !self.config.twin) {
                    self.hlc.observe(clock);
                }
                // One that arrives twice must not make it forget what it waits for.
                if self.line == Line::Greeting(conn) {
                    self.line = Line::Ready(conn);
                    self.deadline_us = None;
                }
            }
            ServerMessage::OpAck { last_id, beyond, .. } => {
                let upto = last_id.parse().ok().map(|last| self.upto(last)).unwrap_or_default();
                let beyond = beyond.into_iter().filter_map(|id| id.parse().ok());
                for id in upto.into_iter().chain(beyond) {
                    if let Some(pending) = self.forget(id) {
                        out.push(Action::Acknowledged(self.node, pending.write));
                    }
                }
                self.answered(at_us);
            }
            ServerMessage::OpRejected { id, code, .. } => {
                if let Ok(id) = id.parse() {
                    self.rejected(at_us, id, code);
                }
                self.answered(at_us);
            }
            ServerMessage::Error { request, code, .. } => match request.parse() {
                Ok(id) => self.asked_reads.retain(|asked| *asked != id),
                Err(_) if code == u64::from(Code::Overloaded.number()) => self.ask_again_later(at_us),
                Err(_) => self.hang_up(at_us, out),
            },
            ServerMessage::Value { id, .. } => {
                let before = self.asked_reads.len();
                self.asked_reads.retain(|asked| id.parse() != Ok(*asked));
                self.values_read += (before - self.asked_reads.len()) as u64;
                self.answered(at_us);
            }
            ServerMessage::QueryResp { id, results } => {
                if let Some(view) = self.view(id).filter(|view| view.asked) {
                    view.replace(&results);
                }
                self.answered(at_us);
            }
            ServerMessage::QueryUpdate(update) => {
                if let Some(view) = self.view(update.id) {
                    view.change(&update);
                }
            }
            _ => {}
        }
    }

    /// The ids that an acknowledgement up to `last` covers: those before it in its own frame.
    fn upto(&self, last: u64) -> Vec<u64> {
        let frame = self.frames.iter().find(|frame| frame.contains(&last));
        let covered = frame.map(|frame| frame.iter().copied().take_while(|id| *id != last).chain([last]));
        covered.into_iter().flatten().collect()
    }

    fn forget(&mut self, id: u64) -> Option<Pending> {
        self.unframe(id);
        self.pending.remove(&id)
    }

    fn unframe(&mut self, id: u64) {
        self.frames
            .iter_mut()
            .for_each(|frame| frame.retain(|framed| *framed != id));
        self.frames.retain(|frame| !frame.is_empty());
    }

    fn rejected(&mut self, at_us: u64, id: u64, code: u64) {
        let retry = matches!(
            Code::from_number(code),
            Some(Code::Overloaded | Code::OutcomeUnknown | Code::NotReady | Code::StorageFull)
        );
        // Of a frame that was not asked on this line nothing is known any more.
        let Some(pending) = self.pending.get_mut(&id).filter(|pending| pending.asked) else {
            return;
        };
        if retry {
            pending.asked = false;
            pending.not_before_us = at_us + self.config.patience_us / 3;
            self.unframe(id);
        } else {
            self.refused += 1;
            self.forget(id);
        }
    }

    fn ask_again_later(&mut self, at_us: u64) {
        for pending in self.pending.values_mut().filter(|pending| pending.asked) {
            pending.asked = false;
            pending.not_before_us = at_us + self.config.patience_us / 3;
        }
        self.frames.clear();
        self.answered(at_us);
    }

    /// Something came back: patience begins again.
    fn answered(&mut self, at_us: u64) {
        let watching = self.views.iter().any(|view| view.asked && view.rows.is_none());
        let waiting = watching || !self.frames.is_empty() || !self.asked_reads.is_empty();
        self.deadline_us = waiting.then_some(at_us + self.config.patience_us);
    }

    fn hang_up(&mut self, at_us: u64, out: &mut Vec<Action>) {
        if let Line::Greeting(conn) | Line::Ready(conn) = self.line {
            out.push(Action::Close(conn));
            self.move_on(at_us);
        }
    }

    /// The line is gone; the next one goes to the next node.
    fn move_on(&mut self, at_us: u64) {
        self.line = Line::Down {
            until_us: at_us + self.config.patience_us / 5,
        };
        self.node = (self.node + 1) % self.config.nodes;
        self.frames.clear();
        self.asked_reads.clear();
        self.views.iter_mut().for_each(View::forget);
        self.deadline_us = None;
        self.pending.values_mut().for_each(|pending| pending.asked = false);
    }

    /// Does what can be done now.
    fn pump(&mut self, at_us: u64, out: &mut Vec<Action>) {
        match self.line {
            Line::Down { until_us } if self.has_work() && at_us >= until_us.max(self.offline_until_us) => {
                self.line = Line::Dialling;
                out.push(Action::Dial(self.node));
            }
            Line::Ready(conn) if self.config.exchange => self.pump_exchange(at_us, conn, out),
            Line::Ready(conn) => {
                while let Some(frame) = self.next_batch(at_us) {
                    out.push(Action::Send(conn, frame));
                    self.deadline_us.get_or_insert(at_us + self.config.patience_us);
                }
                for (id, map, key) in self.reads.drain(..) {
                    let get = Get {
                        id: &id.to_string(),
                        map: &map,
                        key: key.as_bytes(),
                    };
                    out.push(Action::Send(conn, get_key(&get, None)));
                    self.asked_reads.push(id);
                    self.deadline_us.get_or_insert(at_us + self.config.patience_us);
                }
                for (number, view) in self.views.iter_mut().enumerate().filter(|(_, view)| !view.asked) {
                    view.asked = true;
                    let frame = query_sub(&format!("w{number}"), &view.watch.query());
                    out.push(Action::Send(conn, frame));
                    self.deadline_us.get_or_insert(at_us + self.config.patience_us);
                }
            }
            _ => {}
        }
    }

    fn next_batch(&mut self, at_us: u64) -> Option<Bytes> {
        // One way there and back for each exchange: what waits goes in one.
        let most = if self.config.exchange {
            50
        } else {
            self.config.batch.max(1)
        };
        let due = self
            .pending
            .iter_mut()
            .filter(|(_, op)| !op.asked && op.not_before_us <= at_us);
        let batch: Vec<(u64, &mut Pending)> = due.take(most).map(|(id, pending)| (*id, pending)).collect();
        let ids: Vec<(u64, String)> = batch.iter().map(|(id, _)| (*id, id.to_string())).collect();
        let ops: Vec<Op<'_>> = batch
            .iter()
            .zip(&ids)
            .map(|((_, pending), (_, id))| Op {
                id,
                map: &pending.map,
                key: pending.key.as_bytes(),
                version: pending.write.version.view(),
            })
            .collect();
        let frame = match ops.as_slice() {
            [] => return None,
            all if self.config.exchange => sync_body(&self.config.name, all),
            [single] => op(single, Ask::default()),
            many => op_batch(many),
        };
        for (_, pending) in batch {
            pending.asked = true;
        }
        self.frames.push_back(ids.into_iter().map(|(id, _)| id).collect());
        Some(frame)
    }
}
