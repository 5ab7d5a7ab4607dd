//! What expires when, so that those who watch are told.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::store::RecordKey;

/// How many keys one step tells of: a million that expire in one millisecond must not hold up everything else.
pub const AT_ONCE: usize = 10_000;

/// The keys whose versions have a time to live, and the time. Reading asks a version itself; this says when nobody asks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Expiry {
    due: BTreeSet<(u64, RecordKey)>,
    now_ms: u64,
}

impl Expiry {
    /// A key has another version: when its old one would have expired, and when its new one will.
    pub fn change(&mut self, key: &RecordKey, old_ms: Option<u64>, new_ms: Option<u64>) {
        if let Some(old_ms) = old_ms {
            self.due.remove(&(old_ms, key.clone()));
        }
        if let Some(new_ms) = new_ms.filter(|new_ms| *new_ms > self.now_ms) {
            // In memory of its own: a key may share the bytes of a whole frame.
            self.due.insert((new_ms, key.detached()));
        }
    }

    /// It is `now_ms`, or later if it has been later. Returns the keys that have expired since the last time, at most
    /// [`AT_ONCE`] of them; the others are still due.
    pub fn advance(&mut self, now_ms: u64) -> Vec<RecordKey> {
        self.now_ms = self.now_ms.max(now_ms);
        let mut gone = Vec::new();
        while self.is_due() && gone.len() < AT_ONCE {
            gone.extend(self.due.pop_first().map(|(_, key)| key));
        }
        gone
    }

    /// Whether there are keys that have expired and were not told of.
    pub fn is_due(&self) -> bool {
        self.next_ms().is_some_and(|due_ms| due_ms <= self.now_ms)
    }

    /// When the next one expires.
    pub fn next_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// The latest time that it was told.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Limits;

    #[test]
    fn many_that_expire_at_once_are_told_of_step_by_step() {
        let mut expiry = Expiry::default();
        for number in 0..2 * AT_ONCE + 1 {
            let name = RecordKey::new("m", &number.to_be_bytes(), &Limits::default()).unwrap();
            expiry.change(&name, None, Some(10));
        }
        let told = [10, 10, 10, 10].map(|now_ms| (expiry.advance(now_ms).len(), expiry.is_due()));
        assert_eq!(told, [(AT_ONCE, true), (AT_ONCE, true), (1, false), (0, false)]);
    }

    #[test]
    fn each_key_is_told_of_once_at_its_last_time() {
        let key = |name: &[u8]| RecordKey::new("m", name, &Limits::default()).unwrap();
        let mut expiry = Expiry::default();
        expiry.change(&key(b"a"), None, Some(10));
        expiry.change(&key(b"b"), None, Some(20));
        expiry.change(&key(b"a"), Some(10), Some(30));
        assert_eq!(expiry.advance(10), []);
        assert_eq!(expiry.next_ms(), Some(20));
        expiry.change(&key(b"c"), None, Some(25));
        expiry.change(&key(b"c"), Some(25), None);
        assert_eq!(expiry.advance(30), [key(b"b"), key(b"a")]);
        assert_eq!(expiry.advance(5), []);
        assert_eq!(expiry.now_ms(), 30, "time does not go back");
        expiry.change(&key(b"d"), None, Some(30));
        assert_eq!(expiry.next_ms(), None, "what has expired already is no news");
    }
}
