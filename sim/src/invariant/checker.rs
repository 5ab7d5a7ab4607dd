//! Shows what happens to every promise of a run, and keeps the first that is broken.

use std::fmt;

use super::{Invariant, Seen, Violation};

/// The promises that a run is held to.
///
/// Whoever drives a world shows it each [`Seen`], in the order in which it happened. The first promise that objects is kept:
/// what happens after it is no longer looked at, for it only follows.
#[derive(Default)]
pub struct InvariantChecker {
    invariants: Vec<Box<dyn Invariant>>,
    broken: Option<Violation>,
}

impl InvariantChecker {
    /// A checker of these promises, to which nothing has happened yet.
    pub fn new(invariants: Vec<Box<dyn Invariant>>) -> Self {
        Self {
            invariants,
            broken: None,
        }
    }

    /// Shows everything to `observer` as well, and to it first.
    pub fn observe(&mut self, observer: Box<dyn Invariant>) {
        self.invariants.insert(0, observer);
    }

    /// Shows all promises what happened at `at_us`, in virtual time.
    pub fn see(&mut self, at_us: u64, seen: &Seen<'_>) {
        if self.broken.is_some() {
            return;
        }
        for invariant in &mut self.invariants {
            if let Err(expected) = invariant.see(at_us, seen) {
                self.broken = Some(Violation {
                    invariant: invariant.name(),
                    at_us,
                    expected,
                });
                return;
            }
        }
    }

    /// A promise that none of the invariants watches over was broken; unless another was before.
    pub fn object(&mut self, violation: Violation) {
        self.broken.get_or_insert(violation);
    }

    /// The first promise that was broken.
    pub fn broken(&self) -> Option<&Violation> {
        self.broken.as_ref()
    }
}

impl fmt::Debug for InvariantChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.invariants.iter().map(|invariant| invariant.name()).collect();
        f.debug_struct("InvariantChecker")
            .field("invariants", &names)
            .field("broken", &self.broken)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Objects to every boot, with a name.
    struct Objects(&'static str);

    impl Invariant for Objects {
        fn name(&self) -> &'static str {
            self.0
        }

        fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
            match seen {
                Seen::Booted { node } => Err(format!("n{node} stays down")),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn the_first_promise_that_is_broken_is_kept() {
        let mut checker = InvariantChecker::new(vec![Box::new(Objects("first")), Box::new(Objects("second"))]);
        let misuse = "it asked for the moon";
        checker.see(5, &Seen::Misused { node: 0, misuse });
        assert_eq!(checker.broken(), None);
        checker.see(7, &Seen::Booted { node: 3 });
        checker.see(9, &Seen::Booted { node: 4 });
        let violation = checker.broken().unwrap();
        assert_eq!(violation.to_string(), "first broke at 0.007 ms: n3 stays down");
    }
}
