//! What is deleted stays deleted, also when nobody remembers any more that it was (rule 1 of the promises).

use kernel::env::Mutant;
use sim::plan::FaultKind;
use sim::story::Story;

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Written by 3 s, and deleted at once from `deleted_ms` on; until the end something else is written and deleted, so that there is always
/// something to collect.
fn deleted(deleted_ms: u64) -> Story {
    let mut story = Story::of_nodes(3).and_clients(2).by_quorum().remembers_for(500);
    story = story.writes(0, &KEYS, 2_500..3_000, 40);
    for (number, key) in (0..).zip(KEYS) {
        story = story.deletes(0, key, deleted_ms + number);
    }
    for at_ms in (deleted_ms + 500..9_900).step_by(700) {
        story = story
            .writes(0, &["later"], at_ms..at_ms + 1, 1)
            .deletes(0, "later", at_ms + 50);
    }
    story
}

/// Every run holds, and in each of them something was collected.
fn holds(story: &Story, seeds: u64) {
    for report in story.holds(0..seeds) {
        assert!(report.reached.contains_key("collected"), "{:?}", report.end);
    }
}

#[test]
fn a_disk_from_before_a_delete_brings_nothing_back_after_it_was_collected() {
    for node in 0..3 {
        let story = deleted(3_600).befalls(FaultKind::OldDisk, node, 3_300..9_500);
        holds(&story, 4);
    }
    let story = deleted(3_600).befalls(FaultKind::OldDisk, 1, 3_300..9_500);
    assert!(story.broken_by(Mutant::KeepsBelowFloor).breaks(0..4) > 0);
}

#[test]
fn a_client_that_was_offline_for_longer_than_deletes_are_remembered_writes_anew() {
    let story = deleted(3_600)
        .offline(1, 3_300..9_500)
        .writes(1, &KEYS, 3_350..3_550, 30);
    holds(&story, 4);
    assert!(story.broken_by(Mutant::AdmitsBelowFloor).breaks(0..4) > 0);
}

#[test]
fn a_node_that_is_away_with_a_write_of_its_own_holds_the_floor() {
    let away = || {
        let mut story = Story::of_nodes(3).and_clients(2).remembers_for(500);
        story = story
            .writes(0, &KEYS, 2_500..3_000, 40)
            .split(&[1], &[0, 2], 3_300..9_500);
        story = story.writes(1, &["kept"], 4_500..4_700, 30);
        for at_ms in (5_000..9_900).step_by(700) {
            story = story
                .writes(0, &["later"], at_ms..at_ms + 1, 1)
                .deletes(0, "later", at_ms + 50);
        }
        story
    };
    holds(&away(), 4);
    assert!(away().broken_by(Mutant::FloorOfTheLiving).breaks(0..4) > 0);
}
