//! One plan, two hosts: the heap engine and the driver end with the same keys and values.

use kernel::machine::Command;
use runtime_real::simulated::until_us;
use sim::model::{State, show};
use sim::plan::{Entry, Event, Header, Plan};
use sim::run::{End, Options, run_to_the_end};

use super::clients::Task;
use super::play::{play, seeds};
use super::watch;
use super::world::{Scene, World};

/// What a seed draws, in a world whose clocks are right and whose streams lose nothing (those of madsim do not). All clients
/// are twins: what the nodes' clocks say does not move theirs, so that each write's stamp is a function of the plan alone.
fn plan(seed: u64) -> Plan {
    let mut plan = Plan::draw(seed);
    let drawn = plan.header;
    plan.header = Header {
        twins: drawn.clients,
        exchanges: 0,
        secret: false,
        impostors: 0,
        ordered: true,
        loss_permille: 0,
        duplicate_permille: 0,
        corrupt_permille: 0,
        bytes_per_ms: 100_000,
        skew_ms: Vec::new(),
        drift_ppm: Vec::new(),
        client_skew_ms: Vec::new(),
        ..drawn
    };
    let heal_us = plan.header.heal_us;
    let kept = |entry: &Entry| {
        let hosted = !matches!(entry.event, Event::Watch { .. } | Event::Jump { .. });
        hosted && entry.at_us < heal_us
    };
    plan.entries.retain(kept);
    plan
}

/// What is to be done, and when: a fault has a beginning and an end.
fn timeline(plan: &Plan) -> Vec<(u64, bool, Event)> {
    let mut due = Vec::new();
    for Entry { at_us, event } in &plan.entries {
        due.push((*at_us, true, event.clone()));
        match event {
            Event::Crash { for_us, .. }
            | Event::Stop { for_us, .. }
            | Event::Block { for_us, .. }
            | Event::Full { for_us, .. }
            | Event::Slow { for_us, .. } => due.push(((at_us + for_us).min(plan.header.heal_us), false, event.clone())),
            _ => {}
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
        } => {
            let value = Some((value, ttl_ms));
            world.tell(client, Task::Write { at_us, map, key, value });
        }
        Event::Delete { client, map, key } => {
            let value = None;
            world.tell(client, Task::Write { at_us, map, key, value });
        }
        Event::Get { client, map, key } => world.tell(client, Task::Read { at_us, map, key }),
        Event::Offline { client, for_us } => {
            let until_us = at_us + for_us;
            world.tell(client, Task::Offline { until_us });
        }
        Event::Crash { node, .. } => world.kill(node),
        Event::Stop { node, .. } => {
            if let Some(orders) = watch::node(node, |seen| seen.orders.clone()).filter(|_| !is_down(node)) {
                orders.try_send(Command::Drain).unwrap();
            }
        }
        Event::FailCommit { node } => world.nodes[node].device.with(|disk| disk.fail_next_commit()),
        Event::FailApply { node } => world.nodes[node].device.with(|disk| disk.fail_next_apply()),
        Event::Full { node, .. } => world.nodes[node].device.with(|disk| disk.set_full(true)),
        Event::Slow { node, factor, .. } => world.nodes[node].device.with(|disk| disk.set_slow(factor)),
        Event::Block { from, to, .. } => world.block(from, to, true),
        Event::Watch { .. } | Event::Jump { .. } => panic!("not in these plans: {event}"),
    }
}

fn finish(world: &World, event: &Event) {
    match *event {
        Event::Crash { node, .. } if is_down(node) => world.boot(node),
        Event::Stop { node, .. } => {
            world.kill(node);
            world.boot(node);
        }
        Event::Block { from, to, .. } => world.block(from, to, false),
        Event::Full { node, .. } => world.nodes[node].device.with(|disk| disk.set_full(false)),
        Event::Slow { node, .. } => world.nodes[node].device.with(|disk| disk.set_slow(1)),
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
    world.quiet().await
}

#[test]
fn a_plan_ends_with_the_same_keys_and_values_on_both_hosts() {
    let (mut records, mut faults) = (0, 0);
    for seed in seeds() {
        let plan = plan(seed);
        let (report, states) = run_to_the_end(&plan, Options::default());
        assert_eq!(report.end, End::Held, "seed {seed}, on the heap engine");
        let (sender, receiver) = std::sync::mpsc::channel();
        let scene = Scene {
            limits: sim::run::limits(&plan.header),
            header: plan.header.clone(),
        };
        let played = plan.clone();
        play(seed, scene, async move |world| {
            let state = execute(world, &played).await;
            sender.send(state).unwrap();
        });
        let ours = receiver.recv().unwrap();
        let theirs = &states[0];
        for key in ours.keys().chain(theirs.keys()) {
            let (here, there) = (show(key, ours.get(key)), show(key, theirs.get(key)));
            assert_eq!(here, there, "seed {seed}: under madsim, and on the heap engine");
        }
        records += ours.len();
        let is_fault = |entry: &&Entry| {
            matches!(
                entry.event,
                Event::Crash { .. } | Event::Stop { .. } | Event::FailCommit { .. }
            )
        };
        faults += plan.entries.iter().filter(is_fault).count();
    }
    assert!(
        records > 0 && faults > 0,
        "{records} records, {faults} crashes, stops and failed commits"
    );
}
