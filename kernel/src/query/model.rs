//! What the tests of queries share: small stores, values and predicates to draw, and what a predicate means over a tree.

use core::cmp::Ordering;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::fold::fold;
use super::path::index;
use super::{Compare, KEY, Needles, Path, Pattern, Predicate, Quantity};
use crate::crdt::{Record, Version};
use crate::env::{Limits, WriterId};
use crate::hlc::Stamp;
use crate::store::{RecordKey, Store, StoreConfig};
use crate::value::{Map, Value};

pub fn store() -> Store {
    Store::new(&StoreConfig::default())
}

pub fn name(map: &str, key: &[u8]) -> RecordKey {
    RecordKey::new(map, key, &Limits::default()).unwrap()
}

pub fn record(ms: u64, value: Option<&[u8]>) -> Record {
    Record::new(&Version::new(Stamp::new(ms, 0, WriterId(1)).unwrap(), "w", value))
}

pub fn put(store: &mut Store, map: &str, key: &[u8], record: &Record) {
    store.merge(name(map, key), record.clone());
}

/// Names that collide: with dots, with digits, missing more often than not.
pub fn any_path() -> impl Strategy<Value = Path> {
    const NAMES: [&str; 12] = [
        "a",
        "b",
        "a.b",
        "a.b.a",
        "b.0",
        "b.1.a",
        "a.",
        "_key",
        "odd `name`",
        "like",
        "0",
        "ä",
    ];
    select(&NAMES[..]).prop_map(|name| Path::parse(name).unwrap())
}

/// Literals that people can type.
pub fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-2..3i32).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-4..5i32).prop_map(|n| Value::from(f64::from(n) / 2.0)),
        any::<f64>()
            .prop_filter("numbers", |x| !x.is_nan())
            .prop_map(Value::from),
        "[abAé%_\\\\\"' ]{0,4}".prop_map(Value::from),
        select(vec!["null", "true", "1", "a", "k"]).prop_map(Value::from),
    ]
}

/// Documents whose keys are those of [`any_path`].
pub fn any_document() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![4 => any_scalar(), 1 => Just(Value::Null), 1 => vec(any::<u8>(), 0..3).prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            8 => select(vec!["a", "b", "a.b", "b.a", "0", "_key", "like", "ä", ""]).prop_map(Value::from),
            1 => any_scalar(),
        ];
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => vec((key, inner), 0..5).prop_map(|pairs| Value::Map(pairs.into_iter().collect::<Map>())),
        ]
    })
}

/// Predicates over literals of `literal`.
pub fn any_predicate(literal: BoxedStrategy<Value>) -> impl Strategy<Value = Predicate> {
    let limits = Limits::default();
    let compare = (any_path(), select(&Compare::ALL[..]), literal.clone());
    let list = vec(literal.clone(), 0..4);
    let leaf = prop_oneof![
        4 => compare.prop_map(|(path, op, literal)| Predicate::compare(path, op, literal)),
        1 => (any_path(), "[abA%_\\\\é]{0,5}").prop_map({
            let limits = limits.clone();
            move |(path, text)| Predicate::Like { path, pattern: Pattern::like(&text, &limits).unwrap() }
        }),
        1 => (any_path(), list.clone()).prop_map(|(path, list)| Predicate::In { path, literals: list.into_iter().collect() }),
        1 => (any_path(), literal.clone(), literal.clone()).prop_map(|(path, low, high)| Predicate::Between { path, low, high }),
        1 => any_path().prop_map(Predicate::IsNull),
        1 => any_path().prop_map(Predicate::IsNotNull),
        1 => (any_path(), literal).prop_map({
            let limits = limits.clone();
            move |(path, one)| Predicate::Contains { path, needles: Needles::one(one, &limits).unwrap() }
        }),
        1 => (any_path(), any::<bool>(), list).prop_map(move |(path, all, list)| Predicate::Contains {
            path,
            needles: Needles::many(all, list, &limits).unwrap(),
        }),
        1 => Just(Predicate::True),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Predicate::and),
            vec(inner.clone(), 0..4).prop_map(Predicate::or),
            inner.prop_map(Predicate::negated),
        ]
    })
}

/// The field of that name in a tree.
pub fn find<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let (first, rest) = name
        .split_once('.')
        .map_or((name, None), |(first, rest)| (first, Some(rest)));
    let inner = match value {
        Value::Map(map) => match map.field(name) {
            Some(whole) => return Some(whole),
            None => map.field(first)?,
        },
        Value::List(elements) => elements.get(index(first)?)?,
        _ => return None,
    };
    match rest {
        Some(rest) => find(inner, rest),
        // A map's own field of the whole name was looked for.
        None => matches!(value, Value::List(_)).then_some(inner),
    }
}

/// What a predicate means.
pub fn holds(predicate: &Predicate, key: &str, document: &Value) -> bool {
    let key_value = Value::from(key);
    let field = |path: &Path| {
        let field = if path.name() == KEY {
            Some(&key_value)
        } else {
            find(document, path.name())
        };
        field.filter(|field| !field.is_null())
    };
    let within = |field: &Value, literal: &Value, ok: &[Ordering]| {
        kind(field) == kind(literal) && ok.contains(&field.cmp(literal))
    };
    match predicate {
        Predicate::True => true,
        Predicate::Compare {
            literal: Value::Null, ..
        } => false,
        Predicate::Compare { path, op, literal } => field(path).is_some_and(|field| match op {
            Compare::Eq => field == literal,
            Compare::Neq => field != literal,
            Compare::Gt => within(field, literal, &[Ordering::Greater]),
            Compare::Gte => within(field, literal, &[Ordering::Greater, Ordering::Equal]),
            Compare::Lt => within(field, literal, &[Ordering::Less]),
            Compare::Lte => within(field, literal, &[Ordering::Less, Ordering::Equal]),
        }),
        Predicate::Like { path, pattern } => match field(path) {
            Some(Value::Text(text)) => pattern.matches(text),
            _ => false,
        },
        Predicate::In { path, literals } => field(path).is_some_and(|field| literals.literals().contains(field)),
        Predicate::Between { path, low, high } => field(path).is_some_and(|field| {
            within(field, low, &[Ordering::Greater, Ordering::Equal])
                && within(field, high, &[Ordering::Less, Ordering::Equal])
        }),
        Predicate::IsNull(path) => field(path).is_none(),
        Predicate::IsNotNull(path) => field(path).is_some(),
        Predicate::Contains { path, needles } => {
            let folded = |text: &str| text.chars().map(fold).collect::<String>();
            let is_in = |needle: &Value| match (field(path), needle) {
                (Some(Value::Text(text)), Value::Text(part)) => folded(text).contains(&folded(part)),
                (Some(Value::List(elements)), needle) => elements.contains(needle),
                _ => false,
            };
            let can = matches!(field(path), Some(Value::Text(_) | Value::List(_)));
            match needles.quantity() {
                Quantity::All => can && needles.literals().all(is_in),
                Quantity::One | Quantity::Any => needles.literals().any(is_in),
            }
        }
        Predicate::And(parts) => parts.iter().all(|part| holds(part, key, document)),
        Predicate::Or(parts) => parts.iter().any(|part| holds(part, key, document)),
        Predicate::Not(part) => !holds(part, key, document),
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) => 2,
        Value::Text(_) => 3,
        Value::Bytes(_) => 4,
        Value::List(_) => 5,
        Value::Map(_) => 6,
    }
}
