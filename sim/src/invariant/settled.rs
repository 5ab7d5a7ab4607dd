//! **Promises** that what was deleted, or has expired, is remembered for the offline horizon at least (`Limits::offline_horizon_ms`) and
//! not for ever: no floor is nearer to the time than that, by the clock that is furthest ahead of all; and in the end all replicas
//! are at one floor, and hold nothing that can be collected there.
//! **From** rule 1 of the promises; Cassandra's `gc_grace_seconds`, which says the same of a table and forgets it at each node by itself.

use super::{Invariant, Seen, Survivor};
use crate::model::{Version, show};
use crate::replicas::partition_of;
use kernel::env::Limits;

/// See the module.
#[derive(Debug)]
pub struct Settled {
    horizon_ms: u64,
    /// The latest that a wall clock has shown.
    wall_ms: u64,
}

impl Settled {
    /// Of nodes with these limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            horizon_ms: limits.offline_horizon_ms,
            wall_ms: 0,
        }
    }

    /// Whether a floor is far enough from the time, or by how much it is not.
    fn judge(&self, node: usize, floor: u64) -> Result<(), String> {
        let (floor_ms, horizon_ms, wall_ms) = (floor >> 16, self.horizon_ms, self.wall_ms);
        if floor > 0 && floor_ms + horizon_ms > wall_ms {
            return Err(format!(
                "what is deleted is remembered for {horizon_ms} ms; n{node} has a floor at {floor_ms} ms, and no clock shows more than {wall_ms} ms"
            ));
        }
        Ok(())
    }

    fn rest(&self, nodes: &[Survivor<'_>]) -> Result<(), String> {
        for Survivor {
            node,
            floor,
            memory,
            replica_of,
            ..
        } in nodes
        {
            let floor_ms = floor >> 16;
            self.judge(*node, *floor)?;
            if let Some(other) = nodes.iter().find(|other| other.floor != *floor) {
                let (at, theirs) = (other.node, other.floor >> 16);
                return Err(format!(
                    "all are at one floor; n{node} is at {floor_ms} ms, n{at} at {theirs} ms"
                ));
            }
            let left = memory
                .iter()
                .find(|(key, held)| replica_of.holds(partition_of(key)) && is_dead(held, *floor));
            if let Some((key, held)) = left {
                let held = show(key, Some(held));
                return Err(format!(
                    "what can be collected is; n{node} has a floor at {floor_ms} ms, and {held}"
                ));
            }
        }
        Ok(())
    }
}

/// Whether a version can be collected at a floor: it lies there, and by then it was deleted or had expired.
fn is_dead(version: &Version, floor: u64) -> bool {
    let expired = |ttl_ms| version.stamp.millis().saturating_add(ttl_ms) <= floor >> 16;
    version.stamp.time() <= floor && (version.value.is_none() || version.ttl_ms.is_some_and(expired))
}

impl Invariant for Settled {
    fn name(&self) -> &'static str {
        "settled"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Stepped { step, .. } => {
                self.wall_ms = self.wall_ms.max(step.now.wall_ms);
                Ok(())
            }
            Seen::Sampled { holdings } => holdings.iter().try_for_each(|held| self.judge(held.node, held.floor)),
            Seen::Quiet { nodes, .. } => self.rest(nodes),
            _ => Ok(()),
        }
    }
}
