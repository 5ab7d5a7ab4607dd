//! Every limit there is, in one place.

use serde::{Deserialize, Serialize};

/// What one node will hold, read or queue. At a limit the other side gets a clear error or waits; memory never
/// grows with someone else's greed. Sizes are bytes, times are in the unit of their last word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Longest frame that is read or written: a value of `value_bytes` with its envelope.
    pub frame_bytes: usize,
    /// Longest frame from a connection that has not yet authenticated.
    pub unauthenticated_frame_bytes: usize,
    /// Bytes of request bodies that a host reads or serves at once, all connections together.
    pub body_bytes: u64,
    /// How deep lists and maps may nest in a frame.
    pub depth: usize,
    /// Longest map name.
    pub map_name_bytes: usize,
    /// Longest key. With a map name and its separator it fits LMDB's 511.
    pub key_bytes: usize,
    /// Longest value, as MessagePack.
    pub value_bytes: usize,
    /// Longest operation, request or writer id.
    pub id_bytes: usize,
    /// Most operations in one batch.
    pub batch_ops: usize,
    /// Most connections at once.
    pub connections: usize,
    /// Unsent bytes of one connection at which its requests are refused. At twice as many it is closed.
    pub unsent_bytes: u64,
    /// Unsent bytes of all connections together at which one that adds to them, and has some already, is closed.
    pub unsent_total_bytes: u64,
    /// Commit bytes in flight at which writes are refused.
    pub commit_bytes_in_flight: u64,
    /// How far ahead of this node's wall clock a client's stamp may be.
    pub max_drift_ms: u64,
    /// How far ahead a node's clock is made durable: it speaks no time beyond that, and after a crash none below.
    pub clock_window_ms: u64,
    /// Log bytes not yet in the records at which an apply begins.
    pub apply_bytes: u64,
    /// Longest time that a committed change waits for an apply to begin.
    pub apply_delay_ms: u64,
    /// Bytes in one chunk of recovery, and in one chunk of what is sent to a peer.
    pub chunk_bytes: usize,
    /// Time between two heartbeats to a peer.
    pub heartbeat_ms: u64,
    /// Silence after which a peer's connection, or an unfinished handshake, is given up.
    pub silence_ms: u64,
    /// Time between two rounds in which a member asks the others whether they are alive. All other times of the failure detector are
    /// in proportion to it.
    pub probe_ms: u64,
    /// Time between two comparisons of everything with a peer.
    pub anti_entropy_ms: u64,
    /// Partitions that are repaired with one peer at once, by either side; each holds a frozen view of the partition.
    pub repair_sessions: usize,
    /// Symbols that one repair of a partition may take before everything in it is listed instead.
    pub repair_symbols: usize,
    /// Bytes of symbols, of a list or of records in one message of a repair; one record may have more.
    pub repair_bytes: usize,
    /// A partition that holds no more records than that is listed at once: symbols would not be less.
    pub repair_list_items: usize,
    /// Shortest and longest wait before a peer is dialled again.
    pub redial_ms: (u64, u64),
    /// Most partitions that a node pulls at once, each of them counted for each replica that it is pulled from.
    pub moves_at_once: usize,
    /// Bytes of keys and records that a node takes over in a second while partitions move to it, on the average: what is left of the
    /// machine and of the network is for whoever reads and writes.
    pub move_bytes_per_s: u64,
    /// Most requests that wait for other nodes at once.
    pub requests: usize,
    /// Longest time that a request waits for other nodes before it is said what is known.
    pub request_ms: u64,
    /// How long whoever was offline may come back with what it wrote before that is stamped anew: what was deleted, or has expired, is
    /// remembered for as long at least, and then collected (see [`crate::crdt::floor`]).
    pub offline_horizon_ms: u64,
    /// Most keys of which it is remembered what a client was told of them on its connection.
    pub session_keys: usize,
    /// How long it is remembered.
    pub session_ms: u64,
    /// Most parts of one predicate: its nodes, every value of its literals, and one for each 8 characters of a pattern.
    pub predicate_nodes: usize,
    /// Longest pattern of a `like` or `contains`, in characters.
    pub pattern_chars: usize,
    /// Longest filter in text form.
    pub filter_bytes: usize,
    /// Most fields that one query orders by, and most that it asks for.
    pub query_fields: usize,
    /// Most live queries of one connection.
    pub subscriptions: usize,
    /// Most parts of live queries that a node keeps on behalf of those who gather them.
    pub sources: usize,
    /// Most rows that one query answers with, or that a live one watches.
    pub query_rows: usize,
    /// Most bytes of keys and values that one query answers with, or that a live one remembers.
    pub query_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 17 << 20,
            unauthenticated_frame_bytes: 64 << 10,
            body_bytes: 64 << 20,
            depth: 64,
            map_name_bytes: 127,
            key_bytes: 383,
            value_bytes: 16 << 20,
            id_bytes: 128,
            batch_ops: 10_000,
            connections: 10_000,
            unsent_bytes: 40 << 20,
            unsent_total_bytes: 512 << 20,
            commit_bytes_in_flight: 64 << 20,
            max_drift_ms: 60_000,
            clock_window_ms: 1_000,
            apply_bytes: 8 << 20,
            apply_delay_ms: 1_000,
            chunk_bytes: 1 << 20,
            heartbeat_ms: 1_000,
            silence_ms: 5_000,
            probe_ms: 200,
            anti_entropy_ms: 30_000,
            repair_sessions: 4,
            repair_symbols: 1 << 16,
            repair_bytes: 1 << 20,
            repair_list_items: 16,
            redial_ms: (100, 5_000),
            moves_at_once: 128,
            move_bytes_per_s: 4 << 20,
            requests: 100_000,
            request_ms: 5_000,
            offline_horizon_ms: 30 * 24 * 3_600_000,
            session_keys: 1_000,
            session_ms: 60_000,
            predicate_nodes: 10_000,
            pattern_chars: 512,
            filter_bytes: 64 << 10,
            query_fields: 256,
            subscriptions: 1_000,
            sources: 10_000,
            query_rows: 100_000,
            query_bytes: 16 << 20,
        }
    }
}

/// A limit that no node can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit {name} must be between {low} and {high}, and is {value}")]
pub struct BadLimit {
    /// The field of [`Limits`].
    pub name: &'static str,
    /// What it is.
    pub value: u64,
    /// What it must at least be.
    pub low: u64,
    /// What it may at most be.
    pub high: u64,
}

impl Limits {
    /// What the stored layouts can hold. What is stored is read within these, and not within the limits of today: those are for
    /// what comes in, and a node that is given smaller ones must still be able to read its own disk.
    pub fn of_layout() -> Self {
        Self {
            map_name_bytes: u16::MAX.into(),
            key_bytes: u16::MAX.into(),
            id_bytes: u8::MAX.into(),
            value_bytes: u32::MAX as usize,
            depth: 1_024,
            ..Self::default()
        }
    }

    /// Whether a node can work with these: none so large that sums of them overflow or stored lengths do not hold them, none so
    /// small that nothing fits or a timer never rests.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn check(&self) -> Result<(), BadLimit> {
        const SIZE: u64 = 1 << 40;
        const TIME_MS: u64 = 1 << 40;
        /// As many as set reconciliation makes at most.
        const SYMBOLS: u64 = 1 << 24;
        let size = |n: usize| n as u64;
        // A frame holds a value, its key and its names.
        let names = size(self.id_bytes).saturating_mul(4);
        let frame_low = [self.value_bytes, self.map_name_bytes, self.key_bytes].map(size);
        let frame_low = frame_low.into_iter().fold(names, u64::saturating_add);
        let ranges = [
            ("value_bytes", size(self.value_bytes), 1, u64::from(u32::MAX) / 2),
            ("map_name_bytes", size(self.map_name_bytes), 1, 30_000),
            ("key_bytes", size(self.key_bytes), 1, 30_000),
            ("id_bytes", size(self.id_bytes), 1, 255),
            ("frame_bytes", size(self.frame_bytes), frame_low, u64::from(u32::MAX)),
            (
                "unauthenticated_frame_bytes",
                size(self.unauthenticated_frame_bytes),
                1,
                SIZE,
            ),
            ("depth", size(self.depth), 6, 128),
            ("batch_ops", size(self.batch_ops), 1, u64::from(u32::MAX)),
            ("subscriptions", size(self.subscriptions), 0, SIZE),
            ("sources", size(self.sources), 0, SIZE),
            ("predicate_nodes", size(self.predicate_nodes), 1, SIZE),
            ("pattern_chars", size(self.pattern_chars), 1, SIZE),
            ("filter_bytes", size(self.filter_bytes), 1, SIZE),
            ("query_fields", size(self.query_fields), 1, SIZE),
            ("query_rows", size(self.query_rows), 1, SIZE),
            ("query_bytes", size(self.query_bytes), 1, SIZE),
            ("connections", size(self.connections), 1, SIZE),
            ("unsent_bytes", self.unsent_bytes, 1, SIZE),
            ("unsent_total_bytes", self.unsent_total_bytes, 1, SIZE),
            ("commit_bytes_in_flight", self.commit_bytes_in_flight, 1, SIZE),
            ("max_drift_ms", self.max_drift_ms, 0, TIME_MS),
            ("clock_window_ms", self.clock_window_ms, 1, 60_000),
            ("apply_bytes", self.apply_bytes, 1, SIZE),
            ("apply_delay_ms", self.apply_delay_ms, 1, TIME_MS),
            ("chunk_bytes", size(self.chunk_bytes), 1, SIZE),
            ("heartbeat_ms", self.heartbeat_ms, 1, TIME_MS),
            ("silence_ms", self.silence_ms, 1, TIME_MS),
            ("probe_ms", self.probe_ms, 10, 60_000),
            ("anti_entropy_ms", self.anti_entropy_ms, 1, TIME_MS),
            ("moves_at_once", size(self.moves_at_once), 1, SIZE),
            ("move_bytes_per_s", self.move_bytes_per_s, 1, SIZE),
            ("requests", size(self.requests), 1, SIZE),
            ("session_keys", size(self.session_keys), 0, SIZE),
            ("session_ms", self.session_ms, 0, TIME_MS),
            ("request_ms", self.request_ms, 1, TIME_MS),
            ("offline_horizon_ms", self.offline_horizon_ms, 1, TIME_MS),
            ("repair_sessions", size(self.repair_sessions), 1, 1 << 10),
            ("repair_symbols", size(self.repair_symbols), 1, SYMBOLS),
            ("repair_bytes", size(self.repair_bytes), 1, SIZE),
            ("repair_list_items", size(self.repair_list_items), 0, SIZE),
            ("redial_ms", self.redial_ms.0, 1, self.redial_ms.1),
            ("redial_ms", self.redial_ms.1, 1, TIME_MS),
        ];
        let bad = ranges
            .into_iter()
            .find(|(_, value, low, high)| value < low || value > high);
        bad.map_or(Ok(()), |(name, value, low, high)| {
            Err(BadLimit { name, value, low, high })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_no_node_can_work_with_are_named() {
        assert_eq!(Limits::default().check(), Ok(()));
        let refused = |limits: Limits| limits.check().expect_err("out of range").name;
        let with = Limits::default;
        assert_eq!(
            refused(Limits {
                heartbeat_ms: 0,
                ..with()
            }),
            "heartbeat_ms"
        );
        assert_eq!(
            refused(Limits {
                silence_ms: u64::MAX,
                ..with()
            }),
            "silence_ms"
        );
        assert_eq!(
            refused(Limits {
                value_bytes: usize::MAX,
                id_bytes: usize::MAX,
                ..with()
            }),
            "value_bytes"
        );
        assert_eq!(
            refused(Limits {
                unsent_bytes: u64::MAX,
                ..with()
            }),
            "unsent_bytes"
        );
        assert_eq!(
            refused(Limits {
                id_bytes: 256,
                ..with()
            }),
            "id_bytes"
        );
        assert_eq!(
            refused(Limits {
                redial_ms: (9, 3),
                ..with()
            }),
            "redial_ms"
        );
        assert_eq!(
            refused(Limits {
                chunk_bytes: 0,
                ..with()
            }),
            "chunk_bytes"
        );
        assert_eq!(
            refused(Limits {
                repair_sessions: 0,
                ..with()
            }),
            "repair_sessions"
        );
        assert_eq!(
            refused(Limits {
                repair_symbols: (1 << 24) + 1,
                ..with()
            }),
            "repair_symbols"
        );
        assert_eq!(
            refused(Limits {
                repair_bytes: 0,
                ..with()
            }),
            "repair_bytes"
        );
        assert_eq!(
            refused(Limits {
                repair_list_items: usize::MAX,
                ..with()
            }),
            "repair_list_items"
        );
        assert_eq!(
            refused(Limits {
                frame_bytes: 16 << 20,
                ..with()
            }),
            "frame_bytes"
        );
    }
}
