//! One way between two endpoints: what is wrong with it now, and how long a frame takes.

use crate::reached::{Reached, Spot};
use crate::streams::Draw;

use super::{NetworkProfile, Shape};

/// A tail that is longer than this many times the longest usual way is cut: a run has an end.
const LONGEST_TAIL: u64 = 100;

/// The state of one directed link. Faults may overlap: each is counted, and lifted by itself.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// How many faults let nothing through.
    pub blocked: u32,
    /// Until when nothing gets out, though the connections hold.
    pub clogged_until_us: u64,
    /// How many times as long everything takes, one number for each fault.
    pub slowed: Vec<u64>,
    /// How much longer its ways are than those of other links, in hundredths; drawn when it is first used.
    pub stretch_percent: u64,
    /// When a frame was sent last, and how many then: what its draws are keyed by.
    pub last_us: u64,
    pub nth: u64,
}

impl Link {
    /// The number of what happens at `at_us`: the same whatever happened before.
    pub fn index(&mut self, at_us: u64) -> u64 {
        self.nth = if at_us == self.last_us { self.nth + 1 } else { 0 };
        self.last_us = at_us;
        (at_us << 12) | (self.nth & 0xfff)
    }

    pub fn slowness(&self) -> u64 {
        self.slowed.iter().copied().max().unwrap_or(1).max(1)
    }

    /// How long one way takes.
    pub fn way_us(&self, profile: &NetworkProfile, draw: &mut Draw, reached: &mut Reached) -> u64 {
        let (low, high) = profile.latency_us;
        let span = high - low;
        let over = match profile.latency_shape {
            Shape::Uniform => draw.below(span.saturating_add(1)),
            // The exponential in steps: each halving of the chance is half of the span later, and within a step it is even.
            Shape::Exponential => {
                let halvings = u64::from(draw.next_u64().trailing_zeros());
                span / 2 * halvings + draw.below(span / 2 + 1)
            }
            // Pareto with the exponent one: one frame in ten takes ten times as long, one in a hundred a hundred times.
            Shape::Pareto => (span / 2).saturating_mul(1_000) / (1 + draw.below(1_000)),
        };
        let over = over.min(high.saturating_mul(LONGEST_TAIL));
        if over > high.saturating_mul(10) {
            reached.hit(Spot::FrameLate);
        }
        let slowness = self.slowness();
        if slowness > 1 {
            reached.hit(Spot::LinkSlowed);
        }
        (low + over).saturating_mul(slowness) * self.stretch_percent.max(100) / 100
    }
}
