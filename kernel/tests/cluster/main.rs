//! Several nodes behind the contract, and a perfect network between them that can be cut. What goes wrong by itself is the
//! simulator's.

mod admin;
mod clocks;
mod comings;
mod floor;
mod forced;
#[path = "../node/host.rs"]
#[allow(dead_code)]
mod host;
mod lineage;
mod locks;
mod membership;
mod moves;
mod net;
mod queries;
mod quorums;
mod sessions;
mod stale;
mod staleness;
