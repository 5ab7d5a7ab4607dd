//! Whether a concurrent history could have come from one thing that does one operation at a time.
//!
//! After Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), with the memoization of Lowe, "Testing for
//! Linearizability" (2017): a search for an order of the operations that the [`Model`] agrees with, and in which none comes
//! before one that had returned when it was called. Two ways to the same state by the same set of operations are the same, and only
//! one of them is walked on. The problem is NP-complete (Gibbons and Korach, 1997): keep histories to a few hundred
//! operations and few at a time.

use std::collections::BTreeSet;

/// What the operations would do one at a time.
pub trait Model {
    /// All that an answer can depend on.
    type State: Clone + Ord;
    /// What is asked.
    type Input: PartialEq;
    /// What is answered.
    type Output: PartialEq;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// What `input` does to `state`, and the answer to it.
    fn step(&self, state: &Self::State, input: &Self::Input) -> (Self::State, Self::Output);

    /// Whether `input` leaves every state as it is. Such an operation is put next as soon as its answer fits, and nothing is tried in its
    /// place: all that could come before it could as well come after it.
    fn is_read(&self, _input: &Self::Input) -> bool {
        false
    }
}

/// One operation of a history. Times are of any one order: nanoseconds, steps. Operations of which neither returned before
/// the other was called are concurrent, those that touch at one instant included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// What was asked.
    pub input: I,
    /// When.
    pub called: u64,
    /// What was answered and when. `None` if nobody knows the outcome: it may take effect at any time after its call, or never.
    pub outcome: Option<(O, u64)>,
}

/// No order of the history satisfies the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotLinearizable {
    /// The longest order that does, as places in the history.
    pub longest: Vec<usize>,
    /// What could have come next after that, and whose answer, if it was known, does not fit.
    pub stuck_at: Vec<usize>,
}

/// One operation that the search has put next.
struct Taken<S> {
    operation: usize,
    /// The state before it.
    before: S,
}

/// Finds an order of `history` that satisfies `model`: places in the history, those of unknown outcome that need not have
/// happened left out.
///
/// # Errors
/// There is none.
pub fn check<M: Model>(model: &M, history: &[Operation<M::Input, M::Output>]) -> Result<Vec<usize>, NotLinearizable> {
    let known = history.iter().filter(|operation| operation.outcome.is_some()).count();
    let mut state = model.initial();
    let mut done = vec![false; history.len()];
    let (mut taken, mut known_taken): (Vec<Taken<M::State>>, _) = (Vec::new(), 0);
    let mut seen = BTreeSet::new();
    // Where to go on among the operations: behind the one that was taken back.
    let mut from = 0;
    let mut failed = NotLinearizable {
        longest: Vec::new(),
        stuck_at: Vec::new(),
    };
    loop {
        if known_taken == known {
            return Ok(taken.iter().map(|taken| taken.operation).collect());
        }
        let is_read = |at: &usize| model.is_read(&history[*at].input);
        let read = minimal(history, &done).find(|at| is_read(at) && after(model, &state, &history[*at]).is_some());
        let candidates = minimal(history, &done).filter(|at| *at >= from && read.is_none_or(|read| read == *at));
        let mut next = candidates
            .filter(|at| !is_later_twin(history, &done, *at))
            .collect::<Vec<_>>()
            .into_iter();
        let next = next.find_map(|at| {
            let after = after(model, &state, &history[at])?;
            done[at] = true;
            let new = seen.insert((packed(&done), after.clone()));
            done[at] = new;
            new.then_some((at, after))
        });
        if let Some((operation, after)) = next {
            done[operation] = true;
            known_taken += usize::from(history[operation].outcome.is_some());
            let before = std::mem::replace(&mut state, after);
            taken.push(Taken { operation, before });
            from = 0;
            continue;
        }
        if taken.len() >= failed.longest.len() {
            failed.longest = taken.iter().map(|taken| taken.operation).collect();
            failed.stuck_at = minimal(history, &done).collect();
        }
        let Some(back) = taken.pop() else { return Err(failed) };
        done[back.operation] = false;
        known_taken -= usize::from(history[back.operation].outcome.is_some());
        state = back.before;
        from = back.operation + 1;
    }
}

/// The operations that may come next: not done, and called before any other that is not done had returned.
fn minimal<'a, I, O>(history: &'a [Operation<I, O>], done: &[bool]) -> impl Iterator<Item = usize> + use<'a, I, O> {
    let open: Vec<usize> = (0..history.len()).filter(|at| !done[*at]).collect();
    let returned = open.iter().filter_map(|at| Some(history[*at].outcome.as_ref()?.1));
    let first = returned.min().unwrap_or(u64::MAX);
    open.into_iter().filter(move |at| history[*at].called <= first)
}

/// Of operations of unknown outcome that are the same any may be the first: the one that was called first can be wherever the others can.
fn is_later_twin<I: PartialEq, O>(history: &[Operation<I, O>], done: &[bool], at: usize) -> bool {
    let operation = &history[at];
    let is_twin = |(other, twin): (usize, &Operation<I, O>)| {
        let is_earlier = (twin.called, other) < (operation.called, at);
        !done[other] && is_earlier && twin.outcome.is_none() && twin.input == operation.input
    };
    operation.outcome.is_none() && history.iter().enumerate().any(is_twin)
}

/// The state after an operation, if the answer fits. One of unknown outcome that changes nothing need not be tried.
fn after<M: Model>(model: &M, state: &M::State, operation: &Operation<M::Input, M::Output>) -> Option<M::State> {
    let (after, output) = model.step(state, &operation.input);
    let fits = match &operation.outcome {
        Some((answered, _)) => *answered == output,
        None => after != *state,
    };
    fits.then_some(after)
}

/// Which are done, 64 to a word.
fn packed(done: &[bool]) -> Vec<u64> {
    let word = |bits: &[bool]| bits.iter().rev().fold(0, |word, bit| word << 1 | u64::from(*bit));
    done.chunks(64).map(word).collect()
}

#[cfg(test)]
mod tests;
