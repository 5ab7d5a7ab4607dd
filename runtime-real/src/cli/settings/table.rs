//! Every setting of a node: the one list that flags, the environment, the file, `config print` and the help are made of.

use std::net::SocketAddr;
use std::path::PathBuf;

use kernel::env::Limits;
use kernel::partition::PartitionBy;
use kernel::partition::table::WEIGHT_MAX;

use super::field::Field;
use crate::net::TlsFiles;

/// What a node is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub data: PathBuf,
    pub listen: SocketAddr,
    pub advertise: Option<String>,
    pub join: Vec<String>,
    pub cluster_name: String,
    pub replicas: u32,
    pub weight: u32,
    pub zone: Option<String>,
    pub remove_after: Option<u64>,
    pub cluster_secret_file: Option<PathBuf>,
    pub cluster_cert_file: Option<PathBuf>,
    pub cluster_key_file: Option<PathBuf>,
    pub cluster_ca_file: Option<PathBuf>,
    pub log: &'static str,
    pub log_level: &'static str,
    pub node: Option<String>,
    pub partition_by: Vec<(String, PartitionBy)>,
    pub record: Option<PathBuf>,
    pub record_bytes: u64,
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: "./orrery-data".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 7878)),
            advertise: None,
            join: Vec::new(),
            cluster_name: "orrery".into(),
            replicas: 3,
            weight: 100,
            zone: None,
            remove_after: None,
            cluster_secret_file: None,
            cluster_cert_file: None,
            cluster_key_file: None,
            cluster_ca_file: None,
            log: "text",
            log_level: "info",
            node: None,
            partition_by: Vec::new(),
            record: None,
            record_bytes: 256 << 20,
            limits: Limits::default(),
        }
    }
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name in the file; `ORRERY_` and the same in capitals in the environment.
    pub name: &'static str,
    /// Its flag, without the dashes.
    pub flag: &'static str,
    /// What its value is called in the help.
    pub value: &'static str,
    pub help: &'static str,
    pub field: Field,
}

const fn setting(name: &'static str, value: &'static str, field: Field, help: &'static str) -> Setting {
    Setting {
        name,
        flag: name,
        value,
        help,
        field,
    }
}

/// All of them.
pub const TABLE: &[Setting] = &[
    setting(
        "data",
        "DIR",
        Field::Path(|c| &mut c.data),
        "The data folder; made if it is not there",
    ),
    setting(
        "listen",
        "ADDR",
        Field::Listen(|c| &mut c.listen),
        "Where to listen, as IP:PORT; with port 0 the system chooses one",
    ),
    setting(
        "advertise",
        "ADDR",
        Field::MaybeAddress(|c| &mut c.advertise),
        "Where the other nodes reach this one, as HOST:PORT; with port 0, the one that it listens on. Without it, where it listens",
    ),
    setting(
        "join",
        "ADDR",
        Field::Addresses(|c| &mut c.join),
        "Members of the cluster to join, each as HOST:PORT; several after one another or with commas between them. A node without \
         it begins a cluster. Once a node is a member it finds the others by what it has on disk",
    ),
    setting(
        "cluster-name",
        "NAME",
        Field::Text(|c| &mut c.cluster_name),
        "What the cluster is called: nodes that are meant for another one are refused",
    ),
    setting(
        "replicas",
        "COUNT",
        Field::Number(1..=7, |c| &mut c.replicas),
        "How many nodes hold each partition, in a cluster that this node begins: 1 to 7",
    ),
    setting(
        "weight",
        "NUMBER",
        Field::Number(1..=WEIGHT_MAX, |c| &mut c.weight),
        "How much this node should hold, relative to the others",
    ),
    setting(
        "zone",
        "NAME",
        Field::MaybeText(|c| &mut c.zone),
        "What this node shares its fate with, such as a rack: replicas are put into different zones first",
    ),
    setting(
        "remove-after",
        "DURATION",
        Field::MaybeDuration(|c| &mut c.remove_after),
        "After how long a member that has failed is removed, so that what it held is made whole elsewhere; without it, after the \
         offline horizon, or when somebody says `cluster remove`. It stays while fewer others are there than a partition has replicas. \
         The same on every node",
    ),
    setting(
        "offline-horizon",
        "DURATION",
        Field::Duration(|c| &mut c.limits.offline_horizon_ms),
        "How long deletes and what has expired are remembered, at least: who was offline for longer stamps anew what it wrote before. \
         The same on every node",
    ),
    setting(
        "cluster-secret-file",
        "FILE",
        Field::MaybePath(|c| &mut c.cluster_secret_file),
        "A file with the secret that nodes and clients must present: at least 16 characters on one line. Needed to \
         listen on anything but loopback",
    ),
    setting(
        "cluster-cert-file",
        "FILE",
        Field::MaybePath(|c| &mut c.cluster_cert_file),
        "This node's certificate, and those between it and a root, as PEM: nodes then link over mutual TLS alone. It must be for the \
         host that others dial. With --cluster-key-file and --cluster-ca-file, on every node",
    ),
    setting(
        "cluster-key-file",
        "FILE",
        Field::MaybePath(|c| &mut c.cluster_key_file),
        "The private key of that certificate, as PEM: PKCS#8, SEC1 or RSA, not encrypted",
    ),
    setting(
        "cluster-ca-file",
        "FILE",
        Field::MaybePath(|c| &mut c.cluster_ca_file),
        "The roots that sign the certificates of nodes, as PEM: of this cluster's own, for whatever they sign is let in",
    ),
    setting(
        "node",
        "NAME",
        Field::MaybeText(|c| &mut c.node),
        "The node's name; without one it keeps a random one in the data folder",
    ),
    setting(
        "partition-by",
        "MAP=[FIELD]SEPARATOR",
        Field::Routes(|c| &mut c.partition_by),
        "Keep keys of MAP together that are equal up to the first SEPARATOR, one ASCII character: the same on every node. \
         With a FIELD (orders=tenantId/) a value is refused whose field is not that part of its key, and a query of some \
         values of the field reads only where they are; declare it before the map holds anything",
    ),
    setting(
        "record",
        "DIR",
        Field::MaybePath(|c| &mut c.record),
        "Record all that the node is given into this folder, for `sim replay`. A recording holds data, and the tokens that \
         clients present: its files can be read by their owner alone",
    ),
    setting(
        "record-bytes",
        "SIZE",
        Field::DiskSize(|c| &mut c.record_bytes),
        "The most that all files of the recording take together: the oldest go first. What the node holds must fit \
         a twelfth of it",
    ),
    setting(
        "log",
        "FORM",
        Field::Choice(&["text", "json"], |c| &mut c.log),
        "The form of the log on standard error: text, or json with one object a line",
    ),
    setting(
        "log-level",
        "LEVEL",
        Field::Choice(&["error", "warn", "info", "debug", "trace"], |c| &mut c.log_level),
        "How much is logged: error, warn, info, debug or trace",
    ),
    setting(
        "max-frame",
        "SIZE",
        Field::Size(|c| &mut c.limits.frame_bytes),
        "Longest frame that is read or written: a value and its envelope",
    ),
    setting(
        "max-unauthenticated-frame",
        "SIZE",
        Field::Size(|c| &mut c.limits.unauthenticated_frame_bytes),
        "How much is read of a connection before it has authenticated",
    ),
    setting(
        "max-bodies",
        "SIZE",
        Field::Size64(|c| &mut c.limits.body_bytes),
        "Bodies of POST /sync that are in memory at once; more of them wait",
    ),
    setting(
        "max-value",
        "SIZE",
        Field::Size(|c| &mut c.limits.value_bytes),
        "Longest value, as MessagePack",
    ),
    setting(
        "max-batch",
        "COUNT",
        Field::Count(|c| &mut c.limits.batch_ops),
        "Most operations in one batch",
    ),
    setting(
        "max-connections",
        "COUNT",
        Field::Count(|c| &mut c.limits.connections),
        "Most connections at once; an eighth of them is kept for the node's own",
    ),
    setting(
        "max-unsent",
        "SIZE",
        Field::Size64(|c| &mut c.limits.unsent_bytes),
        "Unsent bytes of one connection at which its requests are refused; at twice as many it is closed",
    ),
    setting(
        "max-in-flight",
        "SIZE",
        Field::Size64(|c| &mut c.limits.commit_bytes_in_flight),
        "Bytes on their way to disk at which writes are refused",
    ),
    setting(
        "max-drift",
        "DURATION",
        Field::Duration(|c| &mut c.limits.max_drift_ms),
        "How far ahead of this node's clock a client's may be",
    ),
    setting(
        "apply-size",
        "SIZE",
        Field::Size64(|c| &mut c.limits.apply_bytes),
        "Log that gathers before it is brought into the records",
    ),
    setting(
        "apply-delay",
        "DURATION",
        Field::Duration(|c| &mut c.limits.apply_delay_ms),
        "Longest time that it gathers",
    ),
    setting(
        "heartbeat",
        "DURATION",
        Field::Duration(|c| &mut c.limits.heartbeat_ms),
        "Time between two heartbeats to a peer",
    ),
    setting(
        "silence",
        "DURATION",
        Field::Duration(|c| &mut c.limits.silence_ms),
        "Silence after which a peer, an unfinished handshake or a slow request is given up",
    ),
    setting(
        "anti-entropy",
        "DURATION",
        Field::Duration(|c| &mut c.limits.anti_entropy_ms),
        "Time between two comparisons of everything with a peer",
    ),
    setting(
        "move-rate",
        "SIZE",
        Field::Size64(|c| &mut c.limits.move_bytes_per_s),
        "Bytes a second that this node takes over while partitions move to it",
    ),
];

impl Setting {
    /// Its name in the environment.
    pub fn variable(&self) -> String {
        format!("ORRERY_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

impl Config {
    /// What two settings must be to each other, and whether they are. Names the settings.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        /// What stands around a value in its frame: names, stamps, and the key.
        const ENVELOPE_BYTES: usize = 4 << 10;
        let limits = &self.limits;
        for (held, setting, must) in [
            (
                limits.frame_bytes >= limits.value_bytes.saturating_add(ENVELOPE_BYTES),
                "max-frame",
                "must be at least max-value and 4KiB more",
            ),
            (
                limits.unauthenticated_frame_bytes <= limits.frame_bytes,
                "max-unauthenticated-frame",
                "must be at most max-frame",
            ),
            (
                limits.heartbeat_ms < limits.silence_ms,
                "heartbeat",
                "must be shorter than silence",
            ),
        ] {
            if !held {
                return Err((setting, must));
            }
        }
        self.check_tls()
    }

    /// The files of mutual TLS go together. Named is one that is there, and what is missing beside it.
    fn check_tls(&self) -> Result<(), (&'static str, &'static str)> {
        let files = [&self.cluster_cert_file, &self.cluster_key_file, &self.cluster_ca_file];
        let given = [
            ("cluster-cert-file", "needs cluster-cert-file beside it"),
            ("cluster-key-file", "needs cluster-key-file beside it"),
            ("cluster-ca-file", "needs cluster-ca-file beside it"),
        ];
        let at = |is_there| files.iter().position(|file| file.is_some() == is_there);
        match (at(true), at(false)) {
            (Some(there), Some(missing)) => Err((given[there].0, given[missing].1)),
            _ => Ok(()),
        }
    }

    /// The files of mutual TLS, where it is configured.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            cert: self.cluster_cert_file.clone()?,
            key: self.cluster_key_file.clone()?,
            ca: self.cluster_ca_file.clone()?,
        })
    }
}
