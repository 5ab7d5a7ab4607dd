//! What befalls the nodes of a world, and the links between them.

use kernel::env::ConnId;
use kernel::machine::{Input, Machine, Phase};

use super::World;
use crate::disk::{Image, VirtualDisk};
use crate::endpoint::Endpoint;
use crate::invariant::Seen;
use crate::network::VirtualNetwork;
use crate::reached::Spot;

impl<M: Machine> World<M> {
    /// Boots a node that is down.
    pub fn boot(&mut self, node: usize) {
        if self.hosts[node].is_up() || self.hosts[node].gone {
            return;
        }
        let machine = (self.factory)(node, self.hosts[node].boots);
        let entropy = self.hosts[node].boot(self.now_us, machine);
        self.network.boot(Endpoint::Node(node));
        self.checker.see(self.now_us, &Seen::Booted { node });
        self.step(node, Input::Boot { entropy });
    }

    /// Takes a node down without a word: what was not synced is lost.
    pub fn crash(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        if !host.is_up() {
            return;
        }
        self.reached.hit(match host.phase {
            Some(Phase::Recovering) => Spot::CrashedRecovering,
            _ => Spot::Crashed,
        });
        if let (Some(machine), Some(on_end)) = (&host.machine, &mut self.on_end) {
            on_end(machine);
        }
        let whole = !host.disk.is_damaged();
        host.crash(self.now_us);
        self.network.crash(self.now_us, Endpoint::Node(node));
        let disk = &self.hosts[node].disk;
        self.checker.see(self.now_us, &Seen::Crashed { node, disk });
        if whole && self.hosts[node].disk.is_damaged() {
            self.disk_changed(node);
        }
    }

    /// The node is down now, and what its disk holds is changed by `change`. Whether that did anything.
    pub fn change_disk(&mut self, node: usize, change: impl FnOnce(&mut VirtualDisk) -> bool) -> bool {
        self.crash(node);
        let changed = change(&mut self.hosts[node].disk);
        if changed {
            self.disk_changed(node);
        }
        changed
    }

    /// The node is down now, and another disk is put in.
    pub fn replace_disk(&mut self, node: usize, image: Image) {
        self.change_disk(node, |disk| {
            disk.replace(image);
            true
        });
    }

    /// A node that has left the cluster is about to lose its disk: what it holds has moved.
    pub fn retire(&mut self, node: usize) {
        let others = self.hosts.iter().enumerate();
        let others = others.filter(|(other, host)| *other != node && !host.gone && !host.disk.is_damaged());
        let others: Vec<&VirtualDisk> = others.map(|(_, host)| &host.disk).collect();
        let seen = Seen::Retired { node, others: &others };
        self.checker.see(self.now_us, &seen);
    }

    /// Whether a disk is, or was, another than it had been.
    pub fn has_lost_disks(&self) -> bool {
        self.has_lost_disks
    }

    fn disk_changed(&mut self, node: usize) {
        self.has_lost_disks = true;
        let whole = |host: &super::Host<M>| !host.gone && !host.disk.is_damaged();
        let hosts = self.hosts.iter();
        let disks: Vec<Option<&VirtualDisk>> = hosts.map(|host| whole(host).then_some(&host.disk)).collect();
        let seen = Seen::DiskChanged { node, disks: &disks };
        self.checker.see(self.now_us, &seen);
    }

    /// Whether this step is the one in the middle of whose output the node crashes.
    pub(super) fn crashes_now(&mut self, node: usize) -> bool {
        let steps = &mut self.hosts[node].crash_in_steps;
        *steps = steps.map(|steps| steps.saturating_sub(1));
        *steps == Some(0)
    }

    /// A node crashes in the middle of performing the output of so many steps on.
    pub fn crash_at(&mut self, node: usize, steps: u64) {
        self.hosts[node].crash_in_steps = Some(steps.max(1));
    }

    /// It does not, if it has not yet.
    pub fn crash_no_more(&mut self, node: usize) {
        self.hosts[node].crash_in_steps = None;
    }

    /// A node's process stands still.
    pub fn pause(&mut self, node: usize) {
        self.hosts[node].paused = self.hosts[node].is_up();
    }

    /// It goes on: all that has come for it comes now.
    pub fn resume(&mut self, node: usize) {
        self.hosts[node].paused = false;
        while let Some(input) = self.hosts[node].backlog.pop_front() {
            self.deliver(node, input);
        }
    }

    /// A node's wall clock stands still.
    pub fn freeze(&mut self, node: usize) {
        let at_us = self.now_us;
        self.hosts[node].clock.freeze(at_us);
    }

    /// It goes on.
    pub fn thaw(&mut self, node: usize) {
        let at_us = self.now_us;
        self.hosts[node].clock.thaw(at_us);
    }

    /// What is done to the network: which of its faults, and at what time.
    pub fn disturb(&mut self, disturb: impl FnOnce(&mut VirtualNetwork, u64)) {
        disturb(&mut self.network, self.now_us);
    }

    /// Whether a client's connection is open at both its ends.
    pub fn client_is_connected(&self, client: usize, conn: ConnId) -> bool {
        self.network.is_whole(Endpoint::Client(client), conn)
    }

    /// Ends every fault for good. The first so many nodes are booted, with an empty disk where theirs cannot be used; the others are gone.
    pub fn heal(&mut self, survivors: usize) {
        self.network.heal(self.now_us);
        for node in survivors..self.hosts.len() {
            self.crash(node);
            self.hosts[node].gone = true;
        }
        // All at once: none of them is there to give what another lost.
        for node in survivors..self.hosts.len() {
            self.disk_changed(node);
        }
        for node in 0..survivors.min(self.hosts.len()) {
            self.resume(node);
            let host = &mut self.hosts[node];
            host.disk.heal();
            host.clock.heal();
            host.crash_in_steps = None;
            let unusable = host.disk.is_damaged() || matches!(host.phase, Some(Phase::Failed { .. }));
            if unusable {
                self.replace_disk(node, Image::default());
            }
            if self.hosts[node].draining {
                self.crash(node);
            }
            self.boot(node);
        }
    }
}
