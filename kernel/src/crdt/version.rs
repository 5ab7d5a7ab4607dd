//! One version of one key, wherever its bytes lie, and the order in which versions win.

use core::cmp::Ordering;

use crate::hlc::Stamp;

/// A version of a key: a stamp, its writer's name, and a value or a tombstone. It borrows from the record or the map that
/// holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version<'a> {
    /// When it was written, and by which writer.
    pub stamp: Stamp,
    /// The name that its writer goes by.
    pub writer: &'a str,
    /// How long after its stamp the value is read, in milliseconds; `None` is for ever.
    pub ttl_ms: Option<u64>,
    /// The value as MessagePack; `None` for a *tombstone*, which says that the key was deleted, and outlives older versions
    /// that are still on their way.
    pub value: Option<&'a [u8]>,
}

impl<'a> Version<'a> {
    /// A version that does not expire.
    pub fn new(stamp: Stamp, writer: &'a str, value: Option<&'a [u8]>) -> Self {
        Self {
            stamp,
            writer,
            ttl_ms: None,
            value,
        }
    }

    /// Whether it says that the key was deleted.
    pub fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// The first millisecond at which the value is not read any more; `None` is never. It is a function of the version
    /// alone, so that replicas agree on it, whatever their clocks say.
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.ttl_ms.map(|ttl_ms| self.stamp.millis().saturating_add(ttl_ms))
    }

    /// Whether the value is past its time at `now_ms` of the hybrid logical clock. An expired version stays a version: it wins
    /// over older ones and is a part of the digest until it is collected.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// What is read at `now_ms`: nothing of a tombstone, and nothing once it has expired.
    pub fn value_at(&self, now_ms: u64) -> Option<&'a [u8]> {
        self.value.filter(|_| !self.is_expired(now_ms))
    }

    /// The order in which versions win: by stamp. Two versions can share a stamp (two devices under one client name, a cloned
    /// node); then the content decides, or replicas that saw them in different orders would differ for ever: a tombstone wins
    /// over a value, the greater value over the smaller, then the longer life, the greater name last.
    pub fn wins_over(&self, other: &Version<'_>) -> bool {
        self.order(other) == Ordering::Greater
    }

    fn order(&self, other: &Version<'_>) -> Ordering {
        let forever = |ttl_ms: Option<u64>| ttl_ms.unwrap_or(u64::MAX);
        (self.stamp.cmp(&other.stamp))
            .then_with(|| self.is_tombstone().cmp(&other.is_tombstone()))
            .then_with(|| self.value.cmp(&other.value))
            .then_with(|| forever(self.ttl_ms).cmp(&forever(other.ttl_ms)))
            .then_with(|| self.writer.cmp(other.writer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::WriterId;

    fn version(ms: u64) -> Version<'static> {
        Version {
            stamp: Stamp::new(ms, 0, WriterId(1)).unwrap(),
            writer: "a",
            ttl_ms: None,
            value: Some(&[1]),
        }
    }

    #[test]
    fn one_of_two_versions_wins_whatever_they_share() {
        let (one, two, three) = (version(1), version(2), version(3));
        let ascending = [
            Version { value: None, ..one },
            Version { ttl_ms: Some(5), ..two },
            Version { ttl_ms: Some(6), ..two },
            two,
            Version { writer: "b", ..two },
            Version {
                value: Some(&[2]),
                ttl_ms: Some(1),
                ..two
            },
            Version { value: None, ..two },
            three,
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.wins_over(b), i > j, "{i} over {j}");
            }
        }
    }

    #[test]
    fn a_value_is_read_until_its_time() {
        let brief = Version {
            ttl_ms: Some(10),
            ..version(100)
        };
        assert_eq!(brief.expires_at_ms(), Some(110));
        assert_eq!(brief.value_at(109), Some(&[1][..]));
        assert_eq!(brief.value_at(110), None);
        assert!(!brief.is_tombstone() && brief.is_expired(110));
        assert_eq!(version(100).value_at(u64::MAX), Some(&[1][..]));
        assert_eq!(
            Version {
                value: None,
                ..version(1)
            }
            .value_at(0),
            None
        );
    }
}
