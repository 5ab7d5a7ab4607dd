//! One connection to another node: who is there, and what is being repaired with it.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::repair::Repairs;
use crate::env::{NodeId, PeerId, WriterId};
use crate::node::give::Waiting;
use crate::node::level::Level;
use crate::wire::BootMark;

/// A connection to another node.
#[derive(Debug, Serialize, Deserialize)]
pub struct Link {
    /// For a connection that this node dialled: to whom.
    pub dialled: Option<PeerId>,
    /// Whether what is sent arrives, in order, as long as the connection holds.
    pub ordered: bool,
    /// What the other side has to prove knowledge of the secret with.
    pub nonce: [u8; 32],
    /// How far the handshake is.
    pub stage: Stage,
    /// When something was last heard.
    pub heard_us: u64,
    /// Changes given for it since it is up, and how many of them the other side says it has taken.
    pub given: u64,
    /// See `given`.
    pub confirmed: u64,
    /// Changes taken on it, old news included.
    pub taken: u64,
    /// When a heartbeat was last sent; before the link is up, when the other side was last asked to introduce itself again.
    pub pinged_us: u64,
    /// When this side last introduced itself.
    pub introduced_us: u64,
    /// The number of the last comparison that this side began; 0 before the first.
    pub round: u64,
    /// When this side begins the next one.
    pub round_due_us: Option<u64>,
    /// When this side began its last one.
    pub round_begun_us: u64,
    /// Changes were not sent, because too much was unsent: everything must be compared again.
    pub behind: bool,
    /// It was full when something was to be sent whose confirmation is waited for.
    pub owes: bool,
    /// How often changes were not sent.
    pub skipped: u64,
    /// How far this side is level with the other.
    pub level: Level,
    /// What it asked for while it was full, and how many bytes of it.
    pub pulled: (u64, Vec<Waiting>),
    /// The number of the other side's last comparison that came; 0 before the first.
    pub heard_round: u64,
    /// With that, the version of the cluster's state at which the other side knew all to be clean; 0 if it did not.
    pub heard_clean: u64,
    /// What is repaired, by either side.
    pub repairs: Repairs,
}

/// How far a handshake is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// `PEER_HELLO` is awaited.
    Hello,
    /// `PEER_PROOF` is awaited.
    Proof(Remote),
    /// Done: changes flow.
    Up(Remote),
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// The node's id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Where it can be dialled.
    pub addr: String,
    /// How much it should hold.
    pub weight: u32,
    /// What it shares its fate with.
    pub zone: String,
    /// The cluster that it belongs to; 0 for none yet.
    pub cluster: u64,
    /// The version of the cluster's state that it has on disk, as far as it said.
    pub epoch: u64,
    /// The identity drawn at its boot.
    pub boot: WriterId,
    /// The boots that its disk knows of, the last of them at the end.
    pub boots: Vec<BootMark>,
    /// How often its disk was booted.
    pub booted: u64,
    /// The last log entry that was durable there when it said so.
    pub committed: u64,
    /// What this side has to prove knowledge of the secret with.
    pub nonce: [u8; 32],
}

impl Stage {
    /// What the other side calls itself; empty before it has said so.
    pub fn name(&self) -> &str {
        match self {
            Stage::Hello => "",
            Stage::Proof(remote) | Stage::Up(remote) => &remote.name,
        }
    }
}

impl Link {
    /// A fresh connection.
    pub fn new(dialled: Option<PeerId>, ordered: bool, nonce: [u8; 32], now_us: u64) -> Self {
        Self {
            dialled,
            ordered,
            nonce,
            stage: Stage::Hello,
            heard_us: now_us,
            given: 0,
            confirmed: 0,
            taken: 0,
            pinged_us: now_us,
            introduced_us: now_us,
            round: 0,
            round_due_us: None,
            round_begun_us: 0,
            behind: false,
            owes: false,
            skipped: 0,
            level: Level::new(now_us),
            pulled: Default::default(),
            heard_round: 0,
            heard_clean: 0,
            repairs: Repairs::default(),
        }
    }

    /// The same, to take note of what it says of itself.
    pub fn remote_mut(&mut self) -> Option<&mut Remote> {
        match &mut self.stage {
            Stage::Up(remote) => Some(remote),
            _ => None,
        }
    }

    /// Who is there, once the handshake is done.
    pub fn remote(&self) -> Option<&Remote> {
        match &self.stage {
            Stage::Up(remote) => Some(remote),
            _ => None,
        }
    }
}
