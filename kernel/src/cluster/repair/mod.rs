//! Repair: one node finds out what of a partition it lacks and another has, fetches that, and gives what the other lacks.
//!
//! Digests say which partitions differ. For each, one side opens a *session*. It asks, the other answers, one question at a time;
//! whatever is lost on the way is asked again, and what comes twice or late changes nothing:
//!
//! ```text
//! the side that asks (Session)               the side that answers (View)
//!   Symbols: coded symbols, please             freezes what it holds, and answers from that until the end
//!                                              Symbols, or Items where a list costs no more
//!   [List: that came to nothing; list it all   Items]
//!   Want: these items                          Rows: what it holds of them now
//!   Give: what only I had                      Taken
//!   End
//! ```
//!
//! **Naming the differences.** [`crate::reconcile`] does it for bytes in proportion to their number. A partition of a few records
//! is listed at once. When coded symbols have cost about what the list would, or are of no use (chance, damage, a lie), the list of
//! the frozen view is asked for: 24 bytes an item, in order, a stretch at a time. It is the fallback that always works, and
//! simpler than a walk down a Merkle tree, which pays off where few of very many items differ, and there symbols do better.
//!
//! **The end is definite.** Whoever asked then holds all that the other's view held, merged: each item that the view has and this
//! side lacked was asked for and answered, and the 128-bit sum of this side's items, differences settled, is that of the view
//! (coded symbols see 72 bits of an item; where the sum does not fit, the list decides). The other side answers with what it
//! holds *now* under the key of an item: that wins over what was frozen, or is it. [`Repaired::as_of`] says which entry of the other
//! side's log the view reflects. A new replica of a partition is filled in another way: it asks for all of it, in chunks.
//!
//! **Nothing depends on it.** A session whose other side is silent, or has forgotten its view, is over without an end, and the
//! difference is found again. All records are merged as any other change is: rows that came are not lost with the session.
//!
//! A version that has expired is an item like any other, and so is a tombstone: they leave the digests at the floor only.
//!
//! **What it costs.** A frozen view holds 32 bytes an item, 64 once symbols are made of it, and 16 a symbol, on either side, until
//! the end or as long as silence is borne. Rows go in messages of `Limits::repair_bytes`, each asked for when the last was merged.

mod link;
mod session;
mod view;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::crdt::Record;
use crate::env::Limits;
use crate::merkle::Item;
use crate::partition::PartitionId;
use crate::reconcile::ShortItem;
use crate::store::RecordKey;

pub use link::{Overdue, Repairs};
pub use session::{Next, Session};
pub use view::View;

/// What identifies a frozen view: it is in each answer that shows the view, and the same in all of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seal {
    /// The sum of the digests of its items.
    pub digest: u128,
    /// How many there are.
    pub total: u64,
    /// The entry of the answering side's log that it reflects.
    pub as_of: u64,
}

/// What the side that repairs says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Coded symbols ([`crate::reconcile::Decoder::ask`]). A question for the first freezes the view.
    Symbols {
        /// The question.
        question: Vec<u8>,
    },
    /// The list of the view.
    List {
        /// The number of the first item that is wanted.
        from: u64,
    },
    /// The versions of items.
    Want {
        /// How many have been answered.
        at: u64,
        /// The next ones.
        items: Vec<ShortItem>,
    },
    /// Versions that the other side lacked.
    Give {
        /// How many items they settle, those before included.
        upto: u64,
        /// The versions.
        rows: Vec<(RecordKey, Record)>,
    },
    /// It is over; the view can go.
    End {
        /// Whether all that the view held is here now.
        whole: bool,
        /// Whether the other side has said that it holds all that this side held when it began.
        gave: bool,
        /// The version of the cluster's state at which both sides knew all members to be clean when it began; 0 if they did not.
        clean: u64,
    },
}

/// What the other side answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Coded symbols of the view.
    Symbols {
        /// Of which view.
        seal: Seal,
        /// A batch for a [`crate::reconcile::Decoder`].
        batch: Vec<u8>,
    },
    /// Items of the view.
    Items {
        /// Of which view.
        seal: Seal,
        /// The number of the first.
        from: u64,
        /// Ascending.
        items: Vec<Item>,
    },
    /// Versions that were wanted, as they are now.
    Rows {
        /// How many items had been answered before.
        at: u64,
        /// How many are now.
        upto: u64,
        /// The sum of the digests that these items have in the view.
        sum: u128,
        /// The versions.
        rows: Vec<(RecordKey, Record)>,
    },
    /// What was given was merged.
    Taken {
        /// How many items are settled with that.
        upto: u64,
        /// Whether all of it was taken; what there was no room for was not.
        all: bool,
    },
    /// There is no such view, or no longer.
    Gone,
}

/// What a session has cost the side that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// Bytes of its frames.
    pub sent_bytes: u64,
    /// Bytes of the other side's.
    pub received_bytes: u64,
    /// Answers that brought it further: times that the network was crossed to and fro.
    pub round_trips: u64,
    /// Coded symbols received.
    pub symbols: u64,
    /// Items of lists received.
    pub listed: u64,
    /// Records received.
    pub records_in: u64,
    /// Records given.
    pub records_out: u64,
}

impl Account {
    /// Adds what another session has cost.
    pub fn add(&mut self, other: &Self) {
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.round_trips += other.round_trips;
        self.symbols += other.symbols;
        self.listed += other.listed;
        self.records_in += other.records_in;
        self.records_out += other.records_out;
    }
}

/// How a session ended, for the side that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// The partition.
    pub partition: PartitionId,
    /// The entry of the other side's log that its view reflected; 0 if it never answered.
    pub as_of: u64,
    /// Whether all that the view held is here now, merged; durable as soon as what this step commits is.
    pub whole: bool,
    /// Whether the other side has said that it holds, durably, all that this side held when it began.
    pub gave: bool,
    /// See [`Ask::End`].
    pub clean: u64,
    /// Whether coded symbols were given up for the list.
    pub fell_back: bool,
    /// When it began, by the clock of this side.
    pub begun_us: u64,
    /// What it cost.
    pub account: Account,
}

/// Bytes that one answer may have, whatever it holds. A frame has room for that and what stands around it.
fn message_bytes(limits: &Limits) -> usize {
    limits.repair_bytes.min(limits.frame_bytes / 2)
}

/// Bytes of a record among others in a message.
fn row_bytes((key, record): &(RecordKey, Record)) -> usize {
    key.as_bytes().len() + record.as_bytes().len()
}
