//! How good the failure detector is: how soon it sees a killed node, and how often it is wrong.
//!
//! A light loop of detectors and nothing else, so that a year of a cluster takes minutes. The network is as bad as the
//! scene says, independently for each message; [`cluster`] can also cut links, and stop, kill and restart nodes.

pub mod cluster;
pub mod grid;
pub mod measure;
