//! What must hold in every run. One file, one promise.
//!
//! An invariant sees what happens through [`Seen`] and keeps a model of its own; it never asks the code under test
//! whether the code under test is right.

use std::fmt;

use bytes::Bytes;
use kernel::env::{ConnId, Limits};
use kernel::machine::{Input, Role};
use kernel::wire::Consistency;

use crate::client::{Found, Talk};
use crate::disk::VirtualDisk;
use crate::endpoint::Endpoint;
use crate::holding::Holding;
use crate::model::{State, Version};
use crate::network::LostFrame;
use crate::replicas::ReplicaOf;
use crate::trace::Step;
use crate::watch::{Rows, Watch};

mod acknowledged;
mod all_answered;
mod answered_once;
mod bounded_staleness;
mod checker;
mod clock_forward;
mod convergence;
mod damage_noticed;
mod definitions;
mod dials_apart;
mod digest_equality;
mod expired_stays;
mod failed_commit;
mod fencing;
mod linked;
mod live_answers;
mod logged_once;
mod moves_throttled;
mod no_echo;
mod no_resurrection;
mod nothing_invented;
mod persist_before_speak;
mod quorum_acknowledged;
mod quorum_reads;
mod reads_durable;
mod repairs_end;
mod replies_in_order;
mod session_guarantees;
mod settled;
mod spoken_time;
mod storage_rules;
mod strangers;
mod tickets_in_order;
mod within_limits;

pub use acknowledged::Acknowledged;
pub use all_answered::AllAnswered;
pub use answered_once::AnsweredOnce;
pub use bounded_staleness::BoundedStaleness;
pub use checker::InvariantChecker;
pub use clock_forward::ClockForward;
pub use convergence::{Convergence, agree};
pub use damage_noticed::DamageNoticed;
pub use definitions::Definitions;
pub use dials_apart::DialsApart;
pub use digest_equality::DigestEquality;
pub use expired_stays::ExpiredStays;
pub use failed_commit::FailedCommit;
pub use fencing::Fencing;
pub use linked::{Linked, linked};
pub use live_answers::LiveAnswers;
pub use logged_once::LoggedOnce;
pub use moves_throttled::MovesThrottled;
pub use no_echo::NoEcho;
pub use no_resurrection::NoResurrection;
pub use nothing_invented::NothingInvented;
pub use persist_before_speak::PersistBeforeSpeak;
pub use quorum_acknowledged::QuorumAcknowledged;
pub use quorum_reads::QuorumReads;
pub use reads_durable::ReadsDurable;
pub use repairs_end::RepairsEnd;
pub use replies_in_order::RepliesInOrder;
pub use session_guarantees::SessionGuarantees;
pub use settled::Settled;
pub use spoken_time::SpokenTime;
pub use storage_rules::StorageRules;
pub use strangers::Strangers;
pub use tickets_in_order::TicketsInOrder;
pub use within_limits::WithinLimits;

/// Something that happened, in the order in which it happened.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// A node was booted: nothing of an earlier boot is in flight any more.
    Booted {
        /// Which.
        node: usize,
    },
    /// A node crashed.
    Crashed {
        /// Which.
        node: usize,
        /// What the crash left of its disk.
        disk: &'a VirtualDisk,
    },
    /// A machine is about to be told something.
    Told {
        /// Which node.
        node: usize,
        /// What.
        input: &'a Input<'a>,
    },
    /// A machine took a step; its output has not been performed yet.
    Stepped {
        /// The step.
        step: &'a Step<'a>,
        /// The disk before the output is performed.
        disk: &'a VirtualDisk,
    },
    /// An envelope left a node.
    Left(&'a Departure<'a>),
    /// A client stamped a write. It may or may not reach a node.
    Wrote(&'a Write),
    /// A client was told that its write is done.
    Acknowledged {
        /// By which node.
        node: usize,
        /// The write.
        write: &'a Write,
        /// How many replicas have it, as that node says.
        level: Consistency,
        /// That node's disk when the client heard of it.
        disk: &'a VirtualDisk,
    },
    /// Something was said between a client and a node.
    Talked {
        /// Which client.
        client: usize,
        /// What.
        talk: &'a Talk,
    },
    /// A replica answers a read, and says how old that may be.
    Aged {
        /// Which node.
        node: usize,
        /// The node that acts as owner in its eyes.
        owner: usize,
        /// The name of the record.
        key: &'a Bytes,
        /// What it shows.
        found: Option<&'a Found>,
        /// Everything that was durable at that owner so many milliseconds ago is in it.
        stale_ms: u64,
    },
    /// Somebody looked into the nodes that are up, in the middle of things.
    Sampled {
        /// What they hold.
        holdings: &'a [Holding],
    },
    /// The partitions have more replicas than before, or fewer: a cluster begins with one node.
    Placed {
        /// As many each of them has at least, in the eyes of each node that is up.
        replicas: usize,
    },
    /// Every fault is over, every client has its answers, and nothing is left to be done.
    Quiet {
        /// The nodes that are left: all, but for those that are gone for good.
        nodes: &'a [Survivor<'a>],
        /// What those who watch hold, on connections that lose nothing.
        views: &'a [Watched<'a>],
    },
    /// A client that does not know the secret was told something that is not for it.
    Intruded {
        /// Which.
        client: usize,
        /// What.
        what: &'a str,
    },
    /// A frame got to the other end.
    Delivered {
        /// Who sent it.
        from: Endpoint,
        /// Who is about to be told.
        to: Endpoint,
        /// When it was sent.
        sent_us: u64,
        /// The bytes, as they arrived.
        frame: &'a [u8],
    },
    /// A frame did not, and never will.
    Lost(&'a LostFrame),
    /// A fault of the plan begins, or ends.
    Fault {
        /// Which entry of the plan.
        entry: usize,
        /// Whether it begins.
        begins: bool,
    },
    /// The disk of a node is another than it was (empty, an older copy of itself, a copy of another's, damaged), or is gone with
    /// the node. The node is down.
    DiskChanged {
        /// Which node.
        node: usize,
        /// What is left of every disk from now on: nothing of one that is damaged or gone.
        disks: &'a [Option<&'a VirtualDisk>],
    },
    /// A node has left the cluster, and is about to lose its disk.
    Retired {
        /// Which.
        node: usize,
        /// The disks of the others, but for those that are damaged or gone.
        others: &'a [&'a VirtualDisk],
    },
    /// A machine asked of its storage what no machine may ask.
    Misused {
        /// Which node.
        node: usize,
        /// What.
        misuse: &'a str,
    },
}

/// A node at the end of a run.
#[derive(Debug, Clone, Copy)]
pub struct Survivor<'a> {
    /// Its number.
    pub node: usize,
    /// Its disk.
    pub disk: &'a VirtualDisk,
    /// What it holds in memory.
    pub memory: &'a State,
    /// The names of the nodes that it has links with; `None` over datagrams, where a handshake may fail again and again.
    pub links: Option<&'a [String]>,
    /// The partitions of which it is a replica.
    pub replica_of: &'a ReplicaOf,
    /// Its floor, in units of [`Stamp::time`](kernel::hlc::Stamp::time).
    pub floor: u64,
}

/// An envelope at the moment at which it leaves its node.
#[derive(Debug, Clone, Copy)]
pub struct Departure<'a> {
    /// From where.
    pub node: usize,
    /// On which connection.
    pub conn: ConnId,
    /// Who is at its other end.
    pub role: Role,
    /// Whether it keeps its order.
    pub ordered: bool,
    /// Its place among all the envelopes that the machine gave in this boot.
    pub given: u64,
    /// The bytes.
    pub frame: &'a [u8],
    /// The node's disk at this moment.
    pub disk: &'a VirtualDisk,
}

/// The answer to a live query as its client holds it.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    /// Who watches.
    pub client: usize,
    /// At which node.
    pub node: usize,
    /// What.
    pub watch: &'a Watch,
    /// The answer.
    pub rows: &'a Rows,
}

/// A write as its client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The name of the record.
    pub key: Bytes,
    /// The version that it brings.
    pub version: Version,
}

/// A promise about every run.
pub trait Invariant {
    /// Its name, as on a command line.
    fn name(&self) -> &'static str;

    /// Takes note of what happened, at the virtual time `at_us`, and says what was expected instead if that breaks the promise.
    fn see(&mut self, at_us: u64, seen: &Seen<'_>) -> Result<(), String>;
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// When, in virtual time.
    pub at_us: u64,
    /// What was expected, and what was there.
    pub expected: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, us) = (self.at_us / 1_000, self.at_us % 1_000);
        write!(f, "{} broke at {ms}.{us:03} ms: {}", self.invariant, self.expected)
    }
}

/// The promises between any machine and its host, whatever the machine does.
pub fn of_the_contract() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(PersistBeforeSpeak::default()),
        Box::new(TicketsInOrder::default()),
        Box::new(FailedCommit::default()),
        Box::new(RepliesInOrder::default()),
        Box::new(StorageRules),
        Box::new(DamageNoticed),
    ]
}

/// The promises of the database itself, of nodes with these limits.
pub fn of_the_database(limits: &Limits) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(Acknowledged::default()),
        Box::new(Convergence::default()),
        Box::new(ClockForward::default()),
        Box::new(LoggedOnce::default()),
        Box::new(ReadsDurable::default()),
        Box::new(ExpiredStays::default()),
        Box::new(LiveAnswers),
        Box::new(Strangers::default()),
        Box::new(NoEcho),
        Box::new(RepairsEnd::default()),
        Box::new(NothingInvented::default()),
        Box::new(NoResurrection::default()),
        Box::new(SessionGuarantees::default()),
        Box::new(SpokenTime::default()),
        Box::new(DigestEquality::default()),
        Box::new(WithinLimits::new(limits)),
        Box::new(AnsweredOnce::new(limits)),
        Box::new(AllAnswered::default()),
        Box::new(DialsApart::default()),
        Box::new(MovesThrottled::new(limits)),
        Box::new(Settled::new(limits)),
        Box::new(Fencing::default()),
        Box::new(Definitions::default()),
        Box::new(Linked),
        Box::new(QuorumReads::default()),
        Box::new(QuorumAcknowledged::default()),
        Box::new(BoundedStaleness::default()),
    ]
}

/// All of them.
pub fn all(limits: &Limits) -> Vec<Box<dyn Invariant>> {
    of_the_contract().into_iter().chain(of_the_database(limits)).collect()
}
