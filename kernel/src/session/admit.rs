//! The gate that a write passes once, where it enters the cluster.

use alloc::format;
use alloc::string::{String, ToString};

use crate::crdt::Record;
use crate::crdt::floor::is_at_or_below;
use crate::env::{Limits, Mutant, Mutants, Now};
use crate::hlc::{self, Stamp};
use crate::store::{BadKey, NoRoom, RecordKey, Store, change_bytes};
use crate::wire::Code;
use crate::wire::op::Op;
use crate::wire::server::Refusal;

/// The record that an operation is about, if nothing in it is over its limit.
///
/// # Errors
/// Why not.
pub fn named(op: &Op<'_>, limits: &Limits) -> Result<RecordKey, Refusal> {
    if op.id.len() > limits.id_bytes {
        return refuse(
            Code::TooLarge,
            format!("the operation's id is over {} bytes", limits.id_bytes),
        );
    }
    if op.version.writer.is_empty() || op.version.writer.len() > limits.id_bytes {
        let reason = format!("timestamp.nodeId is empty or over {} bytes", limits.id_bytes);
        return refuse(Code::TooLarge, reason);
    }
    if let Some(value) = op.version.value.filter(|value| value.len() > limits.value_bytes) {
        let reason = format!("the value has {} bytes, over {}", value.len(), limits.value_bytes);
        return refuse(Code::TooLarge, reason);
    }
    RecordKey::new(op.map, op.key, limits).map_err(|bad| Refusal {
        code: code_of(&bad),
        reason: bad.to_string(),
    })
}

/// Turns an operation on `key` into a change, or says why not. Nothing is merged before all of it is known to fit.
///
/// `clock` is the latest stamp that this node has seen: who follows it is not ahead, whoever set it.
pub fn admit(
    op: &Op<'_>,
    key: RecordKey,
    store: &Store,
    limits: &Limits,
    now: Now,
    clock: Stamp,
    mutants: Mutants,
) -> Result<(RecordKey, Record), Refusal> {
    let stamp = op.version.stamp;
    if is_too_early(stamp, clock, now.wall_ms, limits.max_drift_ms) {
        let reason = format!(
            "the stamp is {} ms ahead of this node's clock, over {}",
            stamp.millis() - now.wall_ms,
            limits.max_drift_ms
        );
        return refuse(Code::ClockDrift, reason);
    }
    if let (Some(by), Some(value)) = (store.routing().of_map(op.map), op.version.value)
        && let Err(error) = by.check(op.key, value)
    {
        return refuse(Code::BadRequest, error.to_string());
    }
    let record = Record::new(&op.version);
    // A retry of what is already here changes nothing and needs no room.
    let would_change = store
        .partition(store.partition_of(&key))
        .would_change(&key, &op.version);
    if would_change {
        if is_at_or_below(stamp, store.promised()) && !mutants.is(Mutant::AdmitsBelowFloor) {
            let reason = format!(
                "the stamp is older than what may have been collected, at {} ms: the write needs a new one",
                store.promised() >> 16
            );
            return refuse(Code::StampTooOld, reason);
        }
        let bytes = change_bytes(key.as_bytes().len(), record.as_bytes().len());
        match store.room_for(bytes) {
            Ok(()) => {}
            Err(NoRoom::Full) => return refuse(Code::StorageFull, "this node's storage is full".into()),
            Err(NoRoom::Busy) => return refuse(Code::Overloaded, "too much waits for this node's storage".into()),
        }
    }
    Ok((key, record))
}

/// Whether a stamp is further ahead of the wall clock than may be. A clock that is that far ahead itself (the wall clock was put
/// back) can be followed, into the next millisecond too: the counter of this one may be full. A clock that is not cannot be
/// driven beyond the bound by anybody.
fn is_too_early(stamp: Stamp, clock: Stamp, wall_ms: u64, max_drift_ms: u64) -> bool {
    let follows = hlc::is_ahead(clock, wall_ms, max_drift_ms) && stamp.millis() <= clock.millis() + 1;
    hlc::is_ahead(stamp, wall_ms, max_drift_ms) && !follows
}

/// The code for a map name or a key that cannot be used.
pub fn code_of(bad: &BadKey) -> Code {
    match bad {
        BadKey::LongMap { .. } | BadKey::LongKey { .. } => Code::TooLarge,
        BadKey::NoMap | BadKey::MapText | BadKey::Reserved => Code::BadRequest,
    }
}

fn refuse<T>(code: Code, reason: String) -> Result<T, Refusal> {
    Err(Refusal { code, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::WriterId;
    use crate::hlc::Hlc;

    const WALL_MS: u64 = 1_000_000;
    const DRIFT_MS: u64 = 60_000;

    /// The wall clock was put back by an hour; a client goes on from what the node told it, for longer than a counter lasts.
    #[test]
    fn who_follows_a_clock_that_is_ahead_is_admitted() {
        let mut node = Hlc::new(WriterId(1));
        node.observe(Stamp::new(WALL_MS + 3_600_000, 0, WriterId(9)).unwrap());
        let mut client = node.clone();
        for _ in 0..3 * 65_536 {
            let stamp = client.now(WALL_MS);
            assert!(!is_too_early(stamp, node.latest(), WALL_MS, DRIFT_MS), "{stamp:?}");
            node.observe(stamp);
        }
        let leap = Stamp::new(node.latest().millis() + 2, 0, WriterId(2)).unwrap();
        assert!(is_too_early(leap, node.latest(), WALL_MS, DRIFT_MS));
    }

    /// However many stamps it takes, nobody drives a good clock beyond the bound.
    #[test]
    fn a_clock_is_not_driven_beyond_the_bound() {
        let mut node = Hlc::new(WriterId(1));
        node.now(WALL_MS);
        for step in 1..200_000 {
            let next = Stamp::new(node.latest().millis() + 1 + step % 3, 0, WriterId(2)).unwrap();
            if !is_too_early(next, node.latest(), WALL_MS, DRIFT_MS) {
                node.observe(next);
            }
        }
        assert_eq!(node.latest().millis(), WALL_MS + DRIFT_MS);
    }
}
