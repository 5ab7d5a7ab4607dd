//! What each fault of a plan does, when it begins and when it ends.

use kernel::machine::{Command, Phase};
use kernel::node::Node;

use super::{Run, Token};
use crate::disk::{Image, VirtualDisk};
use crate::host::Host;
use crate::plan::{Event, Fault, FaultKind, On};
use crate::reached::Spot;

impl Run<'_> {
    /// A fault begins. One that lasts ends with the healing at the latest.
    pub(super) fn begin_fault(&mut self, index: usize, fault: Fault) {
        let at_us = self.world.now_us();
        let until_us = (at_us + fault.for_us).min(self.plan.header.heal_us);
        self.world.tell_fault(index, true);
        match fault.on {
            On::Client(client) => {
                if !self.clients[client].is_idle() {
                    self.world.hit(Spot::Offline);
                }
                self.clients[client].go_offline(at_us, until_us, &mut self.actions);
                self.act(client);
            }
            On::Link(from, to) => self.world.disturb(|network, at_us| match fault.kind {
                FaultKind::Block => network.block(from, to),
                FaultKind::Clog => network.clog(from, to, until_us),
                FaultKind::SlowLink => network.slow(from, to, fault.by.unsigned_abs()),
                FaultKind::Cut => network.cut(at_us, from, to),
                FaultKind::HalfOpen => network.half_open(at_us, from, to),
                _ => {}
            }),
            On::Nodes(kept, cloned) => {
                let image = self.world.hosts()[kept].disk().image();
                let usable = kept != cloned && !self.world.hosts()[kept].disk().is_damaged();
                if usable && self.displace(cloned) {
                    self.world.replace_disk(cloned, image);
                    self.world.hit(Spot::DiskCloned);
                }
            }
            On::Node(node) => self.begin_at_node(index, node, fault),
        }
        if fault.kind.lasts() {
            self.world.schedule(until_us, Token::EndOf(index).pack());
        }
    }

    fn begin_at_node(&mut self, index: usize, node: usize, fault: Fault) {
        let at_us = self.world.now_us();
        match fault.kind {
            FaultKind::Crash => self.world.crash(node),
            FaultKind::CrashAt => self.world.crash_at(node, fault.by.unsigned_abs()),
            FaultKind::CrashLoop => self.again(index),
            FaultKind::Stop => {
                self.world.hit(Spot::Stopped);
                self.world.command(node, Command::Drain);
            }
            FaultKind::Leave => self.has_leave(node),
            FaultKind::Pause => self.world.pause(node),
            FaultKind::Older => {
                self.older.borrow_mut().insert(node);
                self.world.crash(node);
                self.world.boot(node);
            }
            FaultKind::Wipe if self.displace(node) => {
                self.world.replace_disk(node, Image::default());
                self.world.hit(Spot::DiskWiped);
            }
            FaultKind::OldDisk => {
                let disk = self.world.hosts()[node].disk();
                if !disk.is_damaged() {
                    self.images.insert(index, disk.image());
                }
            }
            FaultKind::LoseTransaction if self.displace(node) => self.harm(node, |disk| disk.lose_transaction(at_us)),
            FaultKind::Flip if self.displace(node) => self.harm(node, |disk| disk.flip(at_us)),
            FaultKind::FailCommit => self.world.host_mut(node).disk_mut().fail_next_commit(),
            FaultKind::FailApply => self.world.host_mut(node).disk_mut().fail_next_apply(),
            FaultKind::FailRead => self.world.host_mut(node).disk_mut().fail_next_read(),
            FaultKind::Full => self.world.host_mut(node).disk_mut().set_full(true),
            FaultKind::SlowDisk => {
                let factor = fault.by.unsigned_abs();
                self.world.host_mut(node).disk_mut().set_slow(factor);
            }
            FaultKind::Jump => {
                let spot = if fault.by > 0 {
                    Spot::JumpedForward
                } else {
                    Spot::JumpedBack
                };
                self.world.hit(spot);
                self.world.host_mut(node).clock_mut().jump(fault.by);
            }
            FaultKind::Freeze => self.world.freeze(node),
            _ => {}
        }
    }

    /// A node is about to lose its disk. It does not if too few would be left that the others know: no cluster outlives the loss of
    /// a majority of its members.
    fn displace(&mut self, node: usize) -> bool {
        self.note_members();
        let mut displaced = self.displaced.borrow_mut();
        let is_new = !displaced.contains(&node) && !self.leaving.contains(&node);
        let lost = displaced.union(&self.leaving).count() + usize::from(is_new);
        let nodes = self.plan.header.nodes as usize;
        let survives = nodes == 1 || (self.complete && 2 * lost < nodes);
        if survives && nodes > 1 {
            displaced.insert(node);
            drop(displaced);
            self.leaving.remove(&node);
            self.note_replicas();
        }
        survives
    }

    /// A node is to leave, unless too few would be left of those that belong: while it does, others may lose their disks.
    fn has_leave(&mut self, node: usize) {
        self.note_members();
        let nodes = self.plan.header.nodes as usize;
        let away = self.displaced.borrow().union(&self.leaving).count() + 1;
        if self.complete && 2 * away < nodes && !self.displaced.borrow().contains(&node) {
            let name = format!("n{node}");
            let mut clients = self.clients.iter();
            if let Some(operator) = clients.position(|client| client.has_leave(&name, &mut self.actions)) {
                self.leaving.insert(node);
                self.note_replicas();
                self.act(operator);
            }
        }
    }

    /// Whether those that were told to leave have left, or nobody knows that they were to.
    pub(super) fn nobody_leaves(&self) -> bool {
        let states = self.left().filter_map(|host| host.machine()?.cluster());
        let mut members = states.flat_map(|state| &state.members);
        members.all(|member| !member.leaving)
    }

    /// What has left, or has no disk that can be used, joins anew.
    fn rejoin(&mut self, node: usize) {
        if self.leaving.remove(&node) && self.world.hosts()[node].phase() == Some(Phase::Removed) {
            self.world.retire(node);
            self.world.hit(Spot::LeftRejoined);
        }
        self.displaced.borrow_mut().insert(node);
        self.world.replace_disk(node, Image::default());
        self.world.boot(node);
    }

    /// Who has become a member again is not displaced any more.
    pub(super) fn note_members(&mut self) {
        let hosts = self.world.hosts();
        let is_member = |node: usize| hosts[node].machine().is_some_and(Node::is_member);
        let members = |host: &Host<Node>| host.machine()?.cluster().map(|state| state.members.len());
        self.complete |= hosts.iter().filter_map(members).any(|members| members == hosts.len());
        self.displaced.borrow_mut().retain(|node| !is_member(*node));
    }

    /// A node crashes, something befalls its disk, and it is booted. A disk that is damaged already is left as it is.
    fn harm(&mut self, node: usize, harm: impl FnOnce(&mut VirtualDisk) -> bool) {
        self.world.change_disk(node, |disk| !disk.is_damaged() && harm(disk));
        self.world.boot(node);
    }

    /// The next turn of a fault that comes again and again.
    pub(super) fn again(&mut self, index: usize) {
        let Event::Fault(Fault {
            on: On::Node(node),
            by,
            for_us,
            ..
        }) = self.plan.entries[index].event
        else {
            return;
        };
        let now_us = self.world.now_us();
        let until_us = self.plan.entries[index].at_us + for_us;
        if self.healed || now_us >= until_us {
            return;
        }
        self.world.crash(node);
        self.world.boot(node);
        self.world
            .schedule(now_us + by.unsigned_abs().max(1), Token::Again(index).pack());
    }

    /// A fault ends, unless the healing has ended it.
    pub(super) fn finish(&mut self, index: usize) {
        let Event::Fault(fault) = self.plan.entries[index].event else {
            return;
        };
        self.world.tell_fault(index, false);
        if self.healed {
            return;
        }
        match (fault.kind, fault.on) {
            (FaultKind::Block, On::Link(from, to)) => {
                self.world.disturb(|network, at_us| network.unblock(at_us, from, to))
            }
            (FaultKind::SlowLink, On::Link(from, to)) => {
                self.world
                    .disturb(|network, _| network.quicken(from, to, fault.by.unsigned_abs()));
            }
            (FaultKind::CloneDisk, On::Nodes(_, node)) | (FaultKind::Wipe | FaultKind::Crash, On::Node(node)) => {
                self.world.boot(node);
            }
            (_, On::Node(node)) => self.finish_at_node(index, node, fault.kind),
            _ => {}
        }
    }

    fn finish_at_node(&mut self, index: usize, node: usize, kind: FaultKind) {
        match kind {
            FaultKind::CrashAt => {
                self.world.crash_no_more(node);
                self.world.boot(node);
            }
            FaultKind::Stop => {
                self.world.crash(node);
                self.world.boot(node);
            }
            FaultKind::Leave if self.world.hosts()[node].phase() == Some(Phase::Removed) => self.rejoin(node),
            FaultKind::Pause => self.world.resume(node),
            FaultKind::Older => {
                let alone = |node: &Node| node.stats().links.is_empty();
                if self.plan.header.nodes > 1 && self.world.hosts()[node].machine().is_some_and(alone) {
                    self.world.hit(Spot::OlderRefused);
                }
                self.older.borrow_mut().remove(&node);
                self.world.crash(node);
                self.world.boot(node);
            }
            FaultKind::OldDisk => {
                if let Some(image) = self.images.remove(&index)
                    && self.displace(node)
                {
                    self.world.crash(node);
                    if image != self.world.hosts()[node].disk().image() {
                        self.world.hit(Spot::DiskOld);
                    }
                    self.world.replace_disk(node, image);
                    self.world.boot(node);
                }
            }
            FaultKind::Flip | FaultKind::LoseTransaction => {
                let host = &self.world.hosts()[node];
                let failed = host.disk().is_damaged() || matches!(host.phase(), Some(Phase::Failed { .. }));
                // What else tore it may have come when too few others had theirs.
                if failed && self.displace(node) {
                    self.world.replace_disk(node, Image::default());
                    self.world.boot(node);
                }
            }
            FaultKind::Full => self.world.host_mut(node).disk_mut().set_full(false),
            FaultKind::SlowDisk => self.world.host_mut(node).disk_mut().set_slow(1),
            FaultKind::Freeze => {
                self.world.hit(Spot::ClockFrozen);
                self.world.thaw(node);
            }
            _ => {}
        }
    }

    /// After the healing: where a node finds only now that its disk cannot be used, somebody puts in another.
    pub(super) fn replace_unusable(&mut self) {
        for node in 0..self.left().count() {
            let host = &self.world.hosts()[node];
            let failed = host.disk().is_harmed() && matches!(host.phase(), Some(Phase::Failed { .. }));
            // An older disk was put in, from before the node was replaced: nobody counts it any more, and it joins anew.
            let removed = host.phase() == Some(Phase::Removed);
            if removed && self.plan.header.remove_after_ms > 0 {
                self.world.hit(Spot::RemovedReturned);
            }
            if failed || removed {
                self.rejoin(node);
            }
        }
    }

    /// Those that still speak the protocol before this one are restarted as themselves.
    pub(super) fn restart_older(&mut self) {
        let older = std::mem::take(&mut *self.older.borrow_mut());
        for node in older {
            self.world.crash(node);
        }
    }
}
