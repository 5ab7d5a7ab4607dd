//! The measure of a simulator is the bugs that it finds. Each classic bug, put back on purpose, is found within a stated
//! number of seeds, and by the promise that it breaks.

use kernel::env::Mutant;
use sim::seeds::{Seeds, first_to_find};

fn found(mutant: Mutant, within: u64, by: &str) {
    let (seed, how) = first_to_find(mutant, Seeds(0..within)).expect("it is found");
    assert_eq!(how, by, "seed {seed}");
}

#[test]
fn equal_stamps_without_a_tie_break() {
    found(Mutant::DropTieBreak, 50, "convergence");
}

#[test]
fn an_acknowledgement_before_its_commit() {
    found(Mutant::AckBeforeCommit, 10, "acknowledged");
}

#[test]
fn a_delete_without_a_tombstone() {
    found(Mutant::ForgetTombstone, 10, "logged-once");
}

#[test]
fn a_message_applied_twice() {
    found(Mutant::ApplyTwice, 10, "logged-once");
}

#[test]
fn a_read_of_what_is_not_yet_durable() {
    found(Mutant::ReadUncommitted, 30, "reads-durable");
}

#[test]
fn a_live_query_that_tells_of_what_is_not_yet_durable() {
    found(Mutant::TellBeforeCommit, 30, "reads-durable");
}

#[test]
fn a_live_query_that_follows_a_state_thrown_away() {
    found(Mutant::SkipStale, 400, "live-answers");
}

#[test]
fn an_expiry_by_a_time_that_is_not_durable() {
    found(Mutant::ExpireEarly, 1_000, "expired-stays");
}

#[test]
fn tickets_answered_out_of_order() {
    found(Mutant::TicketsOutOfOrder, 10, "tickets-in-order");
}
