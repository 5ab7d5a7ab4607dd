//! The one task that owns the machine.

use std::io;
use std::rc::Rc;

use async_channel::{Receiver, Sender, bounded, unbounded};
use bytes::Bytes;
use futures_lite::future::{self, or};
use fxhash::FxHashMap;
use kernel::env::{ConnId, PeerId, Ticket, VirtualClock};
use kernel::machine::{Command, Commit, ConnKind, Dial, Envelope, Fetch, Input, Machine, Output, Phase};

use super::budget::Budget;
use super::connection::{Control, FromConn, Lines, Mailbox, carry};
use super::disk::{Answer, Disk, LogRequest, RecordsRequest};
use super::fetches::Fetches;
use super::host::{Clock, LinkOf, Net};
use super::settings::{DriverError, Settings};

/// Events that may wait in each of the two channels from connections.
const EVENTS_QUEUED: usize = 256;

/// A driver: the machine, what it is given, and where its output goes.
pub struct Driver<M, N: Net, C, P> {
    machine: M,
    net: Rc<N>,
    clock: Rc<C>,
    reading: VirtualClock,
    disk: Disk,
    settings: Settings,
    on_phase: P,
    commands: Receiver<Command>,
    control: (Sender<Control<N>>, Receiver<Control<N>>),
    frames: (Sender<FromConn>, Receiver<FromConn>),
    accept_failed: (Sender<io::Error>, Receiver<io::Error>),
    budget: Rc<Budget>,
    conns: FxHashMap<ConnId, Conn>,
    last_conn: u64,
    commit_bytes: u64,
    fetches: Fetches,
    wake: Option<u64>,
    end: Option<Result<(), DriverError>>,
}

/// A connection as the driver knows it.
struct Conn {
    outbox: Sender<Bytes>,
    /// Dropped when the connection is to go.
    hangup: Option<Sender<()>>,
    /// Given and not yet reported to the machine as drained.
    unsent: u64,
}

enum Event<N: Net> {
    Command(Command),
    Answer(Answer),
    Control(Control<N>),
    Wake,
    FromConn(FromConn),
    AcceptFailed(io::Error),
}

impl<M: Machine, N: Net, C: Clock, P: FnMut(Phase)> Driver<M, N, C, P> {
    /// A driver that has not begun. `on_phase` hears of each [`Phase`].
    pub fn new(
        machine: M,
        net: Rc<N>,
        clock: Rc<C>,
        disk: Disk,
        commands: Receiver<Command>,
        settings: Settings,
        on_phase: P,
    ) -> Self {
        Self {
            machine,
            net,
            reading: VirtualClock::new(clock.now()),
            clock,
            disk,
            budget: Budget::new(settings.frame_bytes),
            settings,
            on_phase,
            commands,
            control: bounded(EVENTS_QUEUED),
            frames: bounded(EVENTS_QUEUED),
            accept_failed: bounded(1),
            conns: FxHashMap::default(),
            last_conn: 0,
            commit_bytes: 0,
            fetches: Fetches::default(),
            wake: None,
            end: None,
        }
    }

    /// Boots the machine and drives it until it has stopped. Its connections are then closed, after all that they
    /// were given.
    pub async fn run(mut self) -> Result<(), DriverError> {
        self.accept_all();
        let entropy = self.settings.entropy;
        self.step(Input::Boot { entropy });
        let mut in_a_row = 0;
        while self.end.is_none() {
            let event = match self.event_at_hand() {
                Some(event) if in_a_row < EVENTS_QUEUED => event,
                Some(event) => {
                    // However much there is to do, signals and writers have their turn.
                    future::yield_now().await;
                    in_a_row = 0;
                    event
                }
                None => {
                    in_a_row = 0;
                    self.next_event().await
                }
            };
            in_a_row += 1;
            self.take(event);
        }
        self.goodbye().await;
        self.end.unwrap_or(Ok(()))
    }

    fn accept_all(&self) {
        let (net, control, failed) = (
            Rc::clone(&self.net),
            self.control.0.clone(),
            self.accept_failed.0.clone(),
        );
        self.net.spawn(async move {
            loop {
                match net.accept().await {
                    Ok(link) => {
                        if control.send(Control::Accepted(link)).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        let _ = failed.send(error).await;
                        return;
                    }
                }
            }
        });
    }

    /// Whether frames have to wait for commits.
    fn is_blocked(&self) -> bool {
        self.commit_bytes >= self.settings.commit_bytes
    }

    /// An event that needs no waiting. What came of earlier work goes before new work, and the control events of a
    /// connection before its frames.
    fn event_at_hand(&self) -> Option<Event<N>> {
        if let Ok(answer) = self.disk.answers.try_recv() {
            return Some(Event::Answer(answer));
        }
        if let Ok(control) = self.control.1.try_recv() {
            return Some(Event::Control(control));
        }
        if let Ok(command) = self.commands.try_recv() {
            return Some(Event::Command(command));
        }
        if self.wake.is_some_and(|at| at <= self.reading.now().mono_us) {
            return Some(Event::Wake);
        }
        match self.is_blocked() {
            true => None,
            false => self.frames.1.try_recv().ok().map(Event::FromConn),
        }
    }

    async fn next_event(&self) -> Event<N> {
        let answer = async {
            match self.disk.answers.recv().await {
                Ok(answer) => Event::Answer(answer),
                Err(_) => Event::Answer(Answer::Gone),
            }
        };
        let command = async {
            match self.commands.recv().await {
                Ok(command) => Event::Command(command),
                Err(_) => future::pending().await,
            }
        };
        let control = async {
            match self.control.1.recv().await {
                Ok(control) => Event::Control(control),
                Err(_) => future::pending().await,
            }
        };
        let accept_failed = async {
            match self.accept_failed.1.recv().await {
                Ok(error) => Event::AcceptFailed(error),
                Err(_) => future::pending().await,
            }
        };
        let wake = async {
            match self.wake {
                Some(at) => self.clock.sleep_until(at).await,
                None => future::pending().await,
            }
            Event::Wake
        };
        let frame = async {
            match self.is_blocked() {
                true => future::pending().await,
                false => match self.frames.1.recv().await {
                    Ok(event) => Event::FromConn(event),
                    Err(_) => future::pending().await,
                },
            }
        };
        or(or(answer, control), or(or(command, accept_failed), or(wake, frame))).await
    }

    fn take(&mut self, event: Event<N>) {
        match event {
            Event::Answer(answer) => self.take_answer(answer),
            Event::Control(control) => self.take_control(control),
            Event::FromConn(event) => self.take_from_conn(event),
            Event::Command(command) => self.step(Input::Command(command)),
            Event::Wake => self.step(Input::Wake),
            Event::AcceptFailed(error) => self.end = Some(Err(DriverError::Accept(error))),
        }
    }

    fn take_control(&mut self, control: Control<N>) {
        match control {
            Control::Accepted(link) => self.open(link, None),
            Control::Dialled { peer, link: Ok(link) } => self.open(link, Some(peer)),
            Control::Dialled { peer, link: Err(error) } => {
                let reason = error.to_string();
                self.step(Input::DialFailed { peer, reason: &reason });
            }
            Control::Drained { conn, bytes } => {
                if let Some(entry) = self.conns.get_mut(&conn) {
                    entry.unsent = entry.unsent.saturating_sub(bytes);
                    self.step(Input::Drained { conn, bytes });
                }
            }
        }
    }

    fn take_from_conn(&mut self, event: FromConn) {
        match event {
            FromConn::Received { conn, frame, held } => {
                // Of a connection that it has closed, the machine wants to hear no more.
                if self.conns.get(&conn).is_some_and(|entry| entry.hangup.is_some()) {
                    self.step(Input::Received { conn, frame: &frame });
                }
                drop(held);
            }
            FromConn::Closed { conn } => {
                let Some(entry) = self.conns.remove(&conn) else { return };
                if entry.unsent > 0 {
                    let bytes = entry.unsent;
                    self.step(Input::Drained { conn, bytes });
                }
                self.step(Input::Closed { conn });
            }
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Committed {
                ticket,
                entry_bytes,
                result,
                envelopes,
            } => {
                self.commit_bytes -= entry_bytes;
                envelopes.into_iter().for_each(|envelope| self.give(envelope));
                self.step(Input::Committed { ticket, result });
            }
            Answer::Applied { ticket, result } => {
                self.disk.attempt += u64::from(result.is_err());
                self.step(Input::Applied { ticket, result });
            }
            Answer::Fetched { ticket, result } => {
                self.fetches.done(ticket, result);
                self.answer_fetches();
            }
            Answer::LogRecovered { ticket, result } => {
                self.fetches.log_recovered(ticket, result);
                self.answer_fetches();
            }
            Answer::RecordsRecovered { ticket, result } => {
                self.fetches.records_recovered(ticket, result);
                self.answer_fetches();
            }
            Answer::Gone => self.end = Some(Err(DriverError::StorageGone)),
        }
    }

    /// Answers the fetches that are complete.
    fn answer_fetches(&mut self) {
        while let Some((ticket, result)) = self.fetches.next_done() {
            self.step(Input::Fetched { ticket, result });
        }
    }

    fn open(&mut self, link: LinkOf<N>, peer: Option<PeerId>) {
        self.last_conn += 1;
        let (conn, kind) = (ConnId(self.last_conn), link.kind);
        let (outbox, outbox_end) = unbounded();
        let (hangup, hangup_end) = bounded(1);
        let lines = Lines {
            outbox: outbox_end,
            hangup: hangup_end,
        };
        let entry = Conn {
            outbox,
            hangup: Some(hangup),
            unsent: 0,
        };
        self.conns.insert(conn, entry);
        let mailbox = Mailbox {
            control: self.control.0.clone(),
            frames: self.frames.0.clone(),
            budget: Rc::clone(&self.budget),
        };
        let clock = Rc::clone(&self.clock);
        self.net
            .spawn(carry::<N, C>(conn, link, lines, mailbox, clock, self.settings.close_us));
        self.log_opened(conn, kind, peer);
        self.step(Input::Opened { conn, kind, peer });
    }

    fn log_opened(&self, conn: ConnId, kind: ConnKind, peer: Option<PeerId>) {
        let peer = peer.map(|peer| peer.0);
        tracing::debug!(conn = conn.0, role = ?kind.role, push = kind.push, peer, "a connection is open");
    }

    fn step(&mut self, input: Input<'_>) {
        if self.end.is_some() {
            return;
        }
        self.reading.set(self.clock.now());
        let mut out = Output::default();
        self.machine.step(self.reading.now(), input, &mut out);
        self.perform(out);
    }

    /// Performs an output, in the order of its fields.
    fn perform(&mut self, out: Output) {
        out.send.into_iter().for_each(|envelope| self.give(envelope));
        if let Some(commit) = out.commit {
            self.commit(commit);
        }
        let (epoch, attempt) = (self.disk.epoch, self.disk.attempt);
        if let Some(apply) = out.apply {
            self.ask_records(RecordsRequest::Apply { epoch, attempt, apply });
        }
        if let Some(upto) = out.cut {
            self.ask_log(LogRequest::Cut(upto));
        }
        for (ticket, fetch) in out.fetch {
            self.fetch(ticket, fetch);
        }
        for dial in out.dial {
            self.dial(dial);
        }
        for conn in out.close {
            if let Some(entry) = self.conns.get_mut(&conn) {
                entry.outbox.close();
                entry.hangup = None;
            }
        }
        self.wake = out.wake;
        if let Some(phase) = out.phase {
            (self.on_phase)(phase);
            match phase {
                Phase::Stopped => self.end = Some(Ok(())),
                Phase::Failed { error } => self.end = Some(Err(DriverError::Failed(error))),
                Phase::Removed => self.end = Some(Err(DriverError::Removed)),
                Phase::Recovering | Phase::Joining | Phase::Ready { .. } => {}
            }
        }
    }

    fn give(&mut self, envelope: Envelope) {
        // The machine may not yet know that a connection is gone; its count is settled when it hears of it.
        if let Some(entry) = self.conns.get_mut(&envelope.conn) {
            entry.unsent += envelope.frame.len() as u64;
            let _ = entry.outbox.try_send(envelope.frame);
        }
    }

    fn commit(&mut self, commit: Commit) {
        self.commit_bytes += commit.entry.as_ref().map_or(0, |(_, entry)| entry.len() as u64);
        let epoch = self.disk.epoch;
        self.ask_log(LogRequest::Commit { epoch, commit });
    }

    fn fetch(&mut self, ticket: Ticket, fetch: Fetch) {
        match fetch {
            Fetch::Recover => {
                self.disk.epoch += 1;
                self.fetches.recover(ticket);
                self.ask_log(LogRequest::Recover(ticket));
                self.ask_records(RecordsRequest::Recover(ticket));
            }
            Fetch::Log { from, limit_bytes } => {
                self.fetches.wait(ticket);
                self.ask_log(LogRequest::Read {
                    ticket,
                    from,
                    limit_bytes,
                });
            }
            Fetch::Records { after, limit_bytes } => {
                self.fetches.wait(ticket);
                self.ask_records(RecordsRequest::Read {
                    ticket,
                    after,
                    limit_bytes,
                });
            }
        }
    }

    fn ask_log(&mut self, request: LogRequest) {
        if self.disk.log.try_send(request).is_err() {
            self.end = Some(Err(DriverError::StorageGone));
        }
    }

    fn ask_records(&mut self, request: RecordsRequest) {
        if self.disk.records.try_send(request).is_err() {
            self.end = Some(Err(DriverError::StorageGone));
        }
    }

    fn dial(&self, dial: Dial) {
        let (net, clock, control) = (Rc::clone(&self.net), Rc::clone(&self.clock), self.control.0.clone());
        let patience_us = self.settings.dial_us;
        self.net.spawn(async move {
            let late = async {
                clock.sleep(patience_us).await;
                Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
            };
            let Dial { peer, addr } = dial;
            let link = or(net.dial(addr), late).await;
            let _ = control.send(Control::Dialled { peer, link }).await;
        });
    }

    /// Closes every connection and waits until each has sent what it was given, or has had its time.
    async fn goodbye(&mut self) {
        for entry in self.conns.values_mut() {
            entry.outbox.close();
            entry.hangup = None;
        }
        while !self.conns.is_empty() {
            match or(self.receive_control(), self.receive_end()).await {
                Some(conn) => drop(self.conns.remove(&conn)),
                None => continue,
            }
        }
    }

    async fn receive_control(&self) -> Option<ConnId> {
        // Writers must get rid of their reports to go on; new connections are let go.
        drop(self.control.1.recv().await);
        None
    }

    async fn receive_end(&self) -> Option<ConnId> {
        match self.frames.1.recv().await {
            Ok(FromConn::Closed { conn }) => Some(conn),
            _ => None,
        }
    }
}
