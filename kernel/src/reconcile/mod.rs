//! Floor 2: rateless set reconciliation: two sides find out in which items their sets differ, for bytes in proportion to the
//! number of differences, which neither need know beforehand.
//!
//! After Yang, Gilad, Alizadeh, "Practical Rateless Set Reconciliation" (SIGCOMM 2024). A set has an endless sequence of
//! *coded symbols*; an item goes into symbol 0, and into symbol i with a probability of 1/(1 + i/2). One side sends
//! the symbols of its set until the other, which takes the symbols of its own set away from them, is left with the symbols
//! of the difference and can *peel* it: a symbol that one item alone went into says which item that is; taken out of all
//! its symbols it leaves others with one. Some 1.35 symbols a difference are enough for many differences, 1.7 for few.
//!
//! ```text
//! Sketch    the first symbols of a set that changes            kept by whoever keeps the set
//! Encoder   all symbols of a set that stands still             on either side, from a sketch or from nothing
//! Decoder   another side's symbols and one's own Encoder  ->   the differences
//! ```
//!
//! ```
//! use kernel::crdt::DigestKey;
//! use kernel::merkle::Item;
//! use kernel::reconcile::{Decoder, Encoder, ShortItem};
//!
//! let key = DigestKey::new([1; 16]);
//! let item = |n: u64| Item { key_hash: n << 40, digest: n.into() };
//! let mut there = Encoder::new(&key, (1..1_001).map(item).collect());
//! let mut decoder = Decoder::new(Encoder::new(&key, (0..1_000).map(item).collect()), 10_000);
//! while let Some(question) = decoder.ask() {
//!     decoder.take(&there.answer(&question, 10_000, 64 << 10)?)?;
//! }
//! let found = decoder.differences().unwrap_or_default();
//! assert_eq!(found.only_here, [item(0)]);
//! assert_eq!(found.only_there, [ShortItem::of(item(1_000))]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Where this differs from the paper:
//! - **Symbols are sums modulo 2^104, not xors with a count.** Of a difference one side's items come with a plus and the
//!   other's with a minus, so a symbol of one item says by itself whose it is, and no count is sent. An item that was
//!   put in twice does not vanish, either.
//! - **The way to an item's next symbol is found with integers.** The paper takes a square root of a uniform number;
//!   the greater of two uniform numbers has the same distribution ([`Encoder`] and everybody else use the same few lines, in
//!   `mapping.rs`). So it is the same on every machine.
//! - **An endless sequence is made in stretches that double**, one pass over the items for each, in place of a heap.
//!
//! # What a symbol costs, and what can go wrong
//!
//! In a symbol an item is 104 bits, 13 bytes: the first 40 bits of its key hash, the last 32 of its digest, and 32 of a keyed
//! SipHash-128 of those 72, the *check*. So a difference costs 13 × 1.35 to 13 × 1.7 bytes.
//! - *A difference is missed*, where the two sides have different items whose 72 bits are the same. For two versions of one
//!   key that is a chance of 2^-32; for two items of different keys, 2^-72. The 128-bit sums of the two sets then still
//!   differ once the differences that were found are settled, and the caller goes on with [`crate::merkle::Walk`].
//! - *A key's hash is not whole.* Whoever is asked for a difference looks under a prefix of 10 nibbles. Of a million keys another
//!   one is there with a chance of 2^-20, and is sent too.
//! - *A false peel*: several items look like one. Symbol i holds d/(1 + i/2) of d differences, and is looked at
//!   once for each of them that is peeled, at most. What is found is believed if its check is right (2^-32) and if it belongs into
//!   symbol i (1/(1 + i/2)); if it seems to be ours, also only if we have it, which by chance is never so. That makes
//!   d × 2^-32 × Σ 1/(1 + i/2)², at most 2.6 × 2^-32 × d false peels: one in 16 million runs with 100 differences, one in
//!   16,000 with 100,000. What is then left over cannot be peeled, and the decoder stops at its bound.
//! - *Symbols that are damaged or lies* leave something that cannot be peeled. The decoder stops at its bound, with an
//!   error, and the caller falls back to the walk. Time and memory are bounded by the symbols that were received.
//!
//! All this is chance only for who does not know the key: it is the cluster's, as that of the digests is.

mod batch;
mod decoder;
mod encoder;
mod mapping;
mod sketch;
mod symbol;

#[cfg(test)]
mod tests;

pub use batch::{BadBatch, first_of_question};
pub use decoder::{Decoder, Differences, Progress, ReconcileError};
pub use encoder::Encoder;
pub use sketch::Sketch;
pub use symbol::{SHORT_BYTES, SYMBOL_BYTES, ShortItem, Symbol};

/// The most symbols of any set: beyond some ten million differences nobody would reconcile like this.
pub const SYMBOLS_MAX: usize = 1 << 24;
