//! The gate that a write passes once, where it enters the cluster.

use alloc::format;
use alloc::string::{String, ToString};

use crate::crdt::Record;
use crate::env::{Limits, Now};
use crate::hlc::{self, Stamp};
use crate::store::{BadKey, NoRoom, RecordKey, Store, change_bytes};
use crate::wire::Code;
use crate::wire::op::Op;
use crate::wire::server::Refusal;

/// Turns an operation into a change, or says why not. Nothing is merged before all of it is known to fit.
///
/// `clock` is the latest stamp that this node has seen: who follows it is not ahead, whoever set it. One step behind it can
/// be in the next millisecond, so that a clock that is ahead of the wall goes on by a millisecond a write at most.
pub fn admit(
    op: &Op<'_>,
    store: &Store,
    limits: &Limits,
    now: Now,
    clock: Stamp,
) -> Result<(RecordKey, Record), Refusal> {
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
    let stamp = op.version.stamp;
    if stamp.millis() > clock.millis() + 1 && hlc::is_ahead(stamp, now.wall_ms, limits.max_drift_ms) {
        let reason = format!(
            "the stamp is {} ms ahead of this node's clock, over {}",
            stamp.millis() - now.wall_ms,
            limits.max_drift_ms
        );
        return refuse(Code::ClockDrift, reason);
    }
    let key = RecordKey::new(op.map, op.key, limits).map_err(|bad| Refusal {
        code: code_of(&bad),
        reason: bad.to_string(),
    })?;
    let record = Record::new(&op.version);
    // A retry of what is already here changes nothing and needs no room.
    let would_change = store
        .partition(store.partition_of(&key))
        .would_change(&key, &op.version);
    if would_change {
        let bytes = change_bytes(key.as_bytes().len(), record.as_bytes().len());
        match store.room_for(bytes) {
            Ok(()) => {}
            Err(NoRoom::Full) => return refuse(Code::StorageFull, "this node's storage is full".into()),
            Err(NoRoom::Busy) => return refuse(Code::Overloaded, "too much waits for this node's storage".into()),
        }
    }
    Ok((key, record))
}

/// The code for a map name or a key that cannot be used.
pub fn code_of(bad: &BadKey) -> Code {
    match bad {
        BadKey::LongMap { .. } | BadKey::LongKey { .. } => Code::TooLarge,
        BadKey::NoMap | BadKey::MapText => Code::BadRequest,
    }
}

fn refuse<T>(code: Code, reason: String) -> Result<T, Refusal> {
    Err(Refusal { code, reason })
}
