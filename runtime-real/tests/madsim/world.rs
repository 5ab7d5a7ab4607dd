//! A simulated world: nodes, clients, the network between them, and what befalls them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use async_channel::{Sender, unbounded};
use kernel::env::{Limits, SeededRng};
use kernel::machine::{Command, Phase};
use madsim::net::NetSim;
use madsim::runtime::{Handle, NodeHandle};
use madsim::task::NodeId;
use runtime_real::simulated::{Device, NodeClock, now_us, until_us};
use sim::client::ClientConfig;
use sim::disk::VirtualDisk;
use sim::endpoint::Endpoint;
use sim::invariant::{Seen, Survivor, agree};
use sim::model::{State, state_in};
use sim::plan::{Header, Plan};
use sim::replicas::ReplicaOf;

use super::clients::{self, Task};
use super::nodes;
use super::watch;

const PORT: u16 = 7878;

/// How often a condition is looked at.
const LOOK_US: u64 = 10_000;

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Clocks, disks, latencies, patience: as a plan has them.
    pub header: Header,
    pub limits: Limits,
}

impl Scene {
    /// Healthy nodes, and as many clients as there are to be.
    pub fn of(nodes: usize, clients: usize) -> Self {
        let header = Plan::quiet(0, nodes, clients).header;
        let limits = sim::run::limits(&header);
        Self { header, limits }
    }

    /// Every sync takes between so many milliseconds.
    pub fn syncs_take(mut self, low_ms: u64, high_ms: u64) -> Self {
        self.header.sync_us = (low_ms * 1_000, high_ms * 1_000);
        self
    }

    /// So little may be on its way to the disk that frames have to wait.
    pub fn throttled(mut self) -> Self {
        self.limits.commit_bytes_in_flight = 4_000;
        self
    }
}

/// A running world.
pub struct World {
    pub nodes: Vec<NodeAt>,
    clients: Vec<(NodeId, Sender<Task>)>,
    next_value: u64,
    strangers: u8,
}

/// Where a node is, and what can be done to it.
pub struct NodeAt {
    pub id: NodeId,
    pub clock: NodeClock,
    pub device: Device,
}

/// The address of a node, whether there is one or not.
pub fn addr(node: usize) -> String {
    SocketAddr::new(node_ip(node), PORT).to_string()
}

fn node_ip(node: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, node as u8 + 1).into()
}

/// A node of madsim's: an address, and a task that begins anew with each boot.
fn create<F: Future + 'static>(name: String, ip: IpAddr, live: impl Fn() -> F + Send + Sync + 'static) -> NodeHandle {
    Handle::current().create_node().name(name).ip(ip).init(live).build()
}

impl World {
    /// All nodes are booted, all clients are there.
    pub fn new(seed: u64, scene: Scene) -> Self {
        let Scene { header, limits } = scene;
        let rng = SeededRng::from_u64(seed).fork("madsim world", 0);
        let setup = header.setup();
        let clocks: Vec<_> = setup.clocks.iter().map(|profile| NodeClock::new(*profile)).collect();
        let device = |node: usize| Device::new(setup.disk, rng.fork("disk", node as u64));
        let devices: Vec<_> = (0..clocks.len()).map(device).collect();
        watch::begin(devices.clone(), &limits, header.clients as usize);
        let all: Vec<String> = (0..clocks.len()).map(addr).collect();
        let nodes = clocks
            .into_iter()
            .zip(devices)
            .enumerate()
            .map(|(number, (clock, device))| {
                let join = all.iter().take(number.min(1)).cloned().collect();
                let maker = nodes::Maker {
                    number,
                    listen: SocketAddr::new(node_ip(number), PORT),
                    join,
                    limits: limits.clone(),
                    clock: clock.clone(),
                    device: device.clone(),
                    rng: rng.fork("node", number as u64),
                };
                let live = move || maker.clone().live();
                NodeAt {
                    id: create(format!("n{number}"), node_ip(number), live).id(),
                    clock,
                    device,
                }
            });
        let nodes: Vec<_> = nodes.collect();
        let client = |number: usize| {
            let (give, tasks) = unbounded();
            let maker = clients::Maker {
                number,
                config: client_config(number, &header),
                nodes: all.clone(),
                frame_bytes: limits.frame_bytes,
                tasks,
                rng: rng.fork("client", number as u64),
            };
            let ip = Ipv4Addr::new(10, 0, 1, number as u8 + 1).into();
            (
                create(format!("c{number}"), ip, move || maker.clone().live()).id(),
                give,
            )
        };
        let clients = (0..header.clients as usize).map(client).collect();
        Self {
            nodes,
            clients,
            next_value: 1,
            strangers: 0,
        }
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Somebody else on the network, for a story's own tasks.
    pub fn stranger(&mut self) -> NodeHandle {
        self.strangers += 1;
        let ip = Ipv4Addr::new(10, 0, 2, self.strangers).into();
        Handle::current()
            .create_node()
            .name(format!("stranger {}", self.strangers))
            .ip(ip)
            .build()
    }

    /// Gives a client something to do.
    pub fn tell(&self, client: usize, task: Task) {
        watch::client(client, |seen| seen.idle = false);
        self.clients[client]
            .1
            .try_send(task)
            .expect("clients live as long as the story");
    }

    /// A client writes a number that nobody else writes.
    pub fn write(&mut self, client: usize, key: &str) {
        let value = Some((self.next_value, None));
        self.next_value += 1;
        let (at_us, map, key) = (now_us(), "story".into(), key.into());
        self.tell(client, Task::Write { at_us, map, key, value });
    }

    /// A client reads.
    pub fn read(&self, client: usize, key: &str) {
        let (at_us, map, key) = (now_us(), "story".into(), key.into());
        self.tell(client, Task::Read { at_us, map, key });
    }

    /// Each client writes and reads, so many times, one key after another; then so many milliseconds pass.
    pub async fn writes(&mut self, rounds: usize, keys: usize, every_ms: u64) {
        for round in 0..rounds {
            for client in 0..self.clients() {
                self.write(client, &format!("k{}", (round + client) % keys));
                self.read(client, &format!("k{}", round % keys));
            }
            self.pass(every_ms).await;
        }
    }

    /// Lets time pass.
    pub async fn pass(&self, ms: u64) {
        until_us(now_us() + ms * 1_000).await;
    }

    /// Waits for a moment before which no machine took a step for so many milliseconds.
    ///
    /// # Panics
    /// If there is none for half a minute.
    pub async fn still(&self, ms: u64) {
        for _ in 0..30_000 / ms {
            let before = watch::told().steps;
            self.pass(ms).await;
            if watch::told().steps == before {
                return;
            }
        }
        panic!("somebody takes a step every {ms} ms");
    }

    /// The power of a node goes: its tasks end where they are, and what its disk had not synced is lost.
    pub fn kill(&self, node: usize) {
        Handle::current().kill(self.nodes[node].id);
        self.nodes[node].device.crash();
        watch::node(node, |seen| {
            (seen.machine, seen.orders, seen.phase) = (None, None, None);
            seen.open.clear();
        });
        let disk = watch::disk(node);
        watch::see(&Seen::Crashed { node, disk: &disk });
    }

    /// Boots a node that was killed, or has stopped.
    pub fn boot(&self, node: usize) {
        // Also one that ended by itself: madsim takes its sockets down only when it is killed.
        Handle::current().kill(self.nodes[node].id);
        Handle::current().restart(self.nodes[node].id);
    }

    /// Orders a node to stop cleanly.
    pub fn drain(&self, node: usize) {
        let orders = watch::node(node, |seen| seen.orders.clone());
        orders.expect("it is up").try_send(Command::Drain).unwrap();
    }

    /// Nothing gets from one node to the other, either way; or all does again.
    pub fn split(&self, one: usize, other: usize, split: bool) {
        let (one, other) = (Endpoint::Node(one), Endpoint::Node(other));
        self.block(one, other, split);
        self.block(other, one, split);
    }

    /// Nothing gets from one end to the other, or all does again. The way back is another matter. Connections stay open.
    pub fn block(&self, from: Endpoint, to: Endpoint, blocked: bool) {
        let id = |end| match end {
            Endpoint::Node(node) => self.nodes[node].id,
            Endpoint::Client(client) => self.clients[client].0,
        };
        match blocked {
            true => NetSim::current().clog_link(id(from), id(to)),
            false => NetSim::current().unclog_link(id(from), id(to)),
        }
    }

    /// How many peers a node is linked with.
    pub fn links(&self, node: usize) -> usize {
        let machine = watch::node(node, |seen| seen.machine.clone());
        machine.map_or(0, |machine| machine.borrow().stats().links.len())
    }

    /// Whether a node serves.
    pub fn is_ready(&self, node: usize) -> bool {
        watch::node(node, |seen| matches!(seen.phase, Some(Phase::Ready { .. })))
    }

    /// Writes that were acknowledged, of all clients.
    pub fn acknowledged(&self) -> u64 {
        (0..self.clients())
            .map(|number| watch::client(number, |seen| seen.acknowledged))
            .sum()
    }

    /// Waits until something is so.
    ///
    /// # Panics
    /// If it is not within so many milliseconds of virtual time.
    pub async fn until(&self, what: &str, within_ms: u64, is: impl Fn(&Self) -> bool) {
        let late_us = now_us() + within_ms * 1_000;
        while !is(self) {
            assert!(now_us() < late_us, "not within {within_ms} ms: {what}");
            until_us(now_us() + LOOK_US).await;
        }
    }

    /// Whether every node is a member in the eyes of this one, and all partitions are where they belong.
    fn is_settled(&self, node: usize) -> bool {
        let machine = watch::node(node, |seen| seen.machine.clone());
        let stats = machine.map(|machine| machine.borrow().stats()).unwrap_or_default();
        stats.members == self.nodes.len() as u64 && stats.moves.0 == 0
    }

    /// Waits until all nodes serve and are linked with each other, and nothing moves.
    pub async fn linked(&self) {
        let others = self.nodes.len() - 1;
        let one = |world: &Self, node| world.is_ready(node) && world.links(node) >= others && world.is_settled(node);
        let all = |world: &Self| (0..world.nodes.len()).all(|node| one(world, node));
        self.until("all nodes serve and are linked", 30_000, all).await;
    }

    /// Waits until everybody has an answer and all nodes hold the same; the invariants then see the end. Says what that is.
    pub async fn quiet(&self) -> State {
        let idle = |world: &Self| (0..world.clients()).all(|number| watch::client(number, |seen| seen.idle));
        self.until("every client has its answers", 60_000, idle).await;
        self.linked().await;
        let settled = |world: &Self| {
            let disks = world.disks();
            let disks: Vec<(usize, &VirtualDisk)> = disks.iter().enumerate().collect();
            disks.iter().all(|(_, disk)| disk.is_idle()) && agree(&disks, |_, _| true).is_ok()
        };
        self.until("all nodes hold the same", 60_000, settled).await;
        let memory = |node| {
            let machine = watch::node(node, |seen| seen.machine.clone()).expect("it is up");
            let machine = machine.borrow();
            (state_in(machine.store().rows()), machine.store().floor())
        };
        let memories: Vec<(State, u64)> = (0..self.nodes.len()).map(memory).collect();
        let disks = self.disks();
        let both = disks.iter().zip(&memories).enumerate();
        let nodes: Vec<_> = both
            .map(|(node, (disk, (memory, floor)))| Survivor {
                node,
                disk,
                memory,
                links: None,
                replica_of: &ReplicaOf::All,
                floor: *floor,
            })
            .collect();
        watch::see(&Seen::Quiet {
            nodes: &nodes,
            views: &[],
        });
        memories
            .into_iter()
            .next()
            .map(|(memory, _)| memory)
            .unwrap_or_default()
    }

    fn disks(&self) -> Vec<VirtualDisk> {
        (0..self.nodes.len()).map(watch::disk).collect()
    }
}

/// As the heap engine makes them.
fn client_config(number: usize, header: &Header) -> ClientConfig {
    let (nodes, twin) = (header.nodes as usize, (number as u64) < header.twins);
    let clock = if twin { 0 } else { number };
    ClientConfig {
        name: if twin { "twin".into() } else { format!("c{number}") },
        twin,
        skew_ms: header.client_skew_ms.get(clock).copied().unwrap_or(0),
        nodes,
        home: number % nodes,
        patience_us: header.patience_us,
        batch: header.client_batch as usize,
        exchange: false,
        token: None,
    }
}
