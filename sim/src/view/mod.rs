//! A run as a page: one HTML file that shows every node and client as a lane, every message as an arrow, what failed and
//! when, and what each node held at any time.
//!
//! On the page: the wheel zooms and dragging moves; a click on a message, a mark, a fault or a name shows what there is to
//! know about it, and a click on nothing sets the time. The arrow keys go from step to step and from lane to lane, `0` shows
//! the whole run, `/` goes to the filter, `Escape` lets go of everything. `page.html#at=1500000&lane=n1&key=m0/k3` opens it
//! at a time (in microseconds), with a lane and a filter. Bars under a node's line are commits on their way to its disk,
//! and green notches under the times are when the promises looked into every node.
//!
//! A [`Recorder`] watches a run as an invariant would, and objects to nothing. What it wrote down becomes a page even if the
//! run ended in a panic.
//!
//! ```
//! use sim::outcome::attempt;
//! use sim::plan::Plan;
//! use sim::run::Options;
//! use sim::view::{Heading, Recorder};
//!
//! let plan = Plan::draw(7);
//! let recorder = Recorder::new(&plan);
//! let outcome = attempt(&plan, Options { observer: Some(recorder.observer()), ..Options::default() });
//! let heading = Heading { title: "seed 7".into(), replay: "sim run --seed 7".into() };
//! let page = recorder.page(&heading, &outcome);
//! assert!(page.starts_with("<!doctype html>"));
//! ```

use std::cell::RefCell;
use std::rc::Rc;

use crate::invariant::{Invariant, Seen};
use crate::outcome::Outcome;
use crate::plan::Plan;
use record::Recording;

mod frames;
mod json;
mod page;
mod record;
mod steps;
mod table;
mod track;
mod words;

pub use page::Heading;

/// Writes down what happens in one run.
#[derive(Debug)]
pub struct Recorder {
    plan: Plan,
    recording: Rc<RefCell<Recording>>,
}

impl Recorder {
    /// For a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            recording: Rc::new(RefCell::new(Recording::new(plan))),
        }
    }

    /// What the run is to be given as its observer.
    pub fn observer(&self) -> Box<dyn Invariant> {
        Box::new(Observer(self.recording.clone()))
    }

    /// The page of what was written down. The same run gives the same page, byte for byte.
    pub fn page(self, heading: &Heading, outcome: &Outcome) -> String {
        page::page(heading, &self.plan, &mut self.recording.borrow_mut(), outcome)
    }
}

/// The recorder's place among the invariants.
struct Observer(Rc<RefCell<Recording>>);

impl Invariant for Observer {
    fn name(&self) -> &'static str {
        "view"
    }

    fn see(&mut self, at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        self.0.borrow_mut().see(at_us, seen);
        Ok(())
    }
}
