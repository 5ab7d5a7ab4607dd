//! From another side's symbols to the differences.

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::merkle::Item;
use crate::reconcile::batch::{self, BadBatch};
use crate::reconcile::mapping::Mapping;
use crate::reconcile::{Encoder, SYMBOLS_MAX, ShortItem, Symbol};

/// How many symbols to ask for first, and what to ask for at least.
const FIRST_SYMBOLS: usize = 16;
const LEAST_SYMBOLS: usize = 8;
/// Symbols before which nothing that was peeled is believed. A false peel in the first symbol alone leaves nothing over; the
/// items behind it are in others.
const SURE_SYMBOLS: usize = 8;
/// How many symbols to have next, in percent of those held, while no more than so many of a thousand symbols gave an item.
///
/// Long before a difference comes apart, the part of it that does says how large it is: with 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1
/// and 1.2 symbols a difference it is 6, 16, 32, 50, 73, 103, 134, 170 and 212 of a thousand symbols (measured with 1,000 and 10,000
/// differences; the same within a tenth). It takes 1.35 in the end: each step stays below that, and the last ones are small, because a
/// symbol too many costs more than a question.
const NEXT_PERCENT: [(usize, usize); 10] = [
    (4, 300),
    (10, 250),
    (20, 220),
    (40, 180),
    (70, 150),
    (100, 135),
    (130, 125),
    (170, 115),
    (210, 108),
    (1_000, 105),
];

/// The receiving side. It does no I/O: call [`Decoder::ask`], carry the question to the other side's [`Encoder::answer`] and the
/// batch back, call [`Decoder::take`], until there is nothing to ask. Batches may also be streamed unasked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decoder {
    here: Encoder,
    bound: usize,
    /// The other side's symbols, without ours and without what was peeled.
    symbols: Vec<Symbol>,
    #[serde(serialize_with = "ascending", deserialize_with = "heaped")]
    under_way: BinaryHeap<Reverse<Peeled>>,
    /// Symbols to be looked at, each once.
    suspects: Vec<usize>,
    suspected: Vec<bool>,
    only_here: BTreeMap<ShortItem, Item>,
    only_there: BTreeSet<ShortItem>,
    done: bool,
}

/// An item that was peeled, on its way through symbols that are yet to come: it is `own` in the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Peeled {
    own: Symbol,
    mapping: Mapping,
}

impl Ord for Peeled {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        let key = |peeled: &Self| (peeled.mapping.next(), peeled.own.to_bytes());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Peeled {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A heap as its content in order: how it lies in memory has a history.
fn ascending<S: Serializer>(heap: &BinaryHeap<Reverse<Peeled>>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut peeled: Vec<Peeled> = heap.iter().map(|Reverse(peeled)| *peeled).collect();
    peeled.sort_unstable();
    peeled.serialize(serializer)
}

fn heaped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BinaryHeap<Reverse<Peeled>>, D::Error> {
    Ok(Vec::deserialize(deserializer)?.into_iter().map(Reverse).collect())
}

/// How far a decoder has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It needs the symbols from number `from` on. With `count` of them it will be done, or know better how many it needs.
    More {
        /// The first.
        from: usize,
        /// How many.
        count: usize,
    },
    /// It knows the differences.
    Done,
}

/// Why reconciliation is given up. A Merkle walk does the same for more bytes, whatever happened here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The bytes are not a batch of symbols.
    #[error(transparent)]
    Batch(#[from] BadBatch),
    /// Symbols before these are missing.
    #[error("symbols from number {from}, and those from {expected} on are missing")]
    Gap {
        /// The number of the first that came.
        from: usize,
        /// The number of the first that should have come.
        expected: usize,
    },
    /// It is not done after as many symbols as its bound allows.
    #[error("no end after {0} symbols")]
    TooLong(usize),
}

/// What two sets differ in, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences {
    /// Items that are here and not there.
    pub only_here: Vec<Item>,
    /// What is known of items that are there and not here.
    pub only_there: Vec<ShortItem>,
}

impl Decoder {
    /// A decoder that compares with the frozen set of `here`, and gives up when `bound` symbols, [`SYMBOLS_MAX`] at most, are
    /// not enough.
    pub fn new(here: Encoder, bound: usize) -> Self {
        Self {
            here,
            bound: bound.min(SYMBOLS_MAX),
            symbols: Vec::new(),
            under_way: BinaryHeap::new(),
            suspects: Vec::new(),
            suspected: Vec::new(),
            only_here: BTreeMap::new(),
            only_there: BTreeSet::new(),
            done: false,
        }
    }

    /// How far it has come, and what to ask for next.
    pub fn progress(&self) -> Progress {
        if self.done {
            return Progress::Done;
        }
        let from = self.symbols.len();
        let wanted = match from {
            0 => FIRST_SYMBOLS,
            _ => {
                let peeled = self.peeled() * 1_000 / from;
                let next = NEXT_PERCENT.iter().find(|(most, _)| peeled <= *most);
                let (_, percent) = next.expect("there are no more items than symbols");
                (from * percent / 100 - from).max(LEAST_SYMBOLS)
            }
        };
        Progress::More {
            from,
            count: wanted.min(self.bound - from),
        }
    }

    /// The question for what it needs next, 9 bytes. `None`: it is done.
    pub fn ask(&self) -> Option<Vec<u8>> {
        match self.progress() {
            Progress::More { from, count } => Some(batch::encode_question(from, count)),
            Progress::Done => None,
        }
    }

    /// How many items came apart so far.
    pub(super) fn peeled(&self) -> usize {
        self.only_here.len() + self.only_there.len()
    }

    /// Takes a batch of the other side's symbols. Those that it has are passed over, as a batch may come twice;
    /// and so is everything once it is done.
    ///
    /// # Errors
    /// [`ReconcileError`], whatever the bytes are. After anything but a gap it is of no use.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Progress, ReconcileError> {
        if self.done {
            return Ok(Progress::Done);
        }
        let (from, symbols) = batch::decode(bytes)?;
        let held = self.symbols.len();
        let Some(new) = held.checked_sub(from) else {
            return Err(ReconcileError::Gap { from, expected: held });
        };
        let new = symbols.get(new..).unwrap_or_default();
        if new.is_empty() {
            return Ok(self.progress());
        }
        // Beyond the bound nothing is kept: what fits may yet be enough.
        let new = &new[..new.len().min(self.bound - held)];
        for (there, here) in new.iter().zip(self.here.symbols(held, new.len())) {
            self.symbols.push(Symbol::from_bytes(*there).minus(*here));
        }
        self.suspected.resize(self.symbols.len(), false);
        self.peel_on(held);
        (held..self.symbols.len()).for_each(|index| self.suspect(index));
        self.peel();
        // Every item goes into the first symbol, but that alone may be clean by a false peel or a lie.
        let sure = if self.peeled() == 0 { 1 } else { SURE_SYMBOLS };
        self.done = self.symbols.len() >= sure && self.symbols.iter().all(|symbol| *symbol == Symbol::ZERO);
        if !self.done && self.symbols.len() == self.bound {
            return Err(ReconcileError::TooLong(self.bound));
        }
        Ok(self.progress())
    }

    /// Takes what was peeled before out of the symbols from number `held` on.
    fn peel_on(&mut self, held: usize) {
        let len = self.symbols.len();
        while let Some(mut top) = self.under_way.peek_mut() {
            let Reverse(peeled) = &mut *top;
            let Some(index) = peeled.mapping.step(len) else {
                break;
            };
            debug_assert!(index >= held, "symbol {index} was peeled before");
            self.symbols[index] = self.symbols[index].minus(peeled.own);
        }
    }

    fn suspect(&mut self, index: usize) {
        if !core::mem::replace(&mut self.suspected[index], true) {
            self.suspects.push(index);
        }
    }

    /// Peels as far as it goes. Of a difference of sets no more items are peeled than there are symbols.
    fn peel(&mut self) {
        while self.peeled() < self.symbols.len() {
            let Some(index) = self.suspects.pop() else {
                break;
            };
            self.suspected[index] = false;
            if let Some((own, mapping)) = self.identify(index) {
                self.take_out(own, mapping);
            }
        }
    }

    /// Takes note of the one item that symbol `index` is of, if it is, and says where else that went.
    fn identify(&mut self, index: usize) -> Option<(Symbol, Mapping)> {
        let belongs = |(_, mapping): &(ShortItem, Mapping)| {
            let mut mapping = *mapping;
            while mapping.next() < index as u64 {
                mapping.advance();
            }
            mapping.next() == index as u64
        };
        let symbol = self.symbols[index];
        if symbol == Symbol::ZERO {
            return None;
        }
        if let Some((item, mapping)) = self.here.code.open(symbol).filter(belongs) {
            let new = self.here.find(item).is_none() && self.only_there.insert(item);
            return new.then_some((symbol, mapping));
        }
        let (item, mapping) = self.here.code.open(symbol.negated()).filter(belongs)?;
        let new = self.only_here.insert(item, self.here.find(item)?).is_none();
        new.then_some((symbol, mapping))
    }

    fn take_out(&mut self, own: Symbol, mut mapping: Mapping) {
        while let Some(index) = mapping.step(self.symbols.len()) {
            self.symbols[index] = self.symbols[index].minus(own);
            self.suspect(index);
        }
        self.under_way.push(Reverse(Peeled { own, mapping }));
    }

    /// Our items, ascending.
    pub fn items(&self) -> &[Item] {
        self.here.items()
    }

    /// How many symbols it has been given.
    pub fn symbols(&self) -> usize {
        self.symbols.len()
    }

    /// The differences; `None` until it is done.
    pub fn differences(&self) -> Option<Differences> {
        self.done.then(|| Differences {
            only_here: self.only_here.values().copied().collect(),
            only_there: self.only_there.iter().copied().collect(),
        })
    }
}
