//! The measure of a simulator is the bugs that it finds. Each classic bug, put back on purpose, is found by a promise that its entry in
//! the catalogue (`scenarios/mutants/`) says it breaks. How many seeds that takes from the first one on, `sim mutants` measures; here
//! only the seed that showed it then is played again, and a few after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use kernel::env::Limits;
use kernel::env::Mutant::{self, *};
use sim::seeds::{Seeds, TESTED_APART, first_to_find};

/// Each mutant, and in how many seeds it was found by `sim mutants`. A bug of the plans' making (a fault that became rarer) shows here
/// first.
const TABLE: &[(Mutant, u64)] = &[
    (AckBeforeCommit, 4),
    (AckAfterFailedSync, 7),
    (ForgetFailedSync, 12),
    (TicketsOutOfOrder, 1),
    (OldIncarnation, 6),
    (FailedCommitSpeaks, 12),
    (AckRejected, 3),
    (AckTooMuch, 5),
    (AnswerTwice, 3),
    (LevelWhenAnswered, 315),
    (ReplyOvertakes, 2),
    (BarrierDoesNotWait, 4),
    (ReadUncommitted, 6),
    (TellBeforeCommit, 4),
    (ForwardBeforeCommit, 3),
    (ServeWhileRecovering, 14),
    (ForgetFailedFlush, 32),
    (CleanAfterFailure, 12),
    (WatermarkPasses, 3),
    (CutBeyondRecords, 8),
    (CoalesceKeepsFirst, 5),
    (ReplayBackwards, 3),
    (SkipLastEntry, 3),
    (SkipAtChunkEnd, 7),
    (PurgeExpired, 4),
    (RoomForgotten, 18),
    (QueueUnbounded, 199),
    (DropTieBreak, 5),
    (FirstArrivalWins, 3),
    (LastArrivalWins, 3),
    (ForgetTombstone, 4),
    (TombstoneAlwaysWins, 4),
    (ApplyTwice, 3),
    (TtlLostInMerge, 4),
    (TtlLostOnTheWay, 4),
    (StampOnArrival, 3),
    (DigestWithoutValue, 13),
    (DigestForgetsOld, 3),
    (DigestBeforeWrite, 3),
    (CompareStampsOnly, 66),
    (CompareOnce, 129),
    (WantForgetsLast, 66),
    (RepairOneWay, 66),
    (EchoChanges, 3),
    (DriftCheckedTwice, 105),
    (HashOrder, 3),
    (DeadLinkKept, 269),
    (RedialStorm, 3),
    (TimersByWallClock, 20),
    (UnsentNotCounted, 9),
    (DrainedTwice, 37),
    (HeldBytesKept, 108),
    (RememberedLogin, 66),
    (ClockIgnoresPeers, 3),
    (ClockNotRecovered, 3),
    (ClockBeyondBound, 3),
    (EntryWithoutClock, 3),
    (SkipStale, 437),
    (StaleForEver, 8),
    (DeletesNotTold, 20),
    (LeaveLost, 45),
    (WindowNotRefilled, 268),
    (ExpiredNotTold, 244),
    (QuorumOfTheLiving, 3),
    (MovesUnthrottled, 3),
    (LeftoversKept, 11),
    (AdmitsBelowFloor, 4),
    (PromiseTellsNothing, 10),
    (RequestForgotten, 11),
    (ListTailLost, 129),
    (SymbolsOfAMovingSet, 5),
    (RepairDeletes, 3),
    (FalseEnd, 3),
];

/// So many seeds after it may show a mutant, if the one of the table does not any more.
const MORE: u64 = 30;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn names() -> BTreeSet<String> {
    Mutant::ALL.iter().map(|mutant| mutant.name().to_string()).collect()
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

/// The entries of the catalogue, with the promises that each breaks.
fn catalogue() -> BTreeMap<String, Vec<String>> {
    let mut entries = BTreeMap::new();
    for file in fs::read_dir(root().join("scenarios/mutants")).expect("the catalogue") {
        let page = fs::read_to_string(file.expect("a page").path()).expect("text");
        for entry in page.split("\n## `").skip(1) {
            let (name, text) = entry.split_once('`').expect("a name between back ticks");
            let said = text
                .split_once("**Breaks** ")
                .and_then(|(_, rest)| rest.split_once("**Needs** "));
            let (breaks, _) = said.unwrap_or_else(|| panic!("{name} says what it breaks, and then what it needs"));
            let before = entries.insert(name.to_string(), quoted(breaks));
            assert_eq!(before, None, "{name} has one entry");
        }
    }
    entries
}

/// What is wrong with a row: nothing, if the mutant is found as it says.
fn wrong((mutant, found_in): (Mutant, u64), breaks: &[String]) -> Option<String> {
    let name = mutant.name();
    let seeds = found_in - 1..found_in + MORE;
    match first_to_find(mutant, Seeds(seeds.clone())) {
        None => Some(format!("{name} is not found in the seeds {seeds:?}")),
        Some((seed, found)) if !breaks.contains(&found) => {
            Some(format!("{name} is found by {found} in seed {seed}, not by {breaks:?}"))
        }
        Some(_) => None,
    }
}

#[test]
fn every_mutant_is_found_by_a_promise_that_it_breaks() {
    let catalogue = catalogue();
    let next = Mutex::new(TABLE.iter());
    let found_wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some(row) = { next.lock().unwrap().next() } {
            let wrong = wrong(*row, &catalogue[row.0.name()]);
            found_wrong.lock().unwrap().extend(wrong);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
    let found_wrong = found_wrong.into_inner().unwrap();
    assert!(found_wrong.is_empty(), "{found_wrong:#?}");
}

#[test]
fn every_mutant_is_in_one_of_the_tables_and_half_of_all_are_found_within_fifty_seeds() {
    let held: Vec<Mutant> = TABLE.iter().map(|(mutant, _)| *mutant).collect();
    let apart: Vec<Mutant> = TESTED_APART.iter().map(|(mutant, _)| *mutant).collect();
    let mut listed = [held.clone(), apart].concat();
    listed.sort_unstable();
    assert_eq!(listed, Mutant::ALL, "each once");
    assert!(held.len() >= 30);
    let soon = TABLE.iter().filter(|(_, within)| *within <= 50).count();
    assert!(2 * soon > Mutant::ALL.len());
}

#[test]
fn the_test_of_a_mutant_that_has_its_own_names_it() {
    for (mutant, test) in TESTED_APART {
        let path = root().join(test);
        let path = if path.is_dir() { path.join("main.rs") } else { path };
        let main = fs::read_to_string(path).expect("the test");
        let named = |before: &str, after: &str| main.contains(&format!("{before}{mutant:?}{after}"));
        assert!(named("(", ", ") || named("Mutant::", ""), "{test} names {mutant:?}");
    }
}

#[test]
fn every_mutant_has_its_entry_in_the_catalogue_and_no_entry_is_of_another() {
    let catalogue = catalogue();
    // The last two are of the simulations of the register and of the failure detector by themselves.
    let of_the_run = ["progress", "panic", "determinism", "one-chain", "verdicts"];
    let mut promises = BTreeSet::new();
    promises.extend(of_the_run.map(str::to_string));
    promises.extend(
        sim::invariant::all(&Limits::default())
            .iter()
            .map(|promise| promise.name().to_string()),
    );
    for (name, breaks) in &catalogue {
        assert!(!breaks.is_empty(), "{name} breaks something");
        let unknown = breaks.iter().find(|promise| !promises.contains(*promise));
        assert_eq!(unknown, None, "{name} breaks a promise that there is");
    }
    assert_eq!(catalogue.into_keys().collect::<BTreeSet<_>>(), names());
}

#[test]
fn the_readme_has_a_row_for_every_mutant_and_for_nothing_else() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- mutants -->\n").expect("the table's beginning");
    let (table, _) = rest.split_once("<!-- /mutants -->").expect("the table's end");
    let rows: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    assert_eq!(rows.len(), Mutant::ALL.len(), "each once");
    let listed = rows.iter().filter_map(|row| Some(row.split_once('`')?.0.to_string()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), names());
    let hidden = rows.iter().filter(|row| row.contains("| nothing |"));
    assert_eq!(hidden.count(), 0, "each is found");
}
