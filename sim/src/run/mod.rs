//! Executing a plan: a cluster of nodes, its clients and its faults, and then peace until everything has converged.
//!
//! Two phases: while faults go on only safety is asked for. Then a majority is healed for good, or all, and everything must converge
//! and every client have its answers within a bounded time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kernel::env::{Limits, Mutant, Rare};
use kernel::machine::Phase;
use kernel::node::Node;

use crate::client::{Action, Client};
use crate::disk::Image;
use crate::holding::Looker;
use crate::host::Host;
use crate::invariant::{Invariant, Watched, all};
use crate::plan::{Event, Header, Plan};
use crate::reached::Spot;
use crate::world::{Between, Happening, Hook, Setup, World, aged};
use token::Token;

mod cast;
mod ending;
mod faults;
mod report;
mod sample;
mod token;

pub use report::{End, Left, Report};

/// How a run is executed.
#[derive(Default)]
pub struct Options {
    /// The way in which every node is broken on purpose.
    pub mutant: Option<Mutant>,
    /// Sees every step.
    pub hook: Option<Hook>,
    /// Sees everything that happens, before the invariants do.
    pub observer: Option<Box<dyn Invariant>>,
    /// Called before each step of a node, which it may put away for another.
    pub between: Option<Between<Node>>,
    /// Checks no promise: the steps are the same, and none that is broken is noticed. It shows what checking costs.
    pub unchecked: bool,
}

/// Executes a plan.
pub fn run(plan: &Plan, options: Options) -> Report {
    let mut run = Run::new(plan, options.mutant, options.unchecked);
    if let Some(hook) = options.hook {
        run.world.watch(hook);
    }
    if let Some(observer) = options.observer {
        run.world.observe(observer);
    }
    if let Some(between) = options.between {
        run.world.touch(between);
    }
    run.execute()
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
        probe_ms: header.heartbeat_ms,
        // Longer than any run: what a session was told counts to the end.
        session_ms: 3_600_000,
        anti_entropy_ms: header.anti_entropy_ms,
        repair_bytes: header.chunk_bytes as usize,
        // Partitions are small here. Where chunks are, coded symbols are used for the smallest.
        repair_list_items: if header.chunk_bytes < 1_000 { 0 } else { 16 },
        redial_ms: header.redial_ms,
        move_bytes_per_s: header.move_bytes_per_s,
        offline_horizon_ms: header.offline_horizon_ms,
        ..Limits::default()
    }
}

const LOOK_EVERY_US: u64 = 100_000;

struct Run<'p> {
    plan: &'p Plan,
    /// Which nodes speak the protocol before this one when they are booted next.
    older: Rc<RefCell<BTreeSet<usize>>>,
    /// Which nodes have lost the disk by which the others know them, and are not members again yet.
    displaced: Rc<RefCell<BTreeSet<usize>>>,
    /// Whether every node was a member once.
    complete: bool,
    /// Nodes that were told to leave and have not joined anew.
    leaving: BTreeSet<usize>,
    /// Copies of disks, by the entry that wants them put back.
    images: BTreeMap<usize, Image>,
    /// Rare paths taken by machines that are gone.
    taken: Rc<RefCell<BTreeMap<&'static str, u64>>>,
    world: World<Node>,
    clients: Vec<Client>,
    /// When each client is going to be woken.
    wakes: Vec<Option<u64>>,
    /// One for each node.
    lookers: Vec<Looker>,
    /// Whether the disks agreed when they were compared last, and how often each had changed by then.
    agreed: Option<(Vec<(usize, u64)>, bool)>,
    /// How many replicas every partition had at least when it was looked last.
    replicas: usize,
    unchecked: bool,
    healed: bool,
    /// Since when all has been quiet, as far as can be seen from outside.
    quiet_since_us: Option<u64>,
    /// Since when no query waits for anybody.
    answers_since_us: Option<u64>,
    acknowledged: u64,
    actions: Vec<Action>,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, mutant: Option<Mutant>, unchecked: bool) -> Self {
        let header = &plan.header;
        let limits = limits(header);
        let older = Rc::new(RefCell::new(BTreeSet::new()));
        let setup = header.setup();
        let setup = Setup {
            rules: cast::rules(mutant),
            disk: cast::disk(mutant, setup.disk),
            ..setup
        };
        let displaced = Rc::new(RefCell::new(BTreeSet::new()));
        let factory = cast::nodes(header, &limits, mutant, Rc::clone(&older), Rc::clone(&displaced));
        let invariants = if unchecked { Vec::new() } else { all(&limits) };
        let mut world = World::new(setup, factory, invariants);
        let taken = Rc::new(RefCell::new(BTreeMap::new()));
        let count = Rc::clone(&taken);
        world.on_end(Box::new(move |node: &Node| count_taken(&mut count.borrow_mut(), node)));
        if !unchecked {
            world.judge_ages(aged);
        }
        if header.drift_ppm.iter().any(|drift_ppm| *drift_ppm != 0) {
            world.hit(Spot::ClockDrifted);
        }
        Self {
            plan,
            older,
            displaced,
            complete: false,
            leaving: BTreeSet::new(),
            images: BTreeMap::new(),
            taken,
            world,
            clients: cast::clients(header),
            wakes: vec![None; header.clients as usize],
            lookers: (0..header.nodes).map(|_| Looker::default()).collect(),
            agreed: None,
            replicas: 0,
            unchecked,
            healed: false,
            quiet_since_us: None,
            answers_since_us: None,
            acknowledged: 0,
            actions: Vec::new(),
        }
    }

    fn execute(mut self) -> Report {
        let header = &self.plan.header;
        (0..header.nodes as usize).for_each(|node| self.world.boot(node));
        for client in 0..header.clients as usize {
            self.world.client_up(client);
            if cast::exchanges(header, client) {
                self.world.client_exchanges(client);
            }
        }
        for (index, entry) in self.plan.entries.iter().enumerate() {
            self.world.schedule(entry.at_us, Token::Entry(index).pack());
        }
        self.world.schedule(sample::EVERY_US, Token::Sample.pack());
        self.world.schedule(header.heal_us, Token::Heal.pack());
        let last_entry_us = self.plan.entries.last().map_or(0, |entry| entry.at_us);
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
                    Token::Again(index) => self.again(index),
                    Token::Client(client) => self.wake(client),
                    Token::Heal => self.heal(),
                    Token::Sample => self.sample(false),
                    Token::Look => at_rest = self.look(last_entry_us),
                },
            }
        }
        self.report(at_rest)
    }

    fn report(self, at_rest: bool) -> Report {
        let header = &self.plan.header;
        // Who has lost its disk and did not become a member again cannot vote.
        let displaced = self.displaced_of_those_left() as u64;
        let survivors = header.nodes - header.dead.min(header.nodes);
        let left = Left {
            // Where some went before all had come, those that are left may be a minority of those that belong.
            nodes: if self.complete || (header.dead == 0 && displaced == 0) {
                survivors.saturating_sub(displaced)
            } else {
                0
            },
            of: header.nodes,
        };
        let end = match (self.world.broken(), at_rest) {
            (Some(violation), _) if violation.invariant == "progress" => End::Stuck(violation.expected.clone()),
            (Some(violation), _) => End::Broken(violation.clone()),
            (None, true) => End::Held,
            (None, false) => match self.why_not_at_rest() {
                End::Stuck(why) if !left.are_majority() || !self.can_be_served() => End::WithoutMajority(why),
                why => why,
            },
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
            left,
            reached: self.reached(),
        }
    }

    fn reached(&self) -> BTreeMap<&'static str, u64> {
        let mut reached = self.world.reached().by_name();
        let mut taken = self.taken.borrow().clone();
        let machines = self.world.hosts().iter().filter_map(Host::machine);
        machines.for_each(|node| count_taken(&mut taken, node));
        for rare in Rare::ALL {
            let times = taken.get(rare.name()).copied().unwrap_or(0);
            reached.insert(rare.name(), times);
        }
        reached
    }

    fn act(&mut self, client: usize) {
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Dial(node) => self.world.client_dial(client, node),
                Action::Send(conn, frame) => self.world.client_send(client, conn, frame),
                Action::Close(conn) => self.world.client_close(client, conn),
                Action::Wrote(write) => self.world.wrote(&write),
                Action::Talked(talk) => self.world.talked(client, &talk),
                Action::Intruded(what) => self.world.intruded(client, &what),
                Action::Acknowledged(node, write, level) => {
                    self.acknowledged += 1;
                    self.world.acknowledged(node, &write, level);
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
        match &plan.entries[index].event {
            Event::Put {
                client,
                map,
                key,
                value,
                ttl_ms,
                level,
            } => {
                let value = Some((*value, *ttl_ms));
                self.clients[*client].write(at_us, map, key, value, *level, &mut self.actions);
                self.act(*client);
            }
            Event::Delete {
                client,
                map,
                key,
                level,
            } => {
                self.clients[*client].write(at_us, map, key, None, *level, &mut self.actions);
                self.act(*client);
            }
            Event::Get {
                client,
                map,
                key,
                level,
            } => {
                self.clients[*client].read(at_us, map, key, *level, &mut self.actions);
                self.act(*client);
            }
            Event::Watch { client, watch } => {
                self.clients[*client].watch(at_us, watch.clone(), &mut self.actions);
                self.act(*client);
            }
            Event::Register { client, name, ask } => {
                self.clients[*client].ask_register(at_us, name, *ask, &mut self.actions);
                self.act(*client);
            }
            // After the healing nothing fails any more, whatever the plan says.
            Event::Fault(fault) if !self.healed => self.begin_fault(index, *fault),
            Event::Fault(_) => {}
        }
    }

    /// The nodes that are there in the end: the others are the last ones.
    fn left(&self) -> impl Iterator<Item = &Host<Node>> {
        let header = &self.plan.header;
        let left = header.nodes.saturating_sub(header.dead) as usize;
        self.world.hosts().iter().take(left)
    }

    /// How many of them have lost their disk, and are no member again yet.
    fn displaced_of_those_left(&self) -> usize {
        let left = self.left().count();
        self.displaced.borrow().iter().filter(|node| **node < left).count()
    }

    fn heal(&mut self) {
        self.healed = true;
        let (nodes, dead) = (self.plan.header.nodes, self.plan.header.dead);
        let survivors = nodes.saturating_sub(dead);
        if dead > 0 {
            let majority = 2 * survivors > nodes;
            self.world.hit(if majority {
                Spot::MinorityGone
            } else {
                Spot::MajorityGone
            });
        }
        self.restart_older();
        // Who cannot use its disk is given an empty one, and is another node to the others.
        let hosts = self.world.hosts().iter().enumerate().take(survivors as usize);
        let unusable =
            hosts.filter(|(_, host)| host.disk().is_damaged() || matches!(host.phase(), Some(Phase::Failed { .. })));
        let unusable: Vec<usize> = unusable.map(|(node, _)| node).collect();
        self.displaced.borrow_mut().extend(unusable);
        self.note_replicas();
        self.world.heal(survivors as usize);
        if dead == 0 && !self.world.has_lost_disks() {
            self.clients.iter_mut().for_each(Client::wait_for_replicas);
        }
        self.world.schedule(self.world.now_us(), Token::Look.pack());
    }

    /// Whether all disks hold the same. They are read only if one of them has changed since the last time.
    fn disks_agree(&mut self) -> bool {
        let disks = self.world.disks();
        let changes: Vec<(usize, u64)> = disks.iter().map(|(node, disk)| (*node, disk.changes())).collect();
        if let Some((_, agreed)) = self.agreed.as_ref().filter(|(before, _)| *before == changes) {
            return *agreed;
        }
        let agreed = self.compare_disks().is_ok();
        self.agreed = Some((changes, agreed));
        agreed
    }

    /// Whether all has been at rest for so long that nothing is going to stir. The invariants then see the end.
    fn look(&mut self, last_entry_us: u64) -> bool {
        let now_us = self.world.now_us();
        self.replace_unusable();
        self.note_members();
        self.note_floors();
        let settled = now_us > last_entry_us
            && self.displaced_of_those_left() == 0
            && self.nobody_leaves()
            && self.clients.iter().all(Client::is_idle)
            && self.all_watch()
            && self.left().all(|host| is_ready(host.phase()))
            && self.disks_agree();
        self.quiet_since_us = self.quiet_since_us.filter(|_| settled).or(settled.then_some(now_us));
        // Two comparisons of everything between all pairs of nodes fit in.
        let patience_us = 2_500 * self.plan.header.anti_entropy_ms;
        // What a node has told of its queries by then has arrived.
        let answered = self.queries_are_settled();
        self.answers_since_us = self
            .answers_since_us
            .filter(|_| answered)
            .or(answered.then_some(now_us));
        let on_their_way_us =
            500_000 + (2 * self.plan.header.latency_us.1 * self.plan.header.latency_spread).min(2_000_000);
        let long_enough = |since_us| now_us - since_us >= patience_us;
        if self.quiet_since_us.is_some_and(long_enough)
            && self.left().all(|host| host.disk().is_idle())
            && self.are_linked()
            && self.is_collected()
            && self
                .answers_since_us
                .is_some_and(|since_us| now_us - since_us >= on_their_way_us)
        {
            self.sample(true);
            let views = views(&self.clients, &self.plan.header);
            self.world.quiet(&self.survivors(), &views);
            return true;
        }
        self.world.schedule(now_us + LOOK_EVERY_US, Token::Look.pack());
        false
    }
}

/// Adds the rare paths that a node has taken.
fn count_taken(counts: &mut BTreeMap<&'static str, u64>, node: &Node) {
    for rare in node.taken().all() {
        *counts.entry(rare.name()).or_default() += 1;
    }
}

fn is_ready(phase: Option<Phase>) -> bool {
    matches!(phase, Some(Phase::Ready { .. }))
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
