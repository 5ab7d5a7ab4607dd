//! Whom to ask, when, and who gives whom up.

use alloc::vec::Vec;

use super::gossip::{Gossip, Kind};
use super::member::Health;
use super::suspicion::timeout_us;
use super::{Liveness, Member};
use crate::env::{Mutant, NodeId, SeededRng};

/// The shortest wait for a step: many things become due within it, and are done at once.
const STEP_US: u64 = 1_000;

impl Liveness {
    /// Does what is due. Early calls are cheap, late ones are allowed for.
    pub fn tick(&mut self, now_us: u64, rng: &mut SeededRng, out: &mut Vec<(NodeId, Gossip)>) {
        self.advance(now_us);
        if self.members.is_empty() {
            return;
        }
        (0..self.members.len()).for_each(|at| self.judge(at));
        let is_round = self.local.lived_us() >= self.next_round_us;
        if is_round {
            self.begin_round(rng);
        }
        let now_us = self.local.lived_us();
        if is_round || (self.push && now_us >= self.next_push_us) {
            self.push = false;
            self.next_push_us = now_us + self.settings.probe_ms * 1_000 / 4;
            for at in self.whose_turn(rng) {
                self.send(at, Kind::Ping, None, out);
            }
        }
        self.ask_about_those_in_doubt(rng, out);
        self.wake_us = Some(self.next_step_us());
    }

    fn begin_round(&mut self, rng: &mut SeededRng) {
        let (now_us, probe_us) = (self.local.lived_us(), self.settings.probe_ms * 1_000);
        // Rounds of different nodes drift past each other, so that none always comes at a bad time.
        self.next_round_us = now_us + rng.between(probe_us - probe_us / 8, probe_us + probe_us / 8);
        let (doubt_us, silence_us) = (self.settings.doubt_ms * 1_000, self.settings.silence_ms * 1_000);
        // A round before a member is suspected: the score has to be there by then.
        let deaf_us = doubt_us.max(silence_us.saturating_sub(probe_us + probe_us / 8));
        for member in &mut self.members {
            member.askers.retain(|(_, since_us)| now_us - since_us < silence_us);
        }
        let watched = self.members.iter().filter(|member| member.health != Health::Failed);
        let silent = watched
            .clone()
            .filter(|member| member.silence_us(now_us) >= deaf_us)
            .count();
        // One that is silent may be dead; if most are, it is rather this node that is deaf.
        if silent >= 2 && 2 * silent > watched.count() {
            self.local.worse(self.settings.health_max);
        }
        self.local.end_round();
    }

    /// All, where one round can probe all; otherwise the next few in a random order in which each has its turn (SWIM's bound on
    /// how long a member can go unprobed). Those who were given up are among them: that is how they come back.
    fn whose_turn(&mut self, rng: &mut SeededRng) -> Vec<usize> {
        if self.members.len() <= self.settings.probes {
            return (0..self.members.len()).collect();
        }
        if self.turns.is_empty() {
            self.turns = self.members.iter().map(|member| member.node).collect();
            for last in (1..self.turns.len()).rev() {
                self.turns.swap(last, rng.below(last as u64 + 1) as usize);
            }
        }
        let keep = self.turns.len().saturating_sub(self.settings.probes);
        let turns = self.turns.split_off(keep);
        turns.into_iter().filter_map(|node| self.at(node).ok()).collect()
    }

    fn in_doubt(&self, member: &Member) -> bool {
        let now_us = self.local.lived_us();
        let silent = member.silence_us(now_us) >= self.settings.doubt_ms * 1_000 && now_us >= member.hurry_us;
        member.health != Health::Failed && (silent || member.hint)
    }

    /// Pings those who miss answers, and asks others about them; the longest silence first. In a quarter
    /// of a round only as many as a round probes, so that one who hears nobody does not shout.
    fn ask_about_those_in_doubt(&mut self, rng: &mut SeededRng, out: &mut Vec<(NodeId, Gossip)>) {
        let now_us = self.local.lived_us();
        let everyone = 0..self.members.len();
        let mut doubted: Vec<usize> = everyone.filter(|at| self.in_doubt(&self.members[*at])).collect();
        doubted.sort_by_key(|at| core::cmp::Reverse(self.members[*at].silence_us(now_us)));
        if now_us >= self.asking_until_us {
            self.asking_until_us = now_us + self.settings.probe_ms * 1_000 / 4;
            self.asked = 0;
        }
        for at in doubted.split_off((self.settings.probes - self.asked).min(doubted.len())) {
            self.members[at].hurry_us = self.asking_until_us;
        }
        self.asked += doubted.len();
        for at in doubted {
            let member = &mut self.members[at];
            member.hint = false;
            member.hurry_us = now_us + self.settings.probe_ms * 1_000 / 2;
            let node = member.node;
            if member.asked_us != Some(now_us) {
                self.send(at, Kind::Ping, None, out);
            }
            if !self.mutants.is(Mutant::NoIndirectProbe) {
                for helper in self.helpers(at, rng) {
                    self.send(helper, Kind::Ask(node), Some(at), out);
                }
            }
        }
    }

    /// Some who can be asked about a member.
    fn helpers(&self, about: usize, rng: &mut SeededRng) -> Vec<usize> {
        let alive = |at: &usize| *at != about && self.members[*at].health == Health::Alive;
        let mut helpers: Vec<usize> = (0..self.members.len()).filter(alive).collect();
        let wanted = self.settings.indirect.min(helpers.len());
        for at in 0..wanted {
            let with = rng.between(at as u64, helpers.len() as u64 - 1);
            helpers.swap(at, with as usize);
        }
        helpers.truncate(wanted);
        helpers
    }

    /// How long a silence has to be for this node to suspect a member.
    fn silence_limit_us(&self, member: &Member) -> u64 {
        let (least_us, most_us) = (self.settings.silence_ms * 1_000, self.settings.silence_max_ms * 1_000);
        let unlikely_us = member.silences.unlikely_us(self.settings.phi);
        unlikely_us
            .min(most_us)
            .max(least_us)
            .saturating_mul(self.local.factor())
    }

    /// How long a suspicion of a member waits to be refuted, by how many others share it.
    fn suspicion_us(&self, at: usize) -> u64 {
        let settings = &self.settings;
        let accused = &self.members[at].accusers;
        let others = || {
            self.members
                .iter()
                .filter(|member| member.node != self.members[at].node)
        };
        let alive = others().filter(|member| member.health == Health::Alive).count();
        let confirmed = others().filter(|member| member.health != Health::Failed && accused.contains(&member.node));
        let bounds_us = (settings.suspicion_min_ms * 1_000, settings.suspicion_max_ms * 1_000);
        timeout_us(bounds_us, confirmed.count(), settings.confirmations.min(alive))
    }

    /// When a member has been silent for too long, and when a suspicion of it has waited long enough, if no answer comes.
    fn deadline_us(&self, at: usize) -> Option<u64> {
        let member = &self.members[at];
        let silent_us = member.silent_since_us? + self.silence_limit_us(member);
        match member.health {
            Health::Alive => Some(silent_us),
            Health::Suspect => Some(silent_us.max(member.since_us + self.suspicion_us(at))),
            Health::Failed => None,
        }
    }

    /// Suspects a member whose time has come, and gives up one that had its chance.
    pub(super) fn judge(&mut self, at: usize) {
        let is_due = |this: &Self| {
            this.deadline_us(at)
                .is_some_and(|due_us| due_us <= this.local.lived_us())
        };
        if self.members[at].health == Health::Alive && is_due(self) {
            self.turn(at, Health::Suspect);
            self.push = true;
            self.wake_now();
        }
        if self.members[at].health == Health::Suspect && is_due(self) {
            self.turn(at, Health::Failed);
        }
    }

    fn next_step_us(&self) -> u64 {
        let now_us = self.local.lived_us();
        let push_us = if self.push { self.next_push_us } else { u64::MAX };
        let mut next_us = self.next_round_us.min(push_us);
        for (at, member) in self.members.iter().enumerate() {
            let Some(since_us) = member.silent_since_us.filter(|_| member.health != Health::Failed) else {
                continue;
            };
            let doubt_us = (since_us + self.settings.doubt_ms * 1_000).max(member.hurry_us);
            next_us = next_us.min(doubt_us);
            if let Some(deadline_us) = self.deadline_us(at) {
                next_us = next_us.min(deadline_us);
            }
        }
        next_us.max(now_us + STEP_US)
    }
}
