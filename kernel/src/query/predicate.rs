//! What a record must be to be in an answer.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::literals::{Needles, OneOf};
use super::{Path, Pattern};
use crate::env::Limits;
use crate::value::{DEPTH_MAX, Value};

/// A condition on a record, true or false of each.
///
/// The rules are those of TopGun's server: there are two truths, not SQL's three, and *a field that is missing is as one that
/// is null*. All conditions on such a field are false, `neq` too, but for [`Predicate::IsNull`]; so `not (a = 1)` is true
/// where there is no `a`, and `a != 1` is not. (TopGun's client, over the rows it has, says that a missing field is unequal.)
///
/// Numbers compare by what they are worth, integers and floats alike; texts by code point, with regard to case. Values of two
/// kinds are unequal, and neither is less; within any kind there is the order of [`crate::value`].
///
/// Equal predicates are written alike; predicates that mean the same need not be equal. The constructors keep to the form
/// that comes back from the wire and from text. Who builds a tree by hand keeps it flatter than [`DEPTH_MAX`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Predicate {
    /// Every record.
    #[default]
    True,
    /// The field compares so with a literal.
    Compare {
        /// The field.
        path: Path,
        /// How.
        op: Compare,
        /// With what. Nothing compares with null.
        literal: Value,
    },
    /// The field is a text that matches.
    Like {
        /// The field.
        path: Path,
        /// What it matches.
        pattern: Pattern,
    },
    /// The field equals one of some literals.
    In {
        /// The field.
        path: Path,
        /// The literals.
        literals: OneOf,
    },
    /// The field is not less than one literal and not greater than another.
    Between {
        /// The field.
        path: Path,
        /// The least that it may be.
        low: Value,
        /// The greatest.
        high: Value,
    },
    /// The field is missing, or null.
    IsNull(Path),
    /// The field is there, and not null.
    IsNotNull(Path),
    /// The field is a text that has these texts in it, in any case; or a list that has these elements.
    Contains {
        /// The field.
        path: Path,
        /// What it contains.
        needles: Needles,
    },
    /// All of these. Of none it is true.
    And(Vec<Predicate>),
    /// Any of these. Of none it is false.
    Or(Vec<Predicate>),
    /// Not this.
    Not(Box<Predicate>),
}

/// How a field compares with a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    /// Equal.
    Eq,
    /// Not equal, and not null.
    Neq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
}

impl Compare {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Eq, Self::Neq, Self::Gt, Self::Gte, Self::Lt, Self::Lte];

    /// TopGun's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
        }
    }

    /// The sign that people write.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Neq => "!=",
            Self::Gt => ">",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Lte => "<=",
        }
    }

    /// Whether a field that is not null and compares so with the literal is meant; `None` is of another kind.
    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Eq => order == Some(Ordering::Equal),
            Self::Neq => order != Some(Ordering::Equal),
            Self::Gt => order == Some(Ordering::Greater),
            Self::Gte => order.is_some_and(Ordering::is_ge),
            Self::Lt => order == Some(Ordering::Less),
            Self::Lte => order.is_some_and(Ordering::is_le),
        }
    }
}

impl Predicate {
    /// No record.
    pub fn never() -> Self {
        Self::Or(Vec::new())
    }

    /// The field compares so with `literal`. Nothing does with null.
    pub fn compare(path: Path, op: Compare, literal: Value) -> Self {
        if literal.is_null() {
            return Self::never();
        }
        Self::Compare { path, op, literal }
    }

    /// All of these.
    pub fn and(parts: Vec<Self>) -> Self {
        match <[Self; 1]>::try_from(parts) {
            Ok([part]) => part,
            Err(parts) if parts.is_empty() => Self::True,
            Err(parts) => Self::And(parts),
        }
    }

    /// Any of these.
    pub fn or(parts: Vec<Self>) -> Self {
        match <[Self; 1]>::try_from(parts) {
            Ok([part]) => part,
            Err(parts) => Self::Or(parts),
        }
    }

    /// Not this.
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// Whether it is true of the record under `key` with the MessagePack of `value`. Of bytes that are no MessagePack it is
    /// true or false, as it comes.
    pub fn matches(&self, key: &[u8], value: &[u8]) -> bool {
        // A field that there is something in.
        let field = |path: &Path| path.field(key, value).filter(|field| !field.is_null());
        match self {
            Self::True => true,
            Self::Compare {
                literal: Value::Null, ..
            } => false,
            Self::Compare { path, op, literal } => field(path).is_some_and(|field| op.holds(field.compare(literal))),
            Self::Like { path, pattern } => {
                let text = field(path).and_then(|field| field.text());
                text.is_some_and(|text| pattern.matches(text))
            }
            Self::In { path, literals } => field(path).is_some_and(|field| field.is_among(literals.literals())),
            Self::Between { path, low, high } => field(path)
                .is_some_and(|field| Compare::Gte.holds(field.compare(low)) && Compare::Lte.holds(field.compare(high))),
            Self::IsNull(path) => field(path).is_none(),
            Self::IsNotNull(path) => field(path).is_some(),
            Self::Contains { path, needles } => field(path).is_some_and(|field| needles.are_in(field)),
            Self::And(parts) => parts.iter().all(|part| part.matches(key, value)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(key, value)),
            Self::Not(part) => !part.matches(key, value),
        }
    }

    /// How deep its nodes nest: 1 for a comparison.
    pub fn depth(&self) -> usize {
        let inner = match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::depth).max().unwrap_or(0),
            Self::Not(part) => part.depth(),
            _ => 0,
        };
        1 + inner
    }
}

/// How deep the nodes of a predicate may nest: each is a map in a list, and the innermost holds a list of literals, all within
/// the message, its payload and its query. What is read as text can then be sent.
pub(super) fn depth_limit(limits: &Limits) -> usize {
    limits.depth.min(DEPTH_MAX).saturating_sub(4) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::Writer;

    fn path(name: &str) -> Path {
        Path::parse(name).unwrap()
    }

    fn compare(name: &str, op: Compare, literal: impl Into<Value>) -> Predicate {
        Predicate::compare(path(name), op, literal.into())
    }

    fn contains(name: &str, needles: Needles) -> Predicate {
        Predicate::Contains {
            path: path(name),
            needles,
        }
    }

    /// `{name: "Ada", age: 36, height: 1.5, email: null, tags: ["x", 2]}` under the key `k`.
    fn is(predicate: &Predicate) -> bool {
        let mut out = Writer::new();
        out.map(5)
            .text("name")
            .text("Ada")
            .text("age")
            .u64(36)
            .text("height")
            .f64(1.5);
        out.text("email").null().text("tags").list(2).text("x").f64(2.0);
        predicate.matches(b"k", &out.into_vec())
    }

    #[test]
    fn comparisons_are_within_a_kind() {
        assert!(is(&compare("age", Compare::Gt, 35.5)) && is(&compare("height", Compare::Lt, 2)));
        assert!(is(&compare("age", Compare::Eq, 36.0)) && is(&compare("name", Compare::Gte, "Ada")));
        assert!(!is(&compare("age", Compare::Gt, "1")) && !is(&compare("age", Compare::Lte, "99")));
        assert!(!is(&compare("age", Compare::Eq, "36")) && is(&compare("age", Compare::Neq, "36")));
        assert!(!is(&compare("name", Compare::Eq, "ada")));
    }

    #[test]
    fn missing_is_as_null_and_compares_with_nothing() {
        for name in ["email", "phone", "name.first"] {
            for op in Compare::ALL {
                assert!(!is(&compare(name, op, 1)), "{name} {op:?}");
                assert!(!is(&compare(name, op, Value::Null)), "{name} {op:?}");
                assert!(is(&compare(name, op, 1).negated()));
            }
            assert!(is(&Predicate::IsNull(path(name))) && !is(&Predicate::IsNotNull(path(name))));
        }
        assert!(is(&Predicate::IsNotNull(path("name"))) && !is(&Predicate::IsNull(path("name"))));
    }

    #[test]
    fn the_key_is_an_attribute() {
        assert!(is(&compare("_key", Compare::Eq, "k")) && !is(&compare("_key", Compare::Gt, "k")));
        assert!(is(&Predicate::IsNotNull(path("_key"))));
    }

    #[test]
    fn containing_is_for_texts_and_lists() {
        let limits = Limits::default();
        let one = |literal: Value| Needles::one(literal, &limits).unwrap();
        let many = |all, literals: Vec<Value>| Needles::many(all, literals, &limits).unwrap();
        assert!(is(&contains("name", one("DA".into()))) && !is(&contains("name", one("x".into()))));
        assert!(is(&contains("tags", one(2.into()))) && !is(&contains("tags", one("X".into()))));
        assert!(!is(&contains("age", one(36.into()))) && !is(&contains("name", one(1.into()))));
        assert!(is(&contains("tags", many(true, vec!["x".into(), 2.into()]))));
        assert!(!is(&contains("tags", many(true, vec!["x".into(), 3.into()]))));
        assert!(is(&contains("tags", many(false, vec!["x".into(), 3.into()]))));
        assert!(is(&contains("name", many(true, vec![]))) && !is(&contains("name", many(false, vec![]))));
        assert!(!is(&contains("age", many(true, vec![]))) && !is(&contains("phone", many(true, vec![]))));
    }

    #[test]
    fn of_none_all_are_true_and_any_is_false() {
        assert!(is(&Predicate::and(vec![])) && !is(&Predicate::or(vec![])));
        assert_eq!(Predicate::and(vec![Predicate::never()]), Predicate::never());
        assert_eq!(Predicate::and(vec![Predicate::True, Predicate::never()]).depth(), 2);
    }
}
