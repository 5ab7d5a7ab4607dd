//! How many connections may be open at once.

use std::cell::Cell;
use std::rc::Rc;

/// The places for connections.
#[derive(Debug)]
pub(super) struct Slots {
    open: Rc<Cell<usize>>,
    limit: usize,
}

/// One of the connections that may be open at once. Given back when dropped.
#[derive(Debug)]
pub struct Slot(Rc<Cell<usize>>);

impl Slots {
    /// So many.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            open: Rc::default(),
            limit,
        }
    }

    /// A place, if there is one.
    pub(super) fn take(&self) -> Option<Slot> {
        (self.open.get() < self.limit).then(|| {
            self.open.set(self.open.get() + 1);
            Slot(Rc::clone(&self.open))
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
