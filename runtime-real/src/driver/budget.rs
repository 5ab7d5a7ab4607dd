//! A bound on the bytes that frames on their way to the driver may hold.

use std::cell::Cell;
use std::rc::Rc;

use event_listener::Event;

/// Bytes that may be held at once. Whoever wants more waits.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<u64>,
    whole: u64,
    freed: Event,
}

/// Bytes taken from a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Rc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(whole: u64) -> Rc<Self> {
        Rc::new(Self {
            left: Cell::new(whole),
            whole,
            freed: Event::new(),
        })
    }

    /// Takes `bytes`, once they are there. What is larger than the whole budget is taken for the whole: it passes
    /// alone.
    pub(crate) async fn take(self: &Rc<Self>, bytes: u64) -> Held {
        let bytes = bytes.min(self.whole);
        loop {
            // Listening begins before looking, so that nothing freed in between is missed.
            let freed = self.freed.listen();
            if let Some(left) = self.left.get().checked_sub(bytes) {
                self.left.set(left);
                return Held {
                    budget: Rc::clone(self),
                    bytes,
                };
            }
            freed.await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.left.set(self.budget.left.get() + self.bytes);
        // Everybody looks again: the one who waits longest may want more than there is.
        self.budget.freed.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future;

    #[test]
    fn what_does_not_fit_waits_and_what_can_never_fit_passes_alone() {
        future::block_on(async {
            let budget = Budget::new(10);
            let first = budget.take(7).await;
            assert!(future::poll_once(budget.take(4)).await.is_none());
            let second = budget.take(3).await;
            drop(first);
            assert!(future::poll_once(budget.take(1_000)).await.is_none());
            drop(second);
            let large = budget.take(1_000).await;
            assert!(future::poll_once(budget.take(1)).await.is_none());
            drop(large);
            assert_eq!(budget.left.get(), 10);
        });
    }
}
