//! Some of the partitions.

use core::fmt;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::{PARTITIONS, PartitionId};

const WORDS: usize = (PARTITIONS as usize).div_ceil(64);

/// The bits of the last word that stand for a partition.
const LAST: u64 = (1 << (PARTITIONS % 64)) - 1;

/// A set of partitions: what a query can match in, what a node answers for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct PartitionSet {
    /// A partition's bit is that of its number, from the lowest bit of the first word. Bits behind the last partition are 0.
    words: [u64; WORDS],
}

impl PartitionSet {
    /// None of them.
    pub fn none() -> Self {
        Self::default()
    }

    /// All of them.
    pub fn all() -> Self {
        let mut words = [u64::MAX; WORDS];
        words[WORDS - 1] = LAST;
        Self { words }
    }

    /// This one alone.
    pub fn of(id: PartitionId) -> Self {
        [id].into_iter().collect()
    }

    /// The set whose words are these, the form in which it is sent; `None` if a bit stands for no partition.
    pub fn from_words(words: [u64; WORDS]) -> Option<Self> {
        (words[WORDS - 1] & !LAST == 0).then_some(Self { words })
    }

    /// Its words: a partition's bit is that of its number, from the lowest bit of the first word.
    pub fn words(&self) -> [u64; WORDS] {
        self.words
    }

    /// Puts a partition in.
    pub fn insert(&mut self, id: PartitionId) {
        self.words[id.index() / 64] |= 1 << (id.index() % 64);
    }

    /// Whether a partition is in it.
    pub fn contains(&self, id: PartitionId) -> bool {
        self.words[id.index() / 64] & (1 << (id.index() % 64)) != 0
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::none()
    }

    /// Whether all are in it.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Those that are in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PartitionId> + use<> {
        let set = *self;
        PartitionId::all().filter(move |id| set.contains(*id))
    }

    /// Those that are in either.
    pub fn union(self, other: Self) -> Self {
        self.with(other, |a, b| a | b)
    }

    /// Those that are in both.
    pub fn intersection(self, other: Self) -> Self {
        self.with(other, |a, b| a & b)
    }

    /// Those that are in this one and not in the other.
    pub fn difference(self, other: Self) -> Self {
        self.with(other, |a, b| a & !b)
    }

    fn with(mut self, other: Self, word: fn(u64, u64) -> u64) -> Self {
        for (own, other) in self.words.iter_mut().zip(other.words) {
            *own = word(*own, other);
        }
        self
    }
}

impl FromIterator<PartitionId> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = PartitionId>>(ids: I) -> Self {
        let mut set = Self::none();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

impl<'de> Deserialize<'de> for PartitionSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_words(<[u64; WORDS]>::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("a set holds a partition that is not there"))
    }
}

/// The numbers, as `{1, 7}`.
impl fmt::Debug for PartitionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(PartitionId::index)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    fn set(numbers: &BTreeSet<u64>) -> PartitionSet {
        numbers.iter().filter_map(|number| PartitionId::new(*number)).collect()
    }

    fn numbers(set: PartitionSet) -> BTreeSet<u64> {
        set.iter().map(|id| id.index() as u64).collect()
    }

    fn any_numbers() -> impl Strategy<Value = BTreeSet<u64>> {
        btree_set(0..u64::from(PARTITIONS), 0..80)
    }

    proptest! {
        #[test]
        fn it_is_a_set(a in any_numbers(), b in any_numbers()) {
            let (of_a, of_b) = (set(&a), set(&b));
            prop_assert!(of_a.iter().map(PartitionId::index).is_sorted());
            prop_assert_eq!(numbers(of_a.union(of_b)), &a | &b);
            prop_assert_eq!(numbers(of_a.intersection(of_b)), &a & &b);
            prop_assert_eq!(numbers(of_a.difference(of_b)), &a - &b);
            prop_assert_eq!((of_a.len(), of_a.is_empty()), (a.len(), a.is_empty()));
            prop_assert_eq!(PartitionSet::from_words(of_a.words()), Some(of_a));
            let bytes = postcard::to_allocvec(&of_a).unwrap();
            prop_assert_eq!(postcard::from_bytes::<PartitionSet>(&bytes), Ok(of_a));
        }
    }

    #[test]
    fn all_are_all_and_no_more() {
        let all = PartitionSet::all();
        assert_eq!((all.len(), all.is_all()), (usize::from(PARTITIONS), true));
        assert_eq!(PartitionId::all().collect::<PartitionSet>(), all);
        assert!(PartitionSet::none().is_empty() && !PartitionSet::none().is_all());
        let mut words = all.words();
        words[WORDS - 1] += 1;
        assert_eq!(PartitionSet::from_words(words), None);
        let bytes = postcard::to_allocvec(&words).unwrap();
        assert!(postcard::from_bytes::<PartitionSet>(&bytes).is_err());
    }
}
