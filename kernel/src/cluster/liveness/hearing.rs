//! What a message changes.

use alloc::vec::Vec;

use super::gossip::{ACCUSERS_MAX, Boot, Echo, Gossip, Kind, Rumor};
use super::member::Health;
use super::news::News;
use super::{Liveness, Member};
use crate::env::{Mutant, NodeId};

impl Liveness {
    /// Takes in a message of `from`, and answers it. Nothing in a message is an error: what makes no sense is passed over.
    pub fn receive(&mut self, from: NodeId, gossip: &Gossip, now_us: u64, out: &mut Vec<(NodeId, Gossip)>) {
        self.advance(now_us);
        if from == self.me {
            return self.meet(gossip.boot);
        }
        let Ok(at) = self.at(from) else {
            // One that joined, and is not known here yet, should not take this node for dead.
            return self.answer_stranger(from, gossip, Vec::new(), out);
        };
        if !self.accepts(at, gossip) {
            let rumors = self.rumor(at).into_iter().collect();
            return self.answer_stranger(from, gossip, rumors, out);
        }
        let member = &mut self.members[at];
        member.heard_us = member.heard_us.max(Some(gossip.sent_us));
        let ignored = self.mutants.is(Mutant::IncarnationIgnored) && member.health != Health::Alive;
        if gossip.incarnation > member.incarnation || ignored {
            self.believe(at, gossip.incarnation);
        }
        let after_us = self.echoed(gossip);
        let now_us = self.local.lived_us();
        let proved = after_us.is_some_and(|after_us| self.members[at].prove(after_us, now_us));
        for rumor in gossip.rumors.iter().take(self.settings.rumors) {
            self.hear(rumor, after_us);
        }
        if proved {
            self.pass_on(at, out);
        }
        match gossip.kind {
            Kind::Ping => self.send(at, Kind::Ack, None, out),
            Kind::Ask(node) => self.asked_about(at, node, out),
            Kind::Ack => {}
        }
    }

    /// A run of this node's own id was met.
    fn meet(&mut self, boot: Boot) {
        if boot > self.superseded.unwrap_or(self.boot) {
            self.superseded = Some(boot);
            self.news.push(News::Superseded { by: boot });
        }
    }

    /// Whether the run that speaks is the one that counts. A later one counts at once. An earlier one only proves that
    /// two have one id, or that a clock was put back: it counts if the later one was given up, and it was spoken to since.
    fn accepts(&mut self, at: usize, gossip: &Gossip) -> bool {
        let member = &self.members[at];
        let since_us = member.since_us;
        match member.boot {
            Some(known) if known == gossip.boot => return true,
            Some(known) if known > gossip.boot => {
                let spoken_to = self.echoed(gossip).is_some_and(|after_us| after_us > since_us);
                if member.health != Health::Failed || !spoken_to {
                    return false;
                }
            }
            _ => {}
        }
        self.restart(at, gossip.boot);
        true
    }

    fn restart(&mut self, at: usize, boot: Boot) {
        let tell = self.tellings();
        let member = &mut self.members[at];
        let (node, is_new, health) = (member.node, member.boot.is_none(), member.health);
        if is_new && health == Health::Alive {
            // What it was asked before it was heard of may yet be answered.
            member.boot = Some(boot);
            return;
        }
        member.restarted(boot);
        member.tell = tell;
        self.news.push(News::Restarted { node, boot });
        if health != Health::Alive {
            let (from, to) = (health, Health::Alive);
            self.news.push(News::Turned { node, from, to });
        }
    }

    /// A member has said in a higher incarnation that it lives.
    fn believe(&mut self, at: usize, incarnation: u64) {
        let (now_us, tell) = (self.local.lived_us(), self.tellings());
        if self.members[at].health != Health::Alive {
            self.turn(at, Health::Alive);
        }
        let member = &mut self.members[at];
        member.refuted(incarnation.max(member.incarnation), now_us);
        member.tell = tell;
    }

    /// The moment of this node's own life that the sender has heard from.
    fn echoed(&self, gossip: &Gossip) -> Option<u64> {
        let echo = gossip.echo.filter(|echo| echo.to == self.boot.writer)?;
        (echo.at_us <= self.local.lived_us()).then_some(echo.at_us)
    }

    /// Takes in what somebody knows who has heard of this node's life up to `after_us`.
    fn hear(&mut self, rumor: &Rumor, after_us: Option<u64>) {
        if rumor.node == self.me {
            return self.defend(rumor);
        }
        let Ok(at) = self.at(rumor.node) else {
            return;
        };
        let member = &self.members[at];
        match member.boot {
            Some(known) if known == rumor.boot => {}
            Some(known) if known > rumor.boot || member.retired == Some(rumor.boot) => return,
            _ => self.restart(at, rumor.boot),
        }
        if rumor.incarnation > self.members[at].incarnation {
            self.believe(at, rumor.incarnation);
        }
        if rumor.incarnation == self.members[at].incarnation {
            self.hear_accusers(at, &rumor.accusers);
        }
        if let (Some(after_us), Some(age_us)) = (after_us, rumor.age_us) {
            self.members[at].prove_by_others(after_us.saturating_sub(age_us));
        }
        self.judge(at);
    }

    fn hear_accusers(&mut self, at: usize, accusers: &[NodeId]) {
        let tell = self.tellings();
        for by in accusers.iter().take(ACCUSERS_MAX) {
            if self.at(*by).is_ok() && self.members[at].node != *by && self.members[at].accused(*by) {
                self.members[at].tell = tell;
                self.doubt(at);
            }
        }
    }

    /// This node lives, and says so in a higher incarnation than the one in which it was accused.
    fn defend(&mut self, rumor: &Rumor) {
        if rumor.boot != self.boot {
            return self.meet(rumor.boot);
        }
        let Some(by) = rumor.accusers.first() else {
            return;
        };
        if rumor.incarnation < self.incarnation || self.mutants.is(Mutant::SuspicionNeverRefuted) {
            return;
        }
        self.incarnation = rumor.incarnation.saturating_add(1);
        self.local.worse(self.settings.health_max);
        self.news.push(News::Refuted { by: *by });
        self.push = true;
        self.wake_now();
    }

    /// Whoever waits to hear that a member answered is told.
    fn pass_on(&mut self, at: usize, out: &mut Vec<(NodeId, Gossip)>) {
        for (asker, _) in core::mem::take(&mut self.members[at].askers) {
            if let Ok(asker) = self.at(asker) {
                self.send(asker, Kind::Ack, Some(at), out);
            }
        }
    }

    /// `asker` wants to know of `node`: what is known is said at once, and more when it answers.
    fn asked_about(&mut self, asker: usize, node: NodeId, out: &mut Vec<(NodeId, Gossip)>) {
        let about = self.at(node).ok().filter(|about| *about != asker);
        self.send(asker, Kind::Ack, about, out);
        let Some(about) = about else {
            return;
        };
        let (now_us, by) = (self.local.lived_us(), self.members[asker].node);
        let member = &mut self.members[about];
        member.askers.retain(|(waiting, _)| *waiting != by);
        if member.askers.len() < ACCUSERS_MAX {
            member.askers.push((by, now_us));
        }
        let again_us = self.settings.probe_ms * 1_000 / 2;
        if member.asked_us.is_none_or(|asked_us| now_us - asked_us >= again_us) {
            self.send(about, Kind::Ping, None, out);
        }
    }

    /// Answers one whose word does not count here.
    fn answer_stranger(&self, to: NodeId, gossip: &Gossip, rumors: Vec<Rumor>, out: &mut Vec<(NodeId, Gossip)>) {
        if gossip.kind == Kind::Ack {
            return;
        }
        let echo = Echo {
            to: gossip.boot.writer,
            at_us: gossip.sent_us,
        };
        out.push((to, self.message(Kind::Ack, Some(echo), rumors)));
    }

    fn message(&self, kind: Kind, echo: Option<Echo>, rumors: Vec<Rumor>) -> Gossip {
        Gossip {
            boot: self.boot,
            incarnation: self.incarnation,
            sent_us: self.local.lived_us(),
            echo,
            kind,
            rumors,
        }
    }

    /// Speaks to a member, `about` another one before all.
    pub(super) fn send(&mut self, at: usize, kind: Kind, about: Option<usize>, out: &mut Vec<(NodeId, Gossip)>) {
        let rumors = self.rumors_for(at, about);
        let now_us = self.local.lived_us();
        let member = &mut self.members[at];
        if kind != Kind::Ack {
            member.asked(now_us);
        }
        let echo = member
            .boot
            .zip(member.heard_us)
            .map(|(boot, at_us)| Echo { to: boot.writer, at_us });
        let node = member.node;
        out.push((node, self.message(kind, echo, rumors)));
    }

    /// What a member is told: what is held against it, before all; what it asked; and the news that was told least.
    fn rumors_for(&mut self, at: usize, about: Option<usize>) -> Vec<Rumor> {
        let mut first = Vec::new();
        if self.members[at].health != Health::Alive || !self.members[at].accusers.is_empty() {
            first.push(at);
        }
        first.extend(about);
        let fresh = |(i, member): &(usize, &Member)| member.tell > 0 && *i != at && Some(*i) != about;
        let mut news: Vec<usize> = self.members.iter().enumerate().filter(fresh).map(|(i, _)| i).collect();
        news.sort_by_key(|i| core::cmp::Reverse(self.members[*i].tell));
        news.truncate(self.settings.rumors.saturating_sub(first.len()));
        if self.members[at].health != Health::Failed {
            news.iter().for_each(|i| self.members[*i].tell -= 1);
        }
        first.into_iter().chain(news).filter_map(|i| self.rumor(i)).collect()
    }

    /// What is known of a member, unless nothing is.
    fn rumor(&self, at: usize) -> Option<Rumor> {
        let member = &self.members[at];
        let mut accusers = member.accusers.clone();
        if member.health != Health::Alive {
            accusers.truncate(ACCUSERS_MAX - 1);
            accusers.push(self.me);
            accusers.sort_unstable();
        }
        Some(Rumor {
            node: member.node,
            boot: member.boot?,
            incarnation: member.incarnation,
            age_us: member.proof_us.map(|proof_us| self.local.lived_us() - proof_us),
            accusers,
        })
    }
}
