//! Values by keys.

use alloc::vec::{self, Vec};
use core::cmp::Ordering;
use core::mem;

use super::Value;

/// Values by keys of any kind, in the order of the keys, each key once.
///
/// A sorted vector rather than a tree: most maps are read once and are small, and a node of a tree would take
/// hundreds of bytes for a map that took three to send.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Map {
    /// Strictly ascending by key.
    pairs: Vec<(Value, Value)>,
}

impl Map {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// What stands under `key`, or under one that equals it: `1` finds `1.0`.
    pub fn get(&self, key: &Value) -> Option<&Value> {
        let at = self.pairs.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        self.pairs.get(at).map(|(_, value)| value)
    }

    /// What stands under a text.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let at = self.pairs.binary_search_by(|(known, _)| known.cmp_text(name)).ok()?;
        self.pairs.get(at).map(|(_, value)| value)
    }

    /// Puts `value` under `key`, and gives what it replaced. Takes as many moves as pairs follow: a whole map is better
    /// collected.
    pub fn insert(&mut self, key: Value, value: Value) -> Option<Value> {
        match self.pairs.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => Some(mem::replace(&mut self.pairs[at].1, value)),
            Err(at) => {
                self.pairs.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes away what stands under `key`, and gives it.
    pub fn remove(&mut self, key: &Value) -> Option<Value> {
        let at = self.pairs.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        Some(self.pairs.remove(at).1)
    }

    /// The pairs, in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Value, &Value)> {
        self.pairs.iter().map(|(key, value)| (key, value))
    }
}

/// In any order. Of equal keys the last one counts, as in JSON.
impl FromIterator<(Value, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Value, Value)>>(pairs: I) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        // Stable, so equal keys stay as they came.
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        pairs.dedup_by(|later, earlier| {
            let same = later.0.cmp(&earlier.0) == Ordering::Equal;
            if same {
                mem::swap(later, earlier);
            }
            same
        });
        Self { pairs }
    }
}

impl IntoIterator for Map {
    type Item = (Value, Value);
    type IntoIter = vec::IntoIter<(Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.pairs.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(pairs: &[(Value, i32)]) -> Map {
        pairs.iter().map(|(key, n)| (key.clone(), Value::from(*n))).collect()
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let map = collected(&[
            ("b".into(), 1),
            (1.into(), 2),
            ("a".into(), 3),
            ((1.0).into(), 4),
            ("b".into(), 5),
        ]);
        assert_eq!(map.len(), 3);
        assert_eq!(map.get(&1.into()), Some(&4.into()));
        assert_eq!(map.field("b"), Some(&5.into()));
        assert_eq!(map.field("c"), None);
        let keys: Vec<_> = map.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(keys, [1.into(), "a".into(), "b".into()]);
    }

    #[test]
    fn one_by_one_or_at_once_is_the_same() {
        let mut map = Map::new();
        assert_eq!(map.insert("b".into(), 1.into()), None);
        assert_eq!(map.insert(Value::Null, 2.into()), None);
        assert_eq!(map.insert("b".into(), 3.into()), Some(1.into()));
        assert_eq!(map, collected(&[("b".into(), 3), (Value::Null, 2)]));
        assert_eq!(map.remove(&"b".into()), Some(3.into()));
        assert_eq!(map.remove(&"b".into()), None);
        assert_eq!(map.into_iter().count(), 1);
    }
}
