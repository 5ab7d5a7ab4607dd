//! An ordered set of row numbers: a list of short sorted lists, with the beginning of each name beside its number.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::slab::{Name, Named, Slab};

/// The most rows in a chunk. Moving half of one aside is cheaper than a pointer followed.
const CHUNK_ROWS: usize = 128;

/// The most bytes of a common beginning that are skipped.
const SKIP_MAX: usize = 32;

/// A row's number, and the first eight bytes of its name behind what all names have in common, as a number that compares as they
/// do. Most comparisons end here, and touch no row.
#[derive(Debug, Clone, Copy)]
struct Row {
    head: u64,
    id: u32,
}

/// Row numbers, ordered by the names of their rows in a [`Slab`], which is passed to each call and must be the same.
#[derive(Debug, Clone)]
pub(super) struct Sorted {
    /// None is empty.
    chunks: Vec<Vec<Row>>,
    /// The first row of each chunk, side by side: where a search begins.
    firsts: Vec<Row>,
    /// How many bytes all names begin with in common, or less.
    skip: usize,
}

/// A place in the order: chunk, and row within. It may be behind the chunk's last row.
pub(super) type Place = (usize, usize);

impl Sorted {
    pub(super) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            firsts: Vec::new(),
            skip: 0,
        }
    }

    /// Where a name stands, or would be put.
    pub(super) fn place<T: Named>(&self, names: &Slab<T>, name: Name<'_>) -> Place {
        let Some(first) = self.firsts.first() else {
            return (0, 0);
        };
        let known = &names.get(first.id).name().0[..self.skip];
        let begin = &name.0[..name.0.len().min(self.skip)];
        match begin.cmp(known) {
            Ordering::Less => return (0, 0),
            Ordering::Equal => {}
            Ordering::Greater => {
                let last = self.chunks.len() - 1;
                return (last, self.chunks[last].len());
            }
        }
        let head = self.head(name.0);
        let after = count(&self.firsts, head, |id| names.get(id).name() <= name);
        let Some(at) = after.checked_sub(1) else {
            return (0, 0);
        };
        (at, count(&self.chunks[at], head, |id| names.get(id).name() < name))
    }

    /// The row at a name's place, if it has these bytes.
    pub(super) fn found<T: Named>(&self, names: &Slab<T>, place: Place, bytes: &[u8]) -> Option<u32> {
        let row = self.at(place)?;
        let is_it = bytes.len() >= self.skip && row.head == self.head(bytes) && names.get(row.id).name().0 == bytes;
        is_it.then_some(row.id)
    }

    /// Takes the row, whose place that is, and says whether it is the only one of its bytes.
    pub(super) fn insert<T: Named>(&mut self, names: &Slab<T>, (at, place): Place, id: u32) -> bool {
        let bytes = names.get(id).name().0;
        let Some(first) = self.firsts.first() else {
            self.skip = bytes.len().min(SKIP_MAX);
            let row = self.row(bytes, id);
            self.chunks.push(vec![row]);
            self.firsts.push(row);
            return true;
        };
        let known = &names.get(first.id).name().0[..self.skip];
        if !bytes.starts_with(known) {
            let shared = known.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            self.skip_only(shared, names);
        }
        let row = self.row(bytes, id);
        let alone = !self.is_beside(names, (at, place), row.head, bytes);
        let chunk = &mut self.chunks[at];
        if chunk.len() < CHUNK_ROWS {
            chunk.insert(place, row);
        } else if at + 1 == self.firsts.len() && place == chunk.len() {
            // What comes in order fills its chunks.
            self.chunks.push(vec![row]);
            self.firsts.push(row);
        } else {
            let mut upper = chunk.split_off(CHUNK_ROWS / 2);
            match place.checked_sub(CHUNK_ROWS / 2) {
                Some(place) => upper.insert(place, row),
                None => chunk.insert(place, row),
            }
            self.firsts.insert(at + 1, upper[0]);
            self.chunks.insert(at + 1, upper);
        }
        self.firsts[at] = self.chunks[at][0];
        alone
    }

    /// Takes the row out, and says whether it was the only one of its bytes. It must still be in `names`.
    ///
    /// # Panics
    /// If it is not in the set.
    pub(super) fn remove<T: Named>(&mut self, names: &Slab<T>, id: u32) -> bool {
        let name = names.get(id).name();
        let (at, place) = self.place(names, name);
        let removed = self.chunks[at].remove(place);
        assert_eq!(removed.id, id, "a row is where its name says");
        let alone = !self.is_beside(names, (at, place), removed.head, name.0);
        if self.chunks[at].is_empty() {
            self.chunks.remove(at);
            self.firsts.remove(at);
            return alone;
        }
        self.firsts[at] = self.chunks[at][0];
        // Two chunks that fit into half of one become one, so that few rows never hold many chunks.
        for left in at.saturating_sub(1)..=at {
            let right = left + 1;
            if right < self.chunks.len() && self.chunks[left].len() + self.chunks[right].len() <= CHUNK_ROWS / 2 {
                let rows = self.chunks.remove(right);
                self.firsts.remove(right);
                self.chunks[left].extend(rows);
                break;
            }
        }
        alone
    }

    /// The row numbers from a place on, ascending.
    pub(super) fn iter_from(&self, (at, place): Place) -> impl Iterator<Item = u32> {
        let begun = self.chunks.get(at).map(|chunk| &chunk[place..]);
        let rest = self.chunks.get(at + 1..).unwrap_or_default();
        begun
            .into_iter()
            .flatten()
            .chain(rest.iter().flatten())
            .map(|row| row.id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// The only row number, if there is just one.
    pub(super) fn only(&self) -> Option<u32> {
        match self.chunks.as_slice() {
            [chunk] if chunk.len() == 1 => Some(chunk[0].id),
            _ => None,
        }
    }

    fn head(&self, bytes: &[u8]) -> u64 {
        let rest = &bytes[self.skip..];
        if let Some(head) = rest.first_chunk() {
            return u64::from_be_bytes(*head);
        }
        let mut head = [0; 8];
        head[..rest.len()].copy_from_slice(rest);
        u64::from_be_bytes(head)
    }

    fn row(&self, bytes: &[u8], id: u32) -> Row {
        Row {
            head: self.head(bytes),
            id,
        }
    }

    /// Skips less from now on. It happens at most [`SKIP_MAX`] times.
    fn skip_only<T: Named>(&mut self, skip: usize, names: &Slab<T>) {
        self.skip = skip;
        let mut chunks = core::mem::take(&mut self.chunks);
        for row in chunks.iter_mut().flatten() {
            row.head = self.head(names.get(row.id).name().0);
        }
        self.firsts = chunks.iter().map(|chunk| chunk[0]).collect();
        self.chunks = chunks;
    }

    /// The row at a place, or behind it.
    fn at(&self, (at, place): Place) -> Option<Row> {
        let here = self.chunks.get(at)?.get(place);
        here.or_else(|| self.firsts.get(at + 1)).copied()
    }

    fn before(&self, (at, place): Place) -> Option<Row> {
        match place.checked_sub(1) {
            Some(place) => self.chunks.get(at)?.get(place).copied(),
            None => self.chunks.get(at.checked_sub(1)?)?.last().copied(),
        }
    }

    /// Whether a row beside the place has these bytes.
    fn is_beside<T: Named>(&self, names: &Slab<T>, place: Place, head: u64, bytes: &[u8]) -> bool {
        let beside = [self.before(place), self.at(place)];
        let mut beside = beside.into_iter().flatten();
        beside.any(|row| row.head == head && names.get(row.id).name().0 == bytes)
    }
}

/// How many of `rows`, which are ascending, come before a name that begins with `head`. `is_before` is asked of those that begin
/// so, too. In two searches, because the first of them takes no branches.
fn count(rows: &[Row], head: u64, is_before: impl Fn(u32) -> bool) -> usize {
    let less = rows.partition_point(|row| row.head < head);
    let equal = &rows[less..];
    if equal.first().is_none_or(|row| row.head != head) {
        return less;
    }
    less + equal.partition_point(|row| row.head == head && is_before(row.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::Dot;
    use crate::env::SeededRng;
    use crate::hlc::Stamp;
    use alloc::collections::BTreeSet;

    struct Text(Vec<u8>, Dot);

    impl Named for Text {
        fn name(&self) -> Name<'_> {
            (&self.0, self.1)
        }
    }

    fn dot(number: u64) -> Dot {
        Dot {
            birth: Stamp::ZERO,
            number,
        }
    }

    fn names(slab: &Slab<Text>, ids: impl Iterator<Item = u32>) -> Vec<(Vec<u8>, Dot)> {
        ids.map(|id| (slab.get(id).0.clone(), slab.get(id).1)).collect()
    }

    /// Rows come and go; after each, all is as in a set of the standard library.
    fn churn(seed: u64, rounds: u64, mut draw: impl FnMut(&mut SeededRng) -> Vec<u8>) {
        let mut rng = SeededRng::from_u64(seed);
        let (mut slab, mut sorted, mut model) = (Slab::new(), Sorted::new(), BTreeSet::new());
        for round in 0..rounds {
            let growing = round % 2_000 < 1_000;
            if growing == rng.chance(700) {
                let name = (draw(&mut rng), dot(rng.between(1, 3)));
                if model.insert(name.clone()) {
                    let alone = model.iter().filter(|(bytes, _)| *bytes == name.0).count() == 1;
                    let place = sorted.place(&slab, (&name.0, name.1));
                    let id = slab.insert(Text(name.0, name.1));
                    assert_eq!(sorted.insert(&slab, place, id), alone);
                }
            } else if slab.len() > 0 {
                let nth = rng.below(slab.len() as u64) as usize;
                let (id, _) = slab.iter().nth(nth).unwrap();
                let alone = sorted.remove(&slab, id);
                let Text(bytes, dot) = slab.remove(id);
                model.remove(&(bytes.clone(), dot));
                assert_eq!(alone, model.iter().all(|(other, _)| *other != bytes));
            }
            assert_eq!(sorted.only().is_some(), model.len() == 1);
            let (bytes, any) = (draw(&mut rng), Dot::LEAST);
            let found = sorted.found(&slab, sorted.place(&slab, (&bytes, any)), &bytes);
            let first = model
                .range((bytes.clone(), any)..)
                .next()
                .filter(|(held, _)| *held == bytes);
            assert_eq!(found.map(|id| slab.get(id).1), first.map(|(_, dot)| *dot));
            if round % 64 == 0 {
                assert_eq!(
                    names(&slab, sorted.iter_from((0, 0))),
                    model.iter().cloned().collect::<Vec<_>>()
                );
                let from = draw(&mut rng);
                let least = (from.clone(), Dot::LEAST);
                let expected: Vec<_> = model.range(least..).cloned().collect();
                assert_eq!(
                    names(&slab, sorted.iter_from(sorted.place(&slab, (&from, Dot::LEAST)))),
                    expected
                );
                let mut pairs = sorted.chunks.windows(2).map(|pair| pair[0].len() + pair[1].len());
                assert!(pairs.all(|rows| rows > CHUNK_ROWS / 2), "two chunks that would be one");
            }
        }
    }

    #[test]
    fn short_names_over_few_letters() {
        churn(1, 6_000, |rng| (0..rng.below(4)).map(|_| rng.below(3) as u8).collect());
    }

    #[test]
    fn long_names_with_a_common_beginning() {
        churn(2, 6_000, |rng| {
            let mut name = [b'm'; 40].to_vec();
            let cut = if rng.chance(10) { rng.below(40) } else { 40 };
            name.truncate(cut as usize);
            name.extend(rng.next_u64().to_be_bytes().map(|byte| byte % 5).iter().take(4));
            name
        });
    }

    #[test]
    fn rows_in_order_fill_their_chunks() {
        let (mut slab, mut sorted) = (Slab::new(), Sorted::new());
        for number in 0..10_000u64 {
            let id = slab.insert(Text(number.to_be_bytes().to_vec(), dot(1)));
            let place = sorted.place(&slab, slab.get(id).name());
            sorted.insert(&slab, place, id);
        }
        assert_eq!(sorted.chunks.len(), 10_000usize.div_ceil(CHUNK_ROWS));
    }

    #[test]
    fn a_name_that_two_chunks_share_is_one_name() {
        let (mut slab, mut sorted) = (Slab::new(), Sorted::new());
        let insert = |slab: &mut Slab<Text>, sorted: &mut Sorted, byte: u8, number: u64| {
            let place = sorted.place(slab, (&[byte], dot(number)));
            let id = slab.insert(Text(vec![byte], dot(number)));
            (id, sorted.insert(slab, place, id))
        };
        for byte in 1..CHUNK_ROWS as u8 {
            insert(&mut slab, &mut sorted, byte, 1);
        }
        assert!(insert(&mut slab, &mut sorted, 200, 1).1);
        let (behind, alone) = insert(&mut slab, &mut sorted, 200, 2);
        assert!(!alone && sorted.chunks.len() == 2);
        assert!(
            !sorted.remove(&slab, behind),
            "the other is the last of the chunk before"
        );
        let (behind, _) = insert(&mut slab, &mut sorted, 200, 2);
        assert_eq!((sorted.chunks.len(), sorted.chunks[1][0].id), (2, behind));
        assert_eq!(sorted.found(&slab, (0, CHUNK_ROWS), &[200]), Some(behind));
    }
}
