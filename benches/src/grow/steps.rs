//! One node more, one node less: how long it takes, and how much is sent.

use std::time::{Duration, Instant};

use kernel::partition::PARTITIONS;

use super::foreground::Foreground;
use crate::Failure;
use crate::cluster::conn::Conn;
use crate::cluster::nodes::{Nodes, REPLICAS};
use crate::cluster::tags;

/// The names of the columns.
pub const HEAD: &str =
    "step                  s  late  sent  bound  clients, p50/p99/max: before; while it moves, and until none is late";

/// What the steps have in common.
pub struct Steps<'f> {
    /// How long clients are watched before each step.
    pub calm: Duration,
    /// How long a step may take.
    pub patience: Duration,
    /// The clients.
    pub foreground: &'f Foreground,
}

impl Steps<'_> {
    /// Starts a node, and waits until it has its share.
    pub fn join(&self, nodes: &mut Nodes, who: usize) -> Result<(), Failure> {
        let after = who + 1;
        // Its share; and as it is rounded, one for each node.
        let bound = share(after) + after;
        self.step(&format!("{who} to {after} nodes"), nodes, bound, |nodes| {
            nodes.start(who)
        })
    }

    /// Has a node leave, and waits until it has ended and the others hold all.
    pub fn leave(&self, nodes: &mut Nodes, who: usize) -> Result<(), Failure> {
        let (before, after) = (who + 1, who);
        // What it held, where there is somebody who does not hold it already; and one for each node.
        let bound = if after < REPLICAS { 0 } else { share(before) } + after;
        let patience = self.patience;
        self.step(&format!("{before} to {after} nodes"), nodes, bound, |nodes| {
            Conn::open(&nodes.addrs[0], "bench-leave")?.leave(&Nodes::name(who))?;
            nodes.gone(who, patience)
        })
    }

    fn step(
        &self,
        what: &str,
        nodes: &mut Nodes,
        bound: usize,
        change: impl FnOnce(&mut Nodes) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let tags = tags::of_partitions();
        let before = nodes.holders(&tags)?;
        self.foreground.take();
        std::thread::park_timeout(self.calm);
        let calm = self.foreground.take();
        let begun = Instant::now();
        change(nodes)?;
        nodes.settled(self.patience)?;
        let wall = begun.elapsed().as_secs_f64();
        // What waited meanwhile belongs to the step, too.
        self.foreground.at_ease(self.patience)?;
        let late = begun.elapsed().as_secs_f64() - wall;
        let moving = self.foreground.take();
        let after = nodes.holders(&tags)?;
        let new = |(old, new): (&Vec<String>, &Vec<String>)| new.iter().filter(|name| !old.contains(name)).count();
        let sent: usize = before.iter().zip(&after).map(new).sum();
        println!("{what:<16} {wall:>6.1} {late:>5.1} {sent:>5} {bound:>6}  {calm}; {moving}");
        Ok(())
    }
}

/// The partitions that one of so many nodes holds, rounded up.
fn share(nodes: usize) -> usize {
    (usize::from(PARTITIONS) * REPLICAS.min(nodes)).div_ceil(nodes)
}
