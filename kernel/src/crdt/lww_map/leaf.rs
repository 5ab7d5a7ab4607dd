//! A leaf of the trie: a few dozen rows in two pieces of memory.

use alloc::vec::Vec;

/// Rows, and bytes, beyond which a leaf is split.
const ROWS_MAX: usize = 40;
const BYTES_MAX: usize = 4 << 10;

/// The mark of a row whose value expires, beside the length of its key.
const HAS_TTL: u16 = 1 << 15;

/// Time, writer, marks and length of the key.
const HEAD_BYTES: usize = 8 + 4 + 2;
const TTL_BYTES: usize = 8;

/// Rows of keys whose places share their first bits, in the order in which they came.
///
/// A row is `time (8) · writer (4) · marks and length of the key (2) · [time to live (8)] · key · value`. What is not there
/// is a pointer and an allocation a row: a leaf has two allocations, filled to more than four fifths.
#[derive(Debug, Clone, Default)]
pub struct Leaf {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    place: u32,
    len: u32,
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

impl LeafRow<'_> {
    fn len(&self) -> usize {
        let ttl = if self.ttl_ms.is_some() { TTL_BYTES } else { 0 };
        HEAD_BYTES + ttl + self.key.len() + self.value.len()
    }

    /// Writes the row over bytes of just its length.
    fn write(&self, out: &mut [u8]) {
        let key_len = u16::try_from(self.key.len()).expect("keys are bounded by Limits");
        assert!(key_len < HAS_TTL, "keys are bounded by Limits");
        let mark = if self.ttl_ms.is_some() { HAS_TTL } else { 0 };
        let (head, mut rest) = out.split_at_mut(HEAD_BYTES);
        head[..8].copy_from_slice(&self.time.to_le_bytes());
        head[8..12].copy_from_slice(&self.writer.to_le_bytes());
        head[12..].copy_from_slice(&(key_len | mark).to_le_bytes());
        if let Some(ttl_ms) = self.ttl_ms {
            let (ttl, behind) = rest.split_at_mut(TTL_BYTES);
            ttl.copy_from_slice(&ttl_ms.to_le_bytes());
            rest = behind;
        }
        let (key, value) = rest.split_at_mut(self.key.len());
        key.copy_from_slice(self.key);
        value.copy_from_slice(self.value);
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("a row is as long as its slot says")
}

impl Leaf {
    fn row(&self, index: usize, at: usize) -> LeafRow<'_> {
        let Slot { place, len } = self.slots[index];
        let bytes = &self.bytes[at..at + len as usize];
        let marked = u16::from_le_bytes(number(bytes, 12));
        let (ttl_ms, key_at) = match marked & HAS_TTL {
            0 => (None, HEAD_BYTES),
            _ => (
                Some(u64::from_le_bytes(number(bytes, HEAD_BYTES))),
                HEAD_BYTES + TTL_BYTES,
            ),
        };
        let (key, value) = bytes[key_at..].split_at((marked & !HAS_TTL).into());
        LeafRow {
            place,
            time: u64::from_le_bytes(number(bytes, 0)),
            writer: u32::from_le_bytes(number(bytes, 8)),
            ttl_ms,
            key,
            value,
        }
    }

    /// The row of a key.
    pub fn find(&self, place: u32, key: &[u8]) -> Option<(Found, LeafRow<'_>)> {
        let mut at = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.place == place {
                let row = self.row(index, at);
                if row.key == key {
                    return Some((Found { index, at }, row));
                }
            }
            at += slot.len as usize;
        }
        None
    }

    /// All rows, in the order in which they came.
    pub fn rows(&self) -> impl Iterator<Item = LeafRow<'_>> {
        let mut next_at = 0;
        self.slots.iter().enumerate().map(move |(index, slot)| {
            let at = next_at;
            next_at += slot.len as usize;
            self.row(index, at)
        })
    }

    /// All rows, ascending by place and key.
    pub fn sorted_rows(&self) -> Vec<LeafRow<'_>> {
        let mut rows: Vec<_> = self.rows().collect();
        rows.sort_unstable_by_key(|row| (row.place, row.key));
        rows
    }

    /// Adds the row of a key that has none.
    pub fn push(&mut self, row: &LeafRow<'_>) {
        let (at, len) = (self.bytes.len(), row.len());
        grow(&mut self.bytes, len);
        grow(&mut self.slots, 1);
        self.bytes.resize(at + len, 0);
        row.write(&mut self.bytes[at..]);
        let len = u32::try_from(len).expect("values are bounded by Limits");
        self.slots.push(Slot { place: row.place, len });
    }

    /// Puts a row in the place of another of the same key.
    pub fn replace(&mut self, old: Found, row: &LeafRow<'_>) {
        let (old_end, end) = (old.at + self.slots[old.index].len as usize, old.at + row.len());
        let all = self.bytes.len();
        if end > old_end {
            grow(&mut self.bytes, end - old_end);
            self.bytes.resize(all + (end - old_end), 0);
            self.bytes.copy_within(old_end..all, end);
        } else if end < old_end {
            self.bytes.copy_within(old_end.., end);
            self.bytes.truncate(all - (old_end - end));
            if self.bytes.capacity() / 2 > self.bytes.len() {
                self.bytes.shrink_to_fit();
            }
        }
        row.write(&mut self.bytes[old.at..end]);
        self.slots[old.index].len = u32::try_from(end - old.at).expect("values are bounded by Limits");
    }

    /// Keeps the rows that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&LeafRow<'_>) -> bool) {
        let mut kept = Leaf::default();
        for row in self.rows().filter(|row| keep(row)) {
            kept.push(&row);
        }
        if kept.slots.len() < self.slots.len() {
            *self = kept;
        }
    }

    /// Whether it should be two.
    pub fn is_full(&self) -> bool {
        self.slots.len() > ROWS_MAX || (self.bytes.len() > BYTES_MAX && self.slots.len() > 1)
    }

    /// Takes out the rows of one half: those whose place has a bit of `mask`.
    pub fn split_off(&mut self, mask: u32) -> Leaf {
        let half = self.bytes.len() / 2;
        let mut halves = [0, 1].map(|_| Leaf {
            slots: Vec::with_capacity(ROWS_MAX * 5 / 8),
            bytes: Vec::with_capacity(half + half / 4),
        });
        for row in self.rows() {
            halves[usize::from(row.place & mask != 0)].push(&row);
        }
        let [low, high] = halves;
        *self = low;
        high
    }

    /// Rows that it holds.
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}

/// Makes room for `more`: by a quarter, where a vector by itself would take twice as much.
fn grow<T>(vec: &mut Vec<T>, more: usize) {
    if vec.capacity() - vec.len() < more {
        vec.reserve_exact(more.max(vec.len() / 4));
    }
}
