//! A client of the workload: it stamps its own writes, keeps them until they are acknowledged, and asks elsewhere when it
//! has waited long enough. Always with the same stamp, so that asking again does no harm.

use std::collections::{BTreeMap, VecDeque};

mod exchange;
mod impostor;
mod orders;
mod reads;
mod registers;
mod talk;
mod writes;

use bytes::Bytes;
use kernel::env::{ConnId, Limits, WriterId};
use kernel::hlc::Hlc;
use kernel::store::RecordKey;
use kernel::wire::client::auth;
use kernel::wire::query::query_sub;
use kernel::wire::server::ServerMessage;
use kernel::wire::{Code, Consistency, ReadConsistency};

use crate::clock::EPOCH_MS;
use crate::invariant::Write;
use crate::model::Version;
use crate::network::NetInput;
use crate::watch::{Rows, View, Watch, document};
use reads::Reading;
use registers::Registers;
use writes::{Few, Pending};

pub use talk::{Found, Said, Talk};

pub(crate) use exchange::read_answer as read_sync_answer;

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

/// The name that clients share whose stamps are meant to collide.
pub const TWIN: &str = "twin";

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
    /// A node told it that a write is done, and how many replicas have it.
    Acknowledged(usize, Write, Consistency),
    /// Something was said between it and a node.
    Talked(Talk),
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

/// A client.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    hlc: Hlc,
    line: Line,
    node: usize,
    /// Whether the line keeps its order.
    ordered: bool,
    offline_until_us: u64,
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
    /// The ids of each frame that was sent on this line and not fully answered.
    frames: VecDeque<Vec<u64>>,
    reads: BTreeMap<u64, Reading>,
    registers: Registers,
    /// What it watches: the query with the id `w0` is the first.
    views: Vec<View>,
    deadline_us: Option<u64>,
    /// How often it has waited in vain: each time it waits twice as long from then on, up to a bound. Who never did would not live to
    /// hear an answer that takes several nodes, far from each other.
    in_vain: u32,
    /// The node has said on this line that it is asked too much at once: what it may have open from then on.
    few: Option<Few>,
    /// Every replica is there, or will be: who is told that one lacks something asks again until it does not.
    waits_for_replicas: bool,
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
            ordered: false,
            config,
            offline_until_us: 0,
            next_id: 1,
            pending: BTreeMap::new(),
            frames: VecDeque::new(),
            reads: BTreeMap::new(),
            registers: Registers::default(),
            views: Vec::new(),
            deadline_us: None,
            in_vain: 0,
            few: None,
            waits_for_replicas: false,
            refused: 0,
            values_read: 0,
        }
    }

    /// Whether it has an answer to everything that it wrote or asked.
    pub fn is_idle(&self) -> bool {
        (self.pending.is_empty() && self.reads.is_empty() && self.registers.open.is_empty()) || self.is_impostor()
    }

    /// The records that it waits for an answer about, and how many replicas that takes.
    pub fn awaits(&self) -> impl Iterator<Item = (Bytes, Consistency)> {
        let writes = self.pending.values().map(|op| (op.write.key.clone(), op.level));
        let reads = self.reads.values().map(|read| (read.name(), read.takes()));
        let registers = self.registers.open.values().map(|ask| (ask.key(), Consistency::Quorum));
        writes.chain(reads).chain(registers).filter(|_| !self.is_impostor())
    }

    /// How many of its requests were refused for good, and how many reads were answered.
    pub fn counts(&self) -> (u64, u64) {
        (self.refused, self.values_read)
    }

    /// Writes a number, perhaps for a while, or deletes; and asks for so many replicas to have it.
    pub fn write(
        &mut self,
        at_us: u64,
        map: &str,
        key: &str,
        value: Option<(u64, Option<u64>)>,
        level: Consistency,
        out: &mut Vec<Action>,
    ) {
        let (value, ttl_ms) = value.unzip();
        let (value, ttl_ms) = (value.map(document), ttl_ms.flatten());
        let version = Version {
            stamp: self.hlc.now(self.wall_ms(at_us)),
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
            level,
            asked: false,
            not_before_us: 0,
            anew: false,
        };
        self.pending.insert(self.next_id, pending);
        self.next_id += 1;
        self.pump(at_us, out);
    }

    fn wall_ms(&self, at_us: u64) -> u64 {
        (EPOCH_MS + at_us / 1_000).saturating_add_signed(self.config.skew_ms)
    }

    /// Reads.
    pub fn read(&mut self, at_us: u64, map: &str, key: &str, level: ReadConsistency, out: &mut Vec<Action>) {
        self.reads.insert(self.next_id, Reading::new(map, key, level));
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
            (NetInput::Opened(conn, kind, _), Line::Dialling) => {
                self.ordered = kind.ordered;
                self.opened(*conn, out);
                self.deadline_us = Some(at_us + self.config.patience_us);
            }
            (NetInput::Opened(conn, ..), _) => out.push(Action::Close(*conn)),
            (NetInput::DialFailed(..), Line::Dialling) => self.move_on(at_us),
            (NetInput::Closed(conn), Line::Greeting(open) | Line::Ready(open)) if *conn == open => self.move_on(at_us),
            (NetInput::Received(conn, frame), Line::Greeting(open) | Line::Ready(open)) if *conn == open => {
                // Whatever cannot be read is no answer: it will be asked again.
                if !self.take_exchanged(at_us, open, frame, out)
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
            // A greeting that was lost says nothing of how long answers take.
            self.in_vain += u32::from(matches!(self.line, Line::Ready(_)));
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
        let writes = self.pending.values().map(|op| (op.asked, op.not_before_us));
        let reads = self.reads.values().map(|read| (read.asked, read.not_before_us));
        let views = self.views.iter().map(|view| (view.asked, view.not_before_us));
        let registers = self.registers.open.values().map(|ask| (ask.asked, ask.not_before_us));
        // Where there is no place for another request, an answer makes one.
        let has_places = self.places() > 0;
        let requests = writes.chain(reads).chain(registers).filter(|_| has_places);
        let later = requests
            .chain(views)
            .filter(|(asked, not_before_us)| !asked && *not_before_us > 0)
            .map(|(_, not_before_us)| not_before_us)
            .min()
            // Over an exchange nothing more is asked, however long it takes.
            .filter(|_| matches!(self.line, Line::Ready(_)) && !self.config.exchange);
        [line, later, self.deadline_us].into_iter().flatten().min()
    }

    /// How long it waits for an answer by now.
    fn patience_us(&self) -> u64 {
        const DOUBLINGS: u32 = 4;
        self.config.patience_us << self.in_vain.min(DOUBLINGS)
    }

    fn has_work(&self) -> bool {
        !self.pending.is_empty() || !self.reads.is_empty() || !self.registers.open.is_empty() || !self.views.is_empty()
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
            ServerMessage::OpAck {
                last_id,
                beyond,
                achieved,
            } => {
                let upto = last_id.parse().ok().map(|last| self.upto(last)).unwrap_or_default();
                let upto = upto.into_iter().map(|id| (id, achieved));
                let beyond = beyond.into_iter();
                let beyond = beyond.filter_map(|done| Some((done.id.parse().ok()?, done.achieved)));
                for (id, achieved) in upto.chain(beyond) {
                    self.done(conn, id, achieved, out);
                }
                self.answered(at_us);
            }
            ServerMessage::OpRejected { id, code, .. } => {
                if let Ok(id) = id.parse() {
                    self.rejected(at_us, conn, id, code, out);
                }
                self.answered(at_us);
            }
            ServerMessage::Error { request, code, .. } => match request.parse() {
                Ok(id) => self.refused_request(at_us, conn, id, code, out),
                Err(_) if code == u64::from(Code::Overloaded.number()) => self.ask_again_later(at_us, conn, out),
                Err(_) => self.hang_up(at_us, out),
            },
            ServerMessage::Value { id, found, .. } => {
                self.answered_read(conn, id, found, out);
                self.answered(at_us);
            }
            ServerMessage::Agreed { id, became } => {
                self.agreed(conn, id, &became, out);
                self.answered(at_us);
            }
            ServerMessage::QueryResp { id, results } => {
                if let Some(view) = self.view(id).filter(|view| view.asked) {
                    let first = view.rows.is_none().then_some(id);
                    view.replace(&results);
                    let map = view.watch.map.clone();
                    for (key, value) in results.rows().flatten() {
                        self.shown(conn, first, &map, key, value, out);
                    }
                }
                self.answered(at_us);
            }
            ServerMessage::QueryUpdate(update) => {
                if let Some(view) = self.view(update.id) {
                    view.change(&update);
                    let map = view.watch.map.clone();
                    if let Some(value) = update.value {
                        self.shown(conn, None, &map, update.key, value, out);
                    }
                }
            }
            _ => {}
        }
    }

    /// A row of a query was shown.
    fn shown(&self, conn: ConnId, first: Option<&str>, map: &str, key: &[u8], value: &[u8], out: &mut Vec<Action>) {
        let key = [map.as_bytes(), &[0], key].concat().into();
        let value = Bytes::copy_from_slice(value);
        let first = first.map(String::from);
        out.push(self.says(conn, Said::Row { first, key, value }));
    }

    /// Something came back: patience begins again.
    fn answered(&mut self, at_us: u64) {
        self.few.iter_mut().for_each(Few::answered);
        let watching = self.views.iter().any(|view| view.asked && view.rows.is_none());
        let greeting = matches!(self.line, Line::Greeting(_));
        let waiting = greeting || watching || self.registers.awaits() || !self.frames.is_empty() || self.awaits_reads();
        self.deadline_us = waiting.then_some(at_us + self.patience_us());
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
        self.few = None;
        for read in self.reads.values_mut() {
            (read.asked, read.behind_us) = (false, None);
        }
        self.registers.forget_line();
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
                let mut asked = self.ask_reads_and_writes(at_us, conn, out);
                asked |= self.ask_registers(at_us, conn, self.places(), out);
                let due = |view: &View| !view.asked && view.not_before_us <= at_us;
                let views = self.views.iter_mut().enumerate().filter(|(_, view)| due(view));
                let views: Vec<_> = views
                    .map(|(number, view)| {
                        view.asked = true;
                        let query = format!("w{number}");
                        let frame = query_sub(&query, &view.watch.query());
                        (query, frame)
                    })
                    .collect();
                for (query, frame) in views {
                    out.push(self.says(conn, Said::AsksToWatch { query }));
                    out.push(Action::Send(conn, frame));
                    asked = true;
                }
                if asked {
                    let until_us = at_us + self.patience_us();
                    self.deadline_us.get_or_insert(until_us);
                }
            }
            _ => {}
        }
    }

    fn ask_reads_and_writes(&mut self, at_us: u64, conn: ConnId, out: &mut Vec<Action>) -> bool {
        let mut asked = false;
        while self.places() > 0 && self.ask_writes(at_us, conn, out) {
            asked = true;
        }
        self.ask_reads(at_us, conn, self.places(), out) > 0 || asked
    }

    /// How many more requests it may have open. The refusals of more than a few would fill the line by themselves, for ever.
    fn places(&self) -> usize {
        let writes = self.pending.values().filter(|op| op.asked).count();
        let registers = self.registers.open.values().filter(|ask| ask.asked).count();
        let open = writes + registers + self.reads.values().filter(|read| read.asked).count();
        self.few
            .as_ref()
            .map_or(usize::MAX, |few| few.open.saturating_sub(open))
    }
}
