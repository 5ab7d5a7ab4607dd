//! The node behind the contract, one behaviour a test. The host here has a perfect network and a disk that answers when
//! the test says so; what goes wrong by itself is the simulator's.

mod checkpoint;
mod edges;
mod expiry;
mod handshake;
mod host;
mod limits;
mod queries;
mod replication;
mod requests;
mod routed;
mod storage;
