use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use proptest::prelude::*;

use super::*;
use crate::env::name_hash;

const ROWS: usize = PARTITIONS as usize;

fn seat(name: u64, weight: u32, zone: u32) -> Seat {
    let id = NodeId::of(&format!("node-{name}"));
    Seat { id, weight, zone }
}

/// Members `from` and on, of equal weight, in `zones` zones by turns.
fn members(from: u64, count: usize, zones: u32) -> Vec<Seat> {
    let names = from..from + count as u64;
    names
        .map(|name| seat(name, 1, (name % u64::from(zones)) as u32))
        .collect()
}

fn next(table: &Table, seats: &[Seat], replicas: usize) -> Table {
    table.next(seats, replicas, Mutants::default())
}

fn rounded(part: u64, whole: u64) -> RangeInclusive<u64> {
    part / whole..=part.div_ceil(whole)
}

/// The shares that the table promises, reckoned another way: from the heaviest down, each has its part of what remains, up to
/// all rows. As (part, whole).
fn shares(seats: &[Seat], per_row: usize) -> BTreeMap<NodeId, (u64, u64)> {
    let mut heaviest = seats.to_vec();
    heaviest.sort_by_key(|seat| std::cmp::Reverse(seat.weight));
    let mut weights: u64 = seats.iter().map(|seat| u64::from(seat.weight)).sum();
    let mut rest = (ROWS * per_row) as u64;
    let mut full = 0;
    while full < heaviest.len() && u64::from(heaviest[full].weight) * rest >= ROWS as u64 * weights {
        weights -= u64::from(heaviest[full].weight);
        rest -= ROWS as u64;
        full += 1;
    }
    let shares = heaviest.iter().enumerate().map(|(place, seat)| {
        let share = if place < full {
            (ROWS as u64, 1)
        } else {
            (u64::from(seat.weight) * rest, weights)
        };
        (seat.id, share)
    });
    shares.collect()
}

/// Everything that a table is held to, moves aside.
fn check(table: &Table, seats: &[Seat], replicas: usize) {
    let per_row = replicas.min(seats.len());
    let zone_of: BTreeMap<NodeId, u32> = seats.iter().map(|seat| (seat.id, seat.zone)).collect();
    let (mut held, mut owned) = (BTreeMap::<NodeId, u64>::new(), BTreeMap::<NodeId, u64>::new());
    for id in PartitionId::all() {
        let row = table.replicas(id);
        assert_eq!(row.len(), per_row, "{id:?}");
        assert_eq!(
            row.iter().collect::<BTreeSet<_>>().len(),
            per_row,
            "{id:?} has one twice: {row:?}"
        );
        *owned.entry(row[0]).or_default() += 1;
        row.iter().for_each(|id| *held.entry(*id).or_default() += 1);
    }
    assert!(held.keys().all(|id| zone_of.contains_key(id)), "only members");
    let shares = shares(seats, per_row);
    let mut zones = BTreeMap::<u32, f64>::new();
    for (id, (part, whole)) in &shares {
        let (held, owned) = (held.get(id).copied().unwrap_or(0), owned.get(id).copied().unwrap_or(0));
        assert!(
            rounded(*part, *whole).contains(&held),
            "{id:?} holds {held} of {part}/{whole}"
        );
        let whole = whole * per_row as u64;
        assert!(
            rounded(*part, whole).contains(&owned),
            "{id:?} owns {owned} of {part}/{whole}"
        );
        *zones.entry(zone_of[id]).or_default() += *part as f64 / (whole / per_row as u64) as f64 / ROWS as f64;
    }
    for id in PartitionId::all() {
        let row: Vec<u32> = table.replicas(id).iter().map(|id| zone_of[id]).collect();
        for (zone, share) in &zones {
            let there = row.iter().filter(|other| *other == zone).count() as f64;
            assert!(
                (there - share).abs() < 1.0 + 1e-9,
                "{id:?} in {row:?}, zone {zone} has {share} of a row"
            );
            assert!(
                (there - share).abs() < 1e-9 || (share - share.round()).abs() > 1e-9,
                "{id:?}: {row:?}, {share}"
            );
        }
        // Who follows first stands in another zone than the owner, if anybody does.
        if row.iter().any(|zone| *zone != row[0]) {
            assert_ne!(row[0], row[1], "{id:?} in {row:?}");
        }
    }
}

fn held_by(table: &Table, id: NodeId) -> usize {
    table.0.iter().filter(|row| row.contains(&id)).count()
}

#[test]
fn a_table_of_any_size_is_even_and_spread_and_at_rest() {
    for count in 1..=64 {
        for (replicas, zones) in [(1, 1), (2, 2), (3, 1), (3, 2), (3, 3), (4, 5), (3, 64)] {
            let seats = members(count as u64 * 100, count, zones);
            let table = next(&Table::empty(), &seats, replicas);
            check(&table, &seats, replicas);
            assert_eq!(next(&table, &seats, replicas), table, "{count} in {zones} zones");
            let ascending: Vec<Seat> = seats.iter().rev().copied().collect();
            assert_eq!(next(&Table::empty(), &ascending, replicas), table);
        }
    }
}

#[test]
fn one_that_joins_takes_its_share_and_nothing_else_moves() {
    for count in 1..64 {
        for replicas in 1..=4 {
            let seats = members(count as u64 * 100, count + 1, 1);
            let before = next(&Table::empty(), &seats[..count], replicas);
            let after = next(&before, &seats, replicas);
            check(&after, &seats, replicas);
            let (new, moves) = (seats[count].id, before.moves_to(&after));
            assert_eq!(moves.placed, held_by(&after, new), "{count} with {replicas}: {moves:?}");
            let per_row = replicas.min(count + 1);
            assert!(moves.placed <= (ROWS * per_row).div_ceil(count + 1), "{moves:?}");
            // Rows that grow lose nobody.
            assert_eq!(moves.dropped, if count < replicas { 0 } else { moves.placed });
            let owners = ROWS.div_ceil(count + 1);
            assert!(moves.owners <= owners + count + 1, "{count} with {replicas}: {moves:?}");
        }
    }
}

#[test]
fn when_one_leaves_only_what_it_held_is_placed_anew() {
    for count in 2..=64 {
        for replicas in 1..=4 {
            let seats = members(count as u64 * 100, count, 1);
            let before = next(&Table::empty(), &seats, replicas);
            let left = count / 2;
            let gone = seats[left].id;
            let rest = [&seats[..left], &seats[left + 1..]].concat();
            let after = next(&before, &rest, replicas);
            check(&after, &rest, replicas);
            let moves = before.moves_to(&after);
            let lost = if rest.len() < replicas {
                0
            } else {
                held_by(&before, gone)
            };
            assert!(
                moves.placed >= lost && moves.placed <= lost + rest.len(),
                "{count} with {replicas}: {moves:?}"
            );
            let owned = before.0.iter().filter(|row| row[0] == gone).count();
            assert!(
                moves.owners <= owned + rest.len(),
                "{count} with {replicas}: {owned}, {moves:?}"
            );
        }
    }
}

/// In zones a change also shifts how much of a row each zone is to have, and rows must follow: up to twice the share moves when
/// one joins (19 + 19 + 18 members become 19 of each, and no row may have two in one zone any more).
#[test]
fn in_zones_one_that_comes_or_goes_moves_at_most_twice_its_share() {
    for count in 6..64 {
        for zones in 2..=5 {
            let seats = members(0, count + 1, zones);
            let before = next(&Table::empty(), &seats[..count], 3);
            let after = next(&before, &seats, 3);
            check(&after, &seats, 3);
            let share = held_by(&after, seats[count].id);
            let joins = before.moves_to(&after);
            assert!(joins.placed <= 2 * share, "{count} in {zones}: {share}, {joins:?}");
            let back = next(&after, &seats[..count], 3);
            check(&back, &seats[..count], 3);
            let leaves = after.moves_to(&back);
            assert!(
                leaves.placed <= share + share / 4,
                "{count} in {zones}: {share}, {leaves:?}"
            );
        }
    }
}

/// A cluster of three zones, one of which is too small for a replica of every row.
#[test]
fn a_small_zone_is_not_filled_beyond_its_share() {
    let mut seats = members(0, 6, 2);
    seats.push(seat(9, 1, 7));
    let table = next(&Table::empty(), &seats, 3);
    check(&table, &seats, 3);
    assert_eq!(held_by(&table, seats[6].id), ROWS * 3 / 7);
    // With the weight of the other zones it is in every row.
    seats[6].weight = 3;
    let table = next(&table, &seats, 3);
    check(&table, &seats, 3);
    assert_eq!(held_by(&table, seats[6].id), ROWS);
}

#[test]
fn the_shares_of_heavy_members_end_at_all_partitions() {
    let seats = [seat(1, 1_000, 0), seat(2, 10, 0), seat(3, 10, 0), seat(4, 5, 0)];
    let table = next(&Table::empty(), &seats, 2);
    check(&table, &seats, 2);
    let held: Vec<usize> = seats.iter().map(|seat| held_by(&table, seat.id)).collect();
    assert_eq!(held[0], ROWS);
    // 108.4, 108.4 and 54.2 of the rest: which of them is rounded up is nobody's right.
    assert_eq!(held[1..].iter().sum::<usize>(), ROWS);
    assert!((108..=109).contains(&held[1]) && (108..=109).contains(&held[2]) && (54..=55).contains(&held[3]));
    // What is no weight counts as the nearest that is one.
    let outside = seats.map(|seat| Seat {
        weight: if seat.weight == 1_000 { u32::MAX } else { seat.weight },
        ..seat
    });
    assert_eq!(next(&Table::empty(), &outside, 2), table);
    assert_eq!(
        next(&table, &[seat(1, 0, 0), seat(2, 0, 0)], 1),
        next(&table, &[seat(1, 1, 0), seat(2, 1, 0)], 1)
    );
}

#[test]
fn nobody_and_no_replicas_are_a_table_too() {
    let seats = members(0, 3, 1);
    let table = next(&Table::empty(), &seats, 2);
    assert_eq!(next(&table, &[], 2), Table::empty());
    assert_eq!(next(&table, &seats, 0), Table::empty());
    assert_eq!(
        table.next(&[seats[0], seats[1], seats[2], seats[0]], 2, Mutants::default()),
        table
    );
}

#[test]
fn the_same_change_gives_the_same_bytes_on_every_machine() {
    let seats = members(0, 5, 3);
    let table = next(&next(&Table::empty(), &seats, 3), &seats[1..], 3);
    let bytes = postcard::to_allocvec(&table).unwrap();
    assert_eq!(postcard::from_bytes::<Table>(&bytes).unwrap(), table);
    assert_eq!(
        name_hash(&bytes),
        10_540_333_761_075_612_281,
        "a table that was agreed on would change"
    );
}

#[test]
fn bytes_with_another_number_of_rows_are_no_table() {
    let rows = |count: usize| postcard::to_allocvec(&vec![vec![NodeId(7)]; count]).unwrap();
    assert!(postcard::from_bytes::<Table>(&rows(ROWS)).is_ok());
    assert!(postcard::from_bytes::<Table>(&rows(ROWS - 1)).is_err());
    assert!(postcard::from_bytes::<Table>(&rows(ROWS + 1)).is_err());
    assert!(postcard::from_bytes::<Table>(&[]).is_err());
    assert_eq!(Table::try_from(Vec::new()), Err(BadTable { rows: 0 }));
}

#[test]
fn moves_are_what_is_new_what_is_gone_and_whose_owner_changed() {
    let (a, b, c, d) = (NodeId(1), NodeId(2), NodeId(3), NodeId(4));
    assert_eq!(added(&[a, b, c], &[d, c, a]), [d]);
    assert_eq!(added(&[], &[b, a]), [b, a]);
    assert_eq!(added(&[a, b], &[b, a]), []);
    let mut old = Table::empty();
    let mut new = Table::empty();
    (old.0[0], new.0[0]) = (vec![a, b], vec![b, a]);
    (old.0[5], new.0[5]) = (vec![a, b], vec![a, c, d]);
    (old.0[9], new.0[9]) = (vec![], vec![d]);
    let moves = Moves {
        placed: 3,
        dropped: 1,
        owners: 2,
    };
    assert_eq!(old.moves_to(&new), moves);
    assert_eq!(old.moves_to(&old), Moves::default());
}

/// What the order of the members changes: nothing, as long as ties are broken by rendezvous weight.
fn order_matters(mutants: Mutants) -> bool {
    let seats = members(0, 7, 2);
    let table = Table::empty().next(&seats, 3, mutants);
    let turned = [&seats[3..], &seats[..3]].concat();
    Table::empty().next(&turned, 3, mutants) != table
}

#[test]
fn the_order_of_the_members_does_not_matter() {
    assert!(!order_matters(Mutants::default()));
}

#[cfg(feature = "testing")]
#[test]
fn the_mutant_that_breaks_ties_by_order_is_seen() {
    use crate::env::Mutant;
    assert!(order_matters(Mutants::only(Mutant::TableByIterationOrder)));
}

/// Up to 64 members of mixed weights in mixed zones.
fn any_members() -> impl Strategy<Value = Vec<Seat>> {
    let one = |zones| (0u64..1 << 40, prop_oneof![Just(1), Just(2), 1..=WEIGHT_MAX], 0..zones);
    let all = (1u32..6).prop_flat_map(move |zones| proptest::collection::btree_map(0u64..200, one(zones), 1..=64));
    all.prop_map(|all| {
        all.into_iter()
            .map(|(name, (_, weight, zone))| seat(name, weight, zone))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_cluster_is_even_and_spread_whatever_was_before(
        before in any_members(),
        after in any_members(),
        replicas in (1usize..6, 1usize..6),
        turn in 0usize..64,
    ) {
        let table = next(&Table::empty(), &before, replicas.0);
        check(&table, &before, replicas.0);
        let table_after = next(&table, &after, replicas.1);
        check(&table_after, &after, replicas.1);
        prop_assert_eq!(&next(&table_after, &after, replicas.1), &table_after);
        let mut turned = after.clone();
        turned.rotate_left(turn % after.len());
        prop_assert_eq!(&next(&table, &turned, replicas.1), &table_after);
    }

    #[test]
    fn garbage_is_healed(
        garbage in proptest::collection::vec(proptest::collection::vec(0u64..12, 0..8), ROWS),
        count in 1usize..10,
        zones in 1u32..5,
        replicas in 1usize..5,
    ) {
        let rows: Vec<Vec<NodeId>> = garbage.iter().map(|row| row.iter().map(|name| seat(*name, 1, 0).id).collect()).collect();
        let seats = members(0, count, zones);
        let table = next(&Table::try_from(rows).unwrap(), &seats, replicas);
        check(&table, &seats, replicas);
        prop_assert_eq!(&next(&table, &seats, replicas), &table);
    }

    /// Members come and go: the table after many changes is as good as the first, and each change moves as little.
    #[test]
    fn nothing_drifts(changes in proptest::collection::vec(0u64..64, 1..60), replicas in 1usize..5, zones in 1u64..4) {
        let mut there = BTreeSet::new();
        let mut table = Table::empty();
        for name in changes {
            let joins = there.insert(name);
            if !joins {
                there.remove(&name);
            }
            let seats: Vec<Seat> = there.iter().map(|name| seat(*name, 1, (*name % zones) as u32)).collect();
            let after = next(&table, &seats, replicas);
            if seats.is_empty() {
                prop_assert_eq!(&after, &Table::empty());
            } else {
                check(&after, &seats, replicas);
            }
            if zones == 1 && !seats.is_empty() {
                let id = seat(name, 1, 0).id;
                let moves = table.moves_to(&after);
                let (share, count) = (held_by(if joins { &after } else { &table }, id), seats.len());
                prop_assert!(moves.placed <= share + count, "{} with {}: {:?}", count, replicas, moves);
                prop_assert!(moves.placed <= (ROWS * replicas).div_ceil(count + usize::from(!joins)) + count);
            }
            table = after;
        }
    }
}
