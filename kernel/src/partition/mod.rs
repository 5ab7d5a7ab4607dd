//! Floor 3: where a key lives: key → routing part → slot → partition → the nodes that hold it.
//!
//! Slots are those of Redis Cluster, CRC-16/XMODEM of the routing part modulo 16,384; a partition is a contiguous range of 60
//! or 61 slots, so that stock cluster clients can route by themselves.

mod routing;
mod set;
pub mod table;

pub use routing::{PartitionBy, Routing, partition_of_key, routing_part};
pub use set::PartitionSet;
pub use table::{BadTable, Moves, Seat, Table, WEIGHT_MAX, added};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// How many slots there are.
pub const SLOTS: u16 = 16_384;

/// How many partitions there are: a prime, as in Hazelcast, so that member counts do not resonate with it.
pub const PARTITIONS: u16 = 271;

/// One of the [`PARTITIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PartitionId(u16);

impl PartitionId {
    /// The partition numbered `index`, if there is one.
    pub fn new(index: u64) -> Option<Self> {
        (index < u64::from(PARTITIONS)).then_some(Self(index as u16))
    }

    /// All of them, ascending.
    pub fn all() -> impl Iterator<Item = PartitionId> {
        (0..PARTITIONS).map(PartitionId)
    }

    /// Its number, as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl<'de> Deserialize<'de> for PartitionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let index = u16::deserialize(deserializer)?;
        Self::new(index.into()).ok_or_else(|| D::Error::custom("there is no such partition"))
    }
}

/// The slot of a routing part.
pub fn slot(routing_part: &[u8]) -> u16 {
    crc16(routing_part) % SLOTS
}

/// The partition that holds a slot.
///
/// # Panics
/// If there is no such slot.
pub fn partition_of(slot: u16) -> PartitionId {
    assert!(slot < SLOTS, "slot {slot} of {SLOTS}");
    PartitionId((u32::from(slot) * u32::from(PARTITIONS) / u32::from(SLOTS)) as u16)
}

/// CRC-16/XMODEM: polynomial 0x1021, start 0, not reflected.
fn crc16(bytes: &[u8]) -> u16 {
    bytes
        .iter()
        .fold(0, |crc, byte| (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)])
}

static CRC16: [u16; 256] = crc16_table();

const fn crc16_table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        // The check value of CRC-16/XMODEM, and what `CLUSTER KEYSLOT` answers.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"bar"), 5_061);
        assert_eq!(slot(b""), 0);
    }

    #[test]
    fn every_partition_is_60_or_61_slots_in_a_row() {
        let mut sizes = [0u16; PARTITIONS as usize];
        let mut last = 0;
        for slot in 0..SLOTS {
            let at = partition_of(slot).index();
            assert!(at == last || at == last + 1, "slot {slot} jumps from {last} to {at}");
            last = at;
            sizes[at] += 1;
        }
        assert!(sizes.iter().all(|size| matches!(size, 60 | 61)), "{sizes:?}");
    }
}
