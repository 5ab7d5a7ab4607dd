//! The simulator's clients, hosted here: the same workload over the same protocol.

use std::collections::BTreeMap;
use std::rc::Rc;

use async_channel::{Receiver, Sender, unbounded};
use bytes::Bytes;
use futures_lite::future::or;
use kernel::env::{ConnId, SeededRng};
use kernel::machine::Role;
use kernel::wire::{Consistency, ReadConsistency};
use madsim::task::spawn_local;
use runtime_real::driver::{FrameReader, FrameWriter, Link};
use runtime_real::simulated::{FramedReader, FramedWriter, Pieces, dial, now_us, until_us};
use sim::client::{Action, Client, ClientConfig};
use sim::invariant::Seen;
use sim::network::NetInput;

use super::watch;

/// How long a client waits for a connection to open, and for the answer to its goodbye.
const PATIENCE_US: u64 = 1_000_000;

/// What a client is to do. Times are those of the plan: its writes are stamped from them.
#[derive(Debug, Clone)]
pub enum Task {
    /// Write a number, perhaps for so many milliseconds; or delete.
    Write {
        at_us: u64,
        map: String,
        key: String,
        value: Option<(u64, Option<u64>)>,
    },
    /// Read.
    Read { at_us: u64, map: String, key: String },
    /// Do without the network until then.
    Offline { until_us: u64 },
}

enum Event {
    Task(Task),
    Net(NetInput),
    Due,
}

/// A client of a story.
#[derive(Debug, Clone)]
pub struct Maker {
    pub number: usize,
    pub config: ClientConfig,
    /// Addresses of the nodes.
    pub nodes: Vec<String>,
    pub frame_bytes: usize,
    pub tasks: Receiver<Task>,
    pub rng: SeededRng,
}

struct Hosted {
    maker: Maker,
    client: Client,
    /// What is to be sent, by connection. Dropped when the client wants no more of it.
    lines: BTreeMap<ConnId, Sender<Bytes>>,
    last_conn: u64,
    news: (Sender<NetInput>, Receiver<NetInput>),
}

impl Maker {
    /// Lives for as long as the story.
    pub async fn live(self) {
        let client = Client::new(self.config.clone());
        let mut hosted = Hosted {
            maker: self,
            client,
            lines: BTreeMap::new(),
            last_conn: 0,
            news: unbounded(),
        };
        loop {
            let event = hosted.next().await;
            hosted.take(event);
        }
    }
}

impl Hosted {
    async fn next(&self) -> Event {
        // A wake that is overdue comes a moment later, not over and over in the same one.
        let due_us = self
            .client
            .wake_at_us()
            .map_or(u64::MAX / 2, |at_us| at_us.max(now_us() + 1));
        let due = async {
            until_us(due_us).await;
            Event::Due
        };
        let net = async { Event::Net(self.news.1.recv().await.expect("this end holds one of the other")) };
        let task = async {
            match self.maker.tasks.recv().await {
                Ok(task) => Event::Task(task),
                Err(_) => std::future::pending().await,
            }
        };
        or(net, or(task, due)).await
    }

    fn take(&mut self, event: Event) {
        let (mut actions, now_us) = (Vec::new(), now_us());
        match event {
            Event::Net(input) => {
                if let NetInput::Opened(conn, ..) = &input
                    && !self.lines.contains_key(conn)
                {
                    return;
                }
                self.client.hear(now_us, &input, &mut actions);
            }
            Event::Due => self.client.wake(now_us, &mut actions),
            Event::Task(Task::Write { at_us, map, key, value }) => {
                let level = Consistency::default();
                self.client.write(at_us, &map, &key, value, level, &mut actions);
            }
            Event::Task(Task::Read { at_us, map, key }) => {
                let level = ReadConsistency::default();
                self.client.read(at_us, &map, &key, level, &mut actions);
            }
            Event::Task(Task::Offline { until_us }) => self.client.go_offline(now_us, until_us, &mut actions),
        }
        actions.into_iter().for_each(|action| self.perform(action));
        let (refused, read) = self.client.counts();
        watch::client(self.maker.number, |seen| {
            seen.idle = self.client.is_idle();
            (seen.refused, seen.read) = (refused, read);
        });
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Dial(node) => self.dial(node),
            Action::Send(conn, frame) => {
                if let Some(line) = self.lines.get(&conn) {
                    let _ = line.try_send(frame);
                }
            }
            Action::Close(conn) => drop(self.lines.remove(&conn)),
            Action::Wrote(write) => watch::see(&Seen::Wrote(&write)),
            Action::Talked(talk) => watch::see(&Seen::Talked {
                client: self.maker.number,
                talk: &talk,
            }),
            Action::Intruded(what) => watch::see(&Seen::Intruded {
                client: self.maker.number,
                what: &what,
            }),
            Action::Acknowledged(node, write, level) => {
                watch::client(self.maker.number, |seen| seen.acknowledged += 1);
                let disk = watch::disk(node);
                watch::see(&Seen::Acknowledged {
                    node,
                    write: &write,
                    level,
                    disk: &disk,
                });
            }
        }
    }

    fn dial(&mut self, node: usize) {
        self.last_conn += 1;
        let (conn, number) = (ConnId(self.last_conn), self.maker.number);
        let pieces = Pieces::new(self.maker.rng.fork("connection", conn.0));
        let (line, outbox) = unbounded();
        self.lines.insert(conn, line);
        let (addr, frame_bytes, news) = (
            self.maker.nodes[node].clone(),
            self.maker.frame_bytes,
            self.news.0.clone(),
        );
        spawn_local(async move {
            match connect(&addr, frame_bytes, pieces).await {
                Some(link) => {
                    let _ = news.send(NetInput::Opened(conn, link.kind, None)).await;
                    carry(number, conn, link, outbox, &news).await;
                    let _ = news.send(NetInput::Closed(conn)).await;
                }
                None => {
                    watch::client(number, |seen| seen.dials_failed += 1);
                    let peer = kernel::env::PeerId(node as u64);
                    let _ = news.send(NetInput::DialFailed(peer, "nobody let it in")).await;
                }
            }
        });
    }
}

async fn connect(addr: &str, frame_bytes: usize, pieces: Rc<Pieces>) -> Option<Link<FramedReader, FramedWriter>> {
    let late = async {
        until_us(now_us() + PATIENCE_US).await;
        None
    };
    let dialling = async { dial(addr, Role::Client, frame_bytes, pieces).await.ok() };
    or(dialling, late).await
}

async fn carry(
    number: usize,
    conn: ConnId,
    link: Link<FramedReader, FramedWriter>,
    outbox: Receiver<Bytes>,
    news: &Sender<NetInput>,
) {
    let Link {
        mut reader, mut writer, ..
    } = link;
    let writing = async {
        while let Ok(frame) = outbox.recv().await {
            if writer.write(frame).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
        // It wants no more of this: a goodbye, and some time for the node's.
        if writer.close().await.is_ok() {
            until_us(now_us() + PATIENCE_US).await;
        }
    };
    let reading = async {
        loop {
            match reader.read().await {
                Ok(Some(frame)) => drop(news.send(NetInput::Received(conn, frame)).await),
                Ok(None) => return watch::client(number, |seen| seen.goodbyes += 1),
                Err(_) => return watch::client(number, |seen| seen.broken += 1),
            }
        }
    };
    or(reading, writing).await;
    let _ = writer.close().await;
}
