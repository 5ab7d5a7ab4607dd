//! The walk from the top down.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::merkle::message::{self, BadMessage, PREFIX_BYTES, Part};
use crate::merkle::{Item, Prefix, Sum, Summary};

/// A prefix with at most so many items is answered with the items themselves, which costs about as much as the sums of its
/// children and saves asking for those.
pub const LEAF_ITEMS: u64 = 16;

/// What most parts of an answer take at most: the sums of sixteen children.
const PART_BYTES: usize = 1 + 2 + 16 * (16 + 5);

/// How far a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkBounds {
    /// Bytes of one message. A single part of an answer may go beyond: some 400 bytes, unless dozens of items share a hash.
    pub message_bytes: usize,
    /// Prefixes that are asked about before the walk is given up: the other side could lie for ever.
    pub prefixes: usize,
}

/// Why a walk is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// The answer is not a message.
    #[error(transparent)]
    Message(#[from] BadMessage),
    /// More parts than were asked for, or none, or one that does not belong below its prefix.
    #[error("an answer to something else")]
    Stray,
    /// As many prefixes were asked about as the bounds allow.
    #[error("no end after {0} prefixes")]
    TooLong(usize),
}

/// What a walk has cost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Questions that were answered: times that the network was crossed to and fro.
    pub rounds: u64,
    /// Bytes of those questions.
    pub bytes_asked: u64,
    /// Bytes of their answers.
    pub bytes_answered: u64,
}

/// The asking side of a walk; [`answer`] is the other. It does no I/O: call [`Walk::ask`], carry the question over and the
/// answer back, call [`Walk::take`], until `ask` has no more questions.
///
/// The set may change under the walk, here or there. Then what changed may be missing from the result, or in it without
/// differing any longer; nothing else.
#[derive(Debug, Clone)]
pub struct Walk {
    bounds: WalkBounds,
    /// Prefixes that differ and are yet to be asked about.
    frontier: VecDeque<Prefix>,
    /// Those of the question under way.
    asked: Vec<Prefix>,
    total: usize,
    cost: Cost,
    only_here: Vec<Item>,
    only_there: Vec<Item>,
}

impl Walk {
    /// A walk from the root. Whether the two sets differ at all is cheaper to find out by their sums.
    pub fn new(bounds: WalkBounds) -> Self {
        Self {
            bounds,
            frontier: VecDeque::from([Prefix::ROOT]),
            asked: Vec::new(),
            total: 0,
            cost: Cost::default(),
            only_here: Vec::new(),
            only_there: Vec::new(),
        }
    }

    /// The next question. While an answer is awaited it is the same question again, for one that was lost. `None`: the walk
    /// is at its end.
    pub fn ask(&mut self) -> Option<Vec<u8>> {
        if self.asked.is_empty() {
            let most = self.bounds.message_bytes / PART_BYTES.max(PREFIX_BYTES);
            let most = most.max(1).min(self.frontier.len());
            self.asked.extend(self.frontier.drain(..most));
        }
        (!self.asked.is_empty()).then(|| message::encode_question(&self.asked))
    }

    /// Takes the answer to the question last asked, and compares it with what is `here`.
    ///
    /// # Errors
    /// [`WalkError`], whatever the bytes are. The walk is of no use afterwards.
    pub fn take(&mut self, here: &impl Summary, answer: &[u8]) -> Result<(), WalkError> {
        let parts = message::decode_answer(answer)?;
        if parts.is_empty() || parts.len() > self.asked.len() {
            return Err(WalkError::Stray);
        }
        self.cost.rounds += 1;
        self.cost.bytes_asked += message::encode_question(&self.asked).len() as u64;
        self.cost.bytes_answered += answer.len() as u64;
        self.total += parts.len();
        let asked = core::mem::take(&mut self.asked);
        self.frontier.extend(&asked[parts.len()..]);
        for (prefix, part) in asked.into_iter().zip(parts) {
            match part {
                Part::Children(_) if prefix.is_whole() => return Err(WalkError::Stray),
                Part::Children(sums) => {
                    for (child, there) in prefix.children().zip(sums) {
                        self.compare(here, child, there);
                    }
                }
                Part::Items(items) => {
                    if items.iter().any(|item| !prefix.contains(item.key_hash)) {
                        return Err(WalkError::Stray);
                    }
                    self.take_items(here, prefix, &items);
                }
            }
        }
        if self.total >= self.bounds.prefixes && !self.frontier.is_empty() {
            return Err(WalkError::TooLong(self.total));
        }
        Ok(())
    }

    fn compare(&mut self, here: &impl Summary, prefix: Prefix, there: Sum) {
        if here.summary(prefix) == there {
            return;
        }
        match there.count {
            0 => self.take_items(here, prefix, &[]),
            _ => self.frontier.push_back(prefix),
        }
    }

    /// Merges the two ascending lists of what is below `prefix`.
    fn take_items(&mut self, here: &impl Summary, prefix: Prefix, there: &[Item]) {
        let here = sorted(here, prefix);
        let (mut here, mut there) = (&here[..], there);
        while let ([h, more_here @ ..], [t, more_there @ ..]) = (here, there) {
            let order = h.cmp(t);
            match order {
                Ordering::Less => self.only_here.push(*h),
                Ordering::Greater => self.only_there.push(*t),
                Ordering::Equal => {}
            }
            if order.is_le() {
                here = more_here;
            }
            if order.is_ge() {
                there = more_there;
            }
        }
        self.only_here.extend_from_slice(here);
        self.only_there.extend_from_slice(there);
    }

    /// What it has cost so far.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Items that are here and not there, as far as the walk has come; in no particular order, but the same every time.
    pub fn only_here(&self) -> &[Item] {
        &self.only_here
    }

    /// Items that are there and not here, as far as the walk has come.
    pub fn only_there(&self) -> &[Item] {
        &self.only_there
    }
}

fn sorted(set: &impl Summary, prefix: Prefix) -> Vec<Item> {
    let mut items = Vec::new();
    set.items(prefix, &mut |item| items.push(item));
    items.sort_unstable();
    items
}

/// Answers a question about what is `here`: as many of its prefixes as `message_bytes` have room for, and one in any case.
///
/// # Errors
/// [`BadMessage`], if the question is none.
pub fn answer(here: &impl Summary, question: &[u8], message_bytes: usize) -> Result<Vec<u8>, BadMessage> {
    let mut out = message::begin_answer();
    for (n, prefix) in message::decode_question(question)?.enumerate() {
        let prefix = prefix?;
        let before = out.len();
        if prefix.is_whole() || here.summary(prefix).count <= LEAF_ITEMS {
            message::push_items(&mut out, &sorted(here, prefix));
        } else {
            let sums: Vec<_> = prefix.children().map(|child| here.summary(child)).collect();
            message::push_children(&mut out, &sums);
        }
        if out.len() > message_bytes && n > 0 {
            out.truncate(before);
            break;
        }
    }
    Ok(out)
}
