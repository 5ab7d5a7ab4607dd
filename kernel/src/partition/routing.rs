//! What of a key decides where it lives.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::{PartitionId, partition_of, slot};

/// The part of its keys that a map declares to route by, beside `{tag}`s.
///
/// It is a part of the key and never of the value: a value can change or be deleted, and must not move its record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PartitionBy {
    /// What stands before the first such byte: with `/`, all of `customer-7/...` lives together.
    Before(u8),
}

/// What maps declare about routing. Every node of a cluster must have the same ([`Routing::digest`]), or a record would
/// have two homes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Routing {
    maps: BTreeMap<String, PartitionBy>,
}

impl Routing {
    /// No map declares anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares how `map` routes.
    pub fn declare(&mut self, map: &str, by: PartitionBy) {
        self.maps.insert(map.into(), by);
    }

    /// The partition of `key` in `map`.
    pub fn partition(&self, map: &str, key: &[u8]) -> PartitionId {
        partition_of(slot(routing_part(key, self.maps.get(map))))
    }

    /// A number that two nodes share only if their maps route alike.
    pub fn digest(&self) -> u64 {
        let mut text = Vec::new();
        for (map, PartitionBy::Before(separator)) in &self.maps {
            text.extend_from_slice(map.as_bytes());
            text.extend_from_slice(&[0, *separator]);
        }
        crate::env::name_hash(&text)
    }
}

/// The part of a key that decides its slot: what stands between the first `{` and the next `}`, if that is something (as in
/// Redis Cluster: the writer of the key was explicit); else what the map declares; else the key.
pub fn routing_part<'k>(key: &'k [u8], declared: Option<&PartitionBy>) -> &'k [u8] {
    if let Some(tag) = hash_tag(key) {
        return tag;
    }
    match declared {
        Some(PartitionBy::Before(separator)) => {
            let end = key.iter().position(|b| b == separator);
            &key[..end.unwrap_or(key.len())]
        }
        None => key,
    }
}

fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|b| *b == b'{')?;
    let inside = &key[open + 1..];
    let close = inside.iter().position(|b| *b == b'}')?;
    (close > 0).then(|| &inside[..close])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_routes_as_in_redis_cluster() {
        assert_eq!(routing_part(b"{user1000}.following", None), b"user1000");
        assert_eq!(routing_part(b"foo{}{bar}", None), b"foo{}{bar}");
        assert_eq!(routing_part(b"foo{{bar}}zap", None), b"{bar");
        assert_eq!(routing_part(b"foo{bar}{zap}", None), b"bar");
        assert_eq!(routing_part(b"open{end", None), b"open{end");
    }

    #[test]
    fn a_map_routes_by_what_it_declares_and_a_tag_goes_before() {
        let mut routing = Routing::new();
        routing.declare("orders", PartitionBy::Before(b'/'));
        let at = |map, key: &str| routing.partition(map, key.as_bytes());
        assert_eq!(at("orders", "c7/1"), at("orders", "c7/2"));
        assert_eq!(at("orders", "c7/1"), at("plain", "c7"));
        assert_eq!(at("orders", "x/{c7}"), at("plain", "c7"));
        assert_eq!(at("orders", "c7"), at("plain", "c7"));
        assert_ne!(at("plain", "c7/1"), at("plain", "c7/2"));
        assert_ne!(routing.digest(), Routing::new().digest());
    }
}
