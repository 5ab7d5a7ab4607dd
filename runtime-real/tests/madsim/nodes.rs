//! A node of a story: what it is made of, and one boot of it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use async_channel::unbounded;
use kernel::env::{Limits, SeededRng};
use kernel::node::{Node, NodeConfig};
use madsim::net::TcpListener;
use runtime_real::simulated::{Device, NodeClock, SimNode, Traced, serve};
use sim::invariant::Seen;

use super::watch::{self, Eye};

/// What outlives the boots of a node.
#[derive(Debug, Clone)]
pub struct Maker {
    pub number: usize,
    pub listen: SocketAddr,
    pub join: Vec<String>,
    pub limits: Limits,
    pub clock: NodeClock,
    pub device: Device,
    pub rng: SeededRng,
}

impl Maker {
    /// Lives until it is told to stop, or is killed.
    pub async fn live(self) {
        let number = self.number;
        if watch::node(number, |seen| seen.mute) {
            return keep_silent(number, self.listen).await;
        }
        let config = NodeConfig {
            addr: self.listen.to_string(),
            join: self.join,
            limits: self.limits.clone(),
            ..NodeConfig::new(&format!("n{number}"))
        };
        let machine = Rc::new(RefCell::new(Node::new(config)));
        let (give, orders) = unbounded();
        let boots = watch::node(number, |seen| {
            seen.boots += 1;
            seen.machine = Some(Rc::clone(&machine));
            seen.orders = Some(give);
            (seen.phase, seen.end) = (None, None);
            seen.open.clear();
            seen.in_flight = 0;
            seen.boots
        });
        watch::see(&Seen::Booted { node: number });
        let node = SimNode {
            listen: self.listen,
            limits: self.limits,
            clock: self.clock,
            device: self.device,
            rng: self.rng.fork("boot", boots),
        };
        let on_phase = move |phase| watch::node(number, |seen| seen.phase = Some(phase));
        let end = serve(node, Traced::new(machine, number, Eye), orders, on_phase).await;
        watch::node(number, |seen| seen.end = Some(end.map_err(|error| error.to_string())));
    }
}

/// Accepts whoever comes, and never says a word. The streams stay open.
async fn keep_silent(number: usize, listen: SocketAddr) {
    let (listener, mut streams) = (TcpListener::bind(listen).await.unwrap(), Vec::new());
    while let Ok((stream, _)) = listener.accept().await {
        streams.push(stream);
        watch::node(number, |seen| seen.dialled += 1);
    }
}
