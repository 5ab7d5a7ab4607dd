//! The register of one node: voter, proposer and learner.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::propose::Attempt;
use super::stored::Vote;
use super::{Agreed, Ballot, Message, Stored};
use crate::env::{Mutant, Mutants, NodeId, SeededRng, WriterId};

/// One node's register.
///
/// # Order of calls
/// After every call that takes `out`, and after [`Register::learn`]:
/// 1. If [`Register::take_dirty`], write [`Register::stored`] to disk.
/// 2. Once that, *and all that was to be written before*, is durable, send what is in `out`. If it fails or the node crashes,
///    nothing of it leaves; boot again from what is on disk.
/// 3. What `out` has for this node itself goes the same way: once it may leave, to [`Register::receive`], from
///    itself. A node's own vote is thereby counted no sooner than another's: when it is durable. A cluster of one decides in
///    four such rounds, without a message on the network.
/// 4. Call [`Register::tick`] at [`Register::wake_us`].
///
/// Now and then, and when a link comes up, [`Register::greet`]: that is how those catch up who missed a decision.
///
/// [`Register::value`] may be acted upon at once, as long as nothing of that leaves before it is written down (2). Where others vote
/// as well it was chosen by durable votes; what a sole voter decided is void if it crashes before.
///
/// ```
/// # use kernel::env::{Mutants, NodeId, SeededRng, WriterId};
/// # use kernel::register::{Agreed, Register, Stored};
/// #[derive(Debug, Clone, PartialEq)]
/// struct List(Vec<NodeId>);
/// impl Agreed for List {
///     fn voters(&self) -> Vec<NodeId> { self.0.clone() }
/// }
/// let me = NodeId(1);
/// let mut disk = Stored::founded(List(vec![me]));
/// let mut register = Register::new(me, WriterId(7), disk.clone(), Mutants::default());
/// let (mut rng, mut out) = (SeededRng::from_u64(0), Vec::new());
/// assert!(register.propose(List(vec![me]), 0, &mut rng, &mut out));
/// while !out.is_empty() {
///     if register.take_dirty() {
///         disk = register.stored().clone();
///     }
///     for (to, message) in std::mem::take(&mut out) {
///         assert_eq!(to, me, "a cluster of one sends nothing");
///         register.receive(me, message, 0, &mut rng, &mut out);
///     }
/// }
/// assert_eq!(register.version(), 2);
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Register<V> {
    me: NodeId,
    writer: WriterId,
    stored: Stored<V>,
    dirty: bool,
    /// The highest round that this boot has used, or was told of.
    round: u64,
    attempt: Option<Attempt<V>>,
    mutants: Mutants,
}

/// Messages that wait to be sent.
type Out<V> = Vec<(NodeId, Message<V>)>;

impl<V: Agreed> Register<V> {
    /// The register of node `me`, from what was durable ([`Stored::newcomer`] if nothing was). `writer` is drawn at this boot.
    ///
    /// # Panics
    /// If `stored` has a version and no value, or a value and no version: it was not written by a register.
    pub fn new(me: NodeId, writer: WriterId, stored: Stored<V>, mutants: Mutants) -> Self {
        let version = stored.version;
        assert_eq!(stored.value.is_some(), version > 0, "version {version} and its value");
        Self {
            me,
            writer,
            stored,
            dirty: false,
            round: 0,
            attempt: None,
            mutants,
        }
    }

    /// The newest version that is known here. 0: none.
    pub fn version(&self) -> u64 {
        self.stored.version
    }

    /// The value of that version.
    pub fn value(&self) -> Option<&V> {
        self.stored.value.as_ref()
    }

    /// All that has to be durable.
    pub fn stored(&self) -> &Stored<V> {
        &self.stored
    }

    /// Whether [`Register::stored`] has changed since this was last asked. If so it has to be durable before any message of this
    /// step, or of a later one, leaves.
    pub fn take_dirty(&mut self) -> bool {
        core::mem::take(&mut self.dirty)
    }

    /// Proposes `value` as the version after [`Register::version`]. False, and nothing is done, if an attempt is running, if this
    /// node does not vote, or if the value has no voters.
    ///
    /// The attempt ends when that version is known, or after [`GIVE_UP_US`](super::GIVE_UP_US). If the next version that is known is the
    /// very next one, its value says whether it was this one or another's. Otherwise, or if the attempt was given up, that is
    /// unknown: a value that was given up can still be finished by others. Values that may be proposed twice and must be told
    /// apart carry a mark of their own.
    pub fn propose(&mut self, value: V, now_us: u64, rng: &mut SeededRng, out: &mut Out<V>) -> bool {
        let voters = self.stored.voters();
        if self.attempt.is_some() || !voters.contains(&self.me) || value.voters().is_empty() {
            return false;
        }
        let attempt = Attempt::new(self.stored.version + 1, voters, value, now_us);
        self.attempt = Some(attempt);
        self.begin(now_us, rng, out);
        true
    }

    /// Whether an attempt is running.
    pub fn is_proposing(&self) -> bool {
        self.attempt.is_some()
    }

    /// Says to `to` which version is held here: either side gets from the other what it lacks.
    pub fn greet(&self, to: NodeId, out: &mut Out<V>) {
        let version = self.stored.version;
        out.push((to, Message::Have { version }));
    }

    /// Takes a message of `from`, which may be this node itself. Whatever is in it, nothing panics.
    pub fn receive(&mut self, from: NodeId, message: Message<V>, now_us: u64, rng: &mut SeededRng, out: &mut Out<V>) {
        match message {
            Message::Have { version } => self.compared(from, version, out),
            Message::Learn { version, value } => _ = self.learn(version, value),
            Message::Prepare { version, ballot } => {
                let vote = self.stored.prepare(from, version, ballot);
                let promised = matches!(vote.answer, Some(Message::Promise { .. }));
                let forgotten = promised && self.mutants.is(Mutant::BallotNotPersisted);
                self.answer(from, vote, forgotten, out);
            }
            Message::Accept { version, ballot, value } => {
                let vote = self.stored.accept(from, version, (ballot, value), self.mutants);
                self.answer(from, vote, false, out);
            }
            Message::Promise {
                version,
                ballot,
                accepted,
            } => {
                let mutants = self.mutants;
                if let Some(attempt) = self.attempt_at(version, ballot)
                    && attempt.promised(from, accepted, mutants)
                {
                    attempt.sent(now_us, rng);
                    self.ask(out);
                }
            }
            Message::Accepted { version, ballot } => {
                let mutants = self.mutants;
                if let Some(attempt) = self.attempt_at(version, ballot)
                    && attempt.accepted(from, mutants)
                {
                    let (value, asked) = (attempt.value().clone(), attempt.asked());
                    self.chosen(version, value, asked, out);
                }
            }
            Message::Refused {
                version,
                ballot,
                promised,
            } => {
                if let Some(attempt) = self.attempt_at(version, ballot) {
                    attempt.refused(now_us, rng);
                    self.round = self.round.max(promised.round);
                }
            }
        }
    }

    /// Takes over a version that was chosen, as heard in another way than by a message. False if it is not newer.
    pub fn learn(&mut self, version: u64, value: V) -> bool {
        let newer = self.stored.learn(version, value);
        if newer {
            self.dirty = true;
            // One attempt is for one version, and that is settled.
            self.attempt = None;
        }
        newer
    }

    /// Does what is due: asks again, begins anew, gives up.
    pub fn tick(&mut self, now_us: u64, rng: &mut SeededRng, out: &mut Out<V>) {
        let Some(attempt) = &mut self.attempt else { return };
        if now_us >= attempt.give_up_us {
            self.attempt = None;
        } else if now_us < attempt.wake_us {
        } else if attempt.is_refused() {
            self.begin(now_us, rng, out);
        } else {
            attempt.sent(now_us, rng);
            self.ask(out);
        }
    }

    /// When to call [`Register::tick`], in microseconds of the clock that the other calls are given. `None`: nothing will be due.
    pub fn wake_us(&self) -> Option<u64> {
        let attempt = self.attempt.as_ref()?;
        Some(attempt.wake_us.min(attempt.give_up_us))
    }

    /// Begins a ballot above all that were heard of.
    fn begin(&mut self, now_us: u64, rng: &mut SeededRng, out: &mut Out<V>) {
        let round = self.round.max(self.stored.promised.round);
        let Some(attempt) = &mut self.attempt else { return };
        // Rounds are counted one by one; only a liar gets there. A round must not be used twice.
        let Some(round) = round.checked_add(1) else {
            self.attempt = None;
            return;
        };
        self.round = round;
        attempt.prepare(Ballot {
            round,
            writer: self.writer,
        });
        attempt.sent(now_us, rng);
        self.ask(out);
    }

    /// Asks all who have not answered.
    fn ask(&self, out: &mut Out<V>) {
        let Some(attempt) = &self.attempt else { return };
        let silent = attempt.silent().into_iter();
        out.extend(silent.map(|to| (to, attempt.question())));
    }

    /// The running attempt, if a message about this version and ballot is for it and not for an earlier one.
    fn attempt_at(&mut self, version: u64, ballot: Ballot) -> Option<&mut Attempt<V>> {
        let attempt = self.attempt.as_mut()?;
        (attempt.version == version && attempt.ballot == ballot).then_some(attempt)
    }

    fn answer(&mut self, to: NodeId, vote: Vote<V>, forgotten: bool, out: &mut Out<V>) {
        self.dirty |= vote.changed && !forgotten;
        out.extend(vote.answer.map(|answer| (to, answer)));
    }

    /// The attempt has had its value chosen.
    fn chosen(&mut self, version: u64, value: V, asked: BTreeSet<NodeId>, out: &mut Out<V>) {
        let learned = self.learn(version, value.clone());
        assert!(
            learned,
            "version {version} was chosen, and {} is held",
            self.stored.version
        );
        for to in asked.into_iter().filter(|to| *to != self.me) {
            let value = value.clone();
            out.push((to, Message::Learn { version, value }));
        }
    }

    /// `from` holds `version`. If it has a part in the running attempt it was asked something that it could not answer: once it
    /// has what it lacks, it is asked again.
    fn compared(&mut self, from: NodeId, version: u64, out: &mut Out<V>) {
        if version > self.stored.version {
            self.greet(from, out);
        }
        let Some(value) = self.stored.value.clone() else { return };
        if version >= self.stored.version {
            return;
        }
        let version = self.stored.version;
        out.push((from, Message::Learn { version, value }));
        if let Some(attempt) = &self.attempt
            && attempt.silent().contains(&from)
        {
            out.push((from, attempt.question()));
        }
    }
}
