//! Writing down what happens in a run, as columns that a page can draw from.

use std::collections::BTreeMap;

use kernel::env::Ticket;
use kernel::machine::Input;

use super::frames::{Reader, Summary};
use super::steps;
use super::table::Tables;
use super::track::Track;
use crate::clock::EPOCH_MS;
use crate::disk::VirtualDisk;
use crate::endpoint::Endpoint;
use crate::invariant::{Seen, Write};
use crate::model::read_entry;
use crate::plan::Plan;
use crate::trace::Step;

/// A frame that got to the other end, or did not.
#[derive(Debug)]
pub(super) struct Message {
    pub sent_us: u64,
    /// When it arrived, or was lost.
    pub until_us: u64,
    pub lost: bool,
    pub from: usize,
    pub to: usize,
    pub kind: i64,
    pub text: i64,
    pub keys: i64,
}

/// What kind of thing happened. The numbers are those of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A step from which something followed.
    Step,
    /// A step from which nothing did.
    Idle,
    Boot,
    Crash,
    /// Storage failed.
    Failure,
    /// A client was given something to do.
    Ask,
    /// A client was told that its write is done.
    Done,
    /// The promises about a world at rest were looked at.
    Quiet,
    /// The disk is another than it was, or something was done that may not be.
    Odd,
    /// The promises looked into every node.
    Look,
}

/// Something that happened in one lane.
#[derive(Debug)]
pub(super) struct Happening {
    pub at_us: u64,
    /// `None` is the whole cluster.
    pub lane: Option<usize>,
    pub mark: Mark,
    pub text: i64,
    pub keys: i64,
}

/// A commit, from the step that asked for it until it was answered or lost in a crash.
#[derive(Debug)]
pub(super) struct Committing {
    pub node: usize,
    pub at_us: u64,
    pub until_us: Option<u64>,
    pub done: bool,
    pub entry: u64,
    pub versions: Vec<i64>,
}

/// A fault of the plan that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub entry: usize,
    pub at_us: u64,
    pub until_us: Option<u64>,
}

/// Everything that was written down.
#[derive(Debug, Default)]
pub(super) struct Recording {
    pub nodes: usize,
    pub tables: Tables,
    pub messages: Vec<Message>,
    pub happenings: Vec<Happening>,
    pub commits: Vec<Committing>,
    pub faults: Vec<Begun>,
    pub tracks: Vec<Track>,
    /// How many things the invariants were shown.
    pub seen: u64,
    pub last_us: u64,
    /// The commits of each node that were not answered yet.
    open: BTreeMap<(usize, Ticket), usize>,
    reader: Reader,
    delivered: Option<Delivered>,
}

/// The frame that was delivered last.
#[derive(Debug)]
struct Delivered {
    from: Endpoint,
    to: Endpoint,
    frame: Vec<u8>,
    text: String,
    keys: i64,
}

impl Recording {
    pub fn new(plan: &Plan) -> Self {
        let nodes = plan.header.nodes as usize;
        Self {
            nodes,
            tracks: (0..nodes).map(|_| Track::default()).collect(),
            ..Self::default()
        }
    }

    /// The lane of an endpoint: the nodes come first.
    pub fn lane(&self, who: Endpoint) -> usize {
        match who {
            Endpoint::Node(node) => node,
            Endpoint::Client(client) => self.nodes + client,
        }
    }

    /// Adds something that happened in one lane.
    pub fn note(&mut self, at_us: u64, lane: Option<usize>, mark: Mark, text: &str, keys: Vec<Vec<u8>>) {
        let text = self.tables.text(text);
        let keys = self.tables.set(keys);
        self.happenings.push(Happening {
            at_us,
            lane,
            mark,
            text,
            keys,
        });
    }

    pub fn see(&mut self, at_us: u64, seen: &Seen<'_>) {
        self.seen += 1;
        self.last_us = self.last_us.max(at_us);
        match seen {
            Seen::Booted { node } => {
                self.tracks[*node].booted(at_us);
                self.note(at_us, Some(*node), Mark::Boot, "is booted", vec![]);
            }
            Seen::Crashed { node, disk } => {
                self.follow(at_us, *node, disk);
                self.lose_commits(at_us, *node);
                self.tracks[*node].crashed(at_us);
                self.note(at_us, Some(*node), Mark::Crash, "is down", vec![]);
            }
            Seen::Stepped { step, disk } => {
                self.follow(at_us, step.node, disk);
                self.step(step);
            }
            Seen::Delivered {
                from,
                to,
                sent_us,
                frame,
            } => self.deliver(at_us, *from, *to, *sent_us, frame),
            Seen::Lost(lost) => {
                let Summary { text, keys, .. } = self.reader.read(lost.from, lost.to, &lost.frame);
                let message = Message {
                    sent_us: lost.sent_us,
                    until_us: at_us,
                    lost: true,
                    from: self.lane(lost.from),
                    to: self.lane(lost.to),
                    kind: -1,
                    text: self.tables.text(text),
                    keys: self.tables.set(keys),
                };
                self.messages.push(message);
            }
            Seen::Fault { entry, begins: true } => self.faults.push(Begun {
                entry: *entry,
                at_us,
                until_us: None,
            }),
            Seen::Fault { entry, begins: false } => {
                let mut open = self.faults.iter_mut().rev();
                if let Some(fault) = open.find(|fault| fault.entry == *entry) {
                    fault.until_us = Some(at_us);
                }
            }
            Seen::DiskChanged { node, disks } => {
                let disk = disks.get(*node).copied().flatten();
                self.tracks[*node].disk_changed(at_us, disk, &mut self.tables);
                let text = match disk {
                    Some(_) => "has another disk",
                    None => "its disk is damaged, or gone with it",
                };
                self.note(at_us, Some(*node), Mark::Odd, text, vec![]);
            }
            Seen::Acknowledged { node, write, .. } => self.acknowledged(at_us, *node, write),
            Seen::Quiet { .. } => {
                let text = "all is at rest: the promises about the end are looked at";
                self.note(at_us, None, Mark::Quiet, text, vec![]);
            }
            Seen::Sampled { .. } => self.note(at_us, None, Mark::Look, "the promises look into every node", vec![]),
            Seen::Intruded { client, what } => {
                let lane = self.lane(Endpoint::Client(*client));
                let text = format!("has no right to anything, and was told {what}");
                self.note(at_us, Some(lane), Mark::Odd, &text, vec![]);
            }
            Seen::Misused { node, misuse } => {
                let text = format!("asked of its storage what no machine may ask: {misuse}");
                self.note(at_us, Some(*node), Mark::Odd, &text, vec![]);
            }
            // What is told is seen again with the step, what left with its delivery, a write in its client's plan.
            _ => {}
        }
    }

    fn deliver(&mut self, at_us: u64, from: Endpoint, to: Endpoint, sent_us: u64, frame: &[u8]) {
        let Summary { kind, text, keys } = self.reader.read(from, to, frame);
        let keys = self.tables.set(keys);
        self.messages.push(Message {
            sent_us,
            until_us: at_us,
            lost: false,
            from: self.lane(from),
            to: self.lane(to),
            kind: kind as i64,
            text: self.tables.text(text.as_str()),
            keys,
        });
        let frame = frame.to_vec();
        self.delivered = Some(Delivered {
            from,
            to,
            frame,
            text,
            keys,
        });
    }

    /// What a node is told by whom, if it is told a frame. Where it stood still meanwhile, that came long before.
    fn told(&mut self, step: &Step<'_>) -> (Option<Endpoint>, String, i64) {
        let Input::Received { conn, frame } = step.input else {
            return (None, String::new(), 0);
        };
        let to = Endpoint::Node(step.node);
        if let Some(last) = self.delivered.take_if(|last| last.to == to && last.frame == *frame) {
            return (Some(last.from), last.text, last.keys);
        }
        let Some(from) = self.tracks[step.node].remote(*conn) else {
            return (None, "a frame".into(), 0);
        };
        let Summary { text, keys, .. } = self.reader.read(from, to, frame);
        (Some(from), text, self.tables.set(keys))
    }

    fn step(&mut self, step: &Step<'_>) {
        let (at_us, node) = (step.at_us, step.node);
        let (from, frame, mut keys) = self.told(step);
        let true_ms = EPOCH_MS + at_us / 1_000;
        let ahead_ms = step.now.wall_ms.cast_signed() - true_ms.cast_signed();
        self.tracks[node].step(at_us, step, from, ahead_ms);
        let mut mark = Mark::Step;
        if let Input::Committed { ticket, result } = step.input
            && let Some(commit) = self.open.remove(&(node, *ticket))
        {
            self.commits[commit].until_us = Some(at_us);
            self.commits[commit].done = result.is_ok();
        }
        if let Input::Committed { result: Err(_), .. } | Input::Applied { result: Err(_), .. } = step.input {
            mark = Mark::Failure;
        }
        let mut changes = 0;
        if let Some(commit) = &step.output.commit
            && let Some((entry, bytes)) = &commit.entry
        {
            let changed = read_entry(bytes).unwrap_or_default().changes;
            changes = changed.len();
            let versions = changed.iter().map(|(key, version)| self.tables.version(key, version));
            let versions = versions.collect();
            if keys == 0 {
                keys = self.tables.set(changed.iter().map(|(key, _)| key.to_vec()).collect());
            }
            self.open.insert((node, commit.ticket), self.commits.len());
            self.commits.push(Committing {
                node,
                at_us,
                until_us: None,
                done: false,
                entry: *entry,
                versions,
            });
        }
        let (told, follows) = (steps::input(step.input, &frame), steps::output(step.output, changes));
        let text = match follows.is_empty() {
            true if mark == Mark::Step => {
                mark = Mark::Idle;
                told
            }
            true => told,
            false => format!("{told}: {follows}"),
        };
        let text = self.tables.text(text);
        self.happenings.push(Happening {
            at_us,
            lane: Some(node),
            mark,
            text,
            keys,
        });
    }

    fn acknowledged(&mut self, at_us: u64, node: usize, write: &Write) {
        let client = self.delivered.as_ref().map(|delivered| self.lane(delivered.to));
        let text = format!("is told by n{node} that a write is done");
        self.note(at_us, client, Mark::Done, &text, vec![write.key.to_vec()]);
    }

    fn follow(&mut self, at_us: u64, node: usize, disk: &VirtualDisk) {
        if let Err(wrong) = self.tracks[node].follow(at_us, disk, &mut self.tables) {
            let text = format!("its log cannot be read: {wrong}");
            self.note(at_us, Some(node), Mark::Odd, &text, vec![]);
        }
    }

    fn lose_commits(&mut self, at_us: u64, node: usize) {
        let lost: Vec<_> = self.open.range((node, Ticket(0))..=(node, Ticket(u64::MAX))).collect();
        let (tickets, commits): (Vec<_>, Vec<_>) = lost.into_iter().map(|(key, commit)| (*key, *commit)).unzip();
        commits
            .into_iter()
            .for_each(|commit| self.commits[commit].until_us = Some(at_us));
        tickets.iter().for_each(|ticket| _ = self.open.remove(ticket));
    }
}
