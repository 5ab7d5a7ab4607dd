//! A simulator that never gets to the rare paths proves nothing about them. Over a hundred seeds, each of these is reached.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use kernel::machine::{Fetched, Input, Phase, StorageError};
use sim::plan::Plan;
use sim::run::{Options, run};
use sim::trace::Step;

/// The rare paths that a step is on.
fn paths(step: &Step<'_>) -> Vec<&'static str> {
    let told = match step.input {
        Input::DialFailed { .. } => "a dial that fails",
        Input::Closed { .. } => "a connection that ends",
        Input::Committed {
            result: Err(StorageError::Io),
            ..
        } => "a commit that fails",
        Input::Committed {
            result: Err(StorageError::Full),
            ..
        } => "a commit on a full disk",
        Input::Applied { result: Err(_), .. } => "an apply that fails",
        Input::Fetched {
            result: Ok(Fetched::Records { done: false, .. }),
            ..
        } => "records in chunks",
        Input::Fetched {
            result: Ok(Fetched::Log { done: false, .. }),
            ..
        } => "a log in chunks",
        Input::Fetched {
            result: Ok(Fetched::Recovered {
                applied, log: Some(_), ..
            }),
            ..
        } if *applied > 0 => "records with a log over them",
        Input::Command(_) => "an order to stop",
        _ => "",
    };
    let barrier = step.output.commit.as_ref().is_some_and(|commit| commit.entry.is_none());
    let held = step
        .output
        .commit
        .as_ref()
        .is_some_and(|commit| !commit.envelopes.is_empty());
    let waiting = step.output.commit.iter().flat_map(|commit| &commit.envelopes);
    let frames: Vec<_> = step
        .output
        .send
        .iter()
        .chain(waiting)
        .map(|envelope| &envelope.frame)
        .collect();
    let says = |word: &str| {
        frames
            .iter()
            .any(|frame| frame.windows(word.len()).any(|part| part == word.as_bytes()))
    };
    let asked = [
        (says("QUERY_RESP"), "a query that is answered"),
        (says("ENTER"), "a row that enters"),
        (says("LEAVE"), "a row that leaves"),
        (says("AUTH_FAIL"), "a token that is wrong"),
        (says("begins no value"), "a frame that is damaged"),
        (barrier, "a barrier"),
        (held, "envelopes that wait"),
        (barrier && !held, "a node that asks for room"),
        (step.output.cut.is_some(), "a log that is cut"),
        (!step.output.close.is_empty(), "a connection that a node ends"),
        (matches!(step.output.phase, Some(Phase::Stopped)), "a clean stop"),
    ];
    let asked = asked.into_iter().filter(|(reached, _)| *reached).map(|(_, path)| path);
    asked.chain([told]).filter(|path| !path.is_empty()).collect()
}

#[test]
fn a_swarm_gets_to_the_rare_paths() {
    let reached: Rc<RefCell<BTreeMap<&'static str, u64>>> = Rc::default();
    for seed in 0..100 {
        let counts = Rc::clone(&reached);
        let count = move |step: &Step<'_>| {
            for path in paths(step) {
                *counts.borrow_mut().entry(path).or_default() += 1;
            }
        };
        let options = Options {
            hook: Some(Box::new(count)),
            ..Options::default()
        };
        run(&Plan::draw(seed), options);
    }
    let reached = reached.borrow();
    assert_eq!(reached.len(), 20, "{reached:#?}");
    for (path, times) in reached.iter() {
        assert!(*times >= 10, "{path}: only {times} times in {reached:#?}");
    }
}
