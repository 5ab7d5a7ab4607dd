//! The load generator: one thread over all connections, with frames made by hand.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kernel::wire::Consistency;
use kernel::wire::server::ServerMessage;
use rustix::event::{PollFd, PollFlags, poll};

use super::bound;
use super::template::{Template, number};
use crate::socket::{dial, frame};
use crate::{Failure, Load};

/// Nesting of the deepest answer.
const DEPTH: usize = 8;

/// A node that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a connection goes, and what it writes there.
pub struct Target<'a> {
    /// The node's address.
    pub addr: &'a str,
    /// What keys begin with, one after the other: nothing, or tags that decide where they lie.
    pub tags: &'a [String],
    /// What is asked for.
    pub consistency: Consistency,
}

/// The number of the first operation of a connection: they count in ranges of their own.
pub fn first(connection: u64) -> u64 {
    connection << 40
}

/// The connections.
pub struct Clients {
    conns: Vec<Conn>,
    depth: u64,
    batch: u64,
}

/// What a run came to.
pub struct Done {
    pub writes: u64,
    /// Bytes of frames sent.
    pub bytes: u64,
    pub frame_bytes: u64,
    /// CPU time of the generator.
    pub cpu: Duration,
    latencies_us: Vec<u32>,
}

impl Done {
    /// The latency that so many of a hundred batches stay within.
    pub fn latency_us(&self, percent: usize) -> u32 {
        let at = (self.latencies_us.len() * percent / 100).min(self.latencies_us.len() - 1);
        self.latencies_us[at]
    }
}

struct Conn {
    stream: TcpStream,
    template: Template,
    /// What an acknowledgement must say.
    achieved: &'static str,
    /// The number of the next operation.
    next: u64,
    /// Batches under way: the number of the last operation of each, and when it was made.
    sent: VecDeque<(u64, Instant)>,
    /// Batches that are still to be made in this run.
    left: u64,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
}

impl Clients {
    /// Opens one to each of these.
    pub fn connect(targets: &[Target<'_>], load: &Load) -> Result<Self, Failure> {
        let conns = (0..)
            .zip(targets)
            .map(|(number, target)| Conn::connect(target, number, load));
        Ok(Self {
            conns: conns.collect::<Result<_, _>>()?,
            depth: load.depth.into(),
            batch: load.batch.into(),
        })
    }

    /// Sends so many batches on each connection, and comes back when all are acknowledged.
    pub fn run(&mut self, batches: u64) -> Result<Done, Failure> {
        let cpu = bound::cpu();
        let mut latencies_us = Vec::new();
        let mut open = self.conns.len();
        for conn in &mut self.conns {
            conn.left = batches;
            conn.fill(self.depth, self.batch);
            conn.write()?;
        }
        while open > 0 {
            let ready = self.wait()?;
            for (conn, ready) in self.conns.iter_mut().zip(ready) {
                if ready.contains(PollFlags::IN) && conn.is_busy() {
                    conn.read(&mut latencies_us)?;
                    conn.fill(self.depth, self.batch);
                    open -= usize::from(!conn.is_busy());
                }
                if ready.contains(PollFlags::IN) || ready.contains(PollFlags::OUT) {
                    conn.write()?;
                }
                if ready.intersects(PollFlags::ERR | PollFlags::HUP) {
                    return Err("the node closed a connection".into());
                }
            }
        }
        latencies_us.sort_unstable();
        let frames = self.conns.len() as u64 * batches;
        let frame_bytes = self.conns.first().map_or(0, |conn| conn.template.len()) as u64;
        Ok(Done {
            writes: frames * self.batch,
            bytes: frames * frame_bytes,
            frame_bytes,
            cpu: bound::cpu() - cpu,
            latencies_us,
        })
    }

    fn wait(&self) -> Result<Vec<PollFlags>, Failure> {
        let interest = |conn: &Conn| match conn.written < conn.out.len() {
            true => PollFlags::IN | PollFlags::OUT,
            false => PollFlags::IN,
        };
        let mut fds: Vec<_> = self
            .conns
            .iter()
            .map(|conn| PollFd::new(&conn.stream, interest(conn)))
            .collect();
        let patience = rustix::event::Timespec::try_from(PATIENCE)?;
        if poll(&mut fds, Some(&patience))? == 0 {
            return Err("the node says nothing any more".into());
        }
        Ok(fds.iter().map(PollFd::revents).collect())
    }
}

impl Conn {
    fn connect(target: &Target<'_>, number: u64, load: &Load) -> Result<Self, Failure> {
        let stream = dial(target.addr)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            template: Template::new(&format!("bench-{number}"), target, load)?,
            achieved: target.consistency.achieved(),
            next: first(number),
            sent: VecDeque::new(),
            left: 0,
            out: Vec::new(),
            written: 0,
            input: Vec::new(),
        })
    }

    fn is_busy(&self) -> bool {
        self.left > 0 || !self.sent.is_empty()
    }

    /// Makes batches until as many are under way as may be.
    fn fill(&mut self, depth: u64, batch: u64) {
        let now = Instant::now();
        while self.left > 0 && (self.sent.len() as u64) < depth {
            self.template.write(self.next, &mut self.out);
            self.next += batch;
            self.left -= 1;
            self.sent.push_back((self.next - 1, now));
        }
    }

    fn write(&mut self) -> Result<(), Failure> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Takes what has come, and checks that it is what must come: the acknowledgement of the oldest batch.
    fn read(&mut self, latencies_us: &mut Vec<u32>) -> Result<(), Failure> {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err("the node closed a connection".into()),
            Ok(bytes) => self.input.extend_from_slice(&chunk[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let (mut at, now) = (0, Instant::now());
        while let Some((head, len)) = frame(&self.input[at..]) {
            let Some(payload) = self.input[at..].get(head..head + len) else {
                break;
            };
            at += head + len;
            match ServerMessage::decode(payload, DEPTH)? {
                ServerMessage::AuthAck { .. } => {}
                ServerMessage::OpAck {
                    last_id,
                    beyond,
                    achieved,
                } if beyond.is_empty() && achieved == self.achieved => {
                    let (last, since) = self.sent.pop_front().ok_or("an acknowledgement of nothing")?;
                    if number(last_id) != Some(last) {
                        return Err(format!("{last_id} was acknowledged, and {last:x} was awaited").into());
                    }
                    latencies_us.push((now - since).as_micros().try_into().unwrap_or(u32::MAX));
                }
                other => return Err(format!("the node said {other:?}").into()),
            }
        }
        self.input.drain(..at);
        Ok(())
    }
}
