//! Who of the members is alive: gossip and local suspicion, without input or output.
//!
//! | file | holds |
//! |---|---|
//! | `gossip.rs` | the messages |
//! | `hearing.rs` | what a message changes |
//! | `probing.rs` | whom to ask, when, and who gives whom up |
//! | `member.rs` | what is known of one member |
//! | `phi.rs`, `suspicion.rs`, `health.rs` | how unusual a silence is; how long a suspicion waits; how far to trust oneself |
//! | `settings.rs`, `news.rs` | the numbers; what changed, for a log |

mod gossip;
mod health;
mod hearing;
mod member;
mod news;
mod phi;
mod probing;
mod settings;
mod suspicion;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use gossip::{ACCUSERS_MAX, Boot, Echo, Gossip, Kind, Rumor};
pub use member::Health;
pub use news::News;
pub use settings::LivenessSettings;

use crate::env::{Mutants, NodeId};
use health::LocalHealth;
use member::Member;
use news::NewsQueue;

/// One node's view of who is alive. It decides which replica acts as owner now, and nothing else: who belongs is
/// given from outside ([`Liveness::set_members`]), and a member that is given up stays one.
///
/// # How it works
/// - **Proof.** Every message carries a reading of its sender's clock, and echoes the latest reading that came from the receiver.
///   Who gets its own reading back knows that the other lived, and heard it, after that moment. A message that was
///   under way for a minute proves nothing about this minute. Second-hand proof is as good: "it lived 80 ms before this
///   message" is a bound on the reader's own clock, by the echo beside it.
/// - **Probes** (SWIM: Das, Gupta, Motivala, 2002). In each round up to `probes` members are pinged, and answer at once.
///   One that has missed an answer for `doubt_ms` is in doubt: it is pinged twice as often, and others are asked, who
///   answer with the proof that they have and pass on what they get.
/// - **Suspicion** (Lifeguard: Dadgar, Phillips, Currey, 2018). Silence for `silence_ms`, of the member and of all that were
///   asked, is an accusation, and everybody is told. With the same finding of `confirmations` others it is given up at once,
///   without after `suspicion_max_ms`. Where the usual silences are longer, a longer one is needed (phi-accrual: Hayashibara
///   and others, 2004).
/// - **Refutation.** Whoever speaks to an accused member tells it first of all (Lifeguard's buddy system). It answers with a
///   higher incarnation, and that alone takes an accusation back: it can only have been said after it.
/// - **Local health.** A node whose steps come late, that was accused itself, or that hears from fewer than half, trusts itself
///   less and waits longer. Time in which it did not run is no time of silence.
///
/// # Order of calls
/// [`set_members`](Liveness::set_members) when the list changes, [`receive`](Liveness::receive) for each message,
/// [`tick`](Liveness::tick) at [`wake_us`](Liveness::wake_us), which any other call can bring forward. What is put
/// into `out` is sent if there is a link, and dropped otherwise.
///
/// All times that are given are readings of one monotonic clock in microseconds; it may begin anywhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Liveness {
    me: NodeId,
    boot: Boot,
    incarnation: u64,
    /// A later run under this node's id, if one was met.
    superseded: Option<Boot>,
    settings: LivenessSettings,
    mutants: Mutants,
    local: LocalHealth,
    /// All but this node, in the order of their ids.
    members: Vec<Member>,
    /// Where there are more than one round probes: whose turn is next, the last first.
    turns: Vec<NodeId>,
    next_round_us: u64,
    /// When to be stepped again, by the clock of `local`.
    wake_us: Option<u64>,
    /// Whether something is to be told before the next round.
    push: bool,
    next_push_us: u64,
    /// How many members in doubt were asked about in this quarter of a round, and when it ends.
    asked: usize,
    asking_until_us: u64,
    news: NewsQueue,
}

impl Liveness {
    /// The detector of the node `me` in this run of it, alone for now.
    ///
    /// # Panics
    /// If a round of probes would take no time or probe nobody.
    pub fn new(me: NodeId, boot: Boot, settings: LivenessSettings, mutants: Mutants) -> Self {
        assert!(settings.probe_ms > 0 && settings.probes > 0, "no probes: {settings:?}");
        Self {
            me,
            boot,
            incarnation: 0,
            superseded: None,
            settings,
            mutants,
            local: LocalHealth::default(),
            members: Vec::new(),
            turns: Vec::new(),
            next_round_us: 0,
            wake_us: None,
            push: false,
            next_push_us: 0,
            asked: 0,
            asking_until_us: 0,
            news: NewsQueue::default(),
        }
    }

    /// Who belongs to the cluster. Those who were not known are alive until they miss an answer; what was known of the
    /// others stays.
    pub fn set_members(&mut self, members: &[NodeId], now_us: u64) {
        self.advance(now_us);
        let is_member = |node: NodeId| members.contains(&node);
        self.members.retain(|member| is_member(member.node));
        for member in &mut self.members {
            member.accusers.retain(|by| is_member(*by));
            member.askers.retain(|(by, _)| is_member(*by));
        }
        for node in members {
            if let (false, Err(at)) = (*node == self.me, self.at(*node)) {
                self.members.insert(at, Member::new(*node));
            }
        }
        self.turns.clear();
        self.wake_us = (!self.members.is_empty()).then(|| self.local.lived_us());
    }

    /// The transport says that the connection to `node` broke. A hint, not a proof: it is asked, and asked about, at once.
    pub fn connection_lost(&mut self, node: NodeId, now_us: u64) {
        self.advance(now_us);
        if let Ok(at) = self.at(node) {
            self.doubt(at);
        }
    }

    /// When to call [`Liveness::tick`] next, by the caller's clock; nothing where there is nobody to watch.
    pub fn wake_us(&self) -> Option<u64> {
        self.wake_us.map(|wake_us| self.local.host_us(wake_us))
    }

    /// What `node` is taken for. This node is alive to itself, and one that is no member is not there.
    pub fn state(&self, node: NodeId) -> Health {
        match self.at(node) {
            _ if node == self.me => Health::Alive,
            Ok(at) => self.members[at].health,
            Err(_) => Health::Failed,
        }
    }

    /// All other members, in the order of their ids, and what they are taken for.
    pub fn states(&self) -> impl Iterator<Item = (NodeId, Health)> + '_ {
        self.members.iter().map(|member| (member.node, member.health))
    }

    /// The run of a member that counts, if one was heard of: messages of its other runs are to be refused.
    pub fn boot_of(&self, node: NodeId) -> Option<Boot> {
        self.members[self.at(node).ok()?].boot
    }

    /// A later run under this node's own id, if one was met: two nodes have one id, and the others listen to that one.
    pub fn superseded(&self) -> Option<Boot> {
        self.superseded
    }

    /// What changed since the last call, oldest first; of more than [`News::MOST`] the newest.
    pub fn take_news(&mut self) -> Vec<News> {
        self.news.take()
    }

    /// Where `node` stands among the members, or would stand.
    fn at(&self, node: NodeId) -> Result<usize, usize> {
        self.members.binary_search_by_key(&node, |member| member.node)
    }

    fn advance(&mut self, now_us: u64) {
        let late_us = self.settings.late_ms * 1_000;
        if self.local.advance(now_us, self.wake_us, late_us) {
            self.local.worse(self.settings.health_max);
        }
    }

    /// Asks for a step as soon as can be.
    fn wake_now(&mut self) {
        self.wake_us = Some(self.local.lived_us());
    }

    /// A member is to be asked, and asked about, whatever the time.
    fn doubt(&mut self, at: usize) {
        self.members[at].hint = true;
        self.wake_now();
    }

    /// How often a piece of news is told.
    fn tellings(&self) -> u32 {
        self.settings.retransmits * (self.members.len() + 1).next_power_of_two().trailing_zeros().max(1)
    }

    /// Notes that a member is taken for something else now.
    fn turn(&mut self, at: usize, to: Health) {
        let (now_us, tell) = (self.local.lived_us(), self.tellings());
        let member = &mut self.members[at];
        let from = core::mem::replace(&mut member.health, to);
        member.since_us = now_us;
        member.tell = tell;
        let node = member.node;
        self.news.push(News::Turned { node, from, to });
    }
}

#[cfg(test)]
mod tests;
