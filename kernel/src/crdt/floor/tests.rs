mod histories;
mod model;
mod rounds;

use super::*;
use crate::env::{NodeId, WriterId};
use crate::hlc::Stamp;

fn stamp(ms: u64, writer: u64) -> Stamp {
    Stamp::new(ms, 0, WriterId(writer)).unwrap()
}

fn replicas(epoch: u64, members: &[u64]) -> Replicas {
    Replicas {
        epoch,
        members: members.iter().copied().map(NodeId).collect(),
    }
}
