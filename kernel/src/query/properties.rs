//! What holds of queries whatever the values are.

use alloc::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::model::{any_document, any_path, any_predicate, any_scalar, find, holds, name, put, record, store};
use super::{ChangeType, Compare, Direction, Live, Predicate, Query, Row};
use crate::env::Limits;
use crate::msgpack::{Reader, Writer};
use crate::partition::{PartitionId, PartitionSet};
use crate::store::Store;
use crate::value::Value;

pub(super) fn any_query() -> impl Strategy<Value = Query> {
    let direction = select(vec![Direction::Ascending, Direction::Descending]);
    let parts = (
        any_predicate(any_scalar().boxed()),
        vec((any_path(), direction), 0..3),
        (prop_oneof![Just(0), 0usize..4], option::of(0usize..4)),
        option::of(vec(any_path(), 0..3)),
    );
    parts.prop_map(|(predicate, order, (offset, limit), fields)| Query {
        predicate,
        order,
        offset,
        limit,
        fields,
        ..Query::of("m")
    })
}

/// Small documents, so that many match and rank alike.
pub(super) fn any_small() -> impl Strategy<Value = Value> {
    let pair = (select(vec!["a", "b"]), -1..3i32);
    let small =
        vec(pair, 0..3).prop_map(|pairs| Value::Map(pairs.into_iter().map(|(k, n)| (k.into(), n.into())).collect()));
    prop_oneof![4 => small, 1 => any_document()]
}

/// Queries of which some of those match, some do not.
pub(super) fn small_query() -> impl Strategy<Value = Query> {
    const FILTERS: [&str; 6] = [
        "",
        "a >= 0",
        "a is null or b = 1",
        "not (a = 1)",
        "a != 2 and b < 2",
        "_key > k1",
    ];
    let filter = select(&FILTERS[..]).prop_map(|text| Predicate::parse(text, &Limits::default()).unwrap());
    (any_query(), filter, any::<bool>()).prop_map(|(query, filter, small)| Query {
        predicate: if small { filter } else { query.predicate.clone() },
        ..query
    })
}

fn answer(query: &Query, store: &Store, within: &PartitionSet) -> Vec<Row> {
    query.run(store, within, &Limits::default()).unwrap()
}

proptest! {
    #[test]
    fn a_field_is_found_where_it_is_in_the_tree(document in any_document(), path in any_path()) {
        let bytes = document.encode();
        let found = path.find(&bytes).map(|raw| Value::decode(raw, 16).unwrap());
        let expected = if path.is_key() { None } else { find(&document, path.name()) };
        prop_assert_eq!(found.as_ref(), expected);
    }

    #[test]
    fn a_predicate_means_in_place_what_it_means_over_the_tree(
        document in any_document(), predicate in any_predicate(any_document().boxed()), key in "[ak1]",
    ) {
        let expected = holds(&predicate, &key, &document);
        prop_assert_eq!(predicate.matches(key.as_bytes(), &document.encode()), expected, "{}", predicate);
    }

    #[test]
    fn a_literal_taken_from_the_document_is_found(document in any_document(), path in any_path()) {
        let field = find(&document, path.name()).filter(|field| !field.is_null() && !path.is_key());
        if let Some(field) = field.cloned() {
            let bytes = document.encode();
            let among = Predicate::In { path: path.clone(), literals: [field.clone()].into_iter().collect() };
            let between = Predicate::Between { path: path.clone(), low: field.clone(), high: field.clone() };
            let other = Predicate::compare(path.clone(), Compare::Neq, field.clone());
            let equal = Predicate::compare(path, Compare::Eq, field);
            for (predicate, holds) in [(among, true), (between, true), (equal, true), (other, false)] {
                prop_assert_eq!(predicate.matches(b"k", &bytes), holds, "{}", predicate);
            }
        }
    }

    #[test]
    fn broken_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..40), query in any_query()) {
        let _ = query.predicate.matches(&bytes, &bytes);
        let _ = Predicate::read(&mut Reader::new(&bytes), &Limits::default());
        let _ = Query::read("m", &mut Reader::new(&bytes), &Limits::default());
        let _ = Predicate::parse(&String::from_utf8_lossy(&bytes), &Limits::default());
    }

    #[test]
    fn a_node_cut_anywhere_is_an_error(query in any_query(), cut in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let mut out = Writer::new();
        query.write(&mut out);
        let mut bytes = out.into_vec();
        let at = cut.index(bytes.len());
        prop_assert!(Query::read("m", &mut Reader::new(&bytes[..at]), &Limits::default()).is_err());
        bytes[at] ^= flip;
        let _ = Query::read("m", &mut Reader::new(&bytes), &Limits::default());
    }

    #[test]
    fn what_is_written_is_read(query in any_query()) {
        let mut out = Writer::new();
        query.write(&mut out);
        let bytes = out.into_vec();
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(Query::read("m", &mut reader, &Limits::default()), Ok(query));
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn what_is_shown_is_parsed(predicate in any_predicate(any_scalar().boxed())) {
        let text = predicate.to_string();
        prop_assert_eq!(Predicate::parse(&text, &Limits::default()), Ok(predicate), "{}", text);
    }

    #[test]
    fn any_text_parses_or_says_where_not(text in "([ab(),=<>!\"'`%.0-9-]|and|or|not| in | is |null|like|between|contains| ){0,16}") {
        match Predicate::parse(&text, &Limits::default()) {
            Ok(predicate) => prop_assert_eq!(Predicate::parse(&predicate.to_string(), &Limits::default()), Ok(predicate)),
            Err(error) => prop_assert!((1..=text.chars().count() + 1).contains(&error.at), "{}: {}", text, error),
        }
    }

    #[test]
    fn an_answer_is_what_sorting_all_gives(query in small_query(), documents in vec(any_small(), 0..8)) {
        let mut store = store();
        let mut expected = Vec::new();
        for (index, document) in documents.iter().enumerate() {
            let key = format!("k{index}");
            put(&mut store, "m", key.as_bytes(), &record(1, Some(&document.encode())));
            if holds(&query.predicate, &key, document) {
                expected.push((key, document));
            }
        }
        expected.sort_by(|(a_key, a), (b_key, b)| {
            let field = |path: &super::Path, key: &str, document: &Value| match path.is_key() {
                true => Value::from(key),
                false => find(document, path.name()).cloned().unwrap_or_default(),
            };
            let by_fields = query.order.iter().map(|(path, direction)| {
                let order = field(path, a_key, a).cmp(&field(path, b_key, b));
                if *direction == Direction::Descending { order.reverse() } else { order }
            });
            by_fields.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then_with(|| a_key.cmp(b_key))
        });
        expected.drain(..query.offset.min(expected.len()));
        expected.truncate(query.limit.unwrap_or(usize::MAX));
        let found: Vec<_> = answer(&query, &store, &PartitionSet::all()).iter().map(|row| row.key.key().to_vec()).collect();
        let expected: Vec<_> = expected.into_iter().map(|(key, _)| key.into_bytes()).collect();
        prop_assert_eq!(found, expected);
    }

    /// Asked again after each change, the difference of the answers is what the live query said.
    #[test]
    fn a_live_query_says_what_asking_again_would_show(
        query in small_query(), before in vec((0u8..6, any_small()), 0..6),
        changes in vec((0u8..6, option::weighted(0.7, any_small())), 1..24), whole in any::<bool>(),
    ) {
        let within: PartitionSet = PartitionId::all().filter(|id| whole || id.index().is_multiple_of(2)).collect();
        let mut store = store();
        for (key, document) in before {
            put(&mut store, "m", &[b'k', key], &record(1, Some(&document.encode())));
        }
        let (mut live, mut rows) = Live::open(query.clone(), &store, &within, &Limits::default()).unwrap();
        prop_assert_eq!(&rows, &answer(&query, &store, &within));
        for (ms, (key, document)) in changes.into_iter().enumerate() {
            let key = name("m", &[b'k', key]);
            let written = &key;
            let value = document.map(|document| document.encode());
            put(&mut store, "m", key.key(), &record(ms as u64 + 2, value.as_deref()));
            let mut said = live.change(&key, store.live(&key).and_then(|version| version.value)).unwrap();

            let by_key = |rows: &[Row]| rows.iter().map(|row| (row.key.clone(), row.value.clone())).collect::<BTreeMap<_, _>>();
            let now = answer(&query, &store, &within);
            let (old, new) = (by_key(&rows), by_key(&now));
            let mut seen = Vec::new();
            for key in old.keys().chain(new.keys()) {
                let change = match (old.get(key), new.get(key)) {
                    (None, Some(_)) => ChangeType::Enter,
                    (Some(_), None) => ChangeType::Leave,
                    (Some(old), Some(new)) if old != new || *written == *key => ChangeType::Update,
                    _ => continue,
                };
                seen.push(super::Event { change, key: key.clone() });
            }
            said.sort();
            seen.sort();
            seen.dedup();
            prop_assert_eq!(said, seen);
            rows = now;
        }
    }
}
