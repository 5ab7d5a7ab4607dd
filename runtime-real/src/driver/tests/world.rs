//! A driver whose every wait is in a test's hand.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use async_channel::{Receiver, Sender, bounded, unbounded};
use bytes::Bytes;
use event_listener::Event;
use futures_lite::future::{self, block_on, poll_once};
use kernel::env::{ConnId, Limits, Now, Ticket};
use kernel::machine::{
    Apply, Command, Commit, ConnKind, Dial, Envelope, Fetch, Input, Machine, Output, Phase, Role, Room, StorageError,
};
use smol::LocalExecutor;

use crate::driver::{
    Clock, Driver, DriverError, FrameReader, FrameWriter, Link, LogState, LogStore, Net, RecordStore, Settings, disk,
};

/// Does what its frames say, and notes what it is told.
///
/// `now:x` is sent back at once, `log:x` once it is in the log, `bar:x` behind a barrier, `thn:x` as `log:x` with `after` said
/// as soon as the machine hears that it is durable, `app:x` applies, `dia:x` dials,
/// `rec:` recovers, `fet:` fetches the log and then the records, `wak:n` asks to be woken, `bye:` closes.
pub struct Script {
    told: Rc<RefCell<Vec<String>>>,
    ticket: u64,
    number: u64,
    in_flight: u64,
    draining: bool,
    then: Option<ConnId>,
}

impl Machine for Script {
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Output) {
        self.told.borrow_mut().push(tell(&input));
        match input {
            Input::Received { conn, frame } => self.act(now, conn, frame, out),
            Input::Command(Command::Drain) => self.draining = true,
            Input::Committed { .. } => {
                self.in_flight -= 1;
                let frame = Bytes::from_static(b"after");
                out.send.extend(self.then.take().map(|conn| Envelope { conn, frame }));
            }
            _ => {}
        }
        if self.draining && self.in_flight == 0 {
            out.phase = Some(Phase::Stopped);
        }
    }
}

impl Script {
    fn ticket(&mut self) -> Ticket {
        self.ticket += 1;
        Ticket(self.ticket)
    }

    fn act(&mut self, now: Now, conn: ConnId, frame: &[u8], out: &mut Output) {
        let frame = Bytes::copy_from_slice(frame);
        let envelope = Envelope {
            conn,
            frame: frame.clone(),
        };
        let rest = std::str::from_utf8(&frame[4..]).unwrap();
        match &frame[..4] {
            b"now:" => out.send.push(envelope),
            b"log:" | b"bar:" | b"thn:" => {
                self.then = (&frame[..4] == b"thn:").then_some(conn);
                let ticket = self.ticket();
                let entry = (&frame[..4] != b"bar:").then(|| {
                    self.number += 1;
                    (self.number, frame.clone())
                });
                self.in_flight += 1;
                let envelopes = vec![envelope];
                out.commit = Some(Commit {
                    ticket,
                    entry,
                    envelopes,
                });
            }
            b"app:" => {
                let (ticket, upto) = (self.ticket(), self.number);
                out.apply = Some(Apply {
                    ticket,
                    upto,
                    puts: vec![(frame, Bytes::new())],
                    deletes: vec![],
                });
            }
            b"rec:" => out.fetch.push((self.ticket(), Fetch::Recover)),
            b"fet:" => {
                let limit_bytes = 100;
                let (log, records) = (self.ticket(), self.ticket());
                out.fetch.push((log, Fetch::Log { from: 1, limit_bytes }));
                let after = None;
                out.fetch.push((records, Fetch::Records { after, limit_bytes }));
            }
            b"dia:" => out.dial.push(Dial {
                peer: kernel::env::PeerId(1),
                addr: rest.to_owned(),
            }),
            b"wak:" => out.wake = Some(now.mono_us + rest.parse::<u64>().unwrap()),
            b"bye:" => out.close.push(conn),
            _ => {}
        }
    }
}

fn tell(input: &Input<'_>) -> String {
    match input {
        Input::Boot { .. } => "boot".to_owned(),
        Input::Opened { conn, peer, .. } => {
            format!("opened {}{}", conn.0, if peer.is_some() { " to a peer" } else { "" })
        }
        Input::DialFailed { reason, .. } => format!("dial failed: {reason}"),
        Input::Received { conn, frame } => format!("received {} {}", conn.0, String::from_utf8_lossy(frame)),
        Input::Drained { conn, bytes } => format!("drained {} {bytes}", conn.0),
        Input::Closed { conn } => format!("closed {}", conn.0),
        Input::Committed { ticket, result } => format!("committed {} {}", ticket.0, said(result)),
        Input::Applied { ticket, result } => format!("applied {} {}", ticket.0, said(result)),
        Input::Fetched { ticket, result } => format!("fetched {} {}", ticket.0, said(result)),
        Input::Wake => "wake".to_owned(),
        Input::Command(_) => "drain".to_owned(),
    }
}

fn said<T>(result: &Result<T, StorageError>) -> String {
    result
        .as_ref()
        .map_or_else(|error| format!("{error:?}"), |_| "ok".to_owned())
}

/// A clock that a test turns.
#[derive(Default)]
pub struct TestClock {
    us: Cell<u64>,
    turned: Event,
}

impl TestClock {
    pub fn turn(&self, us: u64) {
        self.us.set(self.us.get() + us);
        self.turned.notify(usize::MAX);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        Now {
            wall_ms: 0,
            mono_us: self.us.get(),
        }
    }

    async fn sleep_until(&self, mono_us: u64) {
        loop {
            let turned = self.turned.listen();
            if self.us.get() >= mono_us {
                return;
            }
            turned.await;
        }
    }
}

pub struct TestNet {
    executor: Rc<LocalExecutor<'static>>,
    incoming: Receiver<Link<TestReader, TestWriter>>,
}

pub struct TestReader(Receiver<Bytes>);
pub struct TestWriter(Option<Sender<Bytes>>);

impl Net for TestNet {
    type Reader = TestReader;
    type Writer = TestWriter;

    async fn accept(&self) -> io::Result<Link<TestReader, TestWriter>> {
        self.incoming.recv().await.map_err(io::Error::other)
    }

    async fn dial(&self, addr: String) -> io::Result<Link<TestReader, TestWriter>> {
        match addr.as_str() {
            "nobody" => Err(io::Error::other("nobody there")),
            "silence" => future::pending().await,
            _ => Ok(link(1).0),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(task).detach();
    }
}

impl FrameReader for TestReader {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.0.recv().await.ok())
    }
}

impl FrameWriter for TestWriter {
    async fn write(&mut self, frame: Bytes) -> io::Result<()> {
        match &self.0 {
            Some(out) => out.send(frame).await.map_err(io::Error::other),
            None => Err(io::Error::other("closed")),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0 = None;
        Ok(())
    }
}

/// The other end of a connection.
pub struct Client {
    to: Sender<Bytes>,
    from: Receiver<Bytes>,
}

/// A connection whose transport takes `width` frames before somebody reads them.
fn link(width: usize) -> (Link<TestReader, TestWriter>, Client) {
    let (to, reader) = unbounded();
    let (writer, from) = bounded(width);
    let kind = ConnKind {
        role: Role::Client,
        push: true,
        ordered: true,
        frame_bytes: 1_000,
    };
    let link = Link {
        kind,
        reader: TestReader(reader),
        writer: TestWriter(Some(writer)),
    };
    (link, Client { to, from })
}

impl Client {
    pub fn say(&self, frame: &'static str) {
        self.to.try_send(Bytes::from(frame)).unwrap();
    }

    pub fn hear(&self) -> Option<String> {
        let frame = self.from.try_recv().ok()?;
        Some(String::from_utf8(frame.to_vec()).unwrap())
    }

    pub fn is_closed(&self) -> bool {
        self.from.is_closed() && self.from.is_empty()
    }
}

/// What the stores hold, and how they are to misbehave.
#[derive(Default)]
pub struct Stored {
    /// Each append, as the numbers in it.
    pub appends: Vec<Vec<u64>>,
    pub applies: Vec<u64>,
    pub fail_append: Option<StorageError>,
    pub fail_apply: Option<StorageError>,
    pub log: Option<(u64, u64)>,
    pub applied: u64,
}

pub struct TestStore(Arc<Mutex<Stored>>);

impl LogStore for TestStore {
    async fn recover(&mut self) -> Result<LogState, StorageError> {
        let range = self.0.lock().unwrap().log;
        let room = Room { bytes: 1_000 };
        Ok(LogState { range, room })
    }

    async fn room(&mut self) -> Result<Room, StorageError> {
        Ok(Room { bytes: 1_000 })
    }

    async fn append(&mut self, entries: &[(u64, Bytes)]) -> Result<Room, StorageError> {
        let mut stored = self.0.lock().unwrap();
        if let Some(error) = stored.fail_append.take() {
            return Err(error);
        }
        stored.appends.push(entries.iter().map(|(number, _)| *number).collect());
        Ok(Room { bytes: 1_000 })
    }

    async fn cut(&mut self, _upto: u64) -> Result<(), StorageError> {
        Ok(())
    }

    async fn read(&mut self, _from: u64, _limit_bytes: usize) -> Result<(Vec<(u64, Bytes)>, bool), StorageError> {
        Ok((vec![], true))
    }
}

impl RecordStore for TestStore {
    async fn recover(&mut self) -> Result<u64, StorageError> {
        Ok(self.0.lock().unwrap().applied)
    }

    async fn apply(&mut self, upto: u64, _puts: &[(Bytes, Bytes)], _deletes: &[Bytes]) -> Result<(), StorageError> {
        let mut stored = self.0.lock().unwrap();
        if let Some(error) = stored.fail_apply.take() {
            return Err(error);
        }
        stored.applies.push(upto);
        Ok(())
    }

    async fn read(
        &mut self,
        _after: Option<&[u8]>,
        _limit: usize,
    ) -> Result<(Vec<(Bytes, Bytes)>, bool), StorageError> {
        Ok((vec![], true))
    }
}

type Loop = Pin<Box<dyn Future<Output = ()>>>;

/// A running driver, and everything around it.
pub struct World {
    pub clock: Rc<TestClock>,
    pub stored: Arc<Mutex<Stored>>,
    executor: Rc<LocalExecutor<'static>>,
    told: Rc<RefCell<Vec<String>>>,
    commands: Sender<Command>,
    incoming: Sender<Link<TestReader, TestWriter>>,
    log: Option<Loop>,
    records: Option<Loop>,
    end: Rc<RefCell<Option<Result<(), DriverError>>>>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(adjust: impl FnOnce(&mut Settings)) -> Self {
        let executor = Rc::new(LocalExecutor::new());
        let (incoming, links) = unbounded();
        let net = TestNet {
            executor: Rc::clone(&executor),
            incoming: links,
        };
        let stored = Arc::new(Mutex::new(Stored::default()));
        let (disk, log, records) = disk(TestStore(stored.clone()), TestStore(stored.clone()));
        let (commands, orders) = unbounded();
        let mut settings = Settings::new(&Limits::default(), [0; 32]);
        adjust(&mut settings);
        let told = Rc::new(RefCell::new(vec![]));
        let script = Script {
            told: Rc::clone(&told),
            ticket: 0,
            number: 0,
            in_flight: 0,
            draining: false,
            then: None,
        };
        let clock = Rc::new(TestClock::default());
        let driver = Driver::new(script, Rc::new(net), clock.clone(), disk, orders, settings, |_| {});
        let end = Rc::new(RefCell::new(None));
        let ending = Rc::clone(&end);
        let run = async move {
            let result = driver.run().await;
            ending.replace(Some(result));
        };
        executor.spawn(run).detach();
        let world = Self {
            clock,
            stored,
            executor,
            told,
            commands,
            incoming,
            log: Some(Box::pin(log)),
            records: Some(Box::pin(records)),
            end,
        };
        world.settle();
        world
    }

    /// Lets everything but the disk run until nothing moves.
    pub fn settle(&self) {
        while self.executor.try_tick() {}
    }

    /// Lets the log do what it was asked.
    pub fn log_works(&mut self) {
        block_on(poll_once(self.log.as_mut().unwrap()));
        self.settle();
    }

    /// Lets the records do what they were asked.
    pub fn records_work(&mut self) {
        block_on(poll_once(self.records.as_mut().unwrap()));
        self.settle();
    }

    /// The log's thread ends by a panic.
    pub fn log_dies(&mut self) {
        self.log = None;
        self.settle();
    }

    pub fn connect(&self) -> Client {
        self.connect_narrow(1_000)
    }

    pub fn connect_narrow(&self, width: usize) -> Client {
        let (link, client) = link(width);
        self.incoming.try_send(link).ok().unwrap();
        self.settle();
        client
    }

    pub fn command(&self, command: Command) {
        self.commands.try_send(command).unwrap();
        self.settle();
    }

    /// What the machine was told since the last time.
    pub fn told(&self) -> Vec<String> {
        self.told.borrow_mut().drain(..).collect()
    }

    pub fn end(&self) -> Option<Result<(), DriverError>> {
        self.end.take()
    }
}
