//! What a run has reached: which faults in fact hit something, and which rare paths were taken.
//!
//! A fault that is drawn and hits nothing tests nothing. So what is counted is the effect (a frame that was lost, a sync that
//! failed), where it happens; a swarm adds the runs up and says what was never reached. From FoundationDB's coverage probes
//! ("Testing Distributed Systems with Deterministic Simulation", Will Wilson, 2014).

use std::collections::BTreeMap;

/// Something that does not happen in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spot {
    /// A frame was lost on its way.
    FrameLost,
    /// A frame arrived twice.
    FrameDoubled,
    /// A frame overtook another.
    FrameOvertaken,
    /// A frame took more than ten times as long as the longest usual way.
    FrameLate,
    /// A bit of a client's operations was flipped, and they arrived.
    FrameFlipped,
    /// A frame arrived that nobody can read.
    FrameUnreadable,
    /// A damaged frame was noticed by the transport, and its connection broken.
    FrameRejected,
    /// A frame ran into a blocked link.
    LinkBlocked,
    /// A frame waited behind a clogged link.
    LinkClogged,
    /// A frame went over a slowed link.
    LinkSlowed,
    /// A connection was cut with frames on their way.
    ConnectionCut,
    /// One end of a connection was gone, and the other did not know.
    HalfOpen,
    /// A dial was not answered.
    DialTimedOut,
    /// A crash lost entries that were being synced.
    SyncLost,
    /// A crash lost some of the entries that were being synced, and left those before them.
    SyncPrefix,
    /// A crash left a part of an entry.
    EntryTorn,
    /// A sync of the log failed.
    CommitFailed,
    /// An apply to the records failed.
    ApplyFailed,
    /// A read of storage failed.
    ReadFailed,
    /// An append found no room.
    DiskFull,
    /// A sync took longer because the disk was slow.
    DiskSlow,
    /// A bit on a disk was flipped.
    BitFlipped,
    /// A node found its disk damaged and refused to serve.
    DamageRefused,
    /// The last synced transaction was gone after a crash.
    TransactionLost,
    /// A node was booted with an empty disk.
    DiskWiped,
    /// A node was booted with an older copy of its disk, and something was missing.
    DiskOld,
    /// A node was booted with another's disk.
    DiskCloned,
    /// A wall clock was put forward.
    JumpedForward,
    /// A wall clock was put back.
    JumpedBack,
    /// A wall clock stood still while the node worked.
    ClockFrozen,
    /// Clocks ran at different speeds.
    ClockDrifted,
    /// A node crashed.
    Crashed,
    /// A node crashed before it had recovered from the crash before.
    CrashedRecovering,
    /// A node crashed between a step and the performing of its output.
    CrashedMidStep,
    /// A node was stopped cleanly.
    Stopped,
    /// Something happened to a node while it was paused.
    Paused,
    /// A node spoke an older protocol, and was refused.
    OlderRefused,
    /// A backup answered a read, and said how old that might be.
    AgeTold,
    /// Nodes were gone for good, and a majority was left.
    MinorityGone,
    /// No majority was left.
    MajorityGone,
    /// A node was there again after it had been removed.
    RemovedReturned,
    /// A node left as it was told to, and joined anew.
    LeftRejoined,
    /// The members agreed on a floor.
    FloorRaised,
    /// Something was forgotten that lay below it.
    Collected,
    /// A client was offline with something to say.
    Offline,
}

impl Spot {
    /// All of them.
    pub const ALL: [Spot; 45] = [
        Spot::FrameLost,
        Spot::FrameDoubled,
        Spot::FrameOvertaken,
        Spot::FrameLate,
        Spot::FrameFlipped,
        Spot::FrameUnreadable,
        Spot::FrameRejected,
        Spot::LinkBlocked,
        Spot::LinkClogged,
        Spot::LinkSlowed,
        Spot::ConnectionCut,
        Spot::HalfOpen,
        Spot::DialTimedOut,
        Spot::SyncLost,
        Spot::SyncPrefix,
        Spot::EntryTorn,
        Spot::CommitFailed,
        Spot::ApplyFailed,
        Spot::ReadFailed,
        Spot::DiskFull,
        Spot::DiskSlow,
        Spot::BitFlipped,
        Spot::DamageRefused,
        Spot::TransactionLost,
        Spot::DiskWiped,
        Spot::DiskOld,
        Spot::DiskCloned,
        Spot::JumpedForward,
        Spot::JumpedBack,
        Spot::ClockFrozen,
        Spot::ClockDrifted,
        Spot::Crashed,
        Spot::CrashedRecovering,
        Spot::CrashedMidStep,
        Spot::Stopped,
        Spot::Paused,
        Spot::OlderRefused,
        Spot::AgeTold,
        Spot::MinorityGone,
        Spot::MajorityGone,
        Spot::RemovedReturned,
        Spot::LeftRejoined,
        Spot::FloorRaised,
        Spot::Collected,
        Spot::Offline,
    ];

    /// Its name in a summary.
    pub fn name(self) -> &'static str {
        match self {
            Spot::FrameLost => "frame-lost",
            Spot::FrameDoubled => "frame-doubled",
            Spot::FrameOvertaken => "frame-overtaken",
            Spot::FrameLate => "frame-late",
            Spot::FrameFlipped => "frame-flipped",
            Spot::FrameUnreadable => "frame-unreadable",
            Spot::FrameRejected => "frame-rejected",
            Spot::LinkBlocked => "link-blocked",
            Spot::LinkClogged => "link-clogged",
            Spot::LinkSlowed => "link-slowed",
            Spot::ConnectionCut => "connection-cut",
            Spot::HalfOpen => "half-open",
            Spot::DialTimedOut => "dial-timed-out",
            Spot::SyncLost => "sync-lost",
            Spot::SyncPrefix => "sync-prefix",
            Spot::EntryTorn => "entry-torn",
            Spot::CommitFailed => "commit-failed",
            Spot::ApplyFailed => "apply-failed",
            Spot::ReadFailed => "read-failed",
            Spot::DiskFull => "disk-full",
            Spot::DiskSlow => "disk-slow",
            Spot::BitFlipped => "bit-flipped",
            Spot::DamageRefused => "damage-refused",
            Spot::TransactionLost => "transaction-lost",
            Spot::DiskWiped => "disk-wiped",
            Spot::DiskOld => "disk-old",
            Spot::DiskCloned => "disk-cloned",
            Spot::JumpedForward => "jumped-forward",
            Spot::JumpedBack => "jumped-back",
            Spot::ClockFrozen => "clock-frozen",
            Spot::ClockDrifted => "clock-drifted",
            Spot::Crashed => "crashed",
            Spot::CrashedRecovering => "crashed-recovering",
            Spot::CrashedMidStep => "crashed-mid-step",
            Spot::Stopped => "stopped",
            Spot::Paused => "paused",
            Spot::OlderRefused => "older-refused",
            Spot::AgeTold => "age-told",
            Spot::MinorityGone => "minority-gone",
            Spot::MajorityGone => "majority-gone",
            Spot::RemovedReturned => "removed-returned",
            Spot::LeftRejoined => "left-rejoined",
            Spot::FloorRaised => "floor-raised",
            Spot::Collected => "collected",
            Spot::Offline => "offline",
        }
    }
}

/// How often each spot was reached.
#[derive(Debug, Clone)]
pub struct Reached([u64; Spot::ALL.len()]);

impl Default for Reached {
    fn default() -> Self {
        Self([0; Spot::ALL.len()])
    }
}

impl Reached {
    /// Once more.
    pub fn hit(&mut self, spot: Spot) {
        self.0[spot as usize] += 1;
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// The counts by name, those that are zero as well.
    pub fn by_name(&self) -> BTreeMap<&'static str, u64> {
        Spot::ALL
            .iter()
            .map(|spot| (spot.name(), self.0[*spot as usize]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spot_has_a_place_and_a_name_of_its_own() {
        for (place, spot) in Spot::ALL.iter().enumerate() {
            assert_eq!(*spot as usize, place);
        }
        let mut reached = Reached::default();
        reached.hit(Spot::Offline);
        reached.add(&reached.clone());
        let names = reached.by_name();
        assert_eq!(
            (names.len(), names["offline"], names["frame-lost"]),
            (Spot::ALL.len(), 2, 0)
        );
    }
}
