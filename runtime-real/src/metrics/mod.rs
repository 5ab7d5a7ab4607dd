//! What a node measures, as Prometheus scrapes it.
//!
//! Counting wraps an interface and is in none of the things that it counts: the [machine](Watch) (how long requests take),
//! the [network](MeteredNet) (frames, bytes, connections), the [stores](MeteredLog) (syncs, transactions, applies). What only
//! the kernel knows is a plain struct of numbers ([`Stats`]), read when somebody asks.

mod machine;
mod net;
mod now;
mod sparingly;
mod stores;

pub use machine::{Watch, Watched};
pub use net::{MeteredNet, MeteredReader, MeteredWriter};
pub use sparingly::Sparingly;
pub use stores::{MeteredLog, MeteredRecords};

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use kernel::machine::Role;
use kernel::node::Stats;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::record::Recording;

/// A time in seconds that is set and not counted.
type Seconds = Gauge<f64, AtomicU64>;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRole {
    role: &'static str,
}

impl From<Role> for ByRole {
    fn from(role: Role) -> Self {
        let role = match role {
            Role::Client => "client",
            Role::Peer => "peer",
        };
        Self { role }
    }
}

/// Everything that is counted as it happens. Clones count together, on any thread.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    request_s: Histogram,
    sync_s: Histogram,
    sync_failures: Counter,
    commit_entries: Histogram,
    commit_operations: Histogram,
    commit_bytes: Histogram,
    apply_s: Histogram,
    apply_rows: Histogram,
    apply_failures: Counter,
    opened: Family<ByRole, Counter>,
    frames_in: Family<ByRole, Counter>,
    frames_out: Family<ByRole, Counter>,
    bytes_in: Family<ByRole, Counter>,
    bytes_out: Family<ByRole, Counter>,
    recovery_s: Seconds,
}

/// Upper ends of times, from a tenth of a millisecond to ten seconds.
const TIMES_S: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Upper ends of counts: powers of four up to a million.
fn counts() -> impl Iterator<Item = f64> {
    (0..11).map(|power| f64::from(1_u32 << (2 * power)))
}

/// Upper ends of sizes: powers of four from 256 bytes to 64 MiB.
fn sizes() -> impl Iterator<Item = f64> {
    (4..14).map(|power| f64::from(1_u32 << (2 * power)))
}

impl Metrics {
    /// Nothing counted yet. `version` is shown as it is.
    pub fn new(version: &str) -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            request_s: Histogram::new(TIMES_S),
            sync_s: Histogram::new(TIMES_S),
            sync_failures: Counter::default(),
            commit_entries: Histogram::new(counts()),
            commit_operations: Histogram::new(counts()),
            commit_bytes: Histogram::new(sizes()),
            apply_s: Histogram::new(TIMES_S),
            apply_rows: Histogram::new(counts()),
            apply_failures: Counter::default(),
            opened: Family::default(),
            frames_in: Family::default(),
            frames_out: Family::default(),
            bytes_in: Family::default(),
            bytes_out: Family::default(),
            recovery_s: Seconds::default(),
        };
        metrics.registry = Arc::new(metrics.register(version));
        metrics
    }

    fn register(&self, version: &str) -> Registry {
        let mut all = Registry::with_prefix("orrery");
        let info = Info::new([("version", version.to_owned())]);
        all.register("build", "What runs here", info);
        let about = "From a client's frame to its last answer, which leaves when what it shows is durable";
        all.register_with_unit("request", about, Unit::Seconds, self.request_s.clone());
        let about = "Transactions of the log, each synced: how long they took";
        all.register_with_unit("log_sync", about, Unit::Seconds, self.sync_s.clone());
        let about = "Transactions of the log that failed";
        all.register("log_sync_failures", about, self.sync_failures.clone());
        let about = "Entries in a transaction of the log";
        all.register("log_transaction_entries", about, self.commit_entries.clone());
        let about = "Changed records in a transaction of the log";
        all.register("log_transaction_changes", about, self.commit_operations.clone());
        let about = "Bytes in a transaction of the log";
        all.register("log_transaction_bytes", about, self.commit_bytes.clone());
        let about = "Transactions of the records, each synced: how long they took";
        all.register_with_unit("apply", about, Unit::Seconds, self.apply_s.clone());
        let about = "Rows in a transaction of the records";
        all.register("apply_rows", about, self.apply_rows.clone());
        let about = "Transactions of the records that failed";
        all.register("apply_failures", about, self.apply_failures.clone());
        let about = "Connections that were opened; an HTTP exchange is one";
        all.register("connections_opened", about, self.opened.clone());
        all.register("frames_received", "Frames that came", self.frames_in.clone());
        all.register("frames_sent", "Frames that went", self.frames_out.clone());
        let about = "Bytes of frames that came";
        all.register("received_bytes", about, self.bytes_in.clone());
        let about = "Bytes of frames that went";
        all.register("sent_bytes", about, self.bytes_out.clone());
        let about = "How long the last recovery from disk took";
        all.register_with_unit("recovery", about, Unit::Seconds, self.recovery_s.clone());
        all
    }

    /// The node recovered, in so many seconds.
    pub fn recovered(&self, seconds: f64) {
        self.recovery_s.set(seconds);
    }

    /// The page that Prometheus scrapes. `recording` is there if there is one; `mono_us` is what the driver's clock shows.
    pub fn page(&self, stats: &Stats, recording: Option<Recording>, mono_us: u64) -> String {
        let mut text = String::new();
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &now::registry(stats, recording, mono_us)))
            .and_then(|()| encode_eof(&mut text));
        // Writing to a text does not fail.
        written.map_or_else(|_| String::new(), |()| text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}
