//! **Promises** that when all is quiet, whoever watches a query holds its answer: what the updates made of the first answer is
//! what the query gives over all that the replicas hold, wherever they are: no row more, none less, none older, and none that has
//! expired.
//! **From** rule 13 of the promises, and incremental view maintenance: a view kept by deltas equals the view computed anew
//! (Budiu et al., "DBSP", 2023). The answer is computed by the workload's own model, from the words of the plan.

use super::{Invariant, Seen, Survivor, Watched};
use crate::clock::EPOCH_MS;
use crate::model::{State, Version, merge};
use crate::replicas::partition_of;

/// See the module.
#[derive(Debug)]
pub struct LiveAnswers;

impl Invariant for LiveAnswers {
    fn name(&self) -> &'static str {
        "live-answers"
    }

    fn see(&mut self, at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Quiet { nodes, views } = seen else {
            return Ok(());
        };
        let wall_ms = EPOCH_MS + at_us / 1_000;
        views.iter().try_for_each(|view| holds(view, nodes, wall_ms))
    }
}

/// How long after its time a value is gone for everybody: all clocks are right by then, but for what they drift.
const GONE_MS: u64 = 5_000;

fn holds(view: &Watched<'_>, nodes: &[Survivor<'_>], wall_ms: u64) -> Result<(), String> {
    let Watched {
        client,
        node,
        watch,
        rows,
    } = view;
    if !nodes.iter().any(|left| left.node == *node) {
        return Ok(());
    }
    let mut state = State::default();
    for Survivor { memory, replica_of, .. } in nodes {
        let held = memory.iter().filter(|(name, _)| replica_of.holds(partition_of(name)));
        held.for_each(|(name, version)| merge(&mut state, name, version));
    }
    let gone = |version: &Version| {
        let ends_ms = version.ttl_ms.map(|ttl_ms| version.stamp.millis() + ttl_ms);
        ends_ms.is_some_and(|ends_ms| ends_ms + GONE_MS < wall_ms)
    };
    state.retain(|_, version| !gone(version));
    let answer = watch.answer(&state);
    // What is about to expire is in the answer for as long as the node's clock says, and nobody else knows what that says.
    let brief = watch.brief_keys(&state);
    if watch.has_limit() && !brief.is_empty() {
        return Ok(());
    }
    let differs = |key: &&bytes::Bytes| answer.get(*key) != rows.get(*key) && !brief.contains(*key);
    match answer.keys().chain(rows.keys()).find(differs) {
        None => Ok(()),
        Some(key) => {
            let (right, held) = (answer.get(key), rows.get(key));
            Err(format!(
                "c{client} holds the answer of n{node} to `{watch}`; under {key:?} that is {right:02x?}, and it holds {held:02x?}"
            ))
        }
    }
}
