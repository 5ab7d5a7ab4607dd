use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::env::Limits;
use crate::partition::PartitionId;
use crate::query::model::{any_document, any_predicate, any_scalar, holds};

/// Orders route by their tenant, which stands before the `/` of their keys.
fn orders() -> Routing {
    let mut routing = Routing::new();
    let (field, separator) = ("tenantId".into(), b'/');
    routing.declare("orders", PartitionBy::Field { field, separator });
    routing.declare("plain", PartitionBy::Before(b'/'));
    routing
}

fn ask(map: &str, filter: &str) -> Query {
    Query {
        predicate: Predicate::parse(filter, &Limits::default()).unwrap(),
        ..Query::of(map)
    }
}

fn pruned(map: &str, filter: &str) -> PartitionSet {
    ask(map, filter).partitions(&orders(), Mutants::default())
}

fn at(map: &str, keys: &[&str]) -> PartitionSet {
    let places = keys.iter().map(|key| orders().partition(map, key.as_bytes()));
    places.collect()
}

#[test]
fn a_query_of_one_tenant_asks_one_partition_of_271() {
    assert_eq!(pruned("orders", "tenantId = abc"), at("orders", &["abc/1"]));
    assert_eq!(pruned("orders", "tenantId = 7"), at("orders", &["7/1"]));
    assert_eq!(pruned("orders", "tenantId = 7.0"), at("orders", &["x{7}"]));
    let some = pruned("orders", "tenantId in (a, b, c, 7)");
    assert_eq!(some, at("orders", &["a/1", "b", "c/2", "7/"]));
    assert_eq!(some.len(), 4);
    assert_eq!(pruned("orders", "tenantId = true"), PartitionSet::none());
    assert!(pruned("plain", "tenantId = abc").is_all(), "declared of another map");
    assert!(pruned("orders", "tenant = abc").is_all() && pruned("orders", "tenantId > abc").is_all());
}

#[test]
fn a_query_of_some_keys_asks_where_they_are() {
    for map in ["orders", "plain", "other"] {
        assert_eq!(pruned(map, "_key = 'abc/1'"), at(map, &["abc/1"]));
        assert_eq!(
            pruned(map, "_key in ('a/1', 'b/2', 'x{c}')"),
            at(map, &["a/1", "b/2", "x{c}"])
        );
        assert_eq!(pruned(map, "_key = 7"), PartitionSet::none(), "no key is a number");
        assert!(pruned(map, "_key > a").is_all() && pruned(map, "_key like 'a%'").is_all());
    }
    let bytes = Predicate::compare(Path::key(), Compare::Eq, Value::Bytes(vec![0xff, 1]));
    let query = Query {
        predicate: bytes,
        ..Query::of("other")
    };
    let place = orders().partition("other", &[0xff, 1]);
    assert_eq!(query.partitions(&orders(), Mutants::default()), PartitionSet::of(place));
}

#[test]
fn and_is_what_both_leave_or_what_either_does_and_not_leaves_all() {
    let one = at("orders", &["a/1"]);
    assert_eq!(pruned("orders", "tenantId = a and total > 5"), one);
    assert_eq!(
        pruned("orders", "tenantId in (a, b) and tenantId in (a, c) and x = 1"),
        one
    );
    assert_eq!(pruned("orders", "tenantId = a and tenantId = b"), PartitionSet::none());
    assert_eq!(pruned("orders", "tenantId = a and _key = 'a/1'"), one);
    assert_eq!(
        pruned("orders", "tenantId = a or _key = 'b/1'"),
        at("orders", &["a/1", "b/1"])
    );
    assert_eq!(pruned("orders", "tenantId = a or (tenantId = b and x = 1)").len(), 2);
    assert!(pruned("orders", "tenantId = a or total > 5").is_all());
    assert!(pruned("orders", "not (tenantId = a)").is_all());
    assert!(
        pruned("orders", "not (not (tenantId = a))").is_all(),
        "sound, not clever"
    );
    assert!(pruned("orders", "").is_all());
    assert_eq!(pruned("orders", "false"), PartitionSet::none());
}

#[test]
fn what_is_asked_is_explained() {
    let mut query = ask(
        "orders",
        "tenantId = abc and total > 5 and (_key = 'abc/1' or _key = 'abc/2')",
    );
    query.order = vec![(Path::parse("total").unwrap(), Direction::Descending)];
    (query.offset, query.limit) = (5, Some(10));
    let explain = query.explain(&orders(), Mutants::default());
    let expected = Explain {
        partitions: 1,
        of: 271,
        pruned_by: vec![
            "tenantId = \"abc\"".into(),
            "_key = \"abc/1\" or _key = \"abc/2\"".into(),
        ],
        order: vec!["total desc".into(), "_key asc".into()],
        offset: 5,
        limit: Some(10),
    };
    assert_eq!(explain, expected);
    let all = ask("orders", "total > 5").explain(&orders(), Mutants::default());
    assert_eq!(
        (all.partitions, all.pruned_by, all.order),
        (271, vec![], vec!["_key asc".into()])
    );
}

/// Literals that route, or might seem to.
fn any_tenant() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => select(vec!["a", "b", "7", "0", "-1", "0.5", ""]).prop_map(Value::from),
        2 => select(vec![7, 0, -1]).prop_map(Value::from),
        2 => select(vec![7.0, 0.0, -0.0, -1.0, 0.5]).prop_map(Value::from),
        1 => any_scalar(),
    ]
}

/// Predicates of which many say something of the key or of the tenant.
fn any_pruning() -> impl Strategy<Value = Predicate> {
    let keys = || select(vec!["a/1", "b/1", "7/2", "x{a}", "0", "-1/{7}", "0.5/", ""]).prop_map(Value::from);
    let tenant = || Path::parse("t").unwrap();
    let leaf = prop_oneof![
        2 => any_tenant().prop_map(move |one| Predicate::compare(tenant(), Compare::Eq, one)),
        2 => vec(any_tenant(), 0..4).prop_map(move |some| Predicate::In { path: tenant(), literals: some.into_iter().collect() }),
        1 => keys().prop_map(|key| Predicate::compare(Path::key(), Compare::Eq, key)),
        1 => vec(keys(), 0..4).prop_map(|keys| Predicate::In { path: Path::key(), literals: keys.into_iter().collect() }),
        2 => any_predicate(any_scalar().boxed()),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Predicate::and),
            vec(inner.clone(), 0..4).prop_map(Predicate::or),
            inner.prop_map(Predicate::negated),
        ]
    })
}

/// Rows as they are admitted: the tenant of the document is what the key routes by, as a text or as a number.
fn any_row() -> impl Strategy<Value = (String, Value)> {
    let tenant = any_tenant().prop_filter_map("it routes", |tenant| {
        Some((routing_text(&tenant)?.into_owned(), tenant))
    });
    let parts = (tenant, select(vec!["/", "/1", "/2/3", "{tag", "tag"]), any_document());
    parts.prop_map(|((text, tenant), rest, document)| {
        let key = match rest {
            // An empty tag is no tag.
            "tag" if !text.is_empty() && !text.contains('}') => format!("-/{{{text}}}"),
            "/" | "/1" | "/2/3" => format!("{text}{rest}"),
            _ => text,
        };
        let mut pairs: Vec<(Value, Value)> = match document {
            Value::Map(map) => map.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            _ => Vec::new(),
        };
        pairs.push(("t".into(), tenant));
        (key, Value::Map(pairs.into_iter().collect()))
    })
}

fn routing_by_t(map: &str) -> Routing {
    let mut routing = Routing::new();
    let (field, separator) = ("t".into(), b'/');
    routing.declare(map, PartitionBy::Field { field, separator });
    routing
}

/// A row that matches and does not lie in the set, if there is one.
fn missed(predicate: &Predicate, rows: &[(String, Value)], mutants: Mutants) -> Option<(String, PartitionId)> {
    let routing = routing_by_t("m");
    let by = routing.of_map("m").unwrap();
    let query = Query {
        predicate: predicate.clone(),
        ..Query::of("m")
    };
    let set = query.partitions(&routing, mutants);
    let admitted = rows
        .iter()
        .filter(|(key, row)| by.check(key.as_bytes(), &row.encode()).is_ok());
    admitted
        .filter(|(key, row)| holds(predicate, key, row))
        .map(|(key, _)| (key.clone(), routing.partition("m", key.as_bytes())))
        .find(|(_, at)| !set.contains(*at))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_row_that_matches_lies_in_a_partition_of_the_set(predicate in any_pruning(), rows in vec(any_row(), 1..12)) {
        prop_assert_eq!(missed(&predicate, &rows, Mutants::default()), None, "{}", predicate);
    }
}

#[cfg(feature = "testing")]
#[test]
fn an_or_that_is_pruned_like_an_and_misses_rows() {
    let row = |tenant: &str| {
        (
            format!("{tenant}/1"),
            Value::Map([("t".into(), tenant.into())].into_iter().collect()),
        )
    };
    let predicate = Predicate::parse("t = a or t = b", &Limits::default()).unwrap();
    let rows = [row("a"), row("b")];
    assert_eq!(missed(&predicate, &rows, Mutants::default()), None);
    assert!(missed(&predicate, &rows, Mutants::only(Mutant::PruneOrIntersects)).is_some());
}
