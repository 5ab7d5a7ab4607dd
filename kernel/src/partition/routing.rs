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
    /// What stands before the first such byte, and a field of the value says it again. A write whose field does not is
    /// refused where it enters the cluster, so that a condition on the field says where the records are.
    Field {
        /// The name of the field, as queries name it.
        field: String,
        /// The byte behind the routing part.
        separator: u8,
    },
}

impl PartitionBy {
    /// The byte behind the routing part.
    pub fn separator(&self) -> u8 {
        match self {
            Self::Before(separator) | Self::Field { separator, .. } => *separator,
        }
    }

    /// The field that holds the routing part, if one is declared.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Before(_) => None,
            Self::Field { field, .. } => Some(field),
        }
    }
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

    /// What `map` declares, if it does.
    pub fn of_map(&self, map: &str) -> Option<&PartitionBy> {
        self.maps.get(map)
    }

    /// The partition of `key` in `map`.
    pub fn partition(&self, map: &str, key: &[u8]) -> PartitionId {
        partition_of_key(key, self.of_map(map))
    }

    /// A number that two nodes share only if their maps route alike.
    pub fn digest(&self) -> u64 {
        let mut text = Vec::new();
        for (map, by) in &self.maps {
            text.extend_from_slice(map.as_bytes());
            text.extend_from_slice(&[0, by.separator()]);
            if let Some(field) = by.field() {
                // No map has an empty name, so this is not the beginning of the next one.
                text.push(0);
                text.extend_from_slice(&(field.len() as u64).to_be_bytes());
                text.extend_from_slice(field.as_bytes());
            }
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
        Some(by) => {
            let end = key.iter().position(|b| *b == by.separator());
            &key[..end.unwrap_or(key.len())]
        }
        None => key,
    }
}

/// The partition of a key of a map that declares this.
pub fn partition_of_key(key: &[u8], declared: Option<&PartitionBy>) -> PartitionId {
    partition_of(slot(routing_part(key, declared)))
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

    #[test]
    fn a_field_changes_the_digest_and_not_the_partition() {
        let routing = |field: &str| {
            let mut routing = Routing::new();
            let (field, separator) = (field.to_string(), b'/');
            routing.declare("orders", PartitionBy::Field { field, separator });
            routing
        };
        let mut plain = Routing::new();
        plain.declare("orders", PartitionBy::Before(b'/'));
        for key in ["c7/1", "c7", "x/{c7}", "{}/c7"] {
            let at = |routing: &Routing| routing.partition("orders", key.as_bytes());
            assert_eq!(at(&plain), at(&routing("tenantId")), "{key}");
        }
        let digests = [plain.digest(), routing("tenantId").digest(), routing("tenant").digest()];
        assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
    }
}
