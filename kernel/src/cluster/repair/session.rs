//! The side that asks, from the first symbols to the end.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use serde::{Deserialize, Serialize};

use crate::cluster::repair::view::digest;
use crate::cluster::repair::{Account, Ask, Repaired, Seal, message_bytes, row_bytes};
use crate::crdt::{Record, Version};
use crate::env::{Limits, Mutant};
use crate::hlc::Stamp;
use crate::merkle::{Item, NIBBLES, Prefix};
use crate::partition::PartitionId;
use crate::reconcile::{Decoder, Encoder, Progress, ReconcileError, SHORT_BYTES, ShortItem};
use crate::store::{Maps, RecordKey};

/// Items that are wanted first, before it is known how many of them an answer settles.
const FIRST_WANTED: usize = 64;

/// One repair of one partition.
///
/// Call [`Session::ask`], send what it says; give what comes to the method of its name, and do what that says
/// ([`Next`]). What no session waits for changes none: a message may come twice, late, or out of its order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    partition: PartitionId,
    /// Whether the other side is given what it lacks.
    gives: bool,
    /// See [`Ask::End`].
    clean: u64,
    phase: Phase,
    seal: Option<Seal>,
    /// Something that came was not taken, for lack of room.
    refused: bool,
    fell_back: bool,
    ended: Ended,
    account: Account,
    begun_us: u64,
    /// When it last asked.
    asked_us: u64,
    /// When something last brought it further.
    moved_us: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Phase {
    Symbols(Box<Decoder>),
    List { theirs: Vec<Item> },
    Fetch(Fetch),
    Give(Give),
}

#[derive(Debug, Serialize, Deserialize)]
struct Fetch {
    only_here: Vec<Item>,
    wanted: Vec<ShortItem>,
    /// How many of them are settled, and what they add up to in the view.
    at: usize,
    sum: u128,
    /// What all of them add up to, where the items were not known whole.
    expected: Option<u128>,
    /// How many to ask for next.
    batch: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Give {
    only_here: Vec<Item>,
    /// What was fetched, ascending: the other side has it.
    theirs: Vec<ShortItem>,
    at: usize,
    /// How many are settled once what was last given is taken, and how many versions that was.
    upto: usize,
    rows: u64,
    /// Whether all was taken so far.
    all: bool,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Ended {
    whole: bool,
    gave: bool,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next question: [`Session::ask`].
    Ask,
    /// Nothing: it was no answer to what was last asked.
    Wait,
    /// Nothing more can come of it: the other side's view is another one.
    GiveUp,
}

impl Session {
    /// A session that compares what `maps` hold now, of one partition. With `gives` the other side is also given what it lacks. `clean` is
    /// told at the end ([`Ask::End`]).
    pub fn new(partition: PartitionId, gives: bool, clean: u64, maps: &Maps, limits: &Limits, now_us: u64) -> Self {
        let here = Encoder::new(maps.digest_key(), maps.items());
        Self {
            partition,
            gives,
            clean,
            phase: Phase::Symbols(Box::new(Decoder::new(here, limits.repair_symbols))),
            seal: None,
            refused: false,
            fell_back: false,
            ended: Ended::default(),
            account: Account::default(),
            begun_us: now_us,
            asked_us: now_us,
            moved_us: now_us,
        }
    }

    /// Which partition.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// When it last asked something.
    pub fn asked_us(&self) -> u64 {
        self.asked_us
    }

    /// When an answer last brought it further.
    pub fn moved_us(&self) -> u64 {
        self.moved_us
    }

    /// Takes note of a frame that was sent for it.
    pub fn sent(&mut self, frame_bytes: u64) {
        self.account.sent_bytes += frame_bytes;
    }

    /// Takes note of a frame that came for it.
    pub fn received(&mut self, frame_bytes: u64) {
        self.account.received_bytes += frame_bytes;
    }

    /// What to say next; the same again until it is answered. The last is [`Ask::End`]: the session is over when that is sent.
    pub fn ask(&mut self, maps: &Maps, limits: &Limits, now_us: u64) -> Ask {
        self.asked_us = now_us;
        let mutants = maps.mutants();
        match &mut self.phase {
            Phase::Symbols(decoder) => Ask::Symbols {
                question: decoder.ask().expect("a decoder that is done was compared with"),
            },
            Phase::List { theirs } => Ask::List {
                from: theirs.len() as u64,
            },
            Phase::Fetch(fetch) if fetch.at < fetch.wanted.len() => {
                let most = fetch.batch.min(message_bytes(limits) / SHORT_BYTES).max(1);
                let items = &fetch.wanted[fetch.at..];
                Ask::Want {
                    at: fetch.at as u64,
                    items: items[..items.len().min(most)].to_vec(),
                }
            }
            Phase::Give(give) => {
                let (upto, mut rows) = give.rows(maps, message_bytes(limits));
                give.upto = upto;
                if mutants.is(Mutant::RepairDeletes) {
                    rows = rows.into_iter().map(|(key, record)| (key, deleted(&record))).collect();
                }
                give.rows = rows.len() as u64;
                if rows.is_empty() {
                    self.ended.gave = give.all;
                    return self.end();
                }
                Ask::Give {
                    upto: upto as u64,
                    rows,
                }
            }
            Phase::Fetch(_) => self.end(),
        }
    }

    fn end(&self) -> Ask {
        Ask::End {
            whole: self.ended.whole,
            gave: self.ended.gave,
            clean: self.clean,
        }
    }

    /// Whether what it asks for now is the last of what it lacks.
    pub fn asks_for_the_last(&self) -> bool {
        matches!(&self.phase, Phase::Fetch(fetch) if fetch.at < fetch.wanted.len() && fetch.wanted.len() - fetch.at <= fetch.batch)
    }

    /// Takes coded symbols.
    pub fn take_symbols(&mut self, maps: &Maps, seal: Seal, batch: &[u8], now_us: u64) -> Next {
        let Phase::Symbols(decoder) = &mut self.phase else {
            return Next::Wait;
        };
        if *self.seal.get_or_insert(seal) != seal {
            return Next::GiveUp;
        }
        let before = decoder.symbols();
        let taken = decoder.take(batch);
        let new = decoder.symbols() - before;
        self.account.symbols += new as u64;
        match taken {
            Ok(Progress::Done) => {
                let found = decoder.differences().unwrap_or_default();
                let here = decoder.items();
                let total = here.len() + found.only_there.len() - found.only_here.len();
                let kept = digest(here).wrapping_sub(digest(&found.only_here));
                let expected = seal.digest.wrapping_sub(kept);
                if total as u64 != seal.total {
                    self.fall_back();
                } else {
                    self.fetch(maps, found.only_here, found.only_there, Some(expected));
                }
            }
            Ok(Progress::More { .. }) if new > 0 => {}
            Ok(Progress::More { .. }) | Err(ReconcileError::Gap { .. }) => return Next::Wait,
            Err(ReconcileError::Batch(_) | ReconcileError::TooLong(_)) => self.fall_back(),
        }
        self.moves(now_us)
    }

    /// Takes a stretch of the list: what it asked for, or what it gets in place of symbols.
    pub fn take_items(
        &mut self,
        maps: &Maps,
        seal: Seal,
        from: u64,
        items: &[Item],
        limits: &Limits,
        now_us: u64,
    ) -> Next {
        if matches!(self.phase, Phase::Symbols(_)) && from == 0 {
            self.fell_back |= seal.total > limits.repair_list_items as u64;
            self.phase = Phase::List { theirs: Vec::new() };
        }
        let Phase::List { theirs } = &mut self.phase else {
            return Next::Wait;
        };
        if *self.seal.get_or_insert(seal) != seal {
            return Next::GiveUp;
        }
        let more = theirs.len() < seal.total as usize;
        if from != theirs.len() as u64 || (items.is_empty() && more) {
            return Next::Wait;
        }
        theirs.extend_from_slice(items);
        self.account.listed += items.len() as u64;
        let ascends = theirs.is_sorted_by(|a, b| a < b);
        if !ascends || theirs.len() as u64 > seal.total {
            return Next::GiveUp;
        }
        if theirs.len() as u64 == seal.total {
            let theirs = core::mem::take(theirs);
            let mut ours = maps.items();
            ours.sort_unstable();
            let (only_here, only_there) = compare(&ours, &theirs, maps);
            self.fetch(maps, only_here, only_there, None);
        }
        self.moves(now_us)
    }

    fn fall_back(&mut self) {
        self.fell_back = true;
        self.phase = Phase::List { theirs: Vec::new() };
    }

    fn moves(&mut self, now_us: u64) -> Next {
        self.moved_us = now_us;
        self.account.round_trips += 1;
        Next::Ask
    }

    fn fetch(&mut self, maps: &Maps, only_here: Vec<Item>, wanted: Vec<ShortItem>, expected: Option<u128>) {
        let one_way = maps.mutants().is(Mutant::RepairOneWay);
        self.phase = Phase::Fetch(Fetch {
            only_here,
            wanted: if one_way { Vec::new() } else { wanted },
            at: 0,
            sum: 0,
            expected: expected.filter(|_| !one_way),
            batch: FIRST_WANTED,
        });
        self.settle();
    }

    /// Goes on behind what is fetched, once that is all.
    fn settle(&mut self) {
        let Phase::Fetch(fetch) = &mut self.phase else {
            return;
        };
        if fetch.at < fetch.wanted.len() {
            return;
        }
        if fetch.expected.is_some_and(|expected| expected != fetch.sum) {
            // Two items that look alike, or symbols that were none of this view's.
            self.fall_back();
            return;
        }
        self.ended = Ended {
            whole: !self.refused,
            gave: fetch.only_here.is_empty(),
        };
        if self.gives && !fetch.only_here.is_empty() {
            self.phase = Phase::Give(Give {
                only_here: core::mem::take(&mut fetch.only_here),
                theirs: core::mem::take(&mut fetch.wanted),
                at: 0,
                upto: 0,
                rows: 0,
                all: true,
            });
        }
    }

    /// Takes note of versions that were asked for: `count` of them, `all` of which were merged, or some not for lack of room.
    pub fn take_rows(&mut self, at: u64, upto: u64, sum: u128, count: u64, all: bool, now_us: u64) -> Next {
        let Phase::Fetch(fetch) = &mut self.phase else {
            return Next::Wait;
        };
        let asked = (fetch.at as u64)..=(fetch.wanted.len() as u64);
        if at != *asked.start() || upto <= at || !asked.contains(&upto) {
            return Next::Wait;
        }
        let settled = (upto - at) as usize;
        // An answer that does not settle all that was asked for says how many to ask for.
        fetch.batch = if settled < fetch.batch { settled } else { 2 * settled };
        fetch.at = upto as usize;
        fetch.sum = fetch.sum.wrapping_add(sum);
        self.refused |= !all;
        self.account.records_in += count;
        self.settle();
        self.moves(now_us)
    }

    /// Takes note that what was given was taken.
    pub fn take_taken(&mut self, upto: u64, all: bool, now_us: u64) -> Next {
        let Phase::Give(give) = &mut self.phase else {
            return Next::Wait;
        };
        if upto <= give.at as u64 || upto > give.upto as u64 {
            return Next::Wait;
        }
        give.at = upto as usize;
        give.all &= all;
        self.account.records_out += give.rows;
        self.moves(now_us)
    }

    /// How it ended, or stands.
    pub fn repaired(&self) -> Repaired {
        Repaired {
            partition: self.partition,
            as_of: self.seal.map_or(0, |seal| seal.as_of),
            whole: self.ended.whole,
            gave: self.ended.gave,
            clean: self.clean,
            fell_back: self.fell_back,
            begun_us: self.begun_us,
            account: self.account,
        }
    }
}

impl Give {
    /// The next versions to give, and how many items they settle: those that the other side does not have by now.
    fn rows(&self, maps: &Maps, most_bytes: usize) -> (usize, Vec<(RecordKey, Record)>) {
        let (mut upto, mut bytes) = (self.at, 0);
        let mut rows = Vec::new();
        for item in &self.only_here[self.at..] {
            // What was fetched may have replaced it. Anything else that did is given in its place.
            let held = maps.rows_below(Prefix::of(item.key_hash, NIBBLES));
            let held = held.filter(|(now, ..)| self.theirs.binary_search(&ShortItem::of(*now)).is_err());
            let held: Vec<_> = held.map(|(_, key, version)| (key, Record::new(&version))).collect();
            let more: usize = held.iter().map(row_bytes).sum();
            if bytes > 0 && bytes + more > most_bytes {
                break;
            }
            bytes += more;
            rows.extend(held);
            upto += 1;
        }
        (upto, rows)
    }
}

/// What two ascending lists differ in: items that are only in the first, and what is wanted of the second, ascending.
fn compare(ours: &[Item], theirs: &[Item], maps: &Maps) -> (Vec<Item>, Vec<ShortItem>) {
    let (mut only_here, mut wanted) = (Vec::new(), Vec::new());
    let mut ours = ours.iter().copied().peekable();
    for item in theirs {
        while let Some(own) = ours.next_if(|own| own < item) {
            only_here.push(own);
        }
        match ours.peek().map(|own| own.cmp(item)) {
            Some(Ordering::Equal) => _ = ours.next(),
            _ => wanted.push(ShortItem::of(*item)),
        }
    }
    if !maps.mutants().is(Mutant::ListTailLost) {
        only_here.extend(ours);
    }
    wanted.sort_unstable();
    (only_here, wanted)
}

/// A classic bug: what the other side lacks must have been deleted there.
fn deleted(record: &Record) -> Record {
    let version = record.version();
    let stamp = Stamp::new(version.stamp.millis() + 1, 0, version.stamp.writer()).unwrap_or(version.stamp);
    Record::new(&Version::new(stamp, version.writer, None))
}
