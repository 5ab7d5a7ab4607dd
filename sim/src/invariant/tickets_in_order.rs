//! **Promises** that commits are given rising numbers and answered in the order they were given, each exactly once; so
//! are applies, and so are fetches. A machine may then forget what is in flight from the front.
//! **From** the second rule of order in `kernel::machine`.

use std::collections::{BTreeMap, VecDeque};

use kernel::env::Ticket;
use kernel::machine::Input;

use super::{Invariant, Seen};

/// See the module.
#[derive(Debug, Default)]
pub struct TicketsInOrder {
    nodes: BTreeMap<usize, InFlight>,
}

#[derive(Debug, Default)]
struct InFlight {
    last: Ticket,
    commits: VecDeque<Ticket>,
    applies: VecDeque<Ticket>,
    fetches: VecDeque<Ticket>,
}

impl Invariant for TicketsInOrder {
    fn name(&self) -> &'static str {
        "tickets-in-order"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => {
                self.nodes.insert(*node, InFlight::default());
            }
            Seen::Told { node, input } => {
                let flight = self.nodes.entry(*node).or_default();
                let answered = match input {
                    Input::Committed { ticket, .. } => Some(("commit", *ticket, flight.commits.pop_front())),
                    Input::Applied { ticket, .. } => Some(("apply", *ticket, flight.applies.pop_front())),
                    Input::Fetched { ticket, .. } => Some(("fetch", *ticket, flight.fetches.pop_front())),
                    _ => None,
                };
                if let Some((kind, ticket, due)) = answered.filter(|(_, ticket, due)| Some(*ticket) != *due) {
                    let due = due.map_or("none".into(), |due| due.0.to_string());
                    let ticket = ticket.0;
                    return Err(format!(
                        "the next {kind} that n{node} is answered is {due}; it was {ticket}"
                    ));
                }
            }
            Seen::Stepped { step, .. } => {
                let node = step.node;
                let flight = self.nodes.entry(node).or_default();
                let commits = step.output.commit.iter().map(|commit| commit.ticket);
                let applies = step.output.apply.iter().map(|apply| apply.ticket);
                let fetches = step.output.fetch.iter().map(|(ticket, _)| *ticket);
                flight.commits.extend(commits.clone());
                flight.applies.extend(applies.clone());
                flight.fetches.extend(fetches.clone());
                // Within one step the three kinds may be numbered in any order; across steps the numbers rise.
                let given: Vec<Ticket> = commits.chain(applies).chain(fetches).collect();
                let last = flight.last.0;
                if let Some(old) = given.iter().find(|ticket| ticket.0 <= last) {
                    let old = old.0;
                    return Err(format!("n{node} gave ticket {old} after {last}, and numbers rise"));
                }
                flight.last = given.into_iter().max().unwrap_or(flight.last);
            }
            _ => {}
        }
        Ok(())
    }
}
