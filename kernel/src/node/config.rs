//! What a node is made with.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::crdt::DigestKey;
use crate::env::{BadLimit, Limits, Mutants, RarePaths};
use crate::partition::Routing;
use crate::session::{Purpose, Secret};
use crate::store::StoreConfig;

/// What a node is made with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeConfig {
    /// The node's name. No other node that it meets may have the same.
    pub name: String,
    /// Where the other nodes dial it.
    pub addr: String,
    /// Addresses of members of the cluster that it is to join, in the form that the host dials. A node that belongs to no cluster and
    /// has none to join begins one.
    pub join: Vec<String>,
    /// What people call the cluster that it is meant for: a node that is meant for another one is refused.
    pub cluster_name: String,
    /// How many replicas each partition should have, in a cluster that this node begins.
    pub replicas: u32,
    /// How much it should hold, relative to the other members; at least 1.
    pub weight: u32,
    /// What it shares its fate with: backups are put into other zones first.
    pub zone: String,
    /// After how long a member that is given up as failed is removed, by whoever sees it; never, if `None`. It is removed only while as many
    /// others can be reached as a partition has replicas: what it held is then made whole elsewhere, and with fewer there is no elsewhere.
    pub remove_after_ms: Option<u64>,
    /// What clients and peers have to know; `None` serves whoever connects.
    pub secret: Option<Secret>,
    /// How maps route their keys, the same on every node.
    pub routing: Routing,
    /// Sizes and times.
    pub limits: Limits,
    /// Deliberately broken behaviour, in tests.
    pub mutants: Mutants,
    /// Rare paths that are taken on purpose, in tests.
    pub rare: RarePaths,
}

impl NodeConfig {
    /// An open node that begins a cluster of its own, and is dialled by its name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            addr: name.into(),
            join: Vec::new(),
            cluster_name: "orrery".into(),
            replicas: 3,
            weight: 100,
            zone: String::new(),
            remove_after_ms: None,
            secret: None,
            routing: Routing::new(),
            limits: Limits::default(),
            mutants: Mutants::default(),
            rare: RarePaths::default(),
        }
    }

    /// Whether a node can work with this. Ask before [`Node::new`](super::Node::new), which takes it at its word.
    ///
    /// # Errors
    /// [`BadConfig`], naming what is wrong.
    pub fn check(&self) -> Result<(), BadConfig> {
        self.limits.check()?;
        if self.name.is_empty() || self.name.len() > self.limits.id_bytes {
            return Err(BadConfig::Name {
                limit: self.limits.id_bytes,
            });
        }
        if self.cluster_name.is_empty() || self.cluster_name.len() > self.limits.id_bytes {
            return Err(BadConfig::ClusterName {
                limit: self.limits.id_bytes,
            });
        }
        Ok(())
    }

    pub(super) fn store(&self) -> StoreConfig {
        let key = Secret::key(self.secret.as_ref(), Purpose::Digests);
        let mut digest_key = [0; 16];
        digest_key.copy_from_slice(&key[..16]);
        let digest_key = DigestKey::new(digest_key);
        StoreConfig {
            routing: self.routing.clone(),
            digest_key,
            limits: self.limits.clone(),
            mutants: self.mutants,
        }
    }
}

/// Why a node cannot be made so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// A limit is out of range.
    #[error("{0}")]
    Limit(#[from] BadLimit),
    /// The name is empty or too long: peers would refuse it.
    #[error("the node's name is empty or over {limit} bytes")]
    Name {
        /// The limit.
        limit: usize,
    },
    /// The same of the cluster's name.
    #[error("the cluster's name is empty or over {limit} bytes")]
    ClusterName {
        /// The limit.
        limit: usize,
    },
}
