//! Executing a plan: a cluster of nodes, its clients and its faults, and then peace until everything has converged.

use kernel::env::{Limits, Mutant, Mutants};
use kernel::machine::{Command, Phase};
use kernel::node::{Node, NodeConfig};
use kernel::session::Secret;

use crate::client::{Action, Client, ClientConfig, IMPOSTOR, SECRET};
use crate::disk::VirtualDisk;
use crate::host::{Host, Rules};
use crate::invariant::{Violation, Watched, agree, all};
use crate::model::{State, state_in, state_of};
use crate::plan::{Event, Header, Plan};
use crate::world::{Happening, Hook, World};

/// How a run is executed.
#[derive(Default)]
pub struct Options {
    /// The way in which every node is broken on purpose.
    pub mutant: Option<Mutant>,
    /// Sees every step.
    pub hook: Option<Hook>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every promise was kept.
    Held,
    /// One was broken.
    Broken(Violation),
    /// After the last fault it did not come to rest in time.
    Stuck(String),
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// When, in virtual time.
    pub at_us: u64,
    /// The rolling hash of every step.
    pub hash: u128,
    /// How many steps the nodes took.
    pub steps: u64,
    /// How many writes were acknowledged.
    pub acknowledged: u64,
    /// How many writes were refused for good.
    pub refused: u64,
    /// How many reads were answered.
    pub read: u64,
    /// How many rows those who watch hold in the end.
    pub watched: u64,
}

/// Executes a plan.
pub fn run(plan: &Plan, options: Options) -> Report {
    let (run, at_rest) = execute(plan, options);
    run.report(at_rest)
}

/// Executes a plan. Also says what each node would come back with afterwards, for comparing two hosts.
///
/// # Panics
/// If a disk holds what no kernel writes.
pub fn run_to_the_end(plan: &Plan, options: Options) -> (Report, Vec<State>) {
    let (run, at_rest) = execute(plan, options);
    let state = |disk: &VirtualDisk| state_of(disk).expect("a disk holds what a kernel writes");
    let states = run.world.disks().into_iter().map(state).collect();
    (run.report(at_rest), states)
}

fn execute(plan: &Plan, options: Options) -> (Run<'_>, bool) {
    let mut run = Run::new(plan, options.mutant);
    if let Some(hook) = options.hook {
        run.world.watch(hook);
    }
    let at_rest = run.execute();
    (run, at_rest)
}

/// The limits under which the nodes of a plan live: small, so that they are met.
pub fn limits(header: &Header) -> Limits {
    Limits {
        chunk_bytes: header.chunk_bytes as usize,
        apply_bytes: header.apply_bytes,
        apply_delay_ms: header.apply_delay_ms,
        commit_bytes_in_flight: header.commit_bytes_in_flight,
        unsent_bytes: header.unsent_bytes,
        max_drift_ms: header.max_drift_ms,
        heartbeat_ms: header.heartbeat_ms,
        silence_ms: header.silence_ms,
        anti_entropy_ms: header.anti_entropy_ms,
        redial_ms: header.redial_ms,
        ..Limits::default()
    }
}

/// What is scheduled in the world, packed into its tokens: a kind, and which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Entry(usize),
    EndOf(usize),
    Client(usize),
    Heal,
    Look,
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, which) = match self {
            Token::Entry(entry) => (0, entry),
            Token::EndOf(entry) => (1, entry),
            Token::Client(client) => (2, client),
            Token::Heal => (3, 0),
            Token::Look => (4, 0),
        };
        kind << 32 | which as u64
    }

    fn unpack(token: u64) -> Self {
        let which = (token & 0xffff_ffff) as usize;
        match token >> 32 {
            0 => Token::Entry(which),
            1 => Token::EndOf(which),
            2 => Token::Client(which),
            3 => Token::Heal,
            _ => Token::Look,
        }
    }
}

const LOOK_EVERY_US: u64 = 100_000;

struct Run<'p> {
    plan: &'p Plan,
    world: World<Node>,
    clients: Vec<Client>,
    /// When each client is going to be woken.
    wakes: Vec<Option<u64>>,
    healed: bool,
    /// Since when all has been quiet, as far as can be seen from outside.
    quiet_since_us: Option<u64>,
    acknowledged: u64,
    actions: Vec<Action>,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, mutant: Option<Mutant>) -> Self {
        let header = &plan.header;
        let nodes = header.nodes as usize;
        let mut setup = header.setup();
        let mut mutants = Mutants::default();
        match mutant {
            Some(Mutant::TicketsOutOfOrder) => {
                setup.rules = Rules {
                    tickets_in_order: false,
                    ..Rules::default()
                };
            }
            Some(mutant) => mutants = Mutants::only(mutant),
            None => {}
        }
        let limits = limits(header);
        let secret = header.secret.then(|| Secret::new(SECRET.as_bytes()));
        let factory = move |node: usize, _boots: u64| {
            let others = (0..nodes).filter(|other| *other != node);
            Node::new(NodeConfig {
                peers: others.map(|other| format!("n{other}")).collect(),
                secret: secret.clone(),
                limits: limits.clone(),
                mutants,
                ..NodeConfig::new(&format!("n{node}"))
            })
        };
        let client = |client: usize| {
            let number = client as u64;
            let twin = number < header.twins;
            let impostor = number + header.impostors >= header.clients;
            let token = if impostor { IMPOSTOR } else { SECRET };
            let clock = if twin { 0 } else { client };
            Client::new(ClientConfig {
                name: match (twin, impostor) {
                    (true, _) => "twin".into(),
                    (_, true) => format!("{IMPOSTOR}{client}"),
                    _ => format!("c{client}"),
                },
                twin,
                skew_ms: header.client_skew_ms.get(clock).copied().unwrap_or(0),
                nodes,
                home: client % nodes,
                patience_us: header.patience_us,
                batch: header.client_batch as usize,
                exchange: exchanges(header, client),
                token: header.secret.then_some(token),
            })
        };
        Self {
            plan,
            world: World::new(setup, Box::new(factory), all()),
            clients: (0..header.clients as usize).map(client).collect(),
            wakes: vec![None; header.clients as usize],
            healed: false,
            quiet_since_us: None,
            acknowledged: 0,
            actions: Vec::new(),
        }
    }

    /// Whether everything has come to rest in time.
    fn execute(&mut self) -> bool {
        let plan = self.plan;
        let header = &plan.header;
        (0..header.nodes as usize).for_each(|node| self.world.boot(node));
        for client in 0..header.clients as usize {
            self.world.client_up(client);
            if exchanges(header, client) {
                self.world.client_exchanges(client);
            }
        }
        for (index, entry) in plan.entries.iter().enumerate() {
            self.world.schedule(entry.at_us, Token::Entry(index).pack());
        }
        self.world.schedule(header.heal_us, Token::Heal.pack());
        let last_entry_us = plan.entries.last().map_or(0, |entry| entry.at_us);
        let deadline_us = header.heal_us.max(last_entry_us) + header.converge_us;
        let mut at_rest = false;
        while !at_rest && let Some(happening) = self.world.next(deadline_us) {
            match happening {
                Happening::Client(client, input) => {
                    let at_us = self.world.now_us();
                    self.clients[client].hear(at_us, &input, &mut self.actions);
                    self.act(client);
                }
                Happening::Due(token) => match Token::unpack(token) {
                    Token::Entry(index) => self.begin(index),
                    Token::EndOf(index) => self.finish(index),
                    Token::Client(client) => self.wake(client),
                    Token::Heal => self.heal(),
                    Token::Look => at_rest = self.look(last_entry_us),
                },
            }
        }
        at_rest
    }

    fn report(self, at_rest: bool) -> Report {
        let end = match (self.world.broken(), at_rest) {
            (Some(violation), _) if violation.invariant == "progress" => End::Stuck(violation.expected.clone()),
            (Some(violation), _) => End::Broken(violation.clone()),
            (None, true) => End::Held,
            (None, false) => self.why_not_at_rest(),
        };
        let counts = self.clients.iter().map(Client::counts);
        let (refused, read) = counts.fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1));
        let rows = self.clients.iter().flat_map(Client::views).filter_map(|(_, rows)| rows);
        let watched = rows.map(|rows| rows.len() as u64).sum();
        Report {
            end,
            at_us: self.world.now_us(),
            hash: self.world.trace().hash(),
            steps: self.world.trace().steps(),
            acknowledged: self.acknowledged,
            refused,
            read,
            watched,
        }
    }

    /// Nodes that all serve and still differ break a promise; whatever else is not done yet is only late.
    fn why_not_at_rest(&self) -> End {
        let header = &self.plan.header;
        let idle = |client: &Client| client.is_idle();
        if let Some(client) = self.clients.iter().position(|client| !idle(client)) {
            return End::Stuck(format!("c{client} still has writes that nobody answered for"));
        }
        if let Some(node) = self.world.hosts().iter().position(|host| !is_ready(host.phase())) {
            let phase = self.world.hosts()[node].phase();
            return End::Stuck(format!("n{node} does not serve: {phase:?}"));
        }
        if !self.all_watch() {
            return End::Stuck("somebody has no answer to what it watches".into());
        }
        match agree(&self.world.disks()) {
            Ok(()) => End::Stuck("the nodes agreed only now and then".into()),
            Err(expected) => End::Broken(Violation {
                invariant: "convergence",
                at_us: self.world.now_us(),
                expected: format!("{} ms after the last fault, {expected}", header.converge_us / 1_000),
            }),
        }
    }

    fn act(&mut self, client: usize) {
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Dial(node) => self.world.client_dial(client, node),
                Action::Send(conn, frame) => self.world.client_send(client, conn, frame),
                Action::Close(conn) => self.world.client_close(client, conn),
                Action::Wrote(write) => self.world.wrote(&write),
                Action::Intruded(what) => self.world.intruded(client, &what),
                Action::Acknowledged(node, write) => {
                    self.acknowledged += 1;
                    self.world.acknowledged(node, &write);
                }
            }
        }
        let wake_at_us = self.clients[client].wake_at_us();
        if let Some(at_us) = wake_at_us.filter(|at_us| self.wakes[client].is_none_or(|sooner| *at_us < sooner)) {
            self.wakes[client] = Some(at_us);
            self.world.schedule(at_us, Token::Client(client).pack());
        }
    }

    fn wake(&mut self, client: usize) {
        let at_us = self.world.now_us();
        self.wakes[client] = None;
        self.clients[client].wake(at_us, &mut self.actions);
        self.act(client);
    }

    fn begin(&mut self, index: usize) {
        let plan = self.plan;
        let at_us = self.world.now_us();
        let ends_in = |world: &mut World<Node>, for_us: u64| world.schedule(at_us + for_us, Token::EndOf(index).pack());
        match &plan.entries[index].event {
            Event::Put {
                client,
                map,
                key,
                value,
                ttl_ms,
            } => {
                let value = Some((*value, *ttl_ms));
                self.clients[*client].write(at_us, map, key, value, &mut self.actions);
                self.act(*client);
            }
            Event::Delete { client, map, key } => {
                self.clients[*client].write(at_us, map, key, None, &mut self.actions);
                self.act(*client);
            }
            Event::Get { client, map, key } => {
                self.clients[*client].read(at_us, map, key, &mut self.actions);
                self.act(*client);
            }
            Event::Watch { client, watch } => {
                self.clients[*client].watch(at_us, watch.clone(), &mut self.actions);
                self.act(*client);
            }
            // After the healing nothing fails any more, whatever the plan says.
            _ if self.healed => {}
            Event::Offline { client, for_us } => {
                self.clients[*client].go_offline(at_us, at_us + for_us, &mut self.actions);
                self.act(*client);
            }
            Event::Block { from, to, for_us } => {
                self.world.block(*from, *to);
                ends_in(&mut self.world, *for_us);
            }
            Event::Crash { node, for_us } => {
                self.world.crash(*node);
                ends_in(&mut self.world, *for_us);
            }
            Event::Stop { node, for_us } => {
                self.world.command(*node, Command::Drain);
                ends_in(&mut self.world, *for_us);
            }
            Event::Jump { node, by_ms } => self.world.host_mut(*node).clock_mut().jump(*by_ms),
            Event::FailCommit { node } => self.world.host_mut(*node).disk_mut().fail_next_commit(),
            Event::FailApply { node } => self.world.host_mut(*node).disk_mut().fail_next_apply(),
            Event::Full { node, for_us } => {
                self.world.host_mut(*node).disk_mut().set_full(true);
                ends_in(&mut self.world, *for_us);
            }
            Event::Slow { node, factor, for_us } => {
                self.world.host_mut(*node).disk_mut().set_slow(*factor);
                ends_in(&mut self.world, *for_us);
            }
        }
    }

    fn finish(&mut self, index: usize) {
        match &self.plan.entries[index].event {
            Event::Block { from, to, .. } => self.world.unblock(*from, *to),
            Event::Crash { node, .. } => self.world.boot(*node),
            Event::Stop { node, .. } if !self.healed => {
                self.world.crash(*node);
                self.world.boot(*node);
            }
            Event::Full { node, .. } => self.world.host_mut(*node).disk_mut().set_full(false),
            Event::Slow { node, .. } => self.world.host_mut(*node).disk_mut().set_slow(1),
            _ => {}
        }
    }

    /// Whether whoever watches has an answer, over a connection that is what it seems.
    fn all_watch(&self) -> bool {
        let connected = |client: usize, conn| self.world.client_is_connected(client, conn);
        let mut clients = self.clients.iter().enumerate();
        clients.all(|(number, client)| {
            let answered = client.views().all(|(_, rows)| rows.is_some());
            let watches = client.views().next().is_some();
            !watches || (answered && client.line().is_some_and(|(_, conn)| connected(number, conn)))
        })
    }

    fn heal(&mut self) {
        self.healed = true;
        self.world.heal();
        self.world.schedule(self.world.now_us(), Token::Look.pack());
    }

    /// Whether all has been at rest for so long that nothing is going to stir. The invariants then see the end.
    fn look(&mut self, last_entry_us: u64) -> bool {
        let now_us = self.world.now_us();
        let settled = now_us > last_entry_us
            && self.clients.iter().all(Client::is_idle)
            && self.all_watch()
            && self
                .world
                .hosts()
                .iter()
                .all(|host| is_ready(host.phase()) && host.disk().is_idle())
            && agree(&self.world.disks()).is_ok();
        self.quiet_since_us = self.quiet_since_us.filter(|_| settled).or(settled.then_some(now_us));
        // Two comparisons of everything between all pairs of nodes fit in.
        let patience_us = 2_500 * self.plan.header.anti_entropy_ms;
        if self
            .quiet_since_us
            .is_some_and(|since_us| now_us - since_us >= patience_us)
        {
            let memory = |host: &Host<Node>| {
                host.machine()
                    .map(|node| state_in(node.store().rows()))
                    .unwrap_or_default()
            };
            let memories: Vec<State> = self.world.hosts().iter().map(memory).collect();
            let views = views(&self.clients, &self.plan.header);
            self.world.quiet(&memories, &views);
            return true;
        }
        self.world.schedule(now_us + LOOK_EVERY_US, Token::Look.pack());
        false
    }
}

fn is_ready(phase: Option<Phase>) -> bool {
    matches!(phase, Some(Phase::Ready { .. }))
}

/// Whether a client asks by exchanges: some do, and every other impostor.
fn exchanges(header: &Header, client: usize) -> bool {
    let number = client as u64;
    let impostor = number + header.impostors >= header.clients;
    let asked = number >= header.twins && number - header.twins < header.exchanges;
    asked || (impostor && number % 2 == 1)
}

/// What the clients hold of what they watch. Over datagrams updates are lost, and nothing is promised.
fn views<'c>(clients: &'c [Client], header: &Header) -> Vec<Watched<'c>> {
    let views = clients.iter().enumerate().flat_map(|(number, client)| {
        let node = client.line().map(|(node, _)| node);
        client.views().filter_map(move |(watch, rows)| {
            Some(Watched {
                client: number,
                node: node?,
                watch,
                rows: rows?,
            })
        })
    });
    views.filter(|_| header.ordered).collect()
}
