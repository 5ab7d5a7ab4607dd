//! The heap of events that have not happened yet.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Events by time; those of one instant in the order they were scheduled in.
///
/// The sequence number is the tie-break that makes a run a function of its seed: a bare heap gives equal times back
/// in an order that depends on what else it holds.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<Scheduled<E>>>,
    now_us: u64,
    next_seq: u64,
}

#[derive(Debug)]
struct Scheduled<E> {
    at_us: u64,
    seq: u64,
    event: E,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            now_us: 0,
            next_seq: 0,
        }
    }
}

impl<E> Queue<E> {
    /// The virtual time: that of the event popped last, in microseconds since the run began.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Schedules `event` for `at_us`; for now, if that has passed.
    pub fn push(&mut self, at_us: u64, event: E) {
        let seq = self.next_seq;
        self.next_seq += 1;
        let at_us = at_us.max(self.now_us);
        self.heap.push(Reverse(Scheduled { at_us, seq, event }));
    }

    /// The next event; time jumps to it.
    pub fn pop(&mut self) -> Option<E> {
        let Reverse(next) = self.heap.pop()?;
        self.now_us = next.at_us;
        Some(next.event)
    }

    /// When the next event is due.
    pub fn next_at_us(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(next)| next.at_us)
    }
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl<E> Eq for Scheduled<E> {}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_us, self.seq).cmp(&(other.at_us, other.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_scheduled() {
        let mut queue = Queue::default();
        queue.push(20, 'c');
        queue.push(10, 'a');
        queue.push(10, 'b');
        assert_eq!(queue.pop(), Some('a'));
        queue.push(3, 'x');
        assert_eq!((queue.pop(), queue.now_us()), (Some('b'), 10));
        assert_eq!((queue.pop(), queue.now_us()), (Some('x'), 10));
        assert_eq!((queue.pop(), queue.now_us()), (Some('c'), 20));
        assert_eq!(queue.pop(), None);
    }
}
