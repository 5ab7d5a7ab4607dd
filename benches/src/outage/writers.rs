//! Writers that go on whatever happens, and what they were told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::cluster::eventually;

/// How long a writer waits after a refusal.
const BREATH: Duration = Duration::from_millis(1);

/// What is written to, as one writer sees it.
pub trait Store: Send {
    /// Writes a key that nobody has written before, and waits for the acknowledgement.
    ///
    /// # Errors
    /// Why it was not acknowledged. It may have been written.
    fn set(&mut self, tag: usize, key: &str) -> Result<(), String>;

    /// Goes back to where it began.
    fn home(&mut self);
}

/// An acknowledged write. Times are since the writers began.
#[derive(Debug, Clone, Copy)]
pub struct Acked {
    /// Who wrote.
    pub writer: usize,
    /// Where, as the number of a tag.
    pub tag: usize,
    /// Which, counted by its writer.
    pub number: u32,
    /// When it was sent.
    pub sent: Duration,
    /// When it was acknowledged.
    pub acked: Duration,
}

impl Acked {
    /// Its key, behind its tag.
    pub fn key(&self, tags: &[String]) -> String {
        key(tags, self.tag, self.writer, self.number)
    }
}

fn key(tags: &[String], tag: usize, writer: usize, number: u32) -> String {
    format!("{}w{writer}-{number}", tags[tag])
}

/// What is to be written to, and how fast.
#[derive(Debug, Clone)]
struct Order {
    tags: Vec<usize>,
    /// Between two writes of a writer.
    pace: Duration,
    /// How often all were sent home.
    round: usize,
}

#[derive(Debug)]
struct Shared {
    begun: Instant,
    order: Mutex<Arc<Order>>,
    acked: Mutex<Vec<Acked>>,
    refused: AtomicUsize,
    last_refusal: Mutex<String>,
    stop: AtomicBool,
}

/// The writers, each in a thread.
pub struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    all: usize,
    pace: Duration,
}

impl Writers {
    /// Lets one writer go for each store, `rate` writes a second in all.
    pub fn start(stores: Vec<Box<dyn Store>>, tags: &[String], rate: u32) -> Self {
        let pace = Duration::from_secs(1) * stores.len() as u32 / rate;
        let order = Order {
            tags: (0..tags.len()).collect(),
            pace,
            round: 0,
        };
        let shared = Arc::new(Shared {
            begun: Instant::now(),
            order: Mutex::new(Arc::new(order)),
            acked: Mutex::default(),
            refused: AtomicUsize::new(0),
            last_refusal: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let count = stores.len();
        let threads = stores.into_iter().enumerate().map(|(who, store)| {
            let (shared, tags) = (Arc::clone(&shared), tags.to_vec());
            thread::spawn(move || work(&shared, &tags, store, who, count))
        });
        Self {
            threads: threads.collect(),
            shared,
            all: tags.len(),
            pace,
        }
    }

    fn order(&self, tags: Vec<usize>, pace: Duration, home: bool) {
        let mut order = locked(&self.shared.order);
        let round = order.round + usize::from(home);
        *order = Arc::new(Order { tags, pace, round });
    }

    /// Sends all home, to write everywhere at their pace.
    pub fn at_ease(&self) {
        self.order((0..self.all).collect(), self.pace, true);
    }

    /// Has all write to these tags only, as fast as they are let.
    pub fn hurry(&self, tags: &[usize]) {
        self.order(tags.to_vec(), Duration::ZERO, false);
    }

    /// Waits until each of these tags has been written to, and each writer has written, with what was sent after `gone`. Gives the
    /// times from `said` to then, of the tags and of the writers.
    pub fn await_each(
        &self,
        tags: &[usize],
        (said, gone): (Instant, Instant),
        patience: Duration,
    ) -> Result<(Vec<Duration>, Vec<Duration>), Failure> {
        let since = |at: Instant| at.saturating_duration_since(self.shared.begun);
        let (said, gone) = (since(said), since(gone));
        let what = "every partition is written to, by every writer";
        eventually(what, patience, || {
            let acked = locked(&self.shared.acked);
            // What was sent since is at the end, but for what was under way.
            let late = acked.iter().rev().take_while(|ack| ack.acked >= gone);
            let late: Vec<&Acked> = late.filter(|ack| ack.sent >= gone).collect();
            let first = |is_it: &dyn Fn(&Acked) -> bool| {
                let acks = late.iter().filter(|ack| is_it(ack));
                acks.map(|ack| ack.acked.saturating_sub(said)).min()
            };
            let of_tags: Vec<_> = tags.iter().filter_map(|tag| first(&|ack| ack.tag == *tag)).collect();
            let of_writers = (0..self.threads.len()).filter_map(|who| first(&|ack| ack.writer == who));
            let of_writers: Vec<_> = of_writers.collect();
            if of_tags.len() == tags.len() && of_writers.len() == self.threads.len() {
                return Ok((of_tags, of_writers));
            }
            let (tags_left, writers_left) = (tags.len() - of_tags.len(), self.threads.len() - of_writers.len());
            let last = locked(&self.shared.last_refusal);
            Err(format!("{tags_left} partitions and {writers_left} writers wait; refused last: {last}").into())
        })
    }

    /// Ends them: what was acknowledged, and how many writes were not.
    pub fn stop(self) -> Result<(Vec<Acked>, usize), Failure> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| "a writer panicked")?;
        }
        let acked = std::mem::take(&mut *locked(&self.shared.acked));
        Ok((acked, self.shared.refused.load(Ordering::Relaxed)))
    }
}

fn work(shared: &Shared, tags: &[String], mut store: Box<dyn Store>, who: usize, of: usize) {
    let mut round = 0;
    let mut due = Instant::now();
    for number in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let order = Arc::clone(&locked(&shared.order));
        if order.round != round {
            round = order.round;
            store.home();
        }
        // Each begins elsewhere, and all go the same way round.
        let first = who * order.tags.len() / of;
        let tag = order.tags[(first + number as usize) % order.tags.len()];
        let key = key(tags, tag, who, number);
        let sent = shared.begun.elapsed();
        match store.set(tag, &key) {
            Ok(()) => locked(&shared.acked).push(Acked {
                writer: who,
                tag,
                number,
                sent,
                acked: shared.begun.elapsed(),
            }),
            Err(reason) => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                *locked(&shared.last_refusal) = reason;
                thread::park_timeout(BREATH);
            }
        }
        due = (due + order.pace).max(Instant::now() - order.pace);
        thread::park_timeout(due.saturating_duration_since(Instant::now()));
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
