//! One run of a seed: faults, then a majority that is healed for good.

use kernel::env::{Mutants, NodeId, SeededRng};
use kernel::register::{Agreed, GIVE_UP_US, Stored};
use sim::linearizability::check;

use crate::cluster::{Cluster, Faults};
use crate::value::{Ask, Number, Value};

/// What a run did, if it broke nothing.
#[derive(Debug, Default)]
pub struct Done {
    pub answered: u64,
    pub unknown: u64,
    pub members_changed: u64,
    pub versions: u64,
    /// Whether a majority was left to be healed.
    pub healed: bool,
}

/// How often each thing is done, of a thousand times that something is.
struct Habits {
    asks: u64,
    members: u64,
    crashes: u64,
    /// Off and on again at once: what was said is still on its way.
    restarts: u64,
    boots: u64,
    splits: u64,
    /// Of the changes of members.
    torn: u64,
    heals: u64,
    wipes: u64,
    every_us: u64,
    acts: u64,
}

/// Within so much virtual time after everything was healed a proposal is chosen, and a little later known to all.
const PROGRESS_US: u64 = 3 * GIVE_UP_US;

const NODES_MAX: usize = 12;
const MEMBERS_MAX: usize = 7;

/// Runs a seed.
///
/// # Errors
/// What was broken.
pub fn run(seed: u64, mutants: Mutants) -> Result<Done, String> {
    let mut cluster = Cluster::new(seed, mutants);
    let habits = draw(&mut cluster);
    for _ in 0..habits.acts {
        let pause_us = cluster.rng.between(1, 2 * habits.every_us);
        cluster.run_until(cluster.now_us + pause_us);
        act(&mut cluster, &habits);
        if let Some(broken) = cluster.broken {
            return Err(broken);
        }
    }
    let healed = heal(&mut cluster)?;
    let history = &cluster.client.history;
    if let Err(stuck) = check(&Number, history) {
        let at = stuck.stuck_at.iter().map(|at| &history[*at]);
        return Err(format!("linearizable: {:?}", at.collect::<Vec<_>>()));
    }
    let answered = history.iter().filter(|operation| operation.outcome.is_some()).count();
    Ok(Done {
        answered: answered as u64,
        unknown: (history.len() - answered) as u64,
        members_changed: cluster.client.members_changed,
        versions: cluster.chosen.len() as u64,
        healed,
    })
}

/// Draws a cluster of one to seven nodes and what is to befall it: each kind of fault is on in some runs only.
fn draw(cluster: &mut Cluster) -> Habits {
    let nodes = cluster.rng.between(1, 7);
    let whole = cluster.rng.chance(700);
    let members = if whole { 1..=nodes } else { 1..=1 };
    let first = Value {
        members: members.map(NodeId).collect(),
        number: 0,
        mark: 0,
        parent: 0,
    };
    for id in (1..=nodes).map(NodeId) {
        let founder = first.members.contains(&id);
        let newcomer = Stored::newcomer();
        cluster.add(if founder {
            Stored::founded(first.clone())
        } else {
            newcomer
        });
    }
    let rng = &mut cluster.rng;
    // In some runs every message takes its own time, so that they come in any order.
    let disorder = rng.chance(400);
    let some = |rng: &mut SeededRng, most: u64| if rng.chance(700) { rng.between(1, most) } else { 0 };
    cluster.faults = Faults {
        loss_permille: some(rng, 400),
        copies_permille: some(rng, 200),
        late_permille: if disorder { 1_000 } else { some(rng, 500) },
        late_us: rng.between(50_000, if disorder { 400_000 } else { 3_000_000 }),
        ..Faults::default()
    };
    let crashes = some(rng, 150);
    let splits = some(rng, 100);
    let (rarely, restless) = (rng.chance(150), rng.chance(400));
    Habits {
        asks: rng.between(200, 600),
        members: some(rng, 400),
        crashes,
        restarts: if restless { rng.between(1, 400) } else { 0 },
        boots: crashes * rng.between(1, 6),
        splits,
        torn: some(rng, 300),
        heals: splits * rng.between(1, 3) + 20,
        wipes: if rarely { rng.between(1, 5) } else { 0 },
        every_us: rng.between(2_000, 100_000),
        acts: rng.between(100, 1_000),
    }
}

fn pick(rng: &mut SeededRng, from: &[NodeId]) -> Option<NodeId> {
    (!from.is_empty()).then(|| from[rng.below(from.len() as u64) as usize])
}

/// Does this and that.
fn act(cluster: &mut Cluster, habits: &Habits) {
    let up = cluster.those(|node| node.up.is_some());
    let down = cluster.those(|node| node.up.is_none() && !node.gone);
    let here = pick(&mut cluster.rng, &up);
    let there = pick(&mut cluster.rng, &up);
    if let (Some(here), Some(there)) = (here, there)
        && here != there
    {
        cluster.step(here, |register, _, _, out| register.greet(there, out));
    }
    let Some(here) = here else {
        down.into_iter().for_each(|id| cluster.boot(id));
        return;
    };
    if cluster.rng.chance(habits.asks) {
        ask(cluster, here);
    }
    if cluster.rng.chance(habits.members) {
        let members = change_members(cluster, here);
        if cluster.rng.chance(habits.torn) {
            // The network splits along the new list, or around the proposer, while the change is under way.
            let soon_us = cluster.rng.between(1, 60_000);
            cluster.run_until(cluster.now_us + soon_us);
            cluster.faults.apart = [here].into();
            if cluster.rng.chance(700) {
                cluster.faults.apart.extend(members);
            }
            cluster.faults.apart_one_way = false;
        }
    }
    if cluster.rng.chance(habits.crashes) {
        let victim = pick(&mut cluster.rng, &up).unwrap_or(here);
        cluster.crash(victim);
    }
    if cluster.rng.chance(habits.restarts) {
        // One, or all that have no proposal of their own to lose.
        let idle = up.iter().copied().filter(|id| cluster.is_free(*id)).collect();
        let victims = if cluster.rng.chance(500) { idle } else { vec![here] };
        for victim in victims {
            cluster.crash(victim);
            cluster.boot(victim);
        }
    }
    if cluster.rng.chance(habits.boots)
        && let Some(id) = pick(&mut cluster.rng, &down)
    {
        cluster.boot(id);
    }
    if cluster.rng.chance(habits.splits) {
        let rng = &mut cluster.rng;
        // Often the one that has just been asked for something.
        let alone = rng.chance(400);
        let apart = |id: &NodeId| if alone { *id == here } else { rng.chance(400) };
        cluster.faults.apart = cluster.nodes.keys().copied().filter(apart).collect();
        cluster.faults.apart_one_way = cluster.rng.chance(300);
    }
    if cluster.rng.chance(habits.heals) {
        cluster.faults.apart.clear();
    }
    if cluster.rng.chance(habits.wipes) && cluster.nodes.len() < NODES_MAX {
        cluster.wipe(here);
        cluster.add(Stored::newcomer());
    }
}

/// Asks for a read, for a change of what this node believes to be there, or for one of something else.
fn ask(cluster: &mut Cluster, id: NodeId) {
    let new = cluster.mark();
    let up = cluster.nodes[&id].up.as_ref();
    let Some(held) = up.and_then(|up| up.register.value()).map(|value| value.number) else {
        return;
    };
    let input = match cluster.rng.below(10) {
        0..=2 => Ask::Read,
        3 => Ask::Cas { old: new - 1, new },
        _ => Ask::Cas { old: held, new },
    };
    cluster.ask(id, input);
}

/// Adds one, removes one, or puts others in the place of several. The new list.
fn change_members(cluster: &mut Cluster, id: NodeId) -> Vec<NodeId> {
    let all = cluster.those(|node| !node.gone);
    let up = cluster.nodes[&id].up.as_ref();
    let Some(mut members) = up.and_then(|up| up.register.value()).map(|value| value.members.clone()) else {
        return Vec::new();
    };
    let others: Vec<NodeId> = all.iter().copied().filter(|id| !members.contains(id)).collect();
    match cluster.rng.below(4) {
        0 if members.len() < MEMBERS_MAX => members.extend(pick(&mut cluster.rng, &others)),
        1 if members.len() > 1 => {
            let at = cluster.rng.below(members.len() as u64) as usize;
            members.remove(at);
        }
        2 => {
            let rng = &mut cluster.rng;
            members = all.into_iter().filter(|_| rng.chance(500)).take(MEMBERS_MAX).collect();
        }
        3 if !others.is_empty() => members = [vec![id], others].concat(),
        _ => (),
    }
    members.truncate(MEMBERS_MAX);
    cluster.change_members(id, members.clone());
    members
}

/// Heals all that can be healed, and expects progress if a majority can. Whether it could.
fn heal(cluster: &mut Cluster) -> Result<bool, String> {
    cluster.faults = Faults::default();
    let alive = cluster.those(|node| !node.gone);
    alive.iter().for_each(|id| cluster.boot(*id));
    // Late messages arrive, attempts from before end, and everybody hears of what was chosen.
    settle(cluster, GIVE_UP_US)?;
    if !can_go_on(cluster) {
        return Ok(false);
    }
    let (before, begun_us) = (cluster.client.history.len(), cluster.now_us);
    let answered = |cluster: &Cluster| {
        let asked = cluster.client.history[before..].iter();
        asked.filter(|operation| operation.outcome.is_some()).count()
    };
    while answered(cluster) == 0 {
        if cluster.now_us > begun_us + PROGRESS_US {
            return Err(format!("progress: stuck at {:?}", cluster.chosen.last_key_value()));
        }
        let members = cluster.chosen.last_key_value().map(|(_, value)| value.voters());
        for id in members.unwrap_or_default() {
            if cluster.is_up(id) {
                ask(cluster, id);
            }
        }
        settle(cluster, 100_000)?;
    }
    settle(cluster, PROGRESS_US)?;
    let newest = cluster.chosen.last_key_value().map_or(0, |(version, _)| *version);
    for id in alive {
        let version = cluster.nodes[&id].disk.version;
        if version != newest {
            return Err(format!(
                "progress: {id:?} holds version {version}, and {newest} was chosen"
            ));
        }
    }
    Ok(true)
}

/// Lets time pass, with a greeting now and then.
fn settle(cluster: &mut Cluster, for_us: u64) -> Result<(), String> {
    let end_us = cluster.now_us + for_us;
    while cluster.now_us < end_us {
        let up = cluster.those(|node| node.up.is_some());
        for here in up.iter().copied() {
            let there = pick(&mut cluster.rng, &up).unwrap_or(here);
            if here != there {
                cluster.step(here, |register, _, _, out| register.greet(there, out));
            }
        }
        cluster.run_until(cluster.now_us + 100_000);
        if let Some(broken) = cluster.broken.take() {
            return Err(broken);
        }
    }
    Ok(())
}

/// Whether a majority is left of those who vote on the next version, and of all lists that it could have.
fn can_go_on(cluster: &Cluster) -> bool {
    let Some((newest, value)) = cluster.chosen.last_key_value() else {
        return false;
    };
    let left = |members: &[NodeId]| {
        let up = members.iter().filter(|id| cluster.is_up(**id)).count();
        2 * up > members.len()
    };
    let begun = cluster.nodes.values().filter(|node| node.disk.version == *newest);
    let mut begun = begun.filter_map(|node| node.disk.accepted.as_ref());
    left(&value.members) && begun.all(|(_, value)| left(&value.members))
}
