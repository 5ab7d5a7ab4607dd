//! Every limit there is, in one place.

/// What one node will hold, read or queue. At a limit the other side gets a clear error or waits; memory never
/// grows with someone else's greed. Sizes are bytes, times are in the unit of their last word.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// Commit bytes in flight at which writes are refused.
    pub commit_bytes_in_flight: u64,
    /// How far ahead of this node's wall clock a client's stamp may be.
    pub drift_ms: u64,
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
    /// Time between two comparisons of everything with a peer.
    pub anti_entropy_ms: u64,
    /// Shortest and longest wait before a peer is dialled again.
    pub redial_ms: (u64, u64),
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
            commit_bytes_in_flight: 64 << 20,
            drift_ms: 60_000,
            apply_bytes: 8 << 20,
            apply_delay_ms: 1_000,
            chunk_bytes: 1 << 20,
            heartbeat_ms: 1_000,
            silence_ms: 5_000,
            anti_entropy_ms: 30_000,
            redial_ms: (100, 5_000),
        }
    }
}
