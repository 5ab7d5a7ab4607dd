//! One plan, two hosts: the heap engine and the driver end with the same keys and values.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;

use kernel::machine::Command;
use madsim::runtime::Handle;
use runtime_real::simulated::until_us;
use sim::invariant::{Invariant, Seen};
use sim::model::{State, show};
use sim::plan::{Entry, Event, Fault, FaultKind, Header, On, Plan};
use sim::run::{End, Options, run};

use super::clients::Task;
use super::play::{play, seeds};
use super::watch;
use super::world::{Scene, World};

/// The faults that both hosts have, and that leave every acknowledged write somewhere.
const FAULTS: [FaultKind; 10] = [
    FaultKind::Offline,
    FaultKind::Block,
    FaultKind::Crash,
    FaultKind::Stop,
    FaultKind::Pause,
    FaultKind::FailCommit,
    FaultKind::FailApply,
    FaultKind::FailRead,
    FaultKind::Full,
    FaultKind::SlowDisk,
];

/// What a seed draws, in a world whose clocks are right and whose streams lose nothing (those of madsim do not). All clients
/// are twins: what the nodes' clocks say does not move theirs, so that each write's stamp is a function of the plan alone.
fn plan(seed: u64) -> Plan {
    let mut plan = Plan::draw(seed);
    let (drawn, quiet) = (plan.header, Header::default());
    plan.header = Header {
        seed,
        nodes: drawn.nodes,
        clients: drawn.clients,
        twins: drawn.clients,
        heal_us: drawn.heal_us,
        latency_us: drawn.latency_us,
        sync_us: drawn.sync_us,
        log_bytes: drawn.log_bytes,
        patience_us: drawn.patience_us,
        client_batch: drawn.client_batch,
        chunk_bytes: drawn.chunk_bytes,
        apply_bytes: drawn.apply_bytes,
        apply_delay_ms: drawn.apply_delay_ms,
        commit_bytes_in_flight: drawn.commit_bytes_in_flight,
        heartbeat_ms: drawn.heartbeat_ms,
        silence_ms: drawn.silence_ms,
        anti_entropy_ms: drawn.anti_entropy_ms,
        redial_ms: drawn.redial_ms,
        ..quiet
    };
    let heal_us = plan.header.heal_us;
    plan.entries.retain(|entry| match &entry.event {
        // Registers are not keys, and live queries end with no state of their own.
        Event::Watch { .. } | Event::Register { .. } => false,
        Event::Fault(fault) => FAULTS.contains(&fault.kind) && entry.at_us < heal_us,
        _ => true,
    });
    plan
}

/// What is to be done, and when: a fault that lasts has an end, at the healing at the latest.
fn timeline(plan: &Plan) -> Vec<(u64, bool, Event)> {
    let mut due = Vec::new();
    for Entry { at_us, event } in &plan.entries {
        due.push((*at_us, true, event.clone()));
        if let Event::Fault(fault) = event
            && fault.kind.lasts()
        {
            due.push(((at_us + fault.for_us).min(plan.header.heal_us), false, event.clone()));
        }
    }
    due.sort_by_key(|(at_us, ..)| *at_us);
    due
}

fn is_down(node: usize) -> bool {
    watch::node(node, |seen| seen.machine.is_none() || seen.end.is_some())
}

fn begin(world: &World, at_us: u64, event: Event) {
    match event {
        Event::Put {
            client,
            map,
            key,
            value,
            ttl_ms,
            ..
        } => {
            let value = Some((value, ttl_ms));
            world.tell(client, Task::Write { at_us, map, key, value });
        }
        Event::Delete { client, map, key, .. } => {
            let value = None;
            world.tell(client, Task::Write { at_us, map, key, value });
        }
        Event::Get { client, map, key, .. } => world.tell(client, Task::Read { at_us, map, key }),
        Event::Watch { .. } | Event::Register { .. } => panic!("not in these plans: {event}"),
        Event::Fault(fault) => match fault.on {
            On::Client(client) => {
                let until_us = at_us + fault.for_us;
                world.tell(client, Task::Offline { until_us });
            }
            On::Link(from, to) => world.block(from, to, true),
            On::Node(node) => begin_at_node(world, node, fault),
            On::Nodes(..) => panic!("not in these plans: {fault}"),
        },
    }
}

fn begin_at_node(world: &World, node: usize, fault: Fault) {
    let disk = &world.nodes[node].device;
    match fault.kind {
        FaultKind::Crash => world.kill(node),
        FaultKind::Stop => {
            if let Some(orders) = watch::node(node, |seen| seen.orders.clone()).filter(|_| !is_down(node)) {
                orders.try_send(Command::Drain).unwrap();
            }
        }
        FaultKind::Pause => Handle::current().pause(world.nodes[node].id),
        FaultKind::FailCommit => disk.with(|disk| disk.fail_next_commit()),
        FaultKind::FailApply => disk.with(|disk| disk.fail_next_apply()),
        FaultKind::FailRead => disk.with(|disk| disk.fail_next_read()),
        FaultKind::Full => disk.with(|disk| disk.set_full(true)),
        FaultKind::SlowDisk => disk.with(|disk| disk.set_slow(fault.by.unsigned_abs())),
        _ => panic!("not in these plans: {fault}"),
    }
}

fn finish(world: &World, event: &Event) {
    let Event::Fault(fault) = event else { return };
    match (fault.kind, fault.on) {
        (FaultKind::Block, On::Link(from, to)) => world.block(from, to, false),
        (FaultKind::Crash, On::Node(node)) if is_down(node) => world.boot(node),
        (FaultKind::Stop, On::Node(node)) => {
            world.kill(node);
            world.boot(node);
        }
        (FaultKind::Pause, On::Node(node)) => Handle::current().resume(world.nodes[node].id),
        (FaultKind::Full, On::Node(node)) => world.nodes[node].device.with(|disk| disk.set_full(false)),
        (FaultKind::SlowDisk, On::Node(node)) => world.nodes[node].device.with(|disk| disk.set_slow(1)),
        _ => {}
    }
}

async fn execute(world: &mut World, plan: &Plan) -> State {
    for (at_us, begins, event) in timeline(plan) {
        until_us(at_us).await;
        match begins {
            true => begin(world, at_us, event),
            false => finish(world, &event),
        }
    }
    until_us(plan.header.heal_us).await;
    world.nodes.iter().for_each(|node| node.device.with(|disk| disk.heal()));
    world.quiet().await
}

/// Sees what the heap engine ends with.
#[derive(Clone, Default)]
struct TheEnd(Rc<RefCell<Option<State>>>);

impl Invariant for TheEnd {
    fn name(&self) -> &'static str {
        "the-end"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Quiet { nodes, .. } = seen {
            self.0.replace(nodes.first().map(|node| node.memory.clone()));
        }
        Ok(())
    }
}

fn on_the_heap_engine(plan: &Plan) -> State {
    let end = TheEnd::default();
    let options = Options {
        observer: Some(Box::new(end.clone())),
        ..Options::default()
    };
    let report = run(plan, options);
    assert_eq!(report.end, End::Held, "on the heap engine:\n{plan}");
    end.0.take().expect("it came to rest")
}

fn under_madsim(plan: &Plan) -> State {
    let (sender, receiver) = mpsc::channel();
    let scene = Scene {
        limits: sim::run::limits(&plan.header),
        header: plan.header.clone(),
    };
    let played = plan.clone();
    play(plan.header.seed, scene, async move |world| {
        let state = execute(world, &played).await;
        sender.send(state).unwrap();
    });
    receiver.recv().unwrap()
}

#[test]
fn a_plan_ends_with_the_same_keys_and_values_on_both_hosts() {
    let (mut records, mut faults) = (0, 0);
    for seed in seeds() {
        let plan = plan(seed);
        let (theirs, ours) = (on_the_heap_engine(&plan), under_madsim(&plan));
        for key in ours.keys().chain(theirs.keys()) {
            let (here, there) = (show(key, ours.get(key)), show(key, theirs.get(key)));
            assert_eq!(here, there, "seed {seed}: under madsim, and on the heap engine");
        }
        records += ours.len();
        let is_fault = |entry: &&Entry| matches!(entry.event, Event::Fault(_));
        faults += plan.entries.iter().filter(is_fault).count();
    }
    assert!(records > 0 && faults > 0, "{records} records, {faults} faults");
}
