//! A whole node in a simulated world: a port, a disk, and a machine between them.

use std::net::SocketAddr;
use std::rc::Rc;

use async_channel::Receiver;
use kernel::env::{Limits, SeededRng};
use kernel::machine::{Command, Machine, Phase};
use madsim::task::spawn_local;

use super::clock::NodeClock;
use super::device::Device;
use super::net::{Listener, SimNet};
use crate::driver::{Driver, DriverError, Settings, disk};

/// What one boot of a simulated node runs on.
#[derive(Debug, Clone)]
pub struct SimNode {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it holds itself to. The same as the machine's.
    pub limits: Limits,
    /// Its clocks.
    pub clock: NodeClock,
    /// Its disk.
    pub device: Device,
    /// Its entropy and the way its bytes are cut up. Another one at each boot.
    pub rng: SeededRng,
}

/// Boots `machine` and runs it until it was told to stop, as a production host does. To be run as a task of its own madsim
/// node, so that it can be killed as a whole.
///
/// # Errors
/// As [`Driver::run`] has them; and if the address cannot be listened on.
pub async fn serve<M: Machine>(
    node: SimNode,
    machine: M,
    orders: Receiver<Command>,
    on_phase: impl FnMut(Phase),
) -> Result<(), DriverError> {
    let SimNode {
        listen,
        limits,
        clock,
        device,
        rng,
    } = node;
    clock.boot();
    // As in production: an eighth is left for those that this node dials, and those that are gone without its knowing it yet.
    let connections = limits.connections - limits.connections / 8;
    let patience_us = limits.silence_ms * 1_000;
    let bound = Listener::bind(
        listen,
        connections,
        limits.frame_bytes,
        patience_us,
        rng.fork("listener", 0),
    );
    let (listener, accepted) = bound.await.map_err(DriverError::Accept)?;
    spawn_local(listener.run());
    let (log, records) = device.stores();
    let (disk, log_loop, records_loop) = disk(log, records);
    let loops = [spawn_local(log_loop), spawn_local(records_loop)];
    let net = Rc::new(SimNet::new(accepted, limits.frame_bytes, rng.fork("net", 0)));
    let settings = Settings::new(&limits, rng.fork("entropy", 0).entropy());
    let end = Driver::new(machine, net, Rc::new(clock), disk, orders, settings, on_phase)
        .run()
        .await;
    // The driver let go of the loops: they finish what they do.
    for task in loops {
        if task.await.is_err() {
            tracing::error!("a storage loop ended unexpectedly");
        }
    }
    end
}
