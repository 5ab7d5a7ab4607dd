//! Floor 4: a register agreed by a majority of the nodes that its value names.
//!
//! After CASPaxos (Rystsov, "CASPaxos: Replicated State Machines without logs", 2018, arXiv 1802.07000): a value that is
//! changed by compare-and-set, without a leader and without a log. What differs is that the voters are part of the value
//! ([`Agreed::voters`]), so that a change of the list is a change like any other.
//!
//! # How it agrees
//! The register is a chain of *versions*. Each next one is chosen by single-decree Paxos (Lamport, "Paxos Made Simple", 2001)
//! among the voters that the version before names:
//! 1. A proposer that holds version v *prepares* a ballot for v + 1 with the voters of v, and with those of the value that it
//!    wants. Each promises to take no lower ballot, and tells the highest that it has accepted.
//! 2. If a majority of the voters of v has promised, the proposer asks all to *accept*: the value of the highest accepted ballot
//!    that it was told of, whoever's that is, or else its own.
//! 3. A value accepted by a majority of the voters of v, and by a majority of its own, is chosen. The proposer learns it, and
//!    tells everybody.
//!
//! # Why the chain never forks
//! Accepting needs a majority of the voters of v, as preparing does: any two meet in a voter, and that is all that Paxos asks
//! for. Version by version there is one value, so there is one set of voters for the next. That the new list's
//! majority has it too is not needed for that. It is so that those who left can be switched off and wiped as soon as the
//! change is known (rule 9 of the promises), and it makes a change of any number of members at once as safe as of one.
//!
//! A proposer whose own value changes the list asks nobody to accept it before a majority of the new list has promised. A
//! node that was added by mistake, or died on its way, makes that attempt time out; had the change been accepted before, it would
//! have to be finished first, for ever. But for a sole voter: nobody else proposes, and it tells nobody what it has not stored, so
//! that a value which it accepted and has not learned was chosen by nobody. It may take its offer back.
//!
//! # What it relies on
//! - What was stored is there after a restart. A node that lost it, or has an older copy, must come back under another id:
//!   nothing in here can tell a wiped voter from a newcomer.
//! - The writer id is drawn at boot, so that no two boots ever use one ballot.
//! - Those who speak are nodes of this cluster; `from` is who it says. Others' words that contradict the chain are
//!   not detected.

mod ballot;
mod message;
mod propose;
mod state;
mod stored;

#[cfg(test)]
mod tests;

pub use ballot::Ballot;
pub use message::Message;
pub use propose::GIVE_UP_US;
pub use state::Register;
pub use stored::Stored;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt::Debug;

use crate::env::NodeId;

/// What a register can hold: a value that says who votes on its successor.
pub trait Agreed: Clone + PartialEq + Debug {
    /// The nodes that vote on the next value: sorted, distinct, at least one. A value without voters could never be followed by
    /// another, and is neither proposed, accepted nor learned.
    fn voters(&self) -> Vec<NodeId>;
}

/// Whether `votes` hold a majority of `voters`. Of no voters there is none.
fn majority(voters: &[NodeId], votes: &BTreeSet<NodeId>) -> bool {
    2 * voters.iter().filter(|voter| votes.contains(voter)).count() > voters.len()
}
