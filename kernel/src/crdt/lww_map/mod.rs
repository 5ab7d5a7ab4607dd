//! The last-writer-wins map (Shapiro et al., "A comprehensive study of CRDTs", 2011, section 3.2), with tombstones and times
//! to live.

mod leaf;
mod stored;
mod trie;
mod writers;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use crate::crdt::floor::{is_at_or_below, is_collectable};
use crate::crdt::record::record_bytes;
use crate::crdt::{DigestKey, Merged, Version};
use crate::env::{Mutant, Mutants};
use crate::hlc::Stamp;
use crate::merkle::{Item, Prefix, Sum, Summary};
use leaf::{Leaf, LeafRow};
use trie::{Path, Trie, Visit};
use writers::Writers;

/// A map from keys to the winning version of each, with a digest of all of them.
///
/// Rows lie packed in the leaves of a 16-ary trie over the hashes of their keys, so that a version costs less than forty bytes
/// beside its key and value, a look-up two or three cache misses, and every prefix of the hashes has a digest: it is its own
/// Merkle tree. The digest is the sum of one keyed SipHash-128 a row, over key, time and content. Two maps with equal digests
/// are equal, but for an accident of probability 2^-128; that nobody can arrange one depends on the key being secret.
///
/// # The floor
///
/// [`LwwMap::collect`] raises the map's floor, a time as [`Stamp::time`] counts it. It may be raised only to where every replica
/// holds all that any replica admitted, and admits nothing more. Then whatever is at or below it and not held is a deleted
/// version, and the map refuses it; and nothing that was deleted comes back.
#[derive(Debug, Clone)]
pub struct LwwMap {
    trie: Trie,
    writers: Writers,
    held: Held,
    floor: u64,
    digest_key: DigestKey,
    mutants: Mutants,
}

/// How much a map holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Keys that have a version, deleted and expired ones included.
    pub records: u64,
    /// Of those, the deleted ones.
    pub tombstones: u64,
    /// Those that have a time to live.
    pub expiring: u64,
    /// Bytes of all keys and versions, as they are written to disk.
    pub bytes: u64,
}

impl Held {
    fn of(key: &[u8], version: &Version<'_>) -> Self {
        Self {
            records: 1,
            tombstones: version.is_tombstone().into(),
            expiring: version.ttl_ms.is_some().into(),
            bytes: (key.len() + record_bytes(version)) as u64,
        }
    }

    /// This and `more`.
    pub fn plus(self, more: Self) -> Self {
        Self {
            records: self.records + more.records,
            tombstones: self.tombstones + more.tombstones,
            expiring: self.expiring + more.expiring,
            bytes: self.bytes + more.bytes,
        }
    }

    /// This without `less`, which is a part of it.
    pub fn minus(self, less: Self) -> Self {
        Self {
            records: self.records - less.records,
            tombstones: self.tombstones - less.tombstones,
            expiring: self.expiring - less.expiring,
            bytes: self.bytes - less.bytes,
        }
    }
}

/// A place in a map's memory that is soon going to be read.
#[derive(Debug, Clone, Copy)]
pub struct Foreseen<'m> {
    leaf: &'m Leaf,
}

impl Foreseen<'_> {
    /// How many keys to foresee at a time: as many as a processor waits for at once, and some.
    pub const GROUP: usize = 16;

    /// Reads a little of it, and changes nothing. In a large map most of what a merge takes are waits for memory; who has
    /// many rows to merge foresees a group of them, then touches all, then merges: the waits overlap.
    pub fn touch(self) {
        core::hint::black_box(self.leaf.touch());
    }
}

/// A row of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'m> {
    /// The first 32 bits of [`DigestKey::place`]: rows ascend by it, and by their keys where it is the same.
    pub place: u32,
    /// The key.
    pub key: &'m [u8],
    /// Its version, perhaps a tombstone or expired.
    pub version: Version<'m>,
}

impl LwwMap {
    /// An empty map. Replicas whose digests are compared have the same key.
    pub fn new(digest_key: DigestKey, mutants: Mutants) -> Self {
        Self {
            trie: Trie::default(),
            writers: Writers::default(),
            held: Held::default(),
            floor: 0,
            digest_key,
            mutants,
        }
    }

    /// The place of a key among the rows.
    pub fn place(&self, key: &[u8]) -> u32 {
        place(&self.digest_key, key)
    }

    /// Whether [`LwwMap::merge`] would change anything.
    pub fn would_change(&self, key: &[u8], version: &Version<'_>) -> bool {
        let place = self.place(key);
        let held = self.trie.leaf(&self.trie.path(place)).find(place, key);
        self.wins(held.map(|(_, row)| row).as_ref(), version)
    }

    fn wins(&self, held: Option<&LeafRow<'_>>, version: &Version<'_>) -> bool {
        let Some(row) = held else {
            // What every replica once held and this one does not is deleted.
            return !is_at_or_below(version.stamp, self.floor);
        };
        if self.mutants.is(Mutant::FirstArrivalWins) {
            return false;
        }
        if self.mutants.is(Mutant::LastArrivalWins) {
            return self.version(row) != *version;
        }
        if self.mutants.is(Mutant::TombstoneAlwaysWins) && version.is_tombstone() && !row.value.is_empty() {
            return true;
        }
        if row.time != version.stamp.time() {
            return row.time < version.stamp.time();
        }
        let held = self.version(row);
        if self.mutants.is(Mutant::ApplyTwice) && held == *version {
            return true;
        }
        if self.mutants.is(Mutant::DropTieBreak) && held.stamp == version.stamp {
            return false;
        }
        version.wins_over(&held)
    }

    /// Where a look-up or a merge of this key is going to read. See [`Foreseen::touch`].
    pub fn foresee(&self, key: &[u8]) -> Foreseen<'_> {
        Foreseen {
            leaf: self.trie.leaf_of(self.place(key)),
        }
    }

    /// Takes `version` if it wins over the one held.
    ///
    /// # Panics
    /// If the key has 2^15 bytes or more (`Limits` keep it far below), or the value is empty: no MessagePack value is.
    pub fn merge(&mut self, key: &[u8], version: &Version<'_>) -> Merged {
        assert!(version.value != Some(&[]), "an empty value would read as a tombstone");
        let place = self.place(key);
        self.merge_at(&self.trie.path(place), place, key, version)
    }

    /// Merges at the end of the way to the place of `key`.
    fn merge_at(&mut self, path: &Path, place: u32, key: &[u8], version: &Version<'_>) -> Merged {
        let found = self.trie.leaf(path).find(place, key);
        if !self.wins(found.as_ref().map(|(_, row)| row), version) {
            if self.mutants.is(Mutant::DigestBeforeWrite) {
                self.trie.account(path, self.digest_of(key, version), 0);
            }
            return Merged::Unchanged;
        }
        let old = found.map(|(found, row)| {
            let old = self.version(&row);
            (found, row.writer, Held::of(key, &old), self.digest_of(key, &old))
        });
        if version.is_tombstone() && self.mutants.is(Mutant::ForgetTombstone) {
            self.remove(place, key);
            return Merged::Changed;
        }
        let digest = self.digest_of(key, version);
        let row = LeafRow {
            place,
            time: version.stamp.time(),
            writer: self.writers.hold(version.stamp.writer(), version.writer),
            ttl_ms: version.ttl_ms.filter(|_| !self.mutants.is(Mutant::TtlLostInMerge)),
            key,
            value: version.value.unwrap_or_default(),
        };
        let leaf = self.trie.leaf_mut(path);
        if let Some((found, writer, held, old_digest)) = old {
            let forgets = self.mutants.is(Mutant::DigestForgetsOld);
            let old_digest = if forgets { 0 } else { old_digest };
            leaf.replace(found, &row);
            self.writers.release(writer);
            self.held = self.held.minus(held);
            self.trie.account(path, digest.wrapping_sub(old_digest), 0);
        } else {
            leaf.push(&row);
            self.trie.account(path, digest, 1);
        }
        self.held = self.held.plus(Held::of(key, version));
        self.split(place);
        Merged::Changed
    }

    /// Splits the leaf of a place until it is not full any more.
    fn split(&mut self, place: u32) {
        loop {
            let path = self.trie.path(place);
            let (trie, writers, key, mutants) = (&mut self.trie, &self.writers, &self.digest_key, self.mutants);
            if !trie.leaf(&path).is_full() {
                return;
            }
            let digest = |leaf: &Leaf| {
                let digests = leaf
                    .rows()
                    .map(|row| digest(key, mutants, row.key, &version(writers, &row)));
                digests.fold(0, u128::wrapping_add)
            };
            if !trie.split(&path, place, digest) {
                return;
            }
        }
    }

    /// Removes a key as if it had never been: no correct node asks for it.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.remove(self.place(key), key);
    }

    fn remove(&mut self, place: u32, key: &[u8]) {
        let path = self.trie.path(place);
        let Some((_, row)) = self.trie.leaf(&path).find(place, key) else {
            return;
        };
        let (old, writer) = (self.version(&row), row.writer);
        let (digest, held) = (self.digest_of(key, &old), Held::of(key, &old));
        self.trie.leaf_mut(&path).retain(|row| row.key != key);
        self.trie.account(&path, digest.wrapping_neg(), -1);
        self.writers.release(writer);
        self.held = self.held.minus(held);
    }

    /// Takes all that `other` holds: a replica's whole state, where [`LwwMap::merge`] takes a part of it.
    ///
    /// Of two states the one with the lower floor is first replaced at or below the higher: what it holds there and the other
    /// does not is deleted. Both lie in the same order and are walked through side by side; what has the same digest is
    /// passed over.
    ///
    /// # Panics
    /// If the maps have different digest keys: their rows have different places.
    pub fn merge_map(&mut self, other: &LwwMap) {
        assert!(
            self.digest_key == other.digest_key,
            "the digests of one map have one key"
        );
        if other.floor > self.floor {
            let gone =
                self.rows_where(|row| is_at_or_below(row.version.stamp, other.floor) && other.get(row.key).is_none());
            gone.iter().for_each(|(place, key)| self.remove(*place, key));
            self.floor = other.floor;
        }
        let mut same_writer = None;
        other.trie.walk(&mut |visit| match visit {
            Visit::Node { place, digits, sum } => {
                let ours = self.trie.prefix(place, digits);
                !ours.is_ok_and(|ours| ours == sum)
            }
            Visit::Leaf(leaf) => {
                self.merge_leaf(other, leaf, &mut same_writer);
                true
            }
        });
    }

    /// Merges the rows of a leaf of another map. `same_writer` is a pair of numbers that stand for one writer, here and there.
    fn merge_leaf(&mut self, other: &LwwMap, leaf: &Leaf, same_writer: &mut Option<(u32, u32)>) {
        let mut path = None;
        for raw in leaf.raw_rows() {
            let place = raw.place;
            let here = path.filter(|path| self.trie.leads_to(path, place));
            let here = here.unwrap_or_else(|| self.trie.path(place));
            path = Some(here);
            // Most rows are the same: that much is seen from their bytes, and the same writers come again and again.
            if let Some(number) = self.trie.leaf(&here).find_same(raw) {
                let numbers = Some((number, raw.writer()));
                if *same_writer == numbers || self.writers.get(number) == other.writers.get(raw.writer()) {
                    *same_writer = numbers;
                    continue;
                }
            }
            let row = raw.read();
            if self.merge_at(&here, place, row.key, &other.version(&row)).is_change() {
                // The leaf may have been split, and numbers of writers given to others.
                (path, *same_writer) = (None, None);
            }
        }
    }

    /// Raises the floor, and forgets what no replica needs any more: tombstones at or below it, and versions that were written
    /// and have expired at or below it. `gone` is told of each key. A floor that is not higher changes nothing.
    pub fn collect(&mut self, floor: u64, mut gone: impl FnMut(&[u8])) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        let dead = self.rows_where(|row| is_collectable(&row.version, floor));
        for (place, key) in &dead {
            self.remove(*place, key);
            gone(key);
        }
        self.compact();
    }

    /// Gives back memory that what was forgotten had, if it is much.
    pub(crate) fn compact(&mut self) {
        if self.is_sparse() {
            let mut smaller = Self::new(self.digest_key, self.mutants);
            for row in self.iter() {
                smaller.merge(row.key, &row.version);
            }
            smaller.floor = self.floor;
            *self = smaller;
        }
    }

    /// Whether what is held would fit a few of the leaves, so that packing it anew gives much memory back.
    fn is_sparse(&self) -> bool {
        let needed = Leaf::needed_for(self.held.records, self.held.bytes);
        self.trie.leaf_count() as u64 > 64 + 8 * needed
    }

    fn rows_where(&self, mut wanted: impl FnMut(&Row<'_>) -> bool) -> Vec<(u32, Vec<u8>)> {
        let rows = self.iter().filter(|row| wanted(row));
        rows.map(|row| (row.place, row.key.to_vec())).collect()
    }

    /// The floor: nothing at or below it is taken any more.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// The version of `key`, a tombstone or expired one included.
    pub fn get(&self, key: &[u8]) -> Option<Version<'_>> {
        let place = self.place(key);
        let (_, row) = self.trie.leaf(&self.trie.path(place)).find(place, key)?;
        Some(self.version(&row))
    }

    fn version<'m>(&'m self, row: &LeafRow<'m>) -> Version<'m> {
        version(&self.writers, row)
    }

    /// All rows, ascending by place and key, tombstones and expired ones included.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.iter_from(0)
    }

    /// All rows at `first` and behind it.
    pub fn iter_from(&self, first: u32) -> impl Iterator<Item = Row<'_>> {
        let leaves = self.trie.leaves_from(first);
        let rows = leaves.flat_map(|leaf| leaf.sorted_rows());
        rows.skip_while(move |row| row.place < first).map(|row| Row {
            place: row.place,
            key: row.key,
            version: self.version(&row),
        })
    }

    /// The rows whose keys' hashes begin with `prefix`, each with its item, in no order that matters.
    pub fn rows_below(&self, prefix: Prefix) -> impl Iterator<Item = (Item, Row<'_>)> {
        let last = (prefix.range().end() >> 32) as u32;
        let rows = self.iter_from((prefix.range().start() >> 32) as u32);
        let near = rows.take_while(move |row| row.place <= last);
        near.filter_map(move |row| {
            let key_hash = self.digest_key.place(row.key);
            let digest = || self.digest_of(row.key, &row.version);
            prefix.contains(key_hash).then(|| {
                (
                    Item {
                        key_hash,
                        digest: digest(),
                    },
                    row,
                )
            })
        })
    }

    /// How many keys have a version, deleted ones included.
    pub fn len(&self) -> usize {
        self.held.records as usize
    }

    /// Whether no key has a version.
    pub fn is_empty(&self) -> bool {
        self.held.records == 0
    }

    /// How much it holds.
    pub fn held(&self) -> Held {
        self.held
    }

    /// The digest of all versions.
    pub fn digest(&self) -> u128 {
        self.trie.sum().0
    }

    /// The digest of one version.
    pub fn digest_of(&self, key: &[u8], version: &Version<'_>) -> u128 {
        digest(&self.digest_key, self.mutants, key, version)
    }
}

/// The map is its own Merkle tree: a sum at every node of the trie, and below a leaf of its few rows.
impl Summary for LwwMap {
    fn summary(&self, prefix: Prefix) -> Sum {
        let first = prefix.range().start() >> 32;
        let digits = usize::from(prefix.len());
        // A prefix that is longer than a place ends at a leaf, as every way does.
        match self.trie.prefix(first as u32, digits) {
            Ok((digest, count)) => Sum { digest, count },
            Err(_) => {
                let mut sum = Sum::default();
                self.items(prefix, &mut |item| sum = sum.with(item));
                sum
            }
        }
    }

    fn items(&self, prefix: Prefix, f: &mut dyn FnMut(Item)) {
        let (first, last) = (
            (prefix.range().start() >> 32) as u32,
            (prefix.range().end() >> 32) as u32,
        );
        for leaf in self.trie.leaves_from(first) {
            for row in leaf.rows().filter(|row| (first..=last).contains(&row.place)) {
                let key_hash = self.digest_key.place(row.key);
                if prefix.contains(key_hash) {
                    let digest = self.digest_of(row.key, &self.version(&row));
                    f(Item { key_hash, digest });
                }
            }
            if leaf.rows().any(|row| row.place > last) {
                return;
            }
        }
    }
}

fn place(digest_key: &DigestKey, key: &[u8]) -> u32 {
    (digest_key.place(key) >> 32) as u32
}

fn version<'m>(writers: &'m Writers, row: &LeafRow<'m>) -> Version<'m> {
    let (writer, name) = writers.get(row.writer);
    Version {
        stamp: Stamp::join(row.time, writer),
        writer: name,
        ttl_ms: row.ttl_ms,
        value: (!row.value.is_empty()).then_some(row.value),
    }
}

/// Covers `stamp (16) · time to live (8) · length of the key (4) · length of the writer's name (4) · name · key · value`.
fn digest(digest_key: &DigestKey, mutants: Mutants, key: &[u8], version: &Version<'_>) -> u128 {
    let value = version.value.filter(|_| !mutants.is(Mutant::DigestWithoutValue));
    let mut head = [0; 32];
    head[..16].copy_from_slice(&version.stamp.to_bytes());
    head[16..24].copy_from_slice(&version.ttl_ms.unwrap_or(0).to_be_bytes());
    head[24..28].copy_from_slice(&(key.len() as u32).to_be_bytes());
    head[28..].copy_from_slice(&(version.writer.len() as u32).to_be_bytes());
    digest_key.digest_of([&head, version.writer.as_bytes(), key, value.unwrap_or_default()])
}
