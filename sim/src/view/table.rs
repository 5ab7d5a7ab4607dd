//! What is said more than once, kept once: texts, sets of keys, versions of records.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::json::Object;
use super::words;
use crate::model::Version;

/// Values by number, each once, in the order in which they came.
#[derive(Debug)]
pub(super) struct Table<T> {
    numbers: BTreeMap<T, i64>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        let numbers = BTreeMap::new();
        Self { numbers }
    }
}

impl<T: Ord> Table<T> {
    /// The number of `value`.
    pub fn number(&mut self, value: T) -> i64 {
        let next = self.numbers.len() as i64;
        *self.numbers.entry(value).or_insert(next)
    }

    /// The values by their numbers.
    pub fn values(&self) -> Vec<&T> {
        let mut values: Vec<_> = self.numbers.iter().map(|(value, number)| (number, value)).collect();
        values.sort_by_key(|(number, _)| **number);
        values.into_iter().map(|(_, value)| value).collect()
    }
}

/// All the tables of a recording.
#[derive(Debug)]
pub(super) struct Tables {
    texts: Table<String>,
    keys: Table<Vec<u8>>,
    sets: Table<Vec<i64>>,
    versions: Table<(i64, Version)>,
}

impl Default for Tables {
    fn default() -> Self {
        let mut tables = Self {
            texts: Table::default(),
            keys: Table::default(),
            sets: Table::default(),
            versions: Table::default(),
        };
        // Number 0 is the empty one, so that the page can tell without looking.
        tables.texts.number(String::new());
        tables.sets.number(Vec::new());
        tables
    }
}

impl Tables {
    pub fn text(&mut self, text: impl Into<String>) -> i64 {
        self.texts.number(text.into())
    }

    /// The number of a set of keys.
    pub fn set(&mut self, keys: Vec<Vec<u8>>) -> i64 {
        let mut set: Vec<i64> = keys.into_iter().map(|key| self.keys.number(key)).collect();
        set.sort_unstable();
        set.dedup();
        self.sets.number(set)
    }

    pub fn version(&mut self, key: &Bytes, version: &Version) -> i64 {
        let key = self.keys.number(key.to_vec());
        self.versions.number((key, version.clone()))
    }

    pub fn write(&self, out: &mut Object) {
        out.texts("texts", self.texts.values().into_iter().map(String::as_str));
        let keys: Vec<String> = self.keys.values().into_iter().map(|key| words::key(key)).collect();
        out.texts("keys", keys.iter().map(String::as_str));
        out.lists("sets", self.sets.values().into_iter().cloned());
        let versions = self.versions.values();
        let values: Vec<String> = versions.iter().map(|(_, v)| words::value(v.value.as_deref())).collect();
        let mut columns = Object::new();
        columns.numbers("key", versions.iter().map(|(key, _)| *key));
        columns.texts("value", values.iter().map(String::as_str));
        columns.texts("writer", versions.iter().map(|(_, v)| v.writer.as_str()));
        columns.steps("ms", versions.iter().map(|(_, v)| v.stamp.millis()));
        columns.numbers("counter", versions.iter().map(|(_, v)| v.stamp.counter().into()));
        let ttl = |v: &Version| v.ttl_ms.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
        columns.numbers("ttl", versions.iter().map(|(_, v)| ttl(v)));
        out.object("versions", columns);
    }
}
