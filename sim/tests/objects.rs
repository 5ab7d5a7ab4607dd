//! A check that cannot fail proves nothing. Each invariant is shown true histories in which one thing was changed, and objects; the
//! same histories as they were it accepts. An invariant without a line in [`lies`] fails here.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use kernel::env::Limits;
use sim::invariant::{Invariant, Seen, all};
use sim::plan::Plan;
use sim::run::{End, Options, limits, run};

#[path = "objects/contract.rs"]
mod contract;
#[path = "objects/database.rs"]
mod database;
#[path = "objects/limits.rs"]
mod limited;
#[path = "objects/quorums.rs"]
mod quorums;
#[path = "objects/sessions.rs"]
mod sessions;

/// Where a history goes on.
type Next<'n> = &'n mut dyn FnMut(&Seen<'_>);

/// Tells a history on, and somewhere in it a lie.
type Lie = Box<dyn FnMut(&Seen<'_>, Next<'_>)>;

/// A lie about something that an invariant promises.
struct Case {
    invariant: &'static str,
    /// Words of the objection.
    says: &'static str,
    lie: fn() -> Lie,
    /// The limits that the invariant is told, if they are not those of the plan.
    limits: fn(Limits) -> Limits,
}

fn case(invariant: &'static str, says: &'static str, lie: fn() -> Lie) -> Case {
    let limits = |limits| limits;
    Case {
        invariant,
        says,
        lie,
        limits,
    }
}

/// One invariant, and a liar before it. It listens in on a run that goes its own way.
struct LiedTo {
    lie: Lie,
    invariant: Box<dyn Invariant>,
    objection: Option<String>,
}

/// All that listen in on one run.
struct Listeners(Rc<RefCell<Vec<LiedTo>>>);

impl Invariant for Listeners {
    fn name(&self) -> &'static str {
        "lied-to"
    }

    fn see(&mut self, at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        for LiedTo {
            lie,
            invariant,
            objection,
        } in self.0.borrow_mut().iter_mut()
        {
            if objection.is_none() {
                lie(seen, &mut |seen| {
                    if objection.is_none() {
                        *objection = invariant.see(at_us, seen).err();
                    }
                });
            }
        }
        Ok(())
    }
}

/// What each of some invariants has to say to a run that is told with its lie.
fn objections(plan: &Plan, cases: &[&Case]) -> Vec<Option<String>> {
    let lied_to = cases.iter().map(|case| {
        let told = (case.limits)(limits(&plan.header));
        let mut known = all(&told).into_iter();
        let invariant = known.find(|known| known.name() == case.invariant);
        LiedTo {
            lie: (case.lie)(),
            invariant: invariant.unwrap_or_else(|| panic!("no invariant is called {}", case.invariant)),
            objection: None,
        }
    });
    let listeners = Rc::new(RefCell::new(lied_to.collect()));
    let options = Options {
        observer: Some(Box::new(Listeners(Rc::clone(&listeners)))),
        ..Options::default()
    };
    let end = run(plan, options).end;
    assert!(matches!(end, End::Held | End::WithoutMajority(_)), "{end:?}: {plan}");
    listeners.take().into_iter().map(|lied_to| lied_to.objection).collect()
}

fn lies() -> Vec<Case> {
    let lies = [
        contract::lies(),
        database::lies(),
        quorums::lies(),
        sessions::lies(),
        limited::lies(),
    ];
    lies.into_iter().flatten().collect()
}

/// Plans in which much happens.
fn plans() -> impl Iterator<Item = Plan> {
    (0..150).map(Plan::draw)
}

#[test]
fn every_invariant_objects_to_a_lie() {
    let names: BTreeSet<_> = all(&Limits::default()).iter().map(|known| known.name()).collect();
    let lied_to: BTreeSet<_> = lies().iter().map(|case| case.invariant).collect();
    assert_eq!(names, lied_to, "each invariant has a lie, and each lie an invariant");
    let lies = lies();
    let mut open: Vec<&Case> = lies.iter().collect();
    for plan in plans() {
        let said = objections(&plan, &open);
        // What a lie breaks first depends on the plan: it counts where it is what the lie is about.
        let says = |case: &Case, said: &Option<String>| said.as_ref().is_some_and(|said| said.contains(case.says));
        let silent = open.into_iter().zip(said).filter(|(case, said)| !says(case, said));
        open = silent.map(|(case, _)| case).collect();
        if open.is_empty() {
            return;
        }
    }
    let silent: Vec<_> = open.iter().map(|case| (case.invariant, case.says)).collect();
    panic!("these never object where it is due: {silent:?}");
}

#[test]
fn no_invariant_objects_to_the_truth() {
    let names = all(&Limits::default()).into_iter().map(|known| known.name());
    let truths: Vec<Case> = names
        .map(|name| case(name, "", || Box::new(|seen, next| next(seen))))
        .collect();
    let truths: Vec<&Case> = truths.iter().collect();
    for plan in plans().take(4) {
        for (truth, said) in truths.iter().zip(objections(&plan, &truths)) {
            assert_eq!(said, None, "{}", truth.invariant);
        }
    }
}
