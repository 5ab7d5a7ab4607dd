//! A checkpoint is the whole state of a node: whoever goes on from one does what the node itself would have done.

use std::cell::RefCell;
use std::rc::Rc;

use kernel::env::SeededRng;
use kernel::node::Node;
use sim::plan::Plan;
use sim::run::{Options, Report, run};
use sim::world::Between;

/// How often a run's state is looked at, in steps.
const LOOK_EVERY: u64 = 128;

/// The report of a run, and the hashes of the states of its nodes on the way. With `swaps` every node is now and then put away
/// for one that was made from its checkpoint.
fn states_of(seed: u64, swaps: bool) -> (Report, Vec<[u8; 32]>, u64) {
    let plan = Plan::draw(seed);
    let (states, swapped) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(0)));
    let between: Between<Node> = {
        let (states, swapped) = (states.clone(), swapped.clone());
        let mut when = SeededRng::from_u64(seed).fork("checkpoint", 0);
        // Some runs after every fifth step, some seldom.
        let permille = [200, 50, 10][seed as usize % 3];
        let mut step = 0;
        Box::new(move |_, node| {
            step += 1;
            if swaps && when.chance(permille) {
                let checkpoint = node.checkpoint();
                *node = Node::restore(&checkpoint).unwrap_or_else(|bad| panic!("seed {seed}, step {step}: {bad}"));
                *swapped.borrow_mut() += 1;
            }
            if step % LOOK_EVERY == 0 {
                states.borrow_mut().push(node.state_hash());
            }
        })
    };
    let options = Options {
        between: Some(between),
        ..Options::default()
    };
    let report = run(&plan, options);
    (report, states.take(), swapped.take())
}

#[test]
fn a_node_made_from_a_checkpoint_goes_on_as_the_node_itself() {
    let (mut swapped, mut compared) = (0, 0);
    for seed in 0..15 {
        let (plain, states, _) = states_of(seed, false);
        let (other, others, swaps) = states_of(seed, true);
        assert_eq!(plain, other, "seed {seed}");
        if let Some(at) = (0..states.len()).find(|at| others.get(*at) != states.get(*at)) {
            panic!(
                "seed {seed}: states differ before step {}",
                (at as u64 + 1) * LOOK_EVERY
            );
        }
        swapped += swaps;
        compared += states.len();
    }
    assert!(
        swapped > 5_000 && compared > 500,
        "{swapped} swaps, {compared} states compared"
    );
}
