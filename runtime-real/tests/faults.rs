//! The real node on real sockets, over stores that fail when they are told to.
#![allow(clippy::unwrap_used)] // helpers of a test are a test

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use async_channel::{Sender, unbounded};
use bytes::Bytes;
use futures_lite::future::block_on;
use kernel::env::Limits;
use kernel::machine::{Command, Phase, Room, StorageError};
use kernel::node::{Node, NodeConfig};
use kernel::wire::op::Ask;
use kernel::wire::{Consistency, ReadConsistency};
use runtime_real::client::{Client, ClientError, Place};
use runtime_real::driver::{Driver, LogState, LogStore, RecordStore, Settings, disk};
use runtime_real::net::{Health, Page, Rules, Server, SmolNet, SystemClock};
use smol::LocalExecutor;
use smol::net::TcpListener;

const ROOM: Room = Room { bytes: 1 << 30 };

/// Two stores in memory, and how many of their next writes fail.
#[derive(Default)]
struct Stored {
    log: BTreeMap<u64, Bytes>,
    records: BTreeMap<Bytes, Bytes>,
    applied: u64,
    /// A failed append that has reached the disk all the same: nobody can know.
    keeps_failed_append: bool,
    failing_appends: usize,
    failing_applies: usize,
    is_full: bool,
}

impl Stored {
    fn room(&self) -> Room {
        if self.is_full { Room { bytes: 0 } } else { ROOM }
    }
}

#[derive(Clone, Default)]
struct Store(Arc<Mutex<Stored>>);

impl LogStore for Store {
    async fn recover(&mut self) -> Result<LogState, StorageError> {
        let stored = self.0.lock().unwrap();
        let range = stored.log.first_key_value().zip(stored.log.last_key_value());
        let range = range.map(|((first, _), (last, _))| (*first, *last));
        let room = stored.room();
        Ok(LogState { range, room })
    }

    async fn room(&mut self) -> Result<Room, StorageError> {
        Ok(self.0.lock().unwrap().room())
    }

    async fn append(&mut self, entries: &[(u64, Bytes)]) -> Result<Room, StorageError> {
        let mut stored = self.0.lock().unwrap();
        let fails = stored.failing_appends > 0;
        if !fails || stored.keeps_failed_append {
            stored.log.extend(entries.iter().cloned());
        }
        if fails {
            stored.failing_appends -= 1;
            return Err(StorageError::Io);
        }
        Ok(stored.room())
    }

    async fn cut(&mut self, upto: u64) -> Result<(), StorageError> {
        self.0.lock().unwrap().log.retain(|number, _| *number > upto);
        Ok(())
    }

    async fn read(&mut self, from: u64, _limit_bytes: usize) -> Result<(Vec<(u64, Bytes)>, bool), StorageError> {
        let stored = self.0.lock().unwrap();
        let entries = stored.log.range(from..).map(|(number, entry)| (*number, entry.clone()));
        Ok((entries.collect(), true))
    }
}

impl RecordStore for Store {
    async fn recover(&mut self) -> Result<u64, StorageError> {
        Ok(self.0.lock().unwrap().applied)
    }

    async fn apply(&mut self, upto: u64, puts: &[(Bytes, Bytes)], deletes: &[Bytes]) -> Result<(), StorageError> {
        let mut stored = self.0.lock().unwrap();
        if stored.failing_applies > 0 {
            stored.failing_applies -= 1;
            return Err(StorageError::Full);
        }
        stored.records.extend(puts.iter().cloned());
        for key in deletes {
            stored.records.remove(key);
        }
        stored.applied = upto;
        Ok(())
    }

    async fn read(&mut self, after: Option<&[u8]>, _limit: usize) -> Result<(Vec<(Bytes, Bytes)>, bool), StorageError> {
        let stored = self.0.lock().unwrap();
        let rows = stored
            .records
            .iter()
            .filter(|(key, _)| after.is_none_or(|after| &key[..] > after));
        Ok((rows.map(|(key, value)| (key.clone(), value.clone())).collect(), true))
    }
}

/// A node over such stores.
struct Running {
    addr: String,
    store: Store,
    ready: Arc<AtomicUsize>,
    stop: Sender<Command>,
    thread: thread::JoinHandle<()>,
}

impl Running {
    fn start() -> Self {
        let (store, ready) = (Store::default(), Arc::new(AtomicUsize::new(0)));
        let (stop, orders) = unbounded();
        let (sender, addr) = mpsc::channel();
        let (stores, counted) = (store.clone(), Arc::clone(&ready));
        let thread = thread::spawn(move || {
            let executor = Rc::new(LocalExecutor::new());
            block_on(executor.run(async {
                let limits = Limits {
                    apply_delay_ms: 10,
                    ..Limits::default()
                };
                let rules = Rules {
                    frame_bytes: limits.frame_bytes,
                    unauthenticated_frame_bytes: limits.unauthenticated_frame_bytes,
                    body_bytes: limits.body_bytes,
                    connections: limits.connections,
                    patience: Duration::from_secs(5),
                    secret: None,
                    tls: None,
                    health: Health::default(),
                    metrics: Page::default(),
                };
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap().to_string()).unwrap();
                let (server, accepted) = Server::new(listener, rules, Rc::clone(&executor));
                executor.spawn(server.run()).detach();
                let (disk, log, records) = disk(stores.clone(), stores);
                let threads = [
                    thread::spawn(move || block_on(log)),
                    thread::spawn(move || block_on(records)),
                ];
                let net = Rc::new(SmolNet::new(Rc::clone(&executor), accepted, limits.frame_bytes, None));
                let settings = Settings::new(&limits, [7; 32]);
                let config = NodeConfig {
                    limits,
                    ..NodeConfig::new("faulty")
                };
                let clock = Rc::new(SystemClock::start());
                let on_phase = move |phase| {
                    if let Phase::Ready { .. } = phase {
                        counted.fetch_add(1, Ordering::SeqCst);
                    }
                };
                let driver = Driver::new(Node::new(config), net, clock, disk, orders, settings, on_phase);
                driver.run().await.unwrap();
                for thread in threads {
                    thread.join().unwrap();
                }
            }));
        });
        let running = Self {
            addr: addr.recv().unwrap(),
            store,
            ready,
            stop,
            thread,
        };
        running.await_ready(1);
        running
    }

    /// Waits until the node has become ready so many times.
    fn await_ready(&self, times: usize) {
        self.await_that("the node is ready", |running| {
            running.ready.load(Ordering::SeqCst) >= times
        });
    }

    fn await_that(&self, what: &str, is: impl Fn(&Self) -> bool) {
        for _ in 0..3_000 {
            if is(self) {
                return;
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        panic!("not in time: {what}");
    }

    fn set(&self, key: &str, value: u8) -> Result<String, ClientError> {
        block_on(async {
            let mut client = Client::connect(&self.addr, None, format!("test-{key}-{value}")).await?;
            client
                .write(
                    Place { map: "m", key },
                    Some(&[value]),
                    None,
                    Consistency::default(),
                    Ask::default(),
                )
                .await
        })
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        block_on(async {
            let mut client = Client::connect(&self.addr, None, "reader".to_owned()).await.unwrap();
            client
                .get(Place { map: "m", key }, ReadConsistency::default())
                .await
                .unwrap()
                .value
                .map(|(value, _)| value)
        })
    }

    fn stop(self) {
        self.stop.try_send(Command::Drain).unwrap();
        self.thread.join().unwrap();
    }
}

#[test]
fn a_commit_that_fails_is_answered_honestly_and_the_node_recovers() {
    for kept in [false, true] {
        let node = Running::start();
        node.set("before", 1).unwrap();
        {
            let mut stored = node.store.0.lock().unwrap();
            (stored.failing_appends, stored.keeps_failed_append) = (1, kept);
        }
        let error = node.set("during", 2).unwrap_err();
        assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
        node.await_ready(2);
        assert_eq!(node.get("before"), Some(vec![1]));
        // "Nobody knows" was the truth: either may be.
        assert_eq!(node.get("during"), kept.then(|| vec![2]));
        node.set("after", 3).unwrap();
        assert_eq!(node.get("after"), Some(vec![3]));
        node.stop();
    }
}

#[test]
fn records_that_cannot_be_written_for_a_while_hold_up_no_commit() {
    let node = Running::start();
    node.store.0.lock().unwrap().failing_applies = 3;
    for value in 1..=5 {
        node.set("k", value).unwrap();
    }
    let store = &node.store;
    node.await_that("the failures are over", |_| {
        store.0.lock().unwrap().failing_applies == 0
    });
    node.set("k", 6).unwrap();
    assert_eq!(node.ready.load(Ordering::SeqCst), 1, "no recovery was needed");
    let store = node.store.clone();
    node.stop();
    let stored = store.0.lock().unwrap();
    // The first entry is the cluster that it began.
    let last_alone = stored.log.keys().eq([&7]);
    assert!(last_alone && stored.applied == 7, "all is in the records");
}

#[test]
fn a_disk_that_was_full_is_used_again_once_there_is_space() {
    let node = Running::start();
    node.set("k", 1).unwrap();
    node.store.0.lock().unwrap().is_full = true;
    node.set("k", 2).unwrap();
    let refused = node.set("k", 3).unwrap_err();
    assert!(refused.to_string().contains("full"), "{refused}");
    node.store.0.lock().unwrap().is_full = false;
    node.await_that("writes are taken again", |node| node.set("k", 4).is_ok());
    node.stop();
}
