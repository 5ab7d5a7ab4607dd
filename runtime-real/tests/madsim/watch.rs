//! What is seen of a run: the rolling hash of every step, the simulator's invariants, and what nodes and clients are doing.
//!
//! A run has a thread of its own, and so this belongs to the thread: the tasks of all nodes reach it without locks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use async_channel::Sender;
use kernel::env::{ConnId, Limits};
use kernel::machine::{Command, Input, Phase, Role};
use kernel::node::Node;
use runtime_real::simulated::{Device, Watcher, now_us};
use sim::disk::VirtualDisk;
use sim::invariant::{InvariantChecker, Seen, all};
use sim::trace::{Step, Trace};

/// What a run was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The rolling hash.
    pub hash: u128,
    /// Steps of all machines.
    pub steps: u64,
}

/// What is known of a node.
#[derive(Debug, Default)]
pub struct NodeSeen {
    /// In place of the node something sits there that accepts connections and never answers.
    pub mute: bool,
    /// How often it was connected to.
    pub dialled: u64,
    pub boots: u64,
    pub machine: Option<Rc<RefCell<Node>>>,
    pub orders: Option<Sender<Command>>,
    pub phase: Option<Phase>,
    /// How its driver ended, if it did by itself.
    pub end: Option<Result<(), String>>,
    /// Connections of this boot that are open.
    pub open: BTreeMap<ConnId, Role>,
    /// Most that were open at once, in any boot.
    pub most_open: usize,
    /// Connections of peers that ended, in any boot.
    pub peers_lost: u64,
    /// Dials that came to nothing, in any boot.
    pub dials_failed: u64,
    /// Commits of this boot that are not answered.
    pub in_flight: u64,
    /// Commits that failed, in any boot.
    pub failed: u64,
}

/// What is known of a client.
#[derive(Debug, Default, Clone, Copy)]
pub struct ClientSeen {
    /// Nothing that it wrote is unanswered.
    pub idle: bool,
    pub acknowledged: u64,
    pub refused: u64,
    pub read: u64,
    /// Connections that ended with a goodbye of the node, and those that ended without.
    pub goodbyes: u64,
    pub broken: u64,
    /// Dials that came to nothing.
    pub dials_failed: u64,
}

struct Watch {
    trace: Trace,
    checker: InvariantChecker,
    devices: Vec<Device>,
    nodes: Vec<NodeSeen>,
    clients: Vec<ClientSeen>,
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

fn with<T>(look: impl FnOnce(&mut Watch) -> T) -> T {
    WATCH.with_borrow_mut(|watch| look(watch.as_mut().expect("a run has begun on this thread")))
}

/// A run begins, with nodes of these disks and limits, and so many clients.
pub fn begin(devices: Vec<Device>, limits: &Limits, clients: usize) {
    let watch = Watch {
        trace: Trace::default(),
        checker: InvariantChecker::new(all(limits)),
        nodes: devices.iter().map(|_| NodeSeen::default()).collect(),
        devices,
        clients: vec![
            ClientSeen {
                idle: true,
                ..ClientSeen::default()
            };
            clients
        ],
    };
    WATCH.set(Some(watch));
}

/// What the run was.
pub fn told() -> Told {
    with(|watch| Told {
        hash: watch.trace.hash(),
        steps: watch.trace.steps(),
    })
}

/// Looks at a node.
pub fn node<T>(node: usize, look: impl FnOnce(&mut NodeSeen) -> T) -> T {
    with(|watch| look(&mut watch.nodes[node]))
}

/// Looks at a client.
pub fn client<T>(client: usize, look: impl FnOnce(&mut ClientSeen) -> T) -> T {
    with(|watch| look(&mut watch.clients[client]))
}

/// Shows something to the invariants.
///
/// # Panics
/// If one of them is broken by it.
pub fn see(seen: &Seen<'_>) {
    let broken = with(|watch| {
        watch.checker.see(now_us(), seen);
        watch.checker.broken().cloned()
    });
    if let Some(violation) = broken {
        panic!("{violation}");
    }
}

/// The disk of a node as it is now.
pub fn disk(node: usize) -> VirtualDisk {
    let device = with(|watch| watch.devices[node].clone());
    device.with(|disk| disk.clone())
}

/// Watches the machine of one boot of a node.
#[derive(Debug)]
pub struct Eye;

impl Watcher for Eye {
    fn told(&mut self, node: usize, input: &Input<'_>) {
        see(&Seen::Told { node, input });
    }

    fn stepped(&mut self, step: &Step<'_>) {
        let device = with(|watch| {
            watch.trace.step(step);
            watch.nodes[step.node].note(step);
            watch.devices[step.node].clone()
        });
        let misuse = device.with(|disk| {
            see(&Seen::Stepped { step, disk });
            disk.take_misuse()
        });
        if let Some(misuse) = misuse {
            let node = step.node;
            see(&Seen::Misused { node, misuse: &misuse });
        }
    }
}

impl NodeSeen {
    fn note(&mut self, step: &Step<'_>) {
        match step.input {
            Input::Opened { conn, kind, .. } => {
                self.open.insert(*conn, kind.role);
                self.most_open = self.most_open.max(self.open.len());
            }
            Input::Closed { conn } => {
                let role = self.open.remove(conn);
                self.peers_lost += u64::from(role == Some(Role::Peer));
            }
            Input::DialFailed { .. } => self.dials_failed += 1,
            Input::Committed { result, .. } => {
                self.in_flight -= 1;
                self.failed += u64::from(result.is_err());
            }
            _ => {}
        }
        self.in_flight += u64::from(step.output.commit.is_some());
    }
}
