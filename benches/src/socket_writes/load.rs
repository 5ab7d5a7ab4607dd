//! The load generator: one thread over all connections, with frames made by hand.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kernel::wire::server::ServerMessage;
use rustix::event::{PollFd, PollFlags, poll};

use super::template::{Template, number};
use super::{Failure, bound};
use crate::Load;

/// Nesting of the deepest answer.
const DEPTH: usize = 8;

/// A node that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// The number of the next operation; connections count in ranges of their own.
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
    /// Opens all of them.
    pub fn connect(addr: &str, load: &Load) -> Result<Self, Failure> {
        let conns = (0..load.connections).map(|number| Conn::connect(addr, number, load));
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
    fn connect(addr: &str, number: u32, load: &Load) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        let ask = format!(
            "GET /ws HTTP/1.1\r\nhost: {addr}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(ask.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(String::from_utf8_lossy(&head).into_owned().into());
        }
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            template: Template::new(&format!("bench-{number}"), load.batch, load.value_bytes)?,
            next: u64::from(number) << 40,
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
                ServerMessage::OpAck { last_id, beyond, .. } if beyond.is_empty() => {
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

/// The lengths of the first frame's head and payload, if its head is there. A server's frames carry no mask.
fn frame(input: &[u8]) -> Option<(usize, usize)> {
    match *input.get(1)? {
        126 => Some((4, u16::from_be_bytes(input.get(2..4)?.try_into().ok()?).into())),
        127 => Some((10, u64::from_be_bytes(input.get(2..10)?.try_into().ok()?) as usize)),
        len => Some((2, len.into())),
    }
}
