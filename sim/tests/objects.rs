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
    objection: Rc<RefCell<Option<String>>>,
}

impl Invariant for LiedTo {
    fn name(&self) -> &'static str {
        "lied-to"
    }

    fn see(&mut self, at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        let (invariant, objection) = (&mut self.invariant, &mut *self.objection.borrow_mut());
        if objection.is_none() {
            (self.lie)(seen, &mut |seen| {
                if objection.is_none() {
                    *objection = invariant.see(at_us, seen).err();
                }
            });
        }
        Ok(())
    }
}

fn listens(plan: &Plan, case: &Case, lie: Lie) -> Option<String> {
    let told = (case.limits)(limits(&plan.header));
    let mut known = all(&told).into_iter();
    let invariant = known.find(|known| known.name() == case.invariant);
    let objection = Rc::new(RefCell::new(None));
    let observer = LiedTo {
        lie,
        invariant: invariant.unwrap_or_else(|| panic!("no invariant is called {}", case.invariant)),
        objection: Rc::clone(&objection),
    };
    let options = Options {
        observer: Some(Box::new(observer)),
        ..Options::default()
    };
    assert_eq!(run(plan, options).end, End::Held, "{plan}");
    objection.take()
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
    for case in lies() {
        let objection = plans().find_map(|plan| listens(&plan, &case, (case.lie)()));
        let said = objection.unwrap_or_else(|| panic!("{} never objects where {:?} is due", case.invariant, case.says));
        assert!(said.contains(case.says), "{}: {said}", case.invariant);
    }
}

#[test]
fn no_invariant_objects_to_the_truth() {
    let names = all(&Limits::default()).into_iter().map(|known| known.name());
    for name in names {
        let truth = case(name, "", || Box::new(|seen, next| next(seen)));
        for plan in plans().take(4) {
            assert_eq!(listens(&plan, &truth, (truth.lie)()), None, "{name}");
        }
    }
}
