//! Where rows go, and as what: the frames of their batches.

use std::time::Duration;

use bytes::Bytes;
use kernel::crdt::Version;
use kernel::env::WriterId;
use kernel::hlc::{MAX_MILLIS, Stamp};
use kernel::wire::Consistency;
use kernel::wire::client::op_batch;
use kernel::wire::op::Op;

use super::Row;

/// Bits of a row's number that are in its stamp's counter.
const COUNTER_BITS: u32 = 16;

/// Where rows go, and as what.
#[derive(Debug, Clone)]
pub struct Target {
    /// The node's address.
    pub addr: String,
    /// The secret, where the node asks for one.
    pub token: Option<String>,
    /// The map.
    pub map: String,
    /// The writer's name.
    pub writer: String,
    /// The time of the first row, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Most rows of one batch.
    pub batch: usize,
    /// How long a node may be away, or refuse, before it is given up.
    pub retry_for: Duration,
}

impl Target {
    /// The frame of a batch. The operations are called by the numbers of their rows.
    pub(super) fn encode<'r>(&self, batch: impl Iterator<Item = &'r Row>) -> Bytes {
        let rows: Vec<(&Row, String)> = batch.map(|row| (row, row.number.to_string())).collect();
        let ops = rows.iter().map(|(row, id)| Op {
            id,
            map: &self.map,
            key: &row.key,
            consistency: Consistency::default(),
            version: Version::new(self.stamp(row.number), &self.writer, Some(&row.value)),
        });
        op_batch(&ops.collect::<Vec<_>>())
    }

    /// The stamp of a row: the same whenever it is sent, and later than those of the rows before it.
    pub fn stamp(&self, number: u64) -> Stamp {
        let counter = (number & ((1 << COUNTER_BITS) - 1)) as u16;
        let writer = WriterId::of(&self.writer);
        let millis = self.at_ms.saturating_add(number >> COUNTER_BITS);
        // A time that no stamp can say is further ahead than any node allows: the latest stamp is refused for that.
        let latest = |millis: u64| Stamp::new(millis.min(MAX_MILLIS - 1), counter, writer);
        latest(millis).unwrap_or(Stamp::ZERO)
    }
}

/// What a row takes in a frame, about.
pub(super) fn size(row: &Row) -> usize {
    128 + row.key.len() + row.value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_those_of_the_file_and_in_the_order_of_its_rows() {
        let target = Target {
            addr: String::new(),
            token: None,
            map: "m".to_owned(),
            writer: "import:a.csv".to_owned(),
            at_ms: 1_000,
            batch: 1,
            retry_for: Duration::ZERO,
        };
        let of = |number| (target.stamp(number).millis(), target.stamp(number).counter());
        assert_eq!(of(1), (1_000, 1));
        assert_eq!(of(65_535), (1_000, 65_535));
        assert_eq!(of(65_536), (1_001, 0));
        assert!(target.stamp(65_535) < target.stamp(65_536));
        let late = Target {
            at_ms: u64::MAX,
            ..target
        };
        assert!(late.stamp(1).millis() > 1 << 46);
    }
}
