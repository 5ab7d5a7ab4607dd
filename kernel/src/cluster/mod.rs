//! Floor 7: what a cluster is made of.
//!
//! Two things are kept apart. Who *belongs* to the cluster, and where each partition lies, is agreed ([`ClusterState`], the value
//! of a [`crate::register`]). Who is *alive* is each node's own opinion, and decides only which replica acts as owner now.

pub mod agreed;
mod forced;
pub mod liveness;
mod packed;
mod placement;
pub mod repair;
mod routes;
mod state;

pub use forced::Losses;
pub use placement::{Placement, Tally};
pub use routes::Routes;
pub use state::{BadChange, Change, ClusterState, MEMBERS_MAX, Member};
