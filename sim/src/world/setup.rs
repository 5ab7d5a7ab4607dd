//! What a world is made of.

use crate::clock::ClockProfile;
use crate::disk::DiskProfile;
use crate::host::Rules;
use crate::network::NetworkProfile;

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The seed of every random stream.
    pub seed: u64,
    /// The clocks of the nodes: as many as there are nodes.
    pub clocks: Vec<ClockProfile>,
    /// The disk of each node.
    pub disk: DiskProfile,
    /// The network between all.
    pub network: NetworkProfile,
    /// Which rules the hosts keep.
    pub rules: Rules,
}

impl Setup {
    /// `nodes` nodes in good health.
    pub fn new(seed: u64, nodes: usize) -> Self {
        Self {
            seed,
            clocks: vec![ClockProfile::default(); nodes],
            disk: DiskProfile::default(),
            network: NetworkProfile::default(),
            rules: Rules::default(),
        }
    }
}
