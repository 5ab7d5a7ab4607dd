//! What the world of a run is like.

use kernel::env::Rare;

use crate::clock::ClockProfile;
use crate::disk::DiskProfile;
use crate::network::{NetworkProfile, Shape};
use crate::world::Setup;

/// The drawn options of a run. Each is one line of a plan's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Seeds every random stream of the run that is not the plan itself.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u64,
    /// How many clients.
    pub clients: u64,
    /// The first so many clients share one writer name and one clock, so that their stamps collide.
    pub twins: u64,
    /// So many clients after the twins ask by exchanges: one request and one answer for each connection.
    pub exchanges: u64,
    /// Nodes and clients share a secret.
    pub secret: bool,
    /// The last so many clients have a wrong one.
    pub impostors: u64,
    /// The rare paths that are on in every node.
    pub rare: Vec<Rare>,
    /// When every fault ends for good.
    pub heal_us: u64,
    /// How long after that everything must have converged.
    pub converge_us: u64,
    /// The last so many nodes are gone for good when the others are healed.
    pub dead: u64,
    /// See [`NetworkProfile::ordered`].
    pub ordered: bool,
    /// See [`NetworkProfile::latency_us`].
    pub latency_us: (u64, u64),
    /// See [`NetworkProfile::latency_shape`]: its place in [`Shape::ALL`].
    pub latency_shape: u64,
    /// See [`NetworkProfile::latency_spread`].
    pub latency_spread: u64,
    /// See [`NetworkProfile::loss_permille`].
    pub loss_permille: u64,
    /// See [`NetworkProfile::duplicate_permille`].
    pub duplicate_permille: u64,
    /// See [`NetworkProfile::corrupt_permille`].
    pub corrupt_permille: u64,
    /// See [`NetworkProfile::bytes_per_ms`].
    pub bytes_per_ms: u64,
    /// See [`NetworkProfile::break_us`].
    pub break_us: (u64, u64),
    /// See [`DiskProfile::sync_us`].
    pub sync_us: (u64, u64),
    /// See [`DiskProfile::torn_permille`].
    pub torn_permille: u64,
    /// See [`DiskProfile::log_bytes`].
    pub log_bytes: u64,
    /// How far each node's wall clock is ahead when the run begins; those without a word are right.
    pub skew_ms: Vec<i64>,
    /// How much faster each node's clocks run, in millionths.
    pub drift_ppm: Vec<i64>,
    /// How far each client's wall clock is ahead.
    pub client_skew_ms: Vec<i64>,
    /// How long a client waits for an answer before it asks elsewhere.
    pub patience_us: u64,
    /// Most operations that a client puts into one frame.
    pub client_batch: u64,
    /// `Limits::chunk_bytes`.
    pub chunk_bytes: u64,
    /// `Limits::apply_bytes`.
    pub apply_bytes: u64,
    /// `Limits::apply_delay_ms`.
    pub apply_delay_ms: u64,
    /// `Limits::commit_bytes_in_flight`.
    pub commit_bytes_in_flight: u64,
    /// `Limits::unsent_bytes`.
    pub unsent_bytes: u64,
    /// `Limits::max_drift_ms`.
    pub max_drift_ms: u64,
    /// `Limits::heartbeat_ms`.
    pub heartbeat_ms: u64,
    /// `Limits::silence_ms`.
    pub silence_ms: u64,
    /// `Limits::anti_entropy_ms`.
    pub anti_entropy_ms: u64,
    /// `Limits::redial_ms`.
    pub redial_ms: (u64, u64),
    /// `NodeConfig::remove_after_ms`; 0: nobody is removed by itself.
    pub remove_after_ms: u64,
    /// `Limits::move_bytes_per_s`.
    pub move_bytes_per_s: u64,
    /// `Limits::offline_horizon_ms`.
    pub offline_horizon_ms: u64,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            seed: 0,
            nodes: 3,
            clients: 3,
            twins: 0,
            exchanges: 0,
            secret: false,
            impostors: 0,
            rare: Vec::new(),
            heal_us: 10_000_000,
            converge_us: 60_000_000,
            dead: 0,
            ordered: true,
            latency_us: (100, 1_000),
            latency_shape: 0,
            latency_spread: 1,
            loss_permille: 0,
            duplicate_permille: 0,
            corrupt_permille: 0,
            bytes_per_ms: 100_000,
            break_us: (500_000, 4_000_000),
            sync_us: (200, 2_000),
            torn_permille: 0,
            log_bytes: 64 << 20,
            skew_ms: Vec::new(),
            drift_ppm: Vec::new(),
            client_skew_ms: Vec::new(),
            patience_us: 1_000_000,
            client_batch: 10,
            chunk_bytes: 1 << 20,
            apply_bytes: 4_096,
            apply_delay_ms: 200,
            commit_bytes_in_flight: 1 << 20,
            unsent_bytes: 1 << 20,
            max_drift_ms: 60_000,
            heartbeat_ms: 250,
            silence_ms: 1_000,
            anti_entropy_ms: 2_000,
            redial_ms: (50, 500),
            remove_after_ms: 0,
            move_bytes_per_s: 4 << 20,
            offline_horizon_ms: 30 * 24 * 3_600_000,
        }
    }
}

/// A field of the header, whatever its shape.
pub(super) enum Field<'a> {
    Flag(&'a mut bool),
    Number(&'a mut u64),
    Pair(&'a mut (u64, u64)),
    List(&'a mut Vec<i64>),
    Rare(&'a mut Vec<Rare>),
}

impl Header {
    /// Every field under its name: what the text of a plan is written from and read into.
    pub(super) fn fields(&mut self) -> Vec<(&'static str, Field<'_>)> {
        use Field::{Flag, List, Number, Pair};
        vec![
            ("seed", Number(&mut self.seed)),
            ("nodes", Number(&mut self.nodes)),
            ("clients", Number(&mut self.clients)),
            ("twins", Number(&mut self.twins)),
            ("exchanges", Number(&mut self.exchanges)),
            ("secret", Flag(&mut self.secret)),
            ("impostors", Number(&mut self.impostors)),
            ("rare", Field::Rare(&mut self.rare)),
            ("heal_us", Number(&mut self.heal_us)),
            ("converge_us", Number(&mut self.converge_us)),
            ("dead", Number(&mut self.dead)),
            ("ordered", Flag(&mut self.ordered)),
            ("latency_us", Pair(&mut self.latency_us)),
            ("latency_shape", Number(&mut self.latency_shape)),
            ("latency_spread", Number(&mut self.latency_spread)),
            ("loss_permille", Number(&mut self.loss_permille)),
            ("duplicate_permille", Number(&mut self.duplicate_permille)),
            ("corrupt_permille", Number(&mut self.corrupt_permille)),
            ("bytes_per_ms", Number(&mut self.bytes_per_ms)),
            ("break_us", Pair(&mut self.break_us)),
            ("sync_us", Pair(&mut self.sync_us)),
            ("torn_permille", Number(&mut self.torn_permille)),
            ("log_bytes", Number(&mut self.log_bytes)),
            ("skew_ms", List(&mut self.skew_ms)),
            ("drift_ppm", List(&mut self.drift_ppm)),
            ("client_skew_ms", List(&mut self.client_skew_ms)),
            ("patience_us", Number(&mut self.patience_us)),
            ("client_batch", Number(&mut self.client_batch)),
            ("chunk_bytes", Number(&mut self.chunk_bytes)),
            ("apply_bytes", Number(&mut self.apply_bytes)),
            ("apply_delay_ms", Number(&mut self.apply_delay_ms)),
            ("commit_bytes_in_flight", Number(&mut self.commit_bytes_in_flight)),
            ("unsent_bytes", Number(&mut self.unsent_bytes)),
            ("max_drift_ms", Number(&mut self.max_drift_ms)),
            ("heartbeat_ms", Number(&mut self.heartbeat_ms)),
            ("silence_ms", Number(&mut self.silence_ms)),
            ("anti_entropy_ms", Number(&mut self.anti_entropy_ms)),
            ("redial_ms", Pair(&mut self.redial_ms)),
            ("remove_after_ms", Number(&mut self.remove_after_ms)),
            ("move_bytes_per_s", Number(&mut self.move_bytes_per_s)),
            ("offline_horizon_ms", Number(&mut self.offline_horizon_ms)),
        ]
    }

    /// The world that it describes.
    pub fn setup(&self) -> Setup {
        let at = |list: &[i64], node: usize| list.get(node).copied().unwrap_or(0);
        let clock = |node| ClockProfile {
            skew_ms: at(&self.skew_ms, node),
            drift_ppm: at(&self.drift_ppm, node),
        };
        Setup {
            clocks: (0..self.nodes as usize).map(clock).collect(),
            disk: DiskProfile {
                sync_us: self.sync_us,
                torn_permille: self.torn_permille,
                log_bytes: self.log_bytes,
                ..DiskProfile::default()
            },
            network: NetworkProfile {
                latency_us: self.latency_us,
                latency_shape: Shape::ALL[self.latency_shape as usize % Shape::ALL.len()],
                latency_spread: self.latency_spread,
                ordered: self.ordered,
                loss_permille: self.loss_permille,
                duplicate_permille: self.duplicate_permille,
                corrupt_permille: self.corrupt_permille,
                bytes_per_ms: self.bytes_per_ms,
                break_us: self.break_us,
                ..NetworkProfile::default()
            },
            ..Setup::new(self.seed, 0)
        }
    }
}
