//! Anti-entropy between two nodes: digests to notice, repairs to mend.
//!
//! One side begins a *round* with a digest for each partition that the two share. The other opens a repair
//! ([`crate::cluster::repair`]) for each partition that differs, some at a time: it asks, and gives what the first lacks. Here is what
//! carries that: frames, merging within limits, back-pressure. Nothing depends on a round being finished: a lost frame, a full
//! connection or a change in between leaves a difference that the next round finds.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::cluster::repair::{Answer, Ask, Next, Repaired, Session};
use crate::crdt::floor::is_collectable;
use crate::crdt::{Record, Version};
use crate::env::{ConnId, Limits, Mutant, NodeId, Now};
use crate::hlc;
use crate::node::Node;
use crate::partition::PartitionId;
use crate::reconcile::{SYMBOL_BYTES, first_of_question};
use crate::session::Shows;
use crate::store::{NoRoom, RecordKey, change_bytes};
use crate::wire::cluster::Word;
use crate::wire::peer::{self, Changes, Digests, PeerMessage, Rows};
use crate::wire::repair::{self, Answered, Asked, Repair};

/// What became of versions that came.
#[derive(Debug, Clone, Copy)]
struct Taken {
    count: u64,
    /// Whether each of them is here now, or one that wins over it.
    all: bool,
}

impl Node {
    /// The partitions that this node shows another what it holds of: both are replicas; or the other is, and this one is not any more and
    /// has something left that it gives away.
    fn shared_with(&self, peer: NodeId) -> Vec<PartitionId> {
        let own = self.membership.id();
        let left = |id: PartitionId| self.store.partition(id).iter().next().is_some();
        let shares = |id: &PartitionId| self.holds(peer, *id) && (self.holds(own, *id) || left(*id));
        PartitionId::all().filter(shares).collect()
    }

    /// Whether a node is a replica of a partition, or is about to be and has been filled, as far as this node knows. Before that repairs
    /// take from it what it was told, and bring it nothing: the move does, and no faster than moves go.
    pub(super) fn has_whole(&self, node: NodeId, id: PartitionId) -> bool {
        let placement = self.membership.state().map(|state| state.placement(id));
        placement.is_some_and(|placement| {
            let is_filled = || placement.holds(node) && self.is_filled(node, (id, placement.since));
            placement.replicas.contains(&node) || is_filled()
        })
    }

    /// Whether a node is a replica of a partition, or is about to be.
    pub(super) fn holds(&self, node: NodeId, id: PartitionId) -> bool {
        let state = self.membership.state();
        state.is_some_and(|state| state.placement(id).holds(node))
    }

    /// Begins to compare everything with the other side.
    pub(super) fn begin_round(&mut self, conn: ConnId, now: Now) {
        self.put_off_round(conn, now);
        let (clean, is_below) = (self.all_clean(), self.is_below_floor());
        let Some(link) = self.peers.link(conn) else {
            return;
        };
        link.behind = false;
        if is_below {
            return;
        }
        link.round += 1;
        link.round_begun_us = now.mono_us;
        let (round, peer) = (link.round, link.remote().map(|remote| remote.id));
        self.tally.rounds += 1;
        self.leftovers.look_again();
        let shared = peer.map(|peer| self.shared_with(peer)).unwrap_or_default().into_iter();
        let digests = shared.map(|id| (id, self.store.partition(id).digest()));
        let frame = peer::digests(round, clean, digests);
        self.outbox.push(conn, frame, Shows::State);
    }

    /// The next round begins a while from now, on the side that dialled.
    fn put_off_round(&mut self, conn: ConnId, now: Now) {
        let again = !self.config.mutants.is(Mutant::CompareOnce);
        let due_us = now.mono_us + self.config.limits.anti_entropy_ms * 1_000;
        let gives_away = self.leftovers.any() || self.fills.open() > 0;
        if let Some(link) = self.peers.link(conn) {
            link.round_due_us = ((link.dialled.is_some() || gives_away) && again).then_some(due_us);
        }
    }

    /// Who has something to give away, or is filled and takes part in no round of others, begins rounds with everyone, whoever dialled.
    pub(super) fn offer_rounds(&mut self, now: Now) {
        let due_us = now.mono_us + self.config.limits.anti_entropy_ms * 1_000;
        for conn in self.peers.up() {
            if let Some(link) = self.peers.link(conn) {
                link.round_due_us.get_or_insert(due_us);
            }
        }
    }

    /// Takes a message of a linked peer, which came in so many bytes. `false`: it makes no sense, and the link is given up.
    pub(super) fn peer_data(&mut self, conn: ConnId, message: PeerMessage<'_>, bytes: u64, now: Now) -> bool {
        match message {
            PeerMessage::Changes(changes) => self.take_sent(conn, changes, now),
            PeerMessage::Cluster(body) => self.heard_word(conn, body, now),
            PeerMessage::Digests { round, clean, digests } => {
                self.take_digests(conn, (round, clean), digests, now);
                true
            }
            PeerMessage::Repair { session, message } => match message {
                Repair::Ask { partition, ask } => self.answer_ask(conn, session, partition, ask, now),
                Repair::Answer(answer) => self.take_answer(conn, session, answer, bytes, now),
            },
            PeerMessage::Hello(_)
            | PeerMessage::Proof(_)
            | PeerMessage::Refused(_)
            | PeerMessage::Ping(_)
            | PeerMessage::Again
            | PeerMessage::Pong { .. } => true,
        }
    }

    /// Takes changes as they were made elsewhere, and confirms them where that is asked for.
    fn take_sent(&mut self, conn: ConnId, changes: Changes<'_>, now: Now) -> bool {
        let Changes { number, epoch, rows } = changes;
        // What is confirmed counts towards a majority: all of it, and with a replica that the sender counts rightly.
        let counts = |(key, _): (&[u8], &[u8])| {
            let key = RecordKey::decode(Bytes::copy_from_slice(key), &self.config.limits);
            key.is_ok_and(|key| self.counts(epoch, self.store.partition_of(&key)))
        };
        let counts = number.is_some() && rows.clone().flatten().all(counts);
        let counts = counts || self.config.mutants.is(Mutant::StaleTableAccepted);
        let Some(taken) = self.take_changes(conn, rows, false, now) else {
            return false;
        };
        match number {
            Some(number) if counts && taken.all => self.to_confirm.entry(conn).or_default().push(number),
            Some(_) => self.teach(conn),
            None => {}
        }
        if !taken.all
            && let Some(link) = self.peers.link(conn)
        {
            link.level.doubt(now.mono_us);
        }
        true
    }

    /// Merges what the peer sent. Its stamps were admitted once, elsewhere: here nobody asks about drift. `None`: it makes no sense.
    fn take_changes(&mut self, conn: ConnId, rows: Rows<'_>, repairs: bool, now: Now) -> Option<Taken> {
        let mutants = self.config.mutants;
        self.source = Some(conn);
        let mut taken = Taken { count: 0, all: true };
        for row in rows {
            if let Some(link) = self.peers.link(conn) {
                link.taken += 1;
            }
            let (key, record) = row.ok()?;
            taken.count += 1;
            let limits = &self.config.limits;
            let key = RecordKey::decode(Bytes::copy_from_slice(key), limits);
            let own = key.as_ref().is_ok_and(RecordKey::is_reserved).then(Limits::of_layout);
            let record = Record::decode(Bytes::copy_from_slice(record), own.as_ref().unwrap_or(limits));
            let (Ok(key), Ok(mut record)) = (key, record) else {
                // Beyond this node's limits, or no record at all: the others are none the worse for it.
                taken.all = false;
                continue;
            };
            if mutants.is(Mutant::TtlLostOnTheWay) {
                let ttl_ms = None;
                record = Record::new(&Version {
                    ttl_ms,
                    ..record.version()
                });
            }
            let partition = self.store.partition_of(&key);
            if !self.holds(self.membership.id(), partition) {
                // It lies elsewhere, as far as this node knows: what it took would only have to be given away again.
                taken.all = false;
                continue;
            }
            let held = self.store.partition(partition);
            let version = record.version();
            if !held.would_change(&key, &version) {
                continue;
            }
            let stamp = version.stamp;
            if self.is_too_late(conn, stamp) {
                taken.all = false;
                continue;
            }
            if self.is_settled(stamp, held.get(&key).is_some()) {
                // It was deleted here. Who shows it in a repair is done with it; who sends it as new is not told that it is taken.
                taken.all &= repairs || is_collectable(&version, self.store.floor());
                continue;
            }
            let same_stamp = || held.get(&key).is_some_and(|held| held.stamp == stamp);
            if repairs && mutants.is(Mutant::CompareStampsOnly) && same_stamp() {
                continue;
            }
            if mutants.is(Mutant::DriftCheckedTwice) && hlc::is_ahead(stamp, now.wall_ms, limits.max_drift_ms) {
                continue;
            }
            let bytes = change_bytes(key.as_bytes().len(), record.as_bytes().len());
            if let Err(no_room) = self.store.room_for(bytes) {
                if no_room == NoRoom::Full {
                    self.store.fell_short();
                }
                // Not taken and not forgotten: the digests still differ, and a later round brings it again.
                taken.all = false;
                continue;
            }
            if !mutants.is(Mutant::ClockIgnoresPeers) {
                self.hlc.observe(stamp);
            }
            self.store.merge(key, record);
            self.tally.taken += 1;
        }
        Some(taken)
    }

    /// Compares digests with what is here, and begins to repair what differs.
    fn take_digests(&mut self, conn: ConnId, (round, clean): (u64, u64), digests: Digests<'_>, now: Now) {
        if self.is_below_floor() {
            return;
        }
        let Some(link) = self.peers.link(conn) else {
            return;
        };
        let late = round < link.heard_round;
        link.heard_round = round.max(link.heard_round);
        let Some(peer) = link.remote().map(|remote| remote.id).filter(|_| !late) else {
            return;
        };
        link.heard_clean = clean;
        let (mut differing, mut same, mut equal) = (Vec::new(), Vec::new(), Vec::new());
        for (id, theirs) in digests
            .iter()
            .filter(|(id, _)| self.has_whole(self.membership.id(), *id))
        {
            // Who has nothing yet of what moves there has nothing to be taken.
            let is_begun = theirs != 0 || self.has_whole(peer, id) || !self.holds(peer, id);
            let is_equal = self.store.partition(id).digest() == theirs;
            if !is_equal && is_begun {
                differing.push(id);
            } else if !self.holds(peer, id) {
                same.push((id, theirs));
            } else if is_equal {
                equal.push(id);
            }
        }
        let clean = if clean == self.all_clean() { clean } else { 0 };
        self.is_level(conn, equal.iter().copied(), now.mono_us);
        self.compared(Some(peer), equal.iter().copied(), clean);
        if !equal.is_empty() {
            let partitions = equal;
            self.outbox
                .push(conn, Word::Same { clean, partitions }.to_frame(), Shows::State);
        }
        if !same.is_empty() {
            let covered = Word::Covered(same);
            self.outbox.push(conn, covered.to_frame(), Shows::State);
        }
        self.tally.repairs.differed += differing.len() as u64;
        if let Some(link) = self.peers.link(conn) {
            link.repairs.differ(differing.into_iter());
        }
        self.begin_repairs(conn, now);
    }

    /// Begins with the next partitions that wait for it, as many as may be repaired at once.
    fn begin_repairs(&mut self, conn: ConnId, now: Now) {
        while let Some(link) = self.peers.link(conn)
            && let Some(partition) = link.repairs.next(&self.config.limits)
        {
            let maps = self.store.partition(partition);
            // Who is no replica, or is not filled yet, gives and takes nothing.
            let peer = link.remote().map(|remote| remote.id);
            let gives = peer.is_some_and(|peer| self.has_whole(peer, partition));
            let clean = self.all_clean();
            let Some(link) = self.peers.link(conn) else {
                return;
            };
            let clean = if link.heard_clean == clean { clean } else { 0 };
            let session = Session::new(partition, gives, clean, maps, &self.config.limits, now.mono_us);
            let number = link.repairs.open(session);
            self.tally.repairs.begun += 1;
            self.go_on(conn, number, now);
        }
    }

    /// Lets a session of this side ask what it asks next; the last of it is that it is over.
    fn go_on(&mut self, conn: ConnId, number: u64, now: Now) {
        let limits = &self.config.limits;
        let Some(link) = self.peers.link(conn) else {
            return;
        };
        let Some(session) = link.repairs.session(number) else {
            return;
        };
        let partition = session.partition();
        let ask = session.ask(self.store.partition(partition), limits, now.mono_us);
        let over = matches!(ask, Ask::End { .. });
        // A connection that is full takes no more for now: it is asked again after a while.
        if over || !self.conns.is_full(conn, limits) {
            let frame = repair::ask(number, partition, &ask);
            session.sent(frame.len() as u64);
            if let Ask::Give { rows, .. } = &ask {
                link.given += rows.len() as u64;
                self.tally.repairs.record_bytes += bytes_of(rows);
            }
            self.outbox.push(conn, frame, Shows::State);
        }
        if over {
            self.repair_over(conn, number, now);
        } else if self.config.mutants.is(Mutant::FalseEnd) && session.asks_for_the_last() {
            let end = Ask::End {
                whole: true,
                gave: true,
                clean: 0,
            };
            let end = repair::ask(number, partition, &end);
            self.outbox.push(conn, end, Shows::State);
            self.repair_over(conn, number, now);
        }
    }

    /// A session of this side is over, for better or worse: the next may begin.
    fn repair_over(&mut self, conn: ConnId, number: u64, now: Now) {
        let over = self.peers.link(conn).and_then(|link| link.repairs.close(number));
        if let Some(repaired) = over {
            if repaired.whole {
                let partition = core::iter::once(repaired.partition);
                self.is_level(conn, partition.clone(), repaired.begun_us);
                self.compared(self.peers.node_at(conn), partition, repaired.clean);
            }
            self.repaired(&repaired);
        }
        self.begin_repairs(conn, now);
    }

    /// A partition was repaired with a peer, or was not.
    fn repaired(&mut self, repaired: &Repaired) {
        self.tally.repairs.cost.add(&repaired.account);
        self.tally.repairs.whole += u64::from(repaired.whole);
        self.tally.repairs.fallbacks += u64::from(repaired.fell_back);
    }

    /// Answers the side that repairs a partition.
    fn answer_ask(&mut self, conn: ConnId, number: u64, partition: PartitionId, ask: Asked<'_>, now: Now) -> bool {
        self.put_off_round(conn, now);
        if self.is_below_floor() {
            return true;
        }
        let limits = &self.config.limits;
        let is_full = self.conns.is_full(conn, limits);
        let as_of = self.store.latest_number();
        let maps = self.store.partition(partition);
        let Some(link) = self.peers.link(conn) else {
            return true;
        };
        let repairs = &mut link.repairs;
        let answer = match ask {
            Asked::End { whole, gave, clean } => {
                let given = repairs.view(number, partition, now.mono_us).map(|view| view.digest());
                repairs.release(number);
                let digest = maps.digest();
                if whole && given == Some(digest) {
                    self.covered(conn, &[(partition, digest)]);
                }
                // That makes it level with nobody: what was skipped between the other side's beginning and its first question is in neither.
                if gave {
                    self.compared(self.peers.node_at(conn), core::iter::once(partition), clean);
                }
                return true;
            }
            // The other side asks again.
            _ if is_full => return true,
            Asked::Symbols { question } => {
                match first_of_question(question) {
                    Ok(0) => repairs.freeze(number, partition, maps, as_of, limits, now.mono_us),
                    Ok(_) => {}
                    Err(_) => return false,
                }
                let view = repairs.view(number, partition, now.mono_us);
                match view.map(|view| view.symbols(maps, question, limits)) {
                    Some(Ok(answer)) => answer,
                    Some(Err(_)) => return false,
                    None => Answer::Gone,
                }
            }
            Asked::List { from } => {
                let view = repairs.view(number, partition, now.mono_us);
                view.map_or(Answer::Gone, |view| view.list(from, limits))
            }
            Asked::Want { at, items } => {
                let view = repairs.view(number, partition, now.mono_us);
                view.map_or(Answer::Gone, |view| view.rows(maps, at, items, limits))
            }
            Asked::Give { upto, rows } => match self.take_changes(conn, rows, true, now) {
                Some(Taken { all, .. }) => Answer::Taken { upto, all },
                None => return false,
            },
        };
        self.count(conn, &answer);
        let frame = repair::answer(number, &answer);
        self.outbox.push(conn, frame, Shows::State);
        true
    }

    fn count(&mut self, conn: ConnId, answer: &Answer) {
        let counts = &mut self.tally.repairs;
        match answer {
            Answer::Symbols { batch, .. } => {
                counts.symbols += (batch.len() / SYMBOL_BYTES) as u64;
                counts.symbol_bytes += batch.len() as u64;
            }
            Answer::Rows { rows, .. } => {
                counts.record_bytes += bytes_of(rows);
                if let Some(link) = self.peers.link(conn) {
                    link.given += rows.len() as u64;
                }
            }
            Answer::Items { .. } | Answer::Taken { .. } | Answer::Gone => {}
        }
    }

    /// Takes the answer to what a session of this side asked.
    fn take_answer(&mut self, conn: ConnId, number: u64, answer: Answered<'_>, bytes: u64, now: Now) -> bool {
        // Versions are merged whoever still waits for them.
        let mut taken = Taken { count: 0, all: true };
        if let Answered::Rows { rows, .. } = &answer {
            let Some(merged) = self.take_changes(conn, rows.clone(), true, now) else {
                return false;
            };
            taken = merged;
        }
        let limits = &self.config.limits;
        let Some(session) = self.peers.link(conn).and_then(|link| link.repairs.session(number)) else {
            return true;
        };
        session.received(bytes);
        let maps = self.store.partition(session.partition());
        let now_us = now.mono_us;
        let next = match answer {
            Answered::Symbols { seal, batch } => session.take_symbols(maps, seal, batch, now_us),
            Answered::Items { seal, from, items } => {
                session.take_items(maps, seal, from, &items.to_vec(), limits, now_us)
            }
            Answered::Rows { at, upto, sum, .. } => session.take_rows(at, upto, sum, taken.count, taken.all, now_us),
            Answered::Taken { upto, all } => session.take_taken(upto, all, now_us),
            Answered::Gone => Next::GiveUp,
        };
        match next {
            Next::Ask => self.go_on(conn, number, now),
            Next::Wait => {}
            Next::GiveUp => self.repair_over(conn, number, now),
        }
        true
    }

    /// Asks again what was lost on the way, and gives up what nobody answers.
    pub(super) fn repair_timers(&mut self, conn: ConnId, now: Now) {
        let limits = &self.config.limits;
        let Some(link) = self.peers.link(conn) else {
            return;
        };
        let overdue = link.repairs.overdue(limits, now.mono_us);
        for number in overdue.give_up {
            self.repair_over(conn, number, now);
        }
        for number in overdue.ask_again {
            self.go_on(conn, number, now);
        }
    }
}

fn bytes_of(rows: &[(RecordKey, Record)]) -> u64 {
    let bytes = |(key, record): &(RecordKey, Record)| (key.as_bytes().len() + record.as_bytes().len()) as u64;
    rows.iter().map(bytes).sum()
}
