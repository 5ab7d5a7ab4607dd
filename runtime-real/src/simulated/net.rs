//! The driver's network over madsim's TCP.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use async_channel::{Receiver, Sender, unbounded};
use bytes::{Buf, BytesMut};
use futures_lite::future::or;
use kernel::env::SeededRng;
use kernel::machine::{ConnKind, Role};
use madsim::net::{TcpListener, TcpStream};
use madsim::task::spawn_local;

use super::frames::{FramedReader, FramedWriter, Stream, halves};
use super::time::{now_us, until_us};
use crate::driver::{Link, LinkOf, Net};

/// What whoever dials says first: what it is.
const CLIENT: u8 = b'c';
const PEER: u8 = b'p';

/// What whoever accepted answers.
const WELCOME: u8 = b'+';
const FULL: u8 = b'-';

/// How bytes are cut up on their way: the draws of one side of one connection.
#[derive(Debug)]
pub struct Pieces(RefCell<SeededRng>);

impl Pieces {
    /// Drawn from `rng`.
    pub fn new(rng: SeededRng) -> Rc<Self> {
        Rc::new(Self(RefCell::new(rng)))
    }

    /// How many of the `left` bytes go next; none, if there are none.
    pub(super) fn next(&self, left: usize) -> Option<usize> {
        let mut rng = self.0.borrow_mut();
        match left {
            0 => None,
            1 => Some(1),
            _ if rng.chance(200) => Some(rng.between(1, left as u64 - 1) as usize),
            _ => Some(left),
        }
    }

    /// How much a reader takes at once.
    pub(super) fn read_bytes(&self) -> usize {
        let mut rng = self.0.borrow_mut();
        match rng.chance(300) {
            true => rng.between(1, 16) as usize,
            false => 16 << 10,
        }
    }

    /// The time between two pieces.
    pub(super) async fn pause(&self) {
        let us = self.0.borrow_mut().between(1_000, 5_000);
        until_us(now_us() + us).await;
    }
}

/// One of the connections that may be open at once. Given back when dropped.
#[derive(Debug)]
pub(super) struct Slot(Rc<Cell<usize>>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Accepts connections, and lets in those that say what they are.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    connections: usize,
    frame_bytes: usize,
    patience_us: u64,
    rng: SeededRng,
    links: Sender<Link<FramedReader, FramedWriter>>,
}

impl Listener {
    /// Listens on `addr` for at most so many `connections` at once, greetings included. Who does not greet within `patience_us`
    /// is hung up on. Accepted links come out of the channel.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn bind(
        addr: SocketAddr,
        connections: usize,
        frame_bytes: usize,
        patience_us: u64,
        rng: SeededRng,
    ) -> io::Result<(Self, Receiver<Link<FramedReader, FramedWriter>>)> {
        let (links, accepted) = unbounded();
        let listener = Self {
            listener: TcpListener::bind(addr).await?,
            connections,
            frame_bytes,
            patience_us,
            rng,
            links,
        };
        Ok((listener, accepted))
    }

    /// Accepts for as long as somebody takes the links.
    pub async fn run(self) {
        let (open, mut number) = (Rc::new(Cell::new(0)), 0);
        while !self.links.is_closed() {
            let Ok((stream, _)) = self.listener.accept().await else {
                return;
            };
            number += 1;
            let pieces = Pieces::new(self.rng.fork("accepted", number));
            let stream = Stream::new(stream);
            if open.get() >= self.connections {
                spawn_local(async move { stream.write(&[FULL]).await });
                continue;
            }
            open.set(open.get() + 1);
            let slot = Slot(Rc::clone(&open));
            let (links, frame_bytes, until) = (self.links.clone(), self.frame_bytes, now_us() + self.patience_us);
            spawn_local(async move {
                let late = async {
                    until_us(until).await;
                    Err(io::Error::new(io::ErrorKind::TimedOut, "no greeting in time"))
                };
                match or(greeted(stream, frame_bytes, pieces, slot), late).await {
                    Ok(link) => drop(links.send(link).await),
                    Err(error) => tracing::debug!(%error, "a connection was not let in"),
                }
            });
        }
    }
}

async fn greeted(
    stream: Stream,
    frame_bytes: usize,
    pieces: Rc<Pieces>,
    slot: Slot,
) -> io::Result<Link<FramedReader, FramedWriter>> {
    let mut buffer = BytesMut::new();
    let role = match first_byte(&stream, &mut buffer).await? {
        CLIENT => Role::Client,
        PEER => Role::Peer,
        other => return Err(io::Error::other(format!("a greeting of {other}"))),
    };
    stream.write(&[WELCOME]).await?;
    let (reader, writer) = halves(stream, buffer, frame_bytes, pieces, Some(slot));
    let kind = kind(role, frame_bytes);
    Ok(Link { kind, reader, writer })
}

async fn first_byte(stream: &Stream, buffer: &mut BytesMut) -> io::Result<u8> {
    if !stream.read(buffer, 1).await? {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "hung up before a word was said",
        ));
    }
    Ok(buffer.get_u8())
}

fn kind(role: Role, frame_bytes: usize) -> ConnKind {
    ConnKind {
        role,
        push: true,
        ordered: true,
        frame_bytes,
    }
}

/// Opens a connection to `addr` and waits until it is let in. Whoever dials is a client or a peer, as `role` says.
///
/// # Errors
/// If nobody listens, the connection ends, or there is no room. There is no time-out: that is the driver's business.
pub async fn dial(
    addr: &str,
    role: Role,
    frame_bytes: usize,
    pieces: Rc<Pieces>,
) -> io::Result<Link<FramedReader, FramedWriter>> {
    let stream = Stream::new(TcpStream::connect(addr).await?);
    let word = match role {
        Role::Client => CLIENT,
        Role::Peer => PEER,
    };
    stream.write(&[word]).await?;
    let mut buffer = BytesMut::new();
    match first_byte(&stream, &mut buffer).await? {
        WELCOME => {}
        FULL => {
            let reason = "no room for another connection";
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason));
        }
        other => return Err(io::Error::other(format!("a greeting was answered with {other}"))),
    }
    let (reader, writer) = halves(stream, buffer, frame_bytes, pieces, None);
    // Both sides of a link between nodes are peers; the other side of a client's is nobody that a machine is told of.
    let kind = kind(role, frame_bytes);
    Ok(Link { kind, reader, writer })
}

/// The [`Net`] of a simulated node.
#[derive(Debug)]
pub struct SimNet {
    accepted: Receiver<Link<FramedReader, FramedWriter>>,
    frame_bytes: usize,
    rng: SeededRng,
    dials: Cell<u64>,
}

impl SimNet {
    /// Connections come from `accepted`; dialled ones carry frames of `frame_bytes`, in pieces drawn from `rng`.
    pub fn new(accepted: Receiver<Link<FramedReader, FramedWriter>>, frame_bytes: usize, rng: SeededRng) -> Self {
        Self {
            accepted,
            frame_bytes,
            rng,
            dials: Cell::new(0),
        }
    }
}

impl Net for SimNet {
    type Reader = FramedReader;
    type Writer = FramedWriter;

    async fn accept(&self) -> io::Result<LinkOf<Self>> {
        let link = self.accepted.recv().await;
        link.map_err(|_| io::Error::other("the listener is gone"))
    }

    async fn dial(&self, addr: String) -> io::Result<LinkOf<Self>> {
        self.dials.set(self.dials.get() + 1);
        let pieces = Pieces::new(self.rng.fork("dialled", self.dials.get()));
        dial(&addr, Role::Peer, self.frame_bytes, pieces).await
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        spawn_local(task);
    }
}
