//! How the node is at the moment of a scrape.

use std::sync::atomic::AtomicU64;

use kernel::node::Stats;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{ByRole, Seconds};
use crate::record::Recording;

type Whole = Gauge<u64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    kind: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPeer {
    peer: String,
}

/// All of it, in a registry of its own.
pub(super) fn registry(stats: &Stats, recording: Option<Recording>, mono_us: u64) -> Registry {
    let mut all = Registry::with_prefix("orrery");
    operations(stats, &mut all);
    for (name, about, value) in [
        (
            "records",
            "Keys that have a version, deleted ones included",
            stats.records,
        ),
        ("tombstones", "Keys that were deleted", stats.tombstones),
        (
            "floor_seconds",
            "The time, since the Unix epoch, up to which what was deleted or has expired is collected; 0 for none",
            stats.floor_ms / 1_000,
        ),
        (
            "collected_versions",
            "Versions that were collected since the node was started",
            stats.collected,
        ),
        (
            "record_bytes",
            "Bytes of keys and versions in memory",
            stats.record_bytes,
        ),
        (
            "log_committed_entry",
            "The last log entry that is durable",
            stats.committed,
        ),
        (
            "log_applied_entry",
            "The last log entry that the records hold",
            stats.applied,
        ),
        (
            "log_depth_entries",
            "Log entries that the records do not hold yet",
            stats.committed - stats.applied,
        ),
        (
            "log_depth_bytes",
            "Bytes of changes that the records do not hold yet",
            stats.unapplied_bytes,
        ),
        (
            "commits_in_flight",
            "Log entries that are being written",
            stats.entries_in_flight,
        ),
        (
            "commit_bytes_in_flight",
            "Bytes of log entries that are being written",
            stats.entry_bytes_in_flight,
        ),
        (
            "room_bytes",
            "Bytes that may be committed before storage is full",
            stats.room_bytes,
        ),
        ("peers", "Nodes that this one dials", stats.peers),
        ("cluster_members", "Members of the cluster", stats.members),
        (
            "cluster_epoch",
            "The version of the cluster's state that this node knows",
            stats.epoch,
        ),
        (
            "cluster_moves",
            "Partitions that are moving, in the whole cluster",
            stats.moves.0,
        ),
        (
            "cluster_moves_here",
            "Partitions that are moving to this node",
            stats.moves.1,
        ),
        (
            "partitions_owned",
            "Partitions that this node acts as owner of",
            stats.owned,
        ),
        (
            "partitions_orphaned",
            "Partitions of which no replica can be reached from here",
            stats.orphans,
        ),
        ("requests_waiting", "Requests that wait for other nodes", stats.waiting),
        (
            "clock_unsure",
            "1 if no write is admitted because the wall clock is too far from the other members', or has jumped",
            u64::from(stats.clock_unsure),
        ),
        (
            "replication_links",
            "Links to peers that are up",
            stats.links.len() as u64,
        ),
    ] {
        let gauge = Whole::default();
        gauge.set(value);
        all.register(name, about, gauge);
    }
    for (name, about, value) in [
        (
            "replication_forwarded",
            "Changes given to peers; one for two peers counts twice",
            stats.forwarded,
        ),
        ("replication_taken", "Changes taken from peers", stats.taken),
        (
            "moved_bytes",
            "Bytes of records given to nodes that partitions move to",
            stats.moved_bytes,
        ),
        (
            "replication_rounds",
            "Comparisons of everything with a peer",
            stats.rounds,
        ),
        (
            "repair_partitions_differed",
            "Partitions whose digests differed from a peer's; one that differs for long counts each time",
            stats.repairs.differed,
        ),
        (
            "repair_sessions",
            "Repairs of a partition that this node began",
            stats.repairs.begun,
        ),
        (
            "repair_whole",
            "Of those, the ones that got all that the peer held",
            stats.repairs.whole,
        ),
        (
            "repair_fallbacks",
            "Repairs that gave up coded symbols for a list",
            stats.repairs.fallbacks,
        ),
        ("repair_symbols", "Coded symbols sent to peers", stats.repairs.symbols),
        (
            "repair_symbol_bytes",
            "Bytes of coded symbols sent to peers",
            stats.repairs.symbol_bytes,
        ),
        (
            "repair_record_bytes",
            "Bytes of keys and records sent to peers by repairs",
            stats.repairs.record_bytes,
        ),
    ] {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        all.register(name, about, counter);
    }
    connections(stats, &mut all);
    links(stats, mono_us, &mut all);
    if let Some(recording) = recording {
        of_recording(&recording, &mut all);
    }
    if let Some(bytes) = resident_bytes() {
        let memory = Whole::default();
        memory.set(bytes);
        all.register("process_resident_memory_bytes", "Memory of this process", memory);
    }
    all
}

fn operations(stats: &Stats, all: &mut Registry) {
    let operations = Family::<Operation, Counter>::default();
    for (kind, code, count) in stats
        .operations
        .iter()
        .filter(|(_, code, count)| code.is_none() || *count > 0)
    {
        let label = Operation {
            kind: kind.name(),
            result: code.map_or("ok", |code| code.name()),
        };
        operations.get_or_create(&label).inc_by(count);
    }
    let about = "What clients asked for, and what came of it. A write is ok when it is taken; if its commit fails, it \
                 counts again, as OutcomeUnknown";
    all.register("operations", about, operations);
}

fn connections(stats: &Stats, all: &mut Registry) {
    let open = Family::<ByRole, Whole>::default();
    for (role, count) in [("client", stats.clients), ("peer", stats.peer_connections)] {
        open.get_or_create(&ByRole { role }).set(count);
    }
    all.register("connections", "Open connections", open);
}

fn links(stats: &Stats, mono_us: u64, all: &mut Registry) {
    let (unsent, behind) = (Family::<ByPeer, Whole>::default(), Family::<ByPeer, Whole>::default());
    let silence = Family::<ByPeer, Seconds>::default();
    let repairing = Family::<ByPeer, Whole>::default();
    let (lag, linked) = (Family::<ByPeer, Whole>::default(), Family::<ByPeer, Whole>::default());
    for (node, missed) in &stats.unlinked {
        let peer = ByPeer { peer: node.clone() };
        lag.get_or_create(&peer).set(*missed);
        linked.get_or_create(&peer).set(0);
    }
    for link in &stats.links {
        let peer = ByPeer {
            peer: link.node.clone(),
        };
        unsent.get_or_create(&peer).set(link.unsent_bytes);
        behind.get_or_create(&peer).set(link.behind.into());
        lag.get_or_create(&peer).set(link.lag);
        linked.get_or_create(&peer).set(1);
        let (open, waiting) = link.repairing;
        repairing.get_or_create(&peer).set(open + waiting);
        let silent_us = mono_us.saturating_sub(link.heard_us);
        silence.get_or_create(&peer).set(silent_us as f64 / 1e6);
    }
    let about = "Changes that a peer has not said to have taken; without a link, those made since it was lost";
    all.register("replication_lag_changes", about, lag);
    all.register("replication_linked", "1 while a peer is linked", linked);
    let about = "Bytes for a peer that have not left yet";
    all.register("replication_unsent_bytes", about, unsent);
    let about = "1 while changes for a peer were left out, until everything is compared";
    all.register("replication_behind", about, behind);
    let about = "Partitions that are repaired with a peer, or wait for it";
    all.register("repair_partitions", about, repairing);
    let about = "Since a peer was last heard";
    all.register_with_unit("replication_silence", about, Unit::Seconds, silence);
}

fn of_recording(recording: &Recording, all: &mut Registry) {
    for (name, about, value) in [
        (
            "recording_active",
            "1 while steps are recorded",
            recording.active.into(),
        ),
        (
            "recording_unwritten_bytes",
            "Bytes of the recording that are not written yet",
            recording.unwritten,
        ),
    ] {
        let gauge = Whole::default();
        gauge.set(value);
        all.register(name, about, gauge);
    }
    let about = "How long the last checkpoint of the recording held up the node";
    let pause = Seconds::default();
    pause.set(recording.checkpoint_us as f64 / 1e6);
    all.register_with_unit("recording_checkpoint", about, Unit::Seconds, pause);
    for (name, about, value) in [
        (
            "recording_segments",
            "Segments of the recording that were begun",
            recording.segments,
        ),
        (
            "recording_gaps",
            "How often the recording was interrupted, so that steps are missing",
            recording.gaps,
        ),
        ("recording_bytes", "Bytes that were recorded", recording.bytes),
    ] {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        all.register(name, about, counter);
    }
}

/// What the system says of this process's memory.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}
