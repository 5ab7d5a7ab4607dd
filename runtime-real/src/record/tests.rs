//! Recordings of a node on a disk in memory, replayed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kernel::crdt::Version;
use kernel::env::{ConnId, Now, Ticket, WriterId};
use kernel::hlc::Stamp;
use kernel::machine::{Command, ConnKind, Fetch, Fetched, Input, Machine, Output, Phase, Role, Room};
use kernel::node::{Node, NodeConfig};
use kernel::record::{Tail, Why};
use kernel::wire::op::{Ask, Op};
use kernel::wire::{Consistency, client};
use sim::replay::{Verdict, replay};

use super::queue::{Push, Queue};
use super::{Recorder, Ring};
use crate::metrics::Watched;

const MIB: u64 = 1 << 20;

/// A machine, a disk that answers at once, and a client.
struct Lab<M> {
    machine: M,
    log: BTreeMap<u64, Bytes>,
    now: Now,
    steps: u64,
    outputs: Vec<Output>,
    phase: Option<Phase>,
    written: u64,
}

const CLIENT: ConnId = ConnId(1);

impl<M: Machine> Lab<M> {
    fn new(machine: M) -> Self {
        let mut lab = Self {
            machine,
            log: BTreeMap::new(),
            now: Now {
                wall_ms: 1_700_000_000_000,
                mono_us: 0,
            },
            steps: 0,
            outputs: Vec::new(),
            phase: None,
            written: 0,
        };
        lab.step(Input::Boot { entropy: [3; 32] });
        let kind = ConnKind {
            role: Role::Client,
            push: true,
            ordered: true,
            frame_bytes: 1 << 20,
        };
        lab.step(Input::Opened {
            conn: CLIENT,
            kind,
            peer: None,
        });
        lab
    }

    fn one_step(&mut self, input: Input<'_>) -> Output {
        let mut out = Output::default();
        self.now.mono_us += 10;
        self.now.wall_ms = 1_700_000_000_000 + self.now.mono_us / 1_000;
        self.machine.step(self.now, input, &mut out);
        self.steps += 1;
        self.phase = out.phase.or(self.phase);
        self.outputs.push(out.clone());
        out
    }

    /// A step, and all that the disk and the transport answer to it.
    fn step(&mut self, input: Input<'_>) {
        let mut outs = vec![self.one_step(input)];
        while let Some(mut out) = outs.pop() {
            let mut sent: usize = out.send.iter().map(|envelope| envelope.frame.len()).sum();
            for (ticket, fetch) in out.fetch.drain(..) {
                let fetched = self.fetched(&fetch);
                outs.push(self.one_step(Input::Fetched {
                    ticket,
                    result: Ok(fetched),
                }));
            }
            if let Some(commit) = out.commit {
                self.log.extend(commit.entry);
                sent += commit.envelopes.iter().map(|e| e.frame.len()).sum::<usize>();
                let room = Room { bytes: 1 << 40 };
                let (ticket, result) = (commit.ticket, Ok(room));
                outs.push(self.one_step(Input::Committed { ticket, result }));
            }
            if let Some(apply) = out.apply {
                let (ticket, result) = (apply.ticket, Ok(()));
                outs.push(self.one_step(Input::Applied { ticket, result }));
            }
            if sent > 0 {
                let bytes = sent as u64;
                outs.push(self.one_step(Input::Drained { conn: CLIENT, bytes }));
            }
        }
    }

    fn fetched(&self, fetch: &Fetch) -> Fetched {
        match fetch {
            Fetch::Recover => Fetched::Recovered {
                applied: 0,
                log: self.log.keys().next().copied().zip(self.log.keys().last().copied()),
                room: Room { bytes: 1 << 40 },
            },
            Fetch::Records { .. } => Fetched::Records {
                rows: vec![],
                done: true,
            },
            Fetch::Log { .. } => panic!("nothing was there when it booted"),
        }
    }

    /// Writes a value of so many bytes under one of `keys` keys.
    fn put(&mut self, keys: u64, len: usize) {
        self.written += 1;
        let (number, id) = (self.written, self.written.to_string());
        let mut value = kernel::msgpack::Writer::new();
        value.text(&"x".repeat(len));
        let value = value.into_bytes();
        let stamp = Stamp::new(1_600_000_000_000 + number, 0, WriterId(4)).unwrap();
        let op = Op {
            id: &id,
            map: "m",
            key: &(number % keys).to_be_bytes(),
            consistency: Consistency::default(),
            version: Version::new(stamp, "w", Some(&value)),
        };
        let frame = client::op(&op, Ask::default());
        self.step(Input::Received {
            conn: CLIENT,
            frame: &frame,
        });
    }
}

impl Lab<Recorder> {
    /// Waits until all is written: no disk of a test keeps up with a node that does nothing else.
    fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.machine.recording().unwrap().unwritten > 0 {
            assert!(Instant::now() < until, "the recording is never written");
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// So many writes, none of which the recorder has to leave out.
    fn put_all(&mut self, writes: usize, keys: u64, len: usize) {
        for write in 0..writes {
            self.put(keys, len);
            if write % 200 == 199 {
                self.settle();
            }
        }
    }
}

fn recorder(dir: &Path, bytes: u64) -> Recorder {
    let ring = Ring::open(dir, bytes).unwrap();
    Recorder::new(Node::new(NodeConfig::new("n")), "n", ring).unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some()).collect();
    files.sort();
    files
}

fn ring_bytes(dir: &Path) -> u64 {
    segments(dir).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

/// Replays all segments, which must equal what happened, and gives for each its number, its steps and why it ended.
fn replayed(dir: &Path) -> Vec<(u64, u64, Option<Why>)> {
    let mut all = Vec::new();
    for path in segments(dir) {
        let bytes = fs::read(&path).unwrap();
        let replayed = replay(&bytes).unwrap();
        assert_eq!(replayed.verdict, Verdict::Equal, "{}", path.display());
        assert_ne!(replayed.steps, 0);
        let why = replayed.ended.as_ref().map(|ended| ended.why);
        // What the next goes on from is what this one ended with.
        let state = replayed.ended.as_ref().and_then(|ended| ended.state);
        assert_eq!(state.is_some(), matches!(why, Some(Why::Full | Why::Stopped)));
        assert_eq!(replayed.tail == Some(Tail::Complete), why.is_some());
        all.push((replayed.head.number, replayed.steps, why));
    }
    all
}

#[test]
fn every_step_is_recorded_and_replays_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made").join("here");
    let mut lab = Lab::new(recorder(&dir, 8 * MIB));
    lab.put_all(4_000, 100, 1_000);
    lab.step(Input::Command(Command::Drain));
    assert_eq!(lab.phase, Some(Phase::Stopped));
    let all = replayed(&dir);
    assert!(all.len() > 1, "several segments");
    assert_eq!(
        all.iter().map(|(number, ..)| *number).collect::<Vec<_>>(),
        (1..=all.len() as u64).collect::<Vec<_>>()
    );
    // What is done after the stop is no part of it.
    let steps: u64 = all.iter().map(|(_, steps, _)| steps).sum();
    assert!(lab.steps - steps <= 1, "{steps} of {} steps", lab.steps);
    let (last, before) = all.split_last().unwrap();
    assert_eq!(last.2, Some(Why::Stopped));
    assert!(before.iter().all(|(.., why)| *why == Some(Why::Full)));
    let recording = lab.machine.recording().unwrap();
    assert_eq!((recording.segments, recording.gaps), (all.len() as u64, 0));
    assert_eq!(recording.bytes, ring_bytes(&dir));
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for path in segments(&dir) {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_recorded_node_does_what_it_does_without() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = Lab::new(Node::new(NodeConfig::new("n")));
    let mut recorded = Lab::new(recorder(dir.path(), 2 * MIB));
    (0..3_000).for_each(|_| plain.put(50, 500));
    recorded.put_all(3_000, 50, 500);
    assert!(recorded.machine.recording().unwrap().segments > 1);
    assert_eq!(plain.outputs, recorded.outputs);
}

#[test]
fn a_ring_stays_within_its_bytes_and_keeps_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    for boot in 1..=3 {
        // A node that is started again goes on in the same ring.
        let mut lab = Lab::new(recorder(dir.path(), 2 * MIB));
        for _ in 0..15 {
            lab.put_all(200, 20, 1_000);
            assert!(ring_bytes(dir.path()) <= 2 * MIB);
        }
        lab.step(Input::Command(Command::Drain));
        assert!(ring_bytes(dir.path()) <= 2 * MIB, "boot {boot}");
        let all = replayed(dir.path());
        assert!(all.is_sorted_by_key(|(number, ..)| *number) && all.len() >= 3);
        assert!(all[0].0 > 1, "the oldest are gone");
        assert_eq!(all.last().unwrap().2, Some(Why::Stopped));
    }
    // A smaller one takes what is too much of it away.
    let mut lab = Lab::new(recorder(dir.path(), MIB));
    lab.step(Input::Command(Command::Drain));
    assert!(ring_bytes(dir.path()) <= MIB);
}

#[test]
fn a_state_that_is_too_large_ends_the_recording_and_not_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let mut lab = Lab::new(recorder(dir.path(), MIB));
    lab.put_all(1_000, 1_000, 1_000);
    assert_eq!(lab.machine.stats().records, 1_000);
    let recording = lab.machine.recording().unwrap();
    assert!(!recording.active && recording.gaps == 1, "{recording:?}");
    lab.step(Input::Command(Command::Drain));
    assert_eq!(replayed(dir.path()).last().unwrap().2, Some(Why::TooLarge));
    assert!(ring_bytes(dir.path()) <= MIB);
}

#[test]
fn a_queue_that_is_full_says_so_and_takes_the_end_of_the_segment() {
    let queue = Queue::default();
    assert!(queue.takes_head() && queue.unwritten() == 0);
    queue.begin(1, b"head".to_vec());
    assert!(!queue.takes_head() && queue.unwritten() == 4);
    let entry = vec![7; 3 << 20];
    let pushed: Vec<_> = (0..4).map(|_| queue.push(&entry)).collect();
    assert_eq!(pushed, [Push::Taken, Push::Taken, Push::Full, Push::Full]);
    assert_eq!(queue.push_last(b"end"), Push::Taken);
    queue.close();
    let dir = tempfile::tempdir().unwrap();
    queue.write_into(&mut Ring::open(dir.path(), 64 * MIB).unwrap());
    assert!(queue.takes_head() && queue.unwritten() == 0);
    let written = fs::read(&segments(dir.path())[0]).unwrap();
    assert_eq!(written, [b"head", &entry[..], &entry, b"end"].concat());
}

#[test]
fn the_step_that_panics_is_the_last_one_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let mut lab = Lab::new(recorder(dir.path(), MIB));
    lab.put(1, 1);
    // No host answers a commit that it was not given: the machine says so in the only way that is left.
    let never = Input::Committed {
        ticket: Ticket(1_000),
        result: Ok(Room { bytes: 0 }),
    };
    let panic = catch_unwind(AssertUnwindSafe(|| lab.step(never))).unwrap_err();
    let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    assert!(
        said.or(panic.downcast_ref::<String>().cloned())
            .unwrap()
            .contains("the host answered")
    );
    let bytes = fs::read(&segments(dir.path())[0]).unwrap();
    let replayed = replay(&bytes).unwrap();
    match replayed.verdict {
        Verdict::Panicked { step, as_recorded, .. } => assert_eq!((step, as_recorded), (lab.steps + 1, true)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_disk_that_fails_ends_the_recording_and_not_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ring");
    let mut lab = Lab::new(recorder(&path, MIB));
    lab.put(10, 1_000);
    lab.settle();
    fs::remove_dir_all(&path).unwrap();
    // Whenever the next segment begins, the folder is not there.
    let mut writes = 0;
    while lab.machine.recording().unwrap().active {
        lab.put_all(200, 10, 1_000);
        writes += 200;
        assert!(writes < 1_000_000, "it still records");
    }
    lab.put(10, 1);
    assert_eq!(lab.machine.stats().records, 10);
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let _held = Ring::open(dir.path(), MIB).unwrap();
    let refused = Ring::open(dir.path(), MIB).unwrap_err();
    assert_eq!(refused.code(), "record_in_use");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = Ring::open(&file, MIB).unwrap_err();
    assert_eq!(refused.code(), "record_folder");
    assert!(refused.to_string().contains("file"), "{refused}");
}
