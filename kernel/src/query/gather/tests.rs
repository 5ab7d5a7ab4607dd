use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::query::model::{put, record, store};
use crate::query::properties::{any_small, small_query};
use crate::query::{Direction, Path, Predicate};
use crate::store::Store;
use crate::value::Value;

/// How many sources there are.
const SOURCES: u8 = 3;

/// The partitions of each source: those whose number, divided, leaves a place of it in `owners`.
fn split(owners: &[u8]) -> Vec<PartitionSet> {
    let of = |source| {
        let ids = crate::partition::PartitionId::all();
        ids.filter(|id| owners[id.index() % owners.len()] == source).collect()
    };
    (0..SOURCES).map(of).collect()
}

fn filled(documents: &[Value]) -> Store {
    let mut store = store();
    for (index, document) in documents.iter().enumerate() {
        let key = format!("k{index}");
        put(&mut store, "m", key.as_bytes(), &record(1, Some(&document.encode())));
    }
    store
}

/// What one node that holds everything answers.
fn alone(query: &Query, store: &Store, limits: &Limits) -> Result<Vec<Row>, Error> {
    let rows = query.run(store, &PartitionSet::all(), limits)?;
    Ok(rows.iter().map(|row| query.ranked(row).row).collect())
}

fn part(query: &Query, store: &Store, within: &PartitionSet, limits: &Limits) -> Result<Vec<Ranked>, Error> {
    let rows = query.of_source().run(store, within, limits)?;
    Ok(rows.iter().map(|row| query.ranked(row)).collect())
}

fn gathered(query: &Query, store: &Store, parts: &[PartitionSet], limits: &Limits) -> Result<Vec<Row>, Error> {
    broken(query, store, parts, limits, Mutants::default())
}

fn broken(
    query: &Query,
    store: &Store,
    parts: &[PartitionSet],
    limits: &Limits,
    mutants: Mutants,
) -> Result<Vec<Row>, Error> {
    let mut gather = Gather::new(query.clone(), store.routing(), limits, mutants);
    for within in parts {
        gather.add(*within, part(query, store, within, limits)?)?;
    }
    assert!(gather.answered().is_all());
    Ok(gather.into_rows())
}

proptest! {
    #[test]
    fn many_answer_as_one_does(
        query in small_query(), documents in vec(any_small(), 0..16), owners in vec(0..SOURCES, 1..8), first in 0..3usize,
    ) {
        let (store, limits) = (filled(&documents), Limits::default());
        let mut parts = split(&owners);
        parts.rotate_left(first);
        let found = gathered(&query, &store, &parts, &limits);
        prop_assert_eq!(found, alone(&query, &store, &limits));
    }

    /// The source that is asked next already holds a partition that another one has answered for, with something else in it.
    #[test]
    fn a_partition_that_moves_in_the_middle_is_read_once(
        query in small_query(), documents in vec(any_small(), 0..16), later in vec(any_small(), 0..16), owners in vec(0..SOURCES, 1..8),
    ) {
        let (store, limits) = (filled(&documents), Limits::default());
        let now = filled(&later);
        let parts = split(&owners);
        let mut gather = Gather::new(query.clone(), store.routing(), &limits, Mutants::default());
        gather.add(parts[0], part(&query, &store, &parts[0], &limits).unwrap()).unwrap();
        gather.add(parts[0], part(&query, &now, &parts[0], &limits).unwrap()).unwrap();
        let rest = PartitionSet::all().difference(parts[0]);
        gather.add(rest, part(&query, &store, &rest, &limits).unwrap()).unwrap();
        // Who answers for what it was not asked is not heard.
        gather.add(PartitionSet::none(), part(&query, &now, &PartitionSet::all(), &limits).unwrap()).unwrap();
        prop_assert_eq!(Ok(gather.into_rows()), alone(&query, &store, &limits));
    }

    /// Without an end to the answer, what is too much is too much wherever it is found.
    #[test]
    fn limits_are_those_of_one_node(
        query in small_query(), documents in vec(any_small(), 0..16), owners in vec(0..SOURCES, 1..8), rows in 1..12usize, bytes in 1..400usize,
    ) {
        let limits = Limits { query_rows: rows, query_bytes: bytes, ..Limits::default() };
        let query = Query { limit: None, ..query };
        let store = filled(&documents);
        let (one, many) = (alone(&query, &store, &limits), gathered(&query, &store, &split(&owners), &limits));
        match (&one, &many) {
            // Which of two limits is met first depends on who comes first.
            (Err(one), Err(many)) => prop_assert!(one.is_limit() && many.is_limit()),
            _ => prop_assert_eq!(one, many),
        }
    }

    #[test]
    fn what_is_wanted_of_what_is_wanted_is_the_same(query in small_query(), documents in vec(any_small(), 1..4)) {
        let store = filled(&documents);
        for row in alone(&query, &store, &Limits::default()).unwrap() {
            prop_assert_eq!(query.project(&row), row.value);
        }
    }
}

/// Rows `a` to `j` with `n` from 9 to 0, ordered by it.
fn ten(offset: usize, limit: Option<usize>) -> (Query, Store) {
    let mut store = store();
    for (n, key) in (b'a'..=b'j').rev().enumerate() {
        put(&mut store, "m", &[key], &record(1, Some(&[0x81, 0xa1, b'n', n as u8])));
    }
    let query = Query {
        predicate: Predicate::parse("n >= 0", &Limits::default()).unwrap(),
        order: vec![(Path::parse("n").unwrap(), Direction::Ascending)],
        offset,
        limit,
        ..Query::of("m")
    };
    (query, store)
}

fn keys(rows: &[Row]) -> String {
    let keys = rows
        .iter()
        .map(|row| String::from_utf8_lossy(row.key.key()).into_owned());
    keys.collect()
}

#[test]
fn pages_follow_one_another() {
    let parts = split(&[0, 1, 2, 1]);
    let page = |offset, limit| {
        let (query, store) = ten(offset, limit);
        keys(&gathered(&query, &store, &parts, &Limits::default()).unwrap())
    };
    assert_eq!((page(0, Some(3)), page(3, Some(3))), ("jih".into(), "gfe".into()));
    assert_eq!((page(8, Some(3)), page(10, Some(3))), ("ba".into(), String::new()));
    assert_eq!((page(7, None), page(2, Some(0))), ("cba".into(), String::new()));
}

#[test]
fn query_rows_and_query_bytes_bound_what_is_gathered() {
    let parts = split(&[0, 1, 2, 1]);
    let with = |query_rows, query_bytes, offset, limit| {
        let limits = Limits {
            query_rows,
            query_bytes,
            ..Limits::default()
        };
        let (query, store) = ten(offset, limit);
        gathered(&query, &store, &parts, &limits).map(|rows| keys(&rows))
    };
    assert_eq!(with(9, 1_000, 0, None), Err(Error::TooManyRows { limit: 9 }));
    assert_eq!(with(9, 1_000, 4, Some(4)), Ok("fedc".into()));
    assert_eq!(with(9, 1_000, 6, Some(4)), Err(Error::TooManyRows { limit: 9 }));
    assert_eq!(with(9, 60, 0, None), Err(Error::TooManyBytes { limit: 60 }));
    assert_eq!(with(9, 60, 0, Some(2)), Ok("ji".into()));
}

#[test]
fn rows_that_no_source_can_have_do_no_harm() {
    let (query, store) = ten(0, None);
    let rows = part(&query, &store, &PartitionSet::all(), &Limits::default()).unwrap();
    let mut gather = Gather::new(query.clone(), store.routing(), &Limits::default(), Mutants::default());
    let mut odd = rows.clone();
    odd[0].row.key = crate::query::model::name("other", b"j");
    odd[1].rank = Bytes::from_static(b"x");
    odd.push(rows[5].clone());
    gather.add(PartitionSet::all(), odd).unwrap();
    assert_eq!(keys(&gather.into_rows()), "hgfedcba");
}

#[cfg(feature = "testing")]
#[test]
fn who_forgets_the_offset_answers_otherwise() {
    let (query, store) = ten(2, Some(3));
    let (parts, limits) = (split(&[0, 1, 2]), Limits::default());
    let mutants = Mutants::only(Mutant::GatherForgetsOffset);
    let rows = broken(&query, &store, &parts, &limits, mutants);
    assert_ne!(rows, alone(&query, &store, &limits));
}
