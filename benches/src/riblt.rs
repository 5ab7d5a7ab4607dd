//! Finding what differs between two sets of a million items: by coded symbols, and by a Merkle walk over the same sets.
//!
//! Of `orrery` and `merkle-walk` the operations are differences found, the bytes are all that crossed, both ways, before any
//! record does, in batches and questions whole, and the note says how many *rounds* that took: questions that had to be
//! answered before the next could be asked. Symbols can as well be streamed without waiting; then there is one round, and what is
//! under way when the receiver is done is lost. The time of `orrery` is the decoder's, that of `merkle-walk` is both sides'. Both sides have their set's first symbols, and their tree, before it begins. The `bound` is what it takes to name
//! the differences, 8 bytes of key and 4 of digest each, if one knew them.

use std::hint::black_box;

use kernel::crdt::DigestKey;
use kernel::env::SeededRng;
use kernel::merkle::{Item, Trie, Walk, WalkBounds, answer};
use kernel::reconcile::{Decoder, Encoder, Sketch};

use crate::row::Row;
use crate::timer::{Spent, Timer};
use crate::{Failure, Load, Rows};

const ITEMS: usize = 1_000_000;
const DIFFERENCES: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
/// Symbols kept of a set: more than the most differences take.
const KEPT: usize = 1 << 18;
/// Symbols that a partition could well keep.
const KEPT_SMALL: usize = 1 << 12;
const BOUNDS: WalkBounds = WalkBounds {
    message_bytes: 1 << 20,
    prefixes: usize::MAX,
};

/// A set, its symbols and its tree.
struct Side {
    items: Vec<Item>,
    sketch: Sketch,
    trie: Trie,
}

fn item(rng: &mut SeededRng) -> Item {
    Item {
        key_hash: rng.next_u64(),
        digest: u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()),
    }
}

impl Side {
    fn of(items: Vec<Item>, key: &DigestKey) -> Self {
        let mut sketch = Sketch::new(key, KEPT);
        items.iter().for_each(|item| sketch.insert(*item));
        let trie = items.iter().copied().collect();
        Self { items, sketch, trie }
    }

    /// Changes the records at every so many places; each is two differences, and an odd one is a new record.
    fn change(&mut self, differences: usize, rng: &mut SeededRng) {
        let mut indexes: Vec<_> = (0..self.items.len()).collect();
        for n in 0..differences / 2 {
            let other = n + rng.below((indexes.len() - n) as u64) as usize;
            indexes.swap(n, other);
            let old = self.items[indexes[n]];
            let new = Item {
                key_hash: old.key_hash,
                ..item(rng)
            };
            self.items[indexes[n]] = new;
            self.sketch.remove(old);
            self.sketch.insert(new);
            self.trie.remove(old);
            self.trie.insert(new);
        }
        if differences % 2 == 1 {
            let new = item(rng);
            self.items.push(new);
            self.sketch.insert(new);
            self.trie.insert(new);
        }
    }

    fn encoder(&self) -> Encoder {
        Encoder::from_sketch(&self.sketch, self.items.clone())
    }
}

fn row(subject: &'static str, ops: usize, spent: Spent, bytes: u64, note: String) -> Row {
    Row::of_thread(("riblt", subject), ops, spent, bytes, note)
}

/// Reconciles by symbols: the time of the decoder, bytes and rounds.
fn by_symbols(here: &Side, there: &Side, differences: usize) -> Result<(Spent, usize, usize), Failure> {
    let mut there = there.encoder();
    let mut decoder = Decoder::new(here.encoder(), KEPT);
    let (mut spent, mut bytes, mut rounds) = (Spent::default(), 0, 0);
    while let Some(question) = decoder.ask() {
        let batch = there.answer(&question, KEPT, BOUNDS.message_bytes)?;
        bytes += question.len() + batch.len();
        rounds += 1;
        let timer = Timer::start();
        decoder.take(&batch)?;
        spent += timer.spent();
    }
    let found = decoder.differences().ok_or("a decoder that is not done")?;
    if found.only_here.len() + found.only_there.len() != differences {
        return Err("other differences were found".into());
    }
    Ok((spent, bytes, rounds))
}

fn by_walk(here: &Side, there: &Side, differences: usize) -> Rows {
    let timer = Timer::start();
    let mut walk = Walk::new(BOUNDS);
    while let Some(question) = walk.ask() {
        walk.take(&here.trie, &answer(&there.trie, &question, BOUNDS.message_bytes)?)?;
    }
    let spent = timer.spent();
    if walk.only_here().len() + walk.only_there().len() != differences {
        return Err("other differences were walked to".into());
    }
    let cost = walk.cost();
    let bytes = cost.bytes_asked + cost.bytes_answered;
    let note = format!(
        "{differences} differences: {} rounds, {:.1} bytes a difference",
        cost.rounds,
        bytes as f64 / differences as f64
    );
    Ok(vec![row("merkle-walk", differences, spent, bytes, note)])
}

fn compare(here: &Side, differences: usize, rng: &mut SeededRng) -> Rows {
    let runs = if differences > 1_000 { 2 } else { 20 };
    let (mut spent, mut total, mut worst, mut rounds) = (Spent::default(), 0, 0, 0);
    let mut rows = Vec::new();
    for run in 0..runs {
        let mut there = Side {
            items: here.items.clone(),
            sketch: here.sketch.clone(),
            trie: if run == 0 { here.trie.clone() } else { Trie::new() },
        };
        there.change(differences, rng);
        let (time, bytes, asked) = by_symbols(here, &there, differences)?;
        spent += time;
        total += bytes;
        worst = worst.max(bytes);
        rounds += asked;
        if run == 0 {
            rows = by_walk(here, &there, differences)?;
        }
    }
    let each = |bytes: usize| bytes as f64 / differences as f64;
    let note = format!(
        "{differences} differences: {:.1} rounds, {:.1} bytes a difference, {:.1} in the worst of {runs} runs",
        rounds as f64 / f64::from(runs),
        each(total) / f64::from(runs),
        each(worst)
    );
    let found = differences * runs as usize;
    rows.insert(0, row("orrery", found, spent, (total / runs as usize) as u64, note));
    let note = format!("{differences} differences: 12 bytes a difference");
    rows.push(row("bound", 0, Spent::default(), 12 * differences as u64, note));
    Ok(rows)
}

/// How fast symbols are made and kept.
fn speeds(items: &[Item], key: &DigestKey) -> Vec<Row> {
    let mut rows = Vec::new();
    for count in [1_000, 100_000] {
        let mut encoder = Encoder::new(key, items.to_vec());
        let timer = Timer::start();
        black_box(encoder.symbols(0, count));
        let note = format!("symbols made of {} items from nothing, the first {count}", items.len());
        rows.push(row("orrery", count, timer.spent(), 13 * count as u64, note));
    }
    for kept in [KEPT_SMALL, KEPT] {
        let mut sketch = Sketch::new(key, kept);
        let timer = Timer::start();
        items.iter().for_each(|item| sketch.insert(*item));
        let bytes = size_of_val(sketch.symbols()) as u64;
        let note = format!("changes of a set of which {kept} symbols are kept");
        rows.push(row("orrery", items.len(), timer.spent(), bytes, note));
    }
    let timer = Timer::start();
    let trie: Trie = items.iter().copied().collect();
    let note = "changes of a set of which a tree of sums is kept".to_string();
    rows.push(row("merkle-trie", items.len(), timer.spent(), 0, note));
    black_box(trie.sum());
    rows
}

pub(crate) fn run(load: &Load) -> Rows {
    let part = if load.quick { 10 } else { 1 };
    let key = DigestKey::new([7; 16]);
    let mut rng = SeededRng::from_u64(1);
    let items: Vec<_> = (0..ITEMS / part).map(|_| item(&mut rng)).collect();
    let mut rows = speeds(&items, &key);
    let here = Side::of(items, &key);
    for differences in DIFFERENCES {
        rows.extend(compare(&here, differences / part.min(differences), &mut rng)?);
    }
    Ok(rows)
}
