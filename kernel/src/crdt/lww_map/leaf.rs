//! A leaf of the trie: a few dozen rows in one piece of memory.

use alloc::vec::Vec;

/// Rows, and bytes, beyond which a leaf is split.
const ROWS_MAX: u32 = 40;
const BYTES_MAX: usize = 4 << 10;

/// In which steps a leaf's memory grows.
const BYTES_STEP: usize = 256;
const SLOTS_STEP: u32 = 8;

/// The mark of a row whose value expires, beside the length of its key.
const HAS_TTL: u16 = 1 << 15;

/// Where a row's parts begin: time, writer, marks and length of the key.
const WRITER_AT: usize = 8;
const MARKS_AT: usize = WRITER_AT + 4;
const HEAD_BYTES: usize = MARKS_AT + 2;
const TTL_BYTES: usize = 8;

/// Rows of keys whose places share their first bits, in the order in which they came.
///
/// All of it is one piece of memory, so that a look-up touches little of it: first a slot a row, `place (4) · length (4)`, and
/// some to spare; then the rows, `time (8) · writer (4) · marks and length of the key (2) · [time to live (8)] · key · value`.
/// What is not there is a pointer and an allocation a row.
#[derive(Debug, Clone, Default)]
pub struct Leaf {
    bytes: Vec<u8>,
    rows: u32,
    slots: u32,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    place: u32,
    len: u32,
}

const SLOT_BYTES: usize = 8;

impl Slot {
    fn of_row(row: &LeafRow<'_>) -> Self {
        let len = u32::try_from(row.len()).expect("values are bounded by Limits");
        Self { place: row.place, len }
    }

    fn read(bytes: [u8; SLOT_BYTES]) -> Self {
        let both = u64::from_le_bytes(bytes);
        Self {
            place: both as u32,
            len: (both >> 32) as u32,
        }
    }

    fn to_bytes(self) -> [u8; SLOT_BYTES] {
        (u64::from(self.place) | u64::from(self.len) << 32).to_le_bytes()
    }
}

/// Where a row lies.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    index: usize,
    at: usize,
}

/// A row as a leaf holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafRow<'l> {
    /// The first bits of the key's hash.
    pub place: u32,
    /// [`Stamp::time`](crate::hlc::Stamp::time).
    pub time: u64,
    /// The number of the writer.
    pub writer: u32,
    /// Time to live.
    pub ttl_ms: Option<u64>,
    /// The key.
    pub key: &'l [u8],
    /// The value; empty for a tombstone.
    pub value: &'l [u8],
}

/// A row as it lies in a leaf.
#[derive(Debug, Clone, Copy)]
pub struct RawRow<'l> {
    /// The first bits of the key's hash.
    pub place: u32,
    bytes: &'l [u8],
}

impl<'l> RawRow<'l> {
    /// What it says.
    pub fn read(self) -> LeafRow<'l> {
        let marked = u16::from_le_bytes(number(self.bytes, MARKS_AT));
        let (ttl_ms, key_at) = match marked & HAS_TTL {
            0 => (None, HEAD_BYTES),
            _ => (
                Some(u64::from_le_bytes(number(self.bytes, HEAD_BYTES))),
                HEAD_BYTES + TTL_BYTES,
            ),
        };
        let (key, value) = self.bytes[key_at..].split_at((marked & !HAS_TTL).into());
        LeafRow {
            place: self.place,
            time: u64::from_le_bytes(number(self.bytes, 0)),
            writer: u32::from_le_bytes(number(self.bytes, WRITER_AT)),
            ttl_ms,
            key,
            value,
        }
    }

    /// The number of its writer.
    pub fn writer(self) -> u32 {
        u32::from_le_bytes(number(self.bytes, WRITER_AT))
    }
}

impl LeafRow<'_> {
    fn len(&self) -> usize {
        let ttl = if self.ttl_ms.is_some() { TTL_BYTES } else { 0 };
        HEAD_BYTES + ttl + self.key.len() + self.value.len()
    }

    /// What stands before the key, and how much of it.
    fn head(&self) -> ([u8; HEAD_BYTES + TTL_BYTES], usize) {
        let key_len = u16::try_from(self.key.len()).expect("keys are bounded by Limits");
        assert!(key_len < HAS_TTL, "keys are bounded by Limits");
        let mut head = [0; HEAD_BYTES + TTL_BYTES];
        head[..WRITER_AT].copy_from_slice(&self.time.to_le_bytes());
        head[WRITER_AT..MARKS_AT].copy_from_slice(&self.writer.to_le_bytes());
        let Some(ttl_ms) = self.ttl_ms else {
            head[MARKS_AT..HEAD_BYTES].copy_from_slice(&key_len.to_le_bytes());
            return (head, HEAD_BYTES);
        };
        head[MARKS_AT..HEAD_BYTES].copy_from_slice(&(key_len | HAS_TTL).to_le_bytes());
        head[HEAD_BYTES..].copy_from_slice(&ttl_ms.to_le_bytes());
        (head, head.len())
    }

    fn append(&self, out: &mut Vec<u8>) {
        let (head, head_len) = self.head();
        out.extend_from_slice(&head[..head_len]);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value);
    }

    /// Writes the row over bytes of just its length.
    fn overwrite(&self, out: &mut [u8]) {
        let (head, head_len) = self.head();
        let (first, rest) = out.split_at_mut(head_len);
        let (key, value) = rest.split_at_mut(self.key.len());
        first.copy_from_slice(&head[..head_len]);
        key.copy_from_slice(self.key);
        value.copy_from_slice(self.value);
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("a row is as long as its slot says")
}

impl Leaf {
    fn slots(&self) -> impl Iterator<Item = Slot> {
        let slots = &self.bytes[..self.rows as usize * SLOT_BYTES];
        slots.as_chunks().0.iter().map(|bytes| Slot::read(*bytes))
    }

    fn slot(&self, index: usize) -> Slot {
        Slot::read(number(&self.bytes, index * SLOT_BYTES))
    }

    fn set_slot(&mut self, index: usize, slot: Slot) {
        let at = index * SLOT_BYTES;
        self.bytes[at..at + SLOT_BYTES].copy_from_slice(&slot.to_bytes());
    }

    /// Where the first row lies.
    fn first_at(&self) -> usize {
        self.slots as usize * SLOT_BYTES
    }

    /// Reads a byte of each part that a look-up or a new row needs.
    pub fn touch(&self) -> [u8; 4] {
        let at = |at: usize| self.bytes.get(at).copied().unwrap_or_default();
        [at(0), at(64), at(128), at(self.bytes.len().saturating_sub(1))]
    }

    /// The row of a key.
    pub fn find(&self, place: u32, key: &[u8]) -> Option<(Found, LeafRow<'_>)> {
        let mut at = self.first_at();
        for (index, slot) in self.slots().enumerate() {
            if slot.place == place {
                let bytes = &self.bytes[at..at + slot.len as usize];
                let row = RawRow { place, bytes }.read();
                if row.key == key {
                    return Some((Found { index, at }, row));
                }
            }
            at += slot.len as usize;
        }
        None
    }

    /// The number of the writer of the row that is just this one but for the number.
    pub fn find_same(&self, other: RawRow<'_>) -> Option<u32> {
        let mut at = self.first_at();
        for slot in self.slots() {
            let end = at + slot.len as usize;
            if slot.place == other.place {
                let held = &self.bytes[at..end];
                if held.len() == other.bytes.len()
                    && held[..WRITER_AT] == other.bytes[..WRITER_AT]
                    && held[MARKS_AT..] == other.bytes[MARKS_AT..]
                {
                    return Some(u32::from_le_bytes(number(held, WRITER_AT)));
                }
            }
            at = end;
        }
        None
    }

    /// All rows, in the order in which they came.
    pub fn raw_rows(&self) -> impl Iterator<Item = RawRow<'_>> {
        let mut next_at = self.first_at();
        self.slots().map(move |slot| {
            let at = next_at;
            next_at += slot.len as usize;
            RawRow {
                place: slot.place,
                bytes: &self.bytes[at..next_at],
            }
        })
    }

    /// All rows, in the order in which they came.
    pub fn rows(&self) -> impl Iterator<Item = LeafRow<'_>> {
        self.raw_rows().map(RawRow::read)
    }

    /// All rows, ascending by place and key.
    pub fn sorted_rows(&self) -> Vec<LeafRow<'_>> {
        let mut rows: Vec<_> = self.rows().collect();
        rows.sort_unstable_by_key(|row| (row.place, row.key));
        rows
    }

    /// Adds the row of a key that has none.
    pub fn push(&mut self, row: &LeafRow<'_>) {
        if self.rows == self.slots {
            self.open_slots(SLOTS_STEP);
        }
        self.grow(row.len());
        row.append(&mut self.bytes);
        self.set_slot(self.rows as usize, Slot::of_row(row));
        self.rows += 1;
    }

    /// Adds a row as another leaf holds it.
    fn push_bytes(&mut self, slot: Slot, row: &[u8]) {
        if self.rows == self.slots {
            self.open_slots(SLOTS_STEP);
        }
        self.grow(row.len());
        self.bytes.extend_from_slice(row);
        self.set_slot(self.rows as usize, slot);
        self.rows += 1;
    }

    /// Makes room for more slots.
    fn open_slots(&mut self, more: u32) {
        let (first_at, end) = (self.first_at(), self.bytes.len());
        let added = more as usize * SLOT_BYTES;
        self.grow(added);
        self.bytes.resize(end + added, 0);
        self.bytes.copy_within(first_at..end, first_at + added);
        self.slots += more;
    }

    /// Puts a row in the place of another of the same key.
    pub fn replace(&mut self, old: Found, row: &LeafRow<'_>) {
        let old_end = old.at + self.slot(old.index).len as usize;
        let (end, all) = (old.at + row.len(), self.bytes.len());
        if end > old_end {
            self.grow(end - old_end);
            self.bytes.resize(all + (end - old_end), 0);
            self.bytes.copy_within(old_end..all, end);
        } else if end < old_end {
            self.bytes.copy_within(old_end.., end);
            self.bytes.truncate(all - (old_end - end));
            if self.bytes.capacity() / 2 > self.bytes.len() {
                self.bytes.shrink_to_fit();
            }
        }
        row.overwrite(&mut self.bytes[old.at..end]);
        self.set_slot(old.index, Slot::of_row(row));
    }

    /// Keeps the rows that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&LeafRow<'_>) -> bool) {
        let mut kept = Leaf::default();
        for row in self.rows().filter(|row| keep(row)) {
            kept.push(&row);
        }
        if kept.rows < self.rows {
            *self = kept;
        }
    }

    /// How many leaves so many rows of so many bytes fill, about.
    pub fn needed_for(rows: u64, bytes: u64) -> u64 {
        rows / u64::from(ROWS_MAX) + bytes / BYTES_MAX as u64 + 1
    }

    /// Whether it should be two.
    pub fn is_full(&self) -> bool {
        self.rows > ROWS_MAX || (self.bytes.len() > BYTES_MAX && self.rows > 1)
    }

    /// Takes out the rows of one half: those whose place has a bit of `mask`.
    pub fn split_off(&mut self, mask: u32) -> Leaf {
        let mut halves = [Leaf::default(), Leaf::default()];
        let half_of = |slot: Slot| usize::from(slot.place & mask != 0);
        let (mut rows, mut bytes) = ([0, 0], [0, 0]);
        for slot in self.slots() {
            rows[half_of(slot)] += 1;
            bytes[half_of(slot)] += slot.len as usize;
        }
        for (half, leaf) in halves.iter_mut().enumerate() {
            let slots = (rows[half] + 1u32).next_multiple_of(SLOTS_STEP);
            leaf.grow(slots as usize * SLOT_BYTES + bytes[half]);
            leaf.open_slots(slots);
        }
        let mut at = self.first_at();
        for slot in self.slots() {
            let end = at + slot.len as usize;
            halves[half_of(slot)].push_bytes(slot, &self.bytes[at..end]);
            at = end;
        }
        let [low, high] = halves;
        *self = low;
        high
    }

    /// Rows that it holds.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Makes room for `more` bytes, in whole steps, where a vector by itself would take twice as much: leaves that take and give
    /// back memory of few sizes use each other's.
    fn grow(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            self.bytes
                .reserve_exact(needed.next_multiple_of(BYTES_STEP) - self.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests;
