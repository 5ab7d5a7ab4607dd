//! Deliberately broken behaviour, to prove that the simulator sees it.
//!
//! Each mutant is a classic bug of this field, put back behind a switch that only the feature `testing`
//! compiles in and only a node's own configuration turns on. An inactive mutant draws no randomness and
//! changes no byte. `scenarios/mutants/` tells of each: where such bugs come from, and what it takes to see them.

#[cfg(not(feature = "testing"))]
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whether the switches are compiled in. A host says so in its version.
pub const TESTING: bool = cfg!(feature = "testing");

/// The table below is the one place that knows a mutant: what it does, and its name on a command line.
macro_rules! mutants {
    ($($(#[$doc:meta])+ $mutant:ident = $name:literal,)+) => {
        /// One way to be broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Mutant {
            $($(#[$doc])+ $mutant,)+
        }

        impl Mutant {
            /// All of them, in the order they are listed in.
            pub const ALL: [Mutant; [$(Mutant::$mutant),+].len()] = [$(Mutant::$mutant),+];

            /// The name on a command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Mutant::$mutant => $name,)+
                }
            }
        }
    };
}

mutants! {
    // What an acknowledgement, or any other answer, stands on.
    /// An acknowledgement leaves before its commit is durable.
    AckBeforeCommit = "ack-before-commit",
    /// The disk reports a sync that failed as done (performed by the simulator's disk).
    AckAfterFailedSync = "ack-after-failed-sync",
    /// After a failed sync only the commit at the front fails; those behind it are written as if nothing had been
    /// (performed by the simulator's disk).
    ForgetFailedSync = "forget-failed-sync",
    /// Commits are answered in another order than they were given (performed by the simulator's disk).
    TicketsOutOfOrder = "tickets-out-of-order",
    /// What an earlier boot was to be told is told to the next one (performed by the simulator's disk).
    OldIncarnation = "old-incarnation",
    /// The answers of a failed commit are sent all the same.
    FailedCommitSpeaks = "failed-commit-speaks",
    /// An operation that was refused is acknowledged.
    AckRejected = "ack-rejected",
    /// An acknowledgement covers the whole batch, what was refused of it included.
    AckTooMuch = "ack-too-much",
    /// A request is answered twice.
    AnswerTwice = "answer-twice",
    /// What is told of an answer's age forgets that changes were skipped on the way.
    SkippedUnsaid = "skipped-unsaid",
    /// What is told of an answer's age counts from when a heartbeat was answered, and not from when it left.
    LevelWhenAnswered = "level-when-answered",
    /// An answer that waits for nothing overtakes those before it that do.
    ReplyOvertakes = "reply-overtakes",
    /// A step that changes nothing waits for nothing, though it shows what others have changed.
    BarrierDoesNotWait = "barrier-does-not-wait",

    // What is shown before it is true.
    /// A read shows a value whose commit is still in flight.
    ReadUncommitted = "read-uncommitted",
    /// A live query tells of a change whose commit is still in flight.
    TellBeforeCommit = "tell-before-commit",
    /// A change goes to the peers before its commit is durable.
    ForwardBeforeCommit = "forward-before-commit",
    /// Reads are answered while the node is still recovering.
    ServeWhileRecovering = "serve-while-recovering",

    // The log, the stage behind it, and the records.
    /// What a failed flush brings back into the stage replaces newer versions there.
    NewerErased = "newer-erased",
    /// What a failed flush was to write is not written again.
    ForgetFailedFlush = "forget-failed-flush",
    /// A failed flush counts as done.
    CleanAfterFailure = "clean-after-failure",
    /// A flush of one key moves the watermark past the writes of all others.
    WatermarkPasses = "watermark-passes",
    /// The log is cut at its end, whatever the records hold.
    CutBeyondRecords = "cut-beyond-records",
    /// Of two changes of a key in one commit the first is logged.
    CoalesceKeepsFirst = "coalesce-keeps-first",
    /// The log is replayed from its end to its beginning.
    ReplayBackwards = "replay-backwards",
    /// The last entry of the log is not replayed.
    SkipLastEntry = "skip-last-entry",
    /// The last row of each chunk of records is not read.
    SkipAtChunkEnd = "skip-at-chunk-end",
    /// What has expired is removed, and nothing is left that wins over what is older.
    PurgeExpired = "purge-expired",
    /// A node that was full never asks whether there is room again.
    RoomForgotten = "room-forgotten",
    /// Writes are taken however much is in flight to the disk.
    QueueUnbounded = "queue-unbounded",

    // Who wins.
    /// Equal stamps with different content keep whichever came first.
    DropTieBreak = "drop-tie-break",
    /// The first version of a key stays, whatever comes later.
    FirstArrivalWins = "first-arrival-wins",
    /// The version that comes last stays, however old it is.
    LastArrivalWins = "last-arrival-wins",
    /// A delete removes the record and leaves no tombstone.
    ForgetTombstone = "forget-tombstone",
    /// A delete wins over values that are newer than it.
    TombstoneAlwaysWins = "tombstone-always-wins",
    /// A record that is already held counts as a change again: it is logged and forwarded once more.
    ApplyTwice = "apply-twice",
    /// A version is kept without its time to live.
    TtlLostInMerge = "ttl-lost-in-merge",
    /// A version of a peer is taken without its time to live.
    TtlLostOnTheWay = "ttl-lost-on-the-way",
    /// The node stamps what clients have stamped: a retry is a new write.
    StampOnArrival = "stamp-on-arrival",

    // What replicas agree on, and how they find out that they do not.
    /// Digests do not cover values.
    DigestWithoutValue = "digest-without-value",
    /// The digest of what is replaced stays in the sum.
    DigestForgetsOld = "digest-forgets-old",
    /// A version counts in the digest before it is known whether it is taken.
    DigestBeforeWrite = "digest-before-write",
    /// Versions with one stamp count as equal, whatever they hold.
    CompareStampsOnly = "compare-stamps-only",
    /// Two nodes compare what they hold once, when they are linked.
    CompareOnce = "compare-once",
    /// The last row that a peer asks for is not sent.
    WantForgetsLast = "want-forgets-last",
    /// A repair sends what the other side lacks, and does not ask for what this side lacks.
    RepairOneWay = "repair-one-way",
    /// A change goes back to the peer that it came from.
    EchoChanges = "echo-changes",
    /// Changes of peers are refused if their stamps are too far ahead, though they were admitted elsewhere.
    DriftCheckedTwice = "drift-checked-twice",
    /// The order of a hash map with a random key decides which peer is told first.
    HashOrder = "hash-order",

    // Connections.
    /// A link counts as alive because this side sends heartbeats on it.
    DeadLinkKept = "dead-link-kept",
    /// A handshake that is not finished is never given up.
    HandshakeWithoutEnd = "handshake-without-end",
    /// A peer that cannot be reached is dialled again at once.
    RedialStorm = "redial-storm",
    /// All timers run by the wall clock: put back, it stops them.
    TimersByWallClock = "timers-by-wall-clock",
    /// Bytes that wait on a connection are not counted.
    UnsentNotCounted = "unsent-not-counted",
    /// What a connection has sent is counted twice.
    DrainedTwice = "drained-twice",
    /// Bytes of answers that a failed commit dropped count as unsent for ever.
    HeldBytesKept = "held-bytes-kept",
    /// Once somebody has shown the secret, who connects later need not.
    RememberedLogin = "remembered-login",

    // Time.
    /// What has expired is judged by a time that is not durable.
    ExpireEarly = "expire-early",
    /// The clock does not follow the stamps of peers.
    ClockIgnoresPeers = "clock-ignores-peers",
    /// After a restart the clock begins anew.
    ClockNotRecovered = "clock-not-recovered",
    /// Clients are told a time that is not durable.
    ClockBeyondBound = "clock-beyond-bound",
    /// Log entries carry the clock of the entry before.
    EntryWithoutClock = "entry-without-clock",

    // Live queries.
    /// A failed commit leaves live queries as they were, though the state that they followed was thrown away.
    SkipStale = "skip-stale",
    /// A live query whose state was thrown away is never answered anew.
    StaleForEver = "stale-for-ever",
    /// Live queries are not told of deletes.
    DeletesNotTold = "deletes-not-told",
    /// A record that matches no more, and is still there, is not told of.
    LeaveLost = "leave-lost",
    /// In an answer with a limit nobody moves up when one leaves.
    WindowNotRefilled = "window-not-refilled",
    /// Live queries are not told of what expires.
    ExpiredNotTold = "expired-not-told",
    /// Who reads too slowly misses changes, and is not answered anew.
    SlowWatcherSkipped = "slow-watcher-skipped",

    // Forgetting.
    /// Replaying the log passes over what was dropped and forgotten.
    DropResurrected = "drop-resurrected",

    // The agreed register. These are found by a test of their own (`sim/tests/register/`).
    /// A voter's promise is not written to disk before it is spoken.
    BallotNotPersisted = "ballot-not-persisted",
    /// A voter accepts a ballot below the one that it has promised.
    AcceptWithoutPromise = "accept-without-promise",
    /// A change of the list counts as chosen with one vote less than a majority of the old list.
    MembersByMinority = "members-by-minority",
    /// Only the new list is asked for a majority, as would do if lists differed by one member.
    TwoMembersAtOnce = "two-members-at-once",
    /// A node admits writes by its clock, whatever the others' show.
    ClockAlwaysTrusted = "clock-always-trusted",
    /// A node whose disk is older than what was seen of it is counted as before.
    SetBackDiskVotes = "set-back-disk-votes",
    /// A proposer goes on with its own value though it was told of an accepted one.
    ForgetsAcceptedValue = "forgets-accepted-value",

    // The partition table. Found by a test of its own (`kernel/src/partition/table/tests.rs`).
    /// Ties between nodes are broken by the order in which they are given.
    TableByIterationOrder = "table-by-iteration-order",

    // Replicas, quorums and moves.
    /// A majority is one of the replicas that can be reached.
    QuorumOfTheLiving = "quorum-of-the-living",
    /// During a move a majority of those is enough that the partition moves to.
    OldMajorityForgotten = "old-majority-forgotten",
    /// A replica confirms what a node sends that acts by an older state of the cluster, though the partition has moved since.
    StaleTableAccepted = "stale-table-accepted",
    /// A replica is filled from others that have not adopted the move yet.
    FillBeforePromise = "fill-before-promise",
    /// A node asks for what moves to it as fast as it is answered.
    MovesUnthrottled = "moves-unthrottled",
    /// A replica counts as filled once it has taken over from one of the old ones.
    WholeTooEarly = "whole-too-early",
    /// What is left of partitions that lie elsewhere is never dropped.
    LeftoversKept = "leftovers-kept",
    /// Who leaves is removed as soon as no partition lies with it, whatever it has that nobody else has heard of.
    LeavesWithLeftovers = "leaves-with-leftovers",
    // What is settled.
    /// A write is admitted whatever its stamp.
    AdmitsBelowFloor = "admits-below-floor",
    /// A member confirms a candidate for the floor as soon as all are clean, without comparing anything.
    ConfirmsUncompared = "confirms-uncompared",
    /// The floor rises once those have confirmed that can be reached.
    FloorOfTheLiving = "floor-of-the-living",
    /// A replica takes whatever it is shown, however long ago it was deleted there.
    HintOlderThanTombstone = "hint-older-than-tombstone",
    /// A node that was away while the floor rose keeps what it held below.
    KeepsBelowFloor = "keeps-below-floor",
    // Named registers.
    /// A replica accepts below a ballot that it has promised.
    PromiseForgotten = "promise-forgotten",
    /// A replica does not tell what it has accepted.
    PromiseTellsNothing = "promise-tells-nothing",
    /// A register does not know a request that is asked again.
    RequestForgotten = "request-forgotten",
    /// What a majority tells of a register is answered without having been accepted by one.
    LookUnaccepted = "look-unaccepted",
    // Repair.
    /// What one side holds behind the last item of the other's list is not compared.
    ListTailLost = "list-tail-lost",
    /// Coded symbols are made of what is held when each is asked for, not of a frozen view.
    SymbolsOfAMovingSet = "symbols-of-a-moving-set",
    /// What the other side lacks counts as deleted there.
    RepairDeletes = "repair-deletes",
    /// A repair says that all is here when the last of it was asked for.
    FalseEnd = "false-end",
    // Queries over many partitions.
    /// Of conditions any of which may hold, only the partitions are asked in which all of them can.
    PruneOrIntersects = "prune-or-intersects",
    /// Who gathers the answers of many skips none of the first records, though each of those who answered was told not to.
    GatherForgetsOffset = "gather-forgets-offset",
    // Who is alive.
    /// A node that is accused of being dead does not say otherwise.
    SuspicionNeverRefuted = "suspicion-never-refuted",
    /// Only a node itself is asked whether it lives, never others on the way to it.
    NoIndirectProbe = "no-indirect-probe",
    /// Any message of a node takes back what was held against it, however old the message is.
    IncarnationIgnored = "incarnation-ignored",
    // Queries that other nodes have a part in.
    /// A node answers for all partitions that it is asked for, whether it holds them or not.
    AnswersForOthers = "answers-for-others",
}

/// The mutants that are on in one node: none, or one. Without the feature `testing` it is always none, and
/// the compiler removes the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mutants {
    #[cfg(feature = "testing")]
    active: Option<Mutant>,
}

impl Mutants {
    /// Turns one mutant on.
    #[cfg(feature = "testing")]
    pub fn only(mutant: Mutant) -> Self {
        Self { active: Some(mutant) }
    }

    /// Whether `mutant` is on.
    #[cfg(feature = "testing")]
    pub fn is(self, mutant: Mutant) -> bool {
        self.active == Some(mutant)
    }

    /// Whether `mutant` is on: never, in this build.
    #[cfg(not(feature = "testing"))]
    pub fn is(self, _mutant: Mutant) -> bool {
        false
    }

    /// With [`Mutant::HashOrder`], another order of `items` at each call, as the walk over a hash map with a random key has it.
    #[cfg(feature = "testing")]
    pub fn hash_order<T>(self, items: &mut [T]) {
        use core::sync::atomic::{AtomicU64, Ordering};
        // Outside of any machine, as the key of a hash map is: that is the bug.
        static KEYS: AtomicU64 = AtomicU64::new(0);
        if self.is(Mutant::HashOrder) && !items.is_empty() {
            let key = KEYS.fetch_add(1, Ordering::Relaxed);
            let hash = super::name_hash(&key.to_be_bytes());
            items.rotate_left((hash % items.len() as u64) as usize);
        }
    }

    /// Leaves `items` as they are.
    #[cfg(not(feature = "testing"))]
    pub fn hash_order<T>(self, _items: &mut [T]) {}
}

/// Written alike whether the switches are compiled in or not: what one build writes another reads.
impl Serialize for Mutants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let active = Mutant::ALL.into_iter().find(|mutant| self.is(*mutant));
        active.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Mutants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::<Mutant>::deserialize(deserializer)? {
            None => Ok(Self::default()),
            #[cfg(feature = "testing")]
            Some(mutant) => Ok(Self::only(mutant)),
            #[cfg(not(feature = "testing"))]
            Some(_) => Err(D::Error::custom("a mutant is on, and this build has none")),
        }
    }
}
