//! **Promises** that after a commit has failed no commit and no apply that was given before the machine asked to recover
//! succeeds. Otherwise the log would have a hole, and a later acknowledgement would stand on a write that is not there.
//! **From** the third rule of order in `kernel::machine`; the classic counterexample is the fsync that fails once and is
//! then believed (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).

use std::collections::{BTreeMap, BTreeSet};

use kernel::env::Ticket;
use kernel::machine::{Fetch, Input};

use super::{Invariant, Seen};

/// See the module.
#[derive(Debug, Default)]
pub struct FailedCommit {
    nodes: BTreeMap<usize, Epoch>,
}

/// What was given since the machine last asked to recover.
#[derive(Debug, Default)]
struct Epoch {
    given: BTreeSet<Ticket>,
    /// Whether one of the commits in `given` failed.
    failed: Option<Ticket>,
    /// Tickets that must not succeed any more, and the failure that they follow.
    doomed: BTreeMap<Ticket, Ticket>,
}

impl Invariant for FailedCommit {
    fn name(&self) -> &'static str {
        "failed-commit"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => {
                self.nodes.insert(*node, Epoch::default());
            }
            Seen::Stepped { step, .. } => {
                let epoch = self.nodes.entry(step.node).or_default();
                let (answered, ok) = match step.input {
                    Input::Committed { ticket, result } => (Some(*ticket), result.is_ok()),
                    Input::Applied { ticket, result } => (Some(*ticket), result.is_ok()),
                    _ => (None, true),
                };
                if let Some(ticket) = answered {
                    epoch.given.remove(&ticket);
                    let doom = epoch.doomed.remove(&ticket);
                    if let Some(failed) = doom.or(epoch.failed).filter(|_| ok) {
                        let (node, ticket, failed) = (step.node, ticket.0, failed.0);
                        return Err(format!(
                            "commit {failed} of n{node} failed, so {ticket} fails; it succeeded"
                        ));
                    }
                    // One that was doomed is part of the old failure, not a new one.
                    if doom.is_none() && matches!(step.input, Input::Committed { result: Err(_), .. }) {
                        epoch.failed = epoch.failed.or(Some(ticket));
                    }
                }
                epoch
                    .given
                    .extend(step.output.commit.iter().map(|commit| commit.ticket));
                epoch.given.extend(step.output.apply.iter().map(|apply| apply.ticket));
                if step.output.fetch.iter().any(|(_, fetch)| *fetch == Fetch::Recover) {
                    let given = std::mem::take(&mut epoch.given);
                    if let Some(failed) = epoch.failed.take() {
                        epoch.doomed.extend(given.into_iter().map(|ticket| (ticket, failed)));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
