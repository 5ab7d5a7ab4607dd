//! One node of a run: a machine, its clock and its disk.

use std::collections::{BTreeMap, VecDeque};

use kernel::env::{ConnId, SeededRng, Ticket};
use kernel::machine::{ConnKind, Envelope, Machine, Phase};

use crate::clock::{ClockProfile, HostClock};
use crate::disk::{DiskProfile, VirtualDisk};
use crate::network::NetInput;

/// Which of the rules of order the hosts keep: all, except in a test that proves that a check sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Envelopes of a commit wait for it.
    pub persist_before_speak: bool,
    /// Answers come in the order of their tickets.
    pub tickets_in_order: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            persist_before_speak: true,
            tickets_in_order: true,
        }
    }
}

/// An envelope, and its place among all that the machine gave in this boot.
pub(crate) type Given = (u64, Envelope);

/// What waits for a commit.
#[derive(Debug)]
pub(crate) struct Held {
    pub ticket: Ticket,
    pub envelopes: Vec<Given>,
}

/// A node, up or down. What survives a crash is the disk and the wall clock.
#[derive(Debug)]
pub struct Host<M> {
    pub(crate) machine: Option<M>,
    pub(crate) clock: HostClock,
    pub(crate) disk: VirtualDisk,
    pub(crate) entropy: SeededRng,
    pub(crate) boots: u64,
    /// What waits for a commit, in the order of the tickets.
    pub(crate) held: VecDeque<Held>,
    pub(crate) given: u64,
    /// Open connections.
    pub(crate) conns: BTreeMap<ConnId, ConnKind>,
    /// When to wake the machine, in virtual time.
    pub(crate) wake_at_us: Option<u64>,
    pub(crate) phase: Option<Phase>,
    /// It was told to stop cleanly.
    pub(crate) draining: bool,
    /// It is never booted again.
    pub(crate) gone: bool,
    /// Its process stands still; what the network has for it waits here.
    pub(crate) paused: bool,
    pub(crate) backlog: VecDeque<NetInput>,
    /// It crashes in the middle of performing the output of so many steps on.
    pub(crate) crash_in_steps: Option<u64>,
}

impl<M: Machine> Host<M> {
    /// A node that was never booted. Its streams are forked from the run's seed by its number.
    pub(crate) fn new(seed: &SeededRng, node: usize, clock: ClockProfile, disk: DiskProfile) -> Self {
        Self {
            machine: None,
            clock: HostClock::new(clock),
            disk: VirtualDisk::new(disk, seed.fork("disk", node as u64)),
            entropy: seed.fork("entropy", node as u64),
            boots: 0,
            held: VecDeque::new(),
            given: 0,
            conns: BTreeMap::new(),
            wake_at_us: None,
            phase: None,
            draining: false,
            gone: false,
            paused: false,
            backlog: VecDeque::new(),
            crash_in_steps: None,
        }
    }

    /// Whether the node is up.
    pub fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    /// What the machine said last about what the node does.
    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }

    /// The machine, if the node is up.
    pub fn machine(&self) -> Option<&M> {
        self.machine.as_ref()
    }

    /// The disk, whether the node is up or not.
    pub fn disk(&self) -> &VirtualDisk {
        &self.disk
    }

    /// Whether its process stands still.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether it was told to stop cleanly.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// The disk, to disturb it.
    pub fn disk_mut(&mut self) -> &mut VirtualDisk {
        &mut self.disk
    }

    /// The clock, to put it wrong.
    pub fn clock_mut(&mut self) -> &mut HostClock {
        &mut self.clock
    }

    /// How often the node was booted.
    pub fn boots(&self) -> u64 {
        self.boots
    }

    /// A new machine takes over. Returns its entropy: never drawn before, and never found on a disk.
    pub(crate) fn boot(&mut self, at_us: u64, machine: M) -> [u8; 32] {
        self.machine = Some(machine);
        self.clock.boot(at_us);
        self.boots += 1;
        self.entropy.fork("boot", self.boots).entropy()
    }

    /// Everything that was only in memory is gone.
    pub(crate) fn crash(&mut self, at_us: u64) {
        self.machine = None;
        self.disk.crash(at_us);
        self.held.clear();
        self.given = 0;
        self.conns.clear();
        self.wake_at_us = None;
        self.phase = None;
        self.draining = false;
        self.paused = false;
        self.backlog.clear();
        self.crash_in_steps = None;
    }
}
