//! Clients that go on reading records and writing their own keys at a steady rate.

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kernel::msgpack::{Reader, Writer};
use kernel::wire::{Consistency, ReadConsistency};

use super::LOAD;
use crate::Failure;
use crate::cluster::conn::{Conn, Refused};
use crate::cluster::eventually;
use crate::socket_writes::load::first;
use crate::socket_writes::template::{MAP, key};
use crate::spread::Spread;

/// The map of what the clients write.
const OWN: &str = "clients";

/// Clients, each with a connection: enough that none is late because of the request before.
const CLIENTS: u64 = 16;

/// Keys that a client writes, over and over.
const KEYS: usize = 1_000;

/// A client whose next request was due so long ago is late.
const LATE: Duration = Duration::from_millis(300);

/// Keys that all of them write: every other one does nothing else.
pub const KEYS_IN_ALL: u64 = CLIENTS / 2 * KEYS as u64;

/// What was seen for a while.
#[derive(Debug, Default)]
pub struct Seen {
    reads: Vec<Duration>,
    writes: Vec<Duration>,
    refused: usize,
    last_refusal: String,
}

/// The clients, at work.
pub struct Foreground {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Lost>>,
}

#[derive(Debug)]
struct Shared {
    seen: Mutex<Seen>,
    begun: Instant,
    /// When the request that each client has under way was due, in microseconds since they began.
    due_us: Vec<AtomicU64>,
    stop: AtomicBool,
}

/// What should have been found and was not.
#[derive(Debug, Default)]
pub struct Lost {
    /// Reads that found no record.
    reads: u64,
    /// Keys whose last acknowledged write, or a later one, is not what is found in the end.
    writes: u64,
}

impl Lost {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.reads + self.writes
    }
}

impl Foreground {
    /// Lets them go, on records of which each connection has loaded so many.
    pub fn start(addr: &str, of_one: u64, rate: u32) -> Self {
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            begun: Instant::now(),
            due_us: (0..CLIENTS).map(|_| AtomicU64::new(0)).collect(),
            stop: AtomicBool::new(false),
        });
        let pace = Duration::from_secs(1) * CLIENTS as u32 / rate;
        let threads = (0..CLIENTS).map(|who| {
            let shared = Arc::clone(&shared);
            let client = Client {
                addr: addr.to_owned(),
                who,
                of_one,
                conn: None,
                told: vec![(0, 0); KEYS],
                lost: Lost::default(),
            };
            thread::spawn(move || client.work(&shared, pace))
        });
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// What was seen since this was asked last.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *locked(&self.shared.seen))
    }

    /// Waits until no client is late any more.
    pub fn at_ease(&self, patience: Duration) -> Result<(), Failure> {
        eventually("the clients have caught up", patience, || {
            let due_us = self.shared.due_us.iter().map(|due| due.load(Ordering::Relaxed));
            let earliest = Duration::from_micros(due_us.min().unwrap_or_default());
            let late = self.shared.begun.elapsed().saturating_sub(earliest);
            if late < LATE {
                Ok(())
            } else {
                Err(format!("late by {late:?}").into())
            }
        })
    }

    /// Ends them, once each has read what it wrote.
    pub fn stop(self) -> Result<Lost, Failure> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Lost::default();
        for thread in self.threads {
            let lost = thread.join().map_err(|_| "a client panicked")?;
            all.reads += lost.reads;
            all.writes += lost.writes;
        }
        Ok(all)
    }
}

struct Client {
    addr: String,
    who: u64,
    of_one: u64,
    conn: Option<Conn>,
    /// Of each key: the greatest number that was acknowledged, and the greatest that was sent.
    told: Vec<(u64, u64)>,
    lost: Lost,
}

impl Client {
    fn work(mut self, shared: &Shared, pace: Duration) -> Lost {
        let mut due = Instant::now();
        for number in 1.. {
            if shared.stop.load(Ordering::Relaxed) {
                break;
            }
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
            let due_us = due.saturating_duration_since(shared.begun).as_micros() as u64;
            shared.due_us[self.who as usize].store(due_us, Ordering::Relaxed);
            // Each does one thing only, so that what reads wait for is not a write.
            let is_read = self.who.is_multiple_of(2);
            let done = if is_read { self.read(number) } else { self.write(number) };
            // Counted from when it was due: what waits behind a slow one is slow too.
            let took = due.elapsed();
            due += pace;
            let mut seen = locked(&shared.seen);
            match done {
                Ok(()) if is_read => seen.reads.push(took),
                Ok(()) => seen.writes.push(took),
                Err(refused) => {
                    if matches!(refused, Refused::Lost(_)) {
                        self.conn = None;
                    }
                    seen.refused += 1;
                    seen.last_refusal = refused.reason();
                }
            }
        }
        let keys: Vec<String> = (0..KEYS).map(|at| self.own_key(at)).collect();
        let found = self
            .conn()
            .and_then(|conn| conn.read(OWN, &keys, ReadConsistency::Quorum));
        let found = found.unwrap_or_default();
        let held = |at: usize| match found.get(at) {
            Some(Ok(Some(value))) => Reader::new(value).u64().unwrap_or_default(),
            _ => 0,
        };
        let wrong = |(at, (acked, sent)): (usize, &(u64, u64))| !(*acked..=*sent).contains(&held(at));
        self.lost.writes = self.told.iter().enumerate().filter(|told| wrong(*told)).count() as u64;
        self.lost
    }

    fn conn(&mut self) -> Result<&mut Conn, Refused> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => Conn::open(&self.addr, &format!("bench-client-{}", self.who))?,
        };
        Ok(self.conn.insert(conn))
    }

    fn own_key(&self, at: usize) -> String {
        format!("c{}-{at}", self.who)
    }

    fn read(&mut self, number: u64) -> Result<(), Refused> {
        // A large odd step goes through all of them in no order.
        let at = number.wrapping_mul(2_654_435_761) % self.of_one;
        let keys = [key(first(self.who / 2 % u64::from(LOAD.connections)) + at)];
        match &self.conn()?.read(MAP, &keys, ReadConsistency::Owner)?[..] {
            [Ok(Some(_))] => Ok(()),
            [Ok(None)] => {
                self.lost.reads += 1;
                Err(Refused::Said(format!("{} is not there", keys[0])))
            }
            [Err(reason)] => Err(Refused::Said(reason.clone())),
            other => Err(Refused::Lost(format!("one read, and {} answers", other.len()))),
        }
    }

    fn write(&mut self, number: u64) -> Result<(), Refused> {
        let at = number as usize % KEYS;
        let key = self.own_key(at);
        let mut value = Writer::new();
        value.u64(number);
        self.told[at].1 = number;
        self.conn()?
            .write(OWN, &key, &value.into_bytes(), Consistency::Quorum)?;
        self.told[at].0 = number;
        Ok(())
    }
}

impl Display for Seen {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let short = |times: &Vec<Duration>| {
            let spread = Spread::of(times.iter().copied());
            let ms = |percent| spread.percentile(percent).as_secs_f64() * 1e3;
            format!("{:.1}/{:.1}/{:.1}", ms(50), ms(99), ms(100))
        };
        write!(f, "reads {} writes {} ms", short(&self.reads), short(&self.writes))?;
        if self.refused > 0 {
            write!(f, " ({} refused, last: {})", self.refused, self.last_refusal)?;
        }
        Ok(())
    }
}

impl Display for Lost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { reads, writes } = self;
        write!(
            f,
            "{reads} reads found no record, {writes} keys lost an acknowledged write"
        )
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
