use super::*;
use crate::crdt::{DigestKey, Version};
use crate::env::{Mutants, SeededRng, WriterId};
use crate::hlc::Stamp;
use crate::reconcile::first_of_question;
use crate::store::{Maps, Store, StoreConfig};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;

/// One node, as far as one partition goes.
struct Side {
    store: Store,
    partition: PartitionId,
}

impl Side {
    fn new(mutants: Mutants) -> Self {
        let store = Store::new(&StoreConfig {
            digest_key: DigestKey::new([7; 16]),
            mutants,
            ..StoreConfig::default()
        });
        let partition = store.partition_of(&name(0));
        Self { store, partition }
    }

    fn holding(rows: &[(u32, u64, u8)]) -> Self {
        let mut side = Self::new(Mutants::default());
        for (key, ms, value) in rows {
            side.write(*key, *ms, *value);
        }
        side
    }

    fn write(&mut self, key: u32, ms: u64, value: u8) {
        let stamp = Stamp::new(ms, 0, WriterId(1)).unwrap();
        let value = [0xcc, value];
        let version = Version {
            ttl_ms: ms.is_multiple_of(3).then_some(1),
            ..Version::new(stamp, "w", (!ms.is_multiple_of(5)).then_some(&value[..]))
        };
        let version = Version {
            ttl_ms: version.ttl_ms.filter(|_| version.value.is_some()),
            ..version
        };
        self.store.merge(name(key), Record::new(&version));
    }

    fn merge(&mut self, rows: &[(RecordKey, Record)]) {
        for (key, record) in rows {
            self.store.merge(key.clone(), record.clone());
        }
    }

    fn maps(&self) -> &Maps {
        self.store.partition(self.partition)
    }

    fn rows(&self) -> BTreeMap<RecordKey, Record> {
        let rows = self.store.rows();
        rows.map(|(key, version)| (key, Record::new(&version))).collect()
    }

    /// Whether it holds whatever `other` holds, or what wins over it.
    fn covers(&self, other: &BTreeMap<RecordKey, Record>) -> bool {
        other
            .iter()
            .all(|(key, record)| !self.maps().would_change(key, &record.version()))
    }
}

/// A key of the one partition, in one of three maps.
fn name(key: u32) -> RecordKey {
    let map = ["m", "n", "o"][key as usize % 3];
    RecordKey::new(map, format!("{{tag}}{key}").as_bytes(), &Limits::default()).unwrap()
}

fn small() -> Limits {
    Limits {
        repair_list_items: 0,
        repair_bytes: 300,
        ..Limits::default()
    }
}

/// What answers: a node and the view that it keeps.
struct Other {
    side: Side,
    view: Option<View>,
}

impl Other {
    fn answer(&mut self, ask: &Ask, limits: &Limits) -> Option<Answer> {
        let maps = self.side.store.partition(self.side.partition);
        if let Ask::Symbols { question } = ask
            && first_of_question(question) == Ok(0)
            && self.view.is_none()
        {
            self.view = Some(View::freeze(self.side.partition, maps, 77, 0));
        }
        let gone = Some(Answer::Gone);
        match (ask, &mut self.view) {
            (Ask::End { .. }, _) => None,
            (Ask::Give { upto, rows }, _) => {
                self.side.merge(rows);
                Some(Answer::Taken { upto: *upto, all: true })
            }
            (Ask::Symbols { question }, Some(view)) => Some(view.symbols(maps, question, limits).unwrap()),
            (Ask::List { from }, Some(view)) => Some(view.list(*from, limits)),
            (Ask::Want { at, items }, Some(view)) => {
                let items: Vec<_> = items.iter().map(|item| item.to_bytes()).collect();
                Some(view.rows(maps, *at, &items, limits))
            }
            (_, None) => gone,
        }
    }
}

/// Gives an answer to a session, merging what is in it.
fn take(session: &mut Session, here: &mut Side, answer: &Answer, limits: &Limits) -> Next {
    let partition = here.partition;
    if let Answer::Rows { rows, .. } = answer {
        here.merge(rows);
    }
    let maps = here.store.partition(partition);
    match answer {
        Answer::Symbols { seal, batch } => session.take_symbols(maps, *seal, batch, 0),
        Answer::Items { seal, from, items } => session.take_items(maps, *seal, *from, items, limits, 0),
        Answer::Rows { at, upto, sum, rows } => session.take_rows(*at, *upto, *sum, rows.len() as u64, true, 0),
        Answer::Taken { upto, all } => session.take_taken(*upto, *all, 0),
        Answer::Gone => Next::GiveUp,
    }
}

/// Runs a session to its end. `between` is called between two questions.
fn run(
    here: &mut Side,
    there: &mut Other,
    gives: bool,
    limits: &Limits,
    mut between: impl FnMut(&mut Side, &mut Side),
) -> Repaired {
    let mut session = Session::new(here.partition, gives, 0, here.maps(), limits, 0);
    for _ in 0..10_000 {
        let ask = session.ask(here.maps(), limits, 0);
        let Some(answer) = there.answer(&ask, limits) else {
            return session.repaired();
        };
        between(here, &mut there.side);
        if take(&mut session, here, &answer, limits) == Next::GiveUp {
            return session.repaired();
        }
    }
    panic!("no end: {session:?}");
}

fn other(side: Side) -> Other {
    Other { side, view: None }
}

#[test]
fn both_sides_hold_everything_in_the_end_and_say_so() {
    let mut here = Side::holding(&[(1, 4, 1), (2, 4, 1), (3, 4, 1)]);
    let mut there = other(Side::holding(&[(2, 6, 2), (3, 4, 9), (4, 6, 2)]));
    let repaired = run(&mut here, &mut there, true, &Limits::default(), |_, _| {});
    assert!(repaired.whole && repaired.gave && !repaired.fell_back);
    assert_eq!((repaired.as_of, repaired.partition), (77, here.partition));
    assert_eq!(here.rows(), there.side.rows());
    assert_eq!(here.rows().len(), 4);
    let account = repaired.account;
    assert_eq!((account.listed, account.symbols), (3, 0), "a few items are listed");
    // One key was newer there: what was here is not given for it.
    assert!(account.records_in == 3 && account.records_out <= 2, "{account:?}");
}

#[test]
fn filling_a_replica_gives_nothing_where_that_is_not_asked_for() {
    let mut here = Side::holding(&[(1, 7, 1)]);
    let mut there = other(Side::holding(&(10..200).map(|n| (n, 7, 1)).collect::<Vec<_>>()));
    let before = there.side.rows();
    let repaired = run(&mut here, &mut there, false, &small(), |_, _| {});
    assert!(repaired.whole && !repaired.gave);
    assert_eq!(there.side.rows(), before);
    assert!(here.covers(&before));
}

#[test]
fn few_differences_among_many_cost_little_and_no_list() {
    let rows: Vec<_> = (0..3_000).map(|n| (n, 7, 1)).collect();
    let (mut here, mut there) = (Side::holding(&rows), other(Side::holding(&rows)));
    for n in 0..10 {
        here.write(n * 7, 8, 2);
        there.side.write(n * 11 + 1, 8, 3);
    }
    let repaired = run(&mut here, &mut there, true, &Limits::default(), |_, _| {});
    assert!(repaired.whole && repaired.gave && !repaired.fell_back);
    assert_eq!(here.rows(), there.side.rows());
    assert_eq!(repaired.account.listed, 0);
    assert!(repaired.account.symbols < 120, "{:?}", repaired.account);
}

#[test]
fn the_list_takes_over_where_symbols_do_not_do_and_where_they_lie() {
    let limits = Limits {
        repair_symbols: 64,
        ..small()
    };
    let mut here = Side::holding(&(0..300).map(|n| (n, 7, 1)).collect::<Vec<_>>());
    let mut there = other(Side::holding(&(200..500).map(|n| (n, 8, 1)).collect::<Vec<_>>()));
    let repaired = run(&mut here, &mut there, true, &limits, |_, _| {});
    assert!(repaired.whole && repaired.gave && repaired.fell_back);
    assert_eq!(repaired.account.listed, 300);
    assert_eq!(here.rows(), there.side.rows());

    // Symbols of a view with another sum: what comes apart is not all.
    let (mut here, mut there) = (Side::holding(&[(1, 7, 1)]), other(Side::holding(&[(2, 7, 1)])));
    let mut session = Session::new(here.partition, true, 0, here.maps(), &small(), 0);
    let ask = session.ask(here.maps(), &small(), 0);
    let Some(Answer::Symbols { seal, batch }) = there.answer(&ask, &small()) else {
        panic!("symbols");
    };
    let lie = Answer::Symbols {
        seal: Seal { digest: 1, ..seal },
        batch,
    };
    assert_eq!(take(&mut session, &mut here, &lie, &small()), Next::Ask);
    let ask = session.ask(here.maps(), &small(), 0);
    let answer = there.answer(&ask, &small()).unwrap();
    assert_eq!(take(&mut session, &mut here, &answer, &small()), Next::Ask);
    assert_eq!(session.ask(here.maps(), &small(), 0), Ask::List { from: 0 });
    // The true view is another one than that which the symbols were of.
    let answer = there.answer(&Ask::List { from: 0 }, &small()).unwrap();
    assert_eq!(take(&mut session, &mut here, &answer, &small()), Next::GiveUp);
    assert!(!session.repaired().whole);
}

#[test]
fn what_was_not_taken_is_not_whole() {
    let (here, mut there) = (Side::holding(&[]), other(Side::holding(&[(2, 7, 1)])));
    let mut session = Session::new(here.partition, true, 0, here.maps(), &small(), 0);
    let mut ask = session.ask(here.maps(), &small(), 0);
    for _ in 0..10 {
        match there.answer(&ask, &small()) {
            Some(Answer::Symbols { seal, batch }) => _ = session.take_symbols(here.maps(), seal, &batch, 0),
            Some(Answer::Rows { at, upto, sum, .. }) => _ = session.take_rows(at, upto, sum, 1, false, 0),
            _ => break,
        }
        ask = session.ask(here.maps(), &small(), 0);
    }
    assert_eq!(
        ask,
        Ask::End {
            whole: false,
            gave: true,
            clean: 0,
        }
    );
    assert!(!session.repaired().whole);
}

/// Whether a repair of a partition that grows while it is asked about ends with all that was there at first.
fn ends_whole(mutants: Mutants) -> bool {
    let rows: Vec<_> = (0..400).map(|n| (n, 7, 1)).collect();
    let mut side = Side::new(mutants);
    rows.iter().for_each(|(key, ms, value)| side.write(*key, *ms, *value));
    let (mut here, mut there) = (Side::holding(&rows[..340]), other(side));
    let before = there.side.rows();
    let mut at = 1_000;
    let repaired = run(&mut here, &mut there, true, &small(), |_, there| {
        there.write(at, 7, 1);
        at += 1;
    });
    repaired.whole && here.covers(&before)
}

#[test]
fn coded_symbols_are_of_the_set_that_was_there_first() {
    assert!(ends_whole(Mutants::default()));
}

#[cfg(feature = "testing")]
#[test]
fn coded_symbols_of_a_set_that_moves_come_to_nothing() {
    assert!(!ends_whole(Mutants::only(crate::env::Mutant::SymbolsOfAMovingSet)));
}

#[test]
fn sessions_and_views_of_a_link_are_bounded_and_end_in_silence() {
    let limits = Limits {
        repair_sessions: 2,
        silence_ms: 1_000,
        heartbeat_ms: 300,
        ..small()
    };
    let side = Side::holding(&[(1, 7, 1)]);
    let mut repairs = Repairs::default();
    repairs.differ(PartitionId::all().take(5));
    let mut begun = vec![];
    while let Some(id) = repairs.next(&limits) {
        begun.push(repairs.open(Session::new(id, true, 0, side.maps(), &limits, 0)));
    }
    assert_eq!((begun.len(), repairs.open_and_waiting()), (2, (2, 3)));
    repairs.differ(PartitionId::all().take(4));
    assert_eq!(repairs.open_and_waiting(), (2, 2), "two of them are under way");
    for number in 1..=3 {
        repairs.freeze(number, side.partition, side.maps(), 0, &limits, number);
    }
    assert!(repairs.view(1, side.partition, 3).is_none(), "the oldest gave way");
    assert!(repairs.view(2, side.partition, 3).is_some());
    assert!(repairs.view(3, PartitionId::new(270).unwrap(), 3).is_none());

    assert_eq!(repairs.due_us(&limits), Some(300_000));
    let overdue = repairs.overdue(&limits, 300_000);
    assert_eq!((overdue.ask_again, overdue.give_up), (begun.clone(), vec![]));
    let overdue = repairs.overdue(&limits, 1_000_000);
    assert_eq!((overdue.ask_again, overdue.give_up), (vec![], begun.clone()));
    for number in begun {
        let over = repairs.close(number).unwrap();
        assert!(!over.whole && !over.gave && repairs.last() == Some(over));
    }
    repairs.overdue(&limits, 1_000_003);
    assert_eq!(repairs.due_us(&limits), None, "the views are gone too");
}

#[test]
fn an_answer_holds_no_more_than_it_may() {
    let limits = small();
    let rows: Vec<_> = (0..200).map(|n| (n, 7, 1)).collect();
    let (mut here, mut there) = (Side::holding(&[]), other(Side::holding(&rows)));
    let mut session = Session::new(here.partition, true, 0, here.maps(), &limits, 0);
    let mut kinds = BTreeMap::<String, usize>::new();
    loop {
        let ask = session.ask(here.maps(), &limits, 0);
        let Some(answer) = there.answer(&ask, &limits) else {
            break;
        };
        let (kind, bytes) = match &answer {
            Answer::Symbols { batch, .. } => ("symbols", batch.len()),
            Answer::Items { items, .. } => ("items", 24 * items.len()),
            Answer::Rows { rows, .. } => ("rows", rows.iter().map(row_bytes).sum()),
            _ => panic!("{answer:?}"),
        };
        assert!(bytes <= limits.repair_bytes, "{kind}: {bytes}");
        *kinds.entry(kind.into()).or_default() += 1;
        take(&mut session, &mut here, &answer, &limits);
    }
    assert!(
        session.repaired().whole && kinds["rows"] > 5 && kinds["symbols"] > 5,
        "{kinds:?}"
    );
}

proptest! {
    /// Whatever both hold, whatever is lost, repeated or late, whoever writes in between: a session that says whole is, and two
    /// sides that rest are equal after it.
    #[test]
    fn whole_is_whole(
        ours in prop::collection::vec((0u32..60, 1u64..12, 0u8..3), 0..60),
        theirs in prop::collection::vec((0u32..60, 1u64..12, 0u8..3), 0..60),
        writes in prop::collection::vec((any::<bool>(), 0u32..60, 12u64..15, 0u8..3), 0..20),
        bytes in 1usize..600,
        list_items in prop::sample::select(vec![0usize, 16]),
        symbols in 1usize..200,
        seed in any::<u64>(),
    ) {
        let limits = Limits {
            repair_bytes: bytes,
            repair_list_items: list_items,
            repair_symbols: symbols,
            ..Limits::default()
        };
        let mut rng = SeededRng::from_u64(seed);
        let (mut here, mut there) = (Side::holding(&ours), other(Side::holding(&theirs)));
        let (mut frozen_there, frozen_here) = (None, here.rows());
        let mut writes = writes.into_iter();
        let quiet = writes.len() == 0;
        let mut session = Session::new(here.partition, true, 0, here.maps(), &limits, 0);
        let mut late = Vec::new();
        let mut over = false;
        for _ in 0..100_000 {
            let ask = session.ask(here.maps(), &limits, 0);
            if let Ask::End { .. } = ask {
                over = true;
                break;
            }
            if frozen_there.is_none() {
                frozen_there = Some(there.side.rows());
            }
            late.extend(there.answer(&ask, &limits));
            if let Some((at_us, key, ms, value)) = writes.next() {
                let side = if at_us { &mut here } else { &mut there.side };
                side.write(key, ms, value);
            }
            // Lost, late, twice.
            while !late.is_empty() && rng.between(0, 3) > 0 {
                let at = rng.between(0, late.len() as u64 - 1) as usize;
                let answer = if rng.between(0, 4) > 0 { late.swap_remove(at) } else { late[at].clone() };
                prop_assert_ne!(take(&mut session, &mut here, &answer, &limits), Next::GiveUp);
            }
        }
        let repaired = session.repaired();
        prop_assert!(over && repaired.whole && repaired.gave);
        prop_assert!(here.covers(&frozen_there.unwrap_or_default()));
        prop_assert!(there.side.covers(&frozen_here));
        if quiet {
            prop_assert_eq!(here.rows(), there.side.rows());
        }
    }

    #[test]
    fn a_session_is_put_away_and_taken_up_again_anywhere(rows in prop::collection::vec((0u32..90, 1u64..12, 0u8..3), 0..90)) {
        let half = rows.len() / 2;
        let (mut here, mut there) = (Side::holding(&rows[..half]), other(Side::holding(&rows[half / 2..])));
        let mut session = Session::new(here.partition, true, 0, here.maps(), &small(), 0);
        loop {
            let bytes = postcard::to_allocvec(&session).unwrap();
            session = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&postcard::to_allocvec(&session).unwrap(), &bytes);
            let ask = session.ask(here.maps(), &small(), 0);
            let Some(answer) = there.answer(&ask, &small()) else {
                break;
            };
            let view = postcard::to_allocvec(&there.view).unwrap();
            there.view = postcard::from_bytes(&view).unwrap();
            prop_assert_eq!(take(&mut session, &mut here, &answer, &small()), Next::Ask);
        }
        prop_assert!(session.repaired().whole);
        prop_assert_eq!(here.rows(), there.side.rows());
    }
}
