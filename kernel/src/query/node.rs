//! Predicates on the wire: TopGun's nodes, `{op, attribute, value, children}`.
//!
//! What this kernel cannot do is refused by name, not passed over: a condition less would answer with more.

use alloc::vec::Vec;

use super::fields::{each_field, need, put};
use super::predicate::depth_limit;
use super::{Compare, Error, Needles, OneOf, Path, Pattern, Predicate, Quantity};
use crate::env::Limits;
use crate::msgpack::{self, Kind, Reader, Writer};
use crate::value::Value;

pub(super) const NULL: &[u8] = &[0xc0];

impl Predicate {
    /// Reads a node.
    ///
    /// # Errors
    /// [`Error`], whatever the bytes are.
    pub fn read(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, Error> {
        Budget::new(limits).node(reader, 1)
    }

    /// Writes it as a node.
    pub fn write(&self, out: &mut Writer) {
        match self {
            Self::True => combined("and", &[], out),
            Self::And(parts) => combined("and", parts, out),
            Self::Or(parts) => combined("or", parts, out),
            Self::Not(part) => combined("not", core::slice::from_ref(&**part), out),
            Self::Compare { path, op, literal } => {
                literal.write(leaf(op.word(), path, out));
            }
            Self::Like { path, pattern } => {
                leaf("like", path, out).text(pattern.text());
            }
            Self::In { path, literals } => list(literals.literals().iter(), leaf("in", path, out)),
            Self::Between { path, low, high } => list([low, high].into_iter(), leaf("between", path, out)),
            Self::IsNull(path) => {
                out.map(2).text("op").text("isNull").text("attribute").text(path.name());
            }
            Self::IsNotNull(path) => {
                out.map(2)
                    .text("op")
                    .text("isNotNull")
                    .text("attribute")
                    .text(path.name());
            }
            Self::Contains { path, needles } => match needles.quantity() {
                Quantity::One => needles
                    .literals()
                    .for_each(|one| one.write(leaf("contains", path, out))),
                Quantity::All => list(needles.literals(), leaf("containsAll", path, out)),
                Quantity::Any => list(needles.literals(), leaf("containsAny", path, out)),
            },
        }
    }
}

fn combined<'p>(
    op: &str,
    parts: impl IntoIterator<Item = &'p Predicate, IntoIter: ExactSizeIterator>,
    out: &mut Writer,
) {
    let parts = parts.into_iter();
    out.map(2).text("op").text(op).text("children").list(parts.len());
    for part in parts {
        part.write(out);
    }
}

/// All of a leaf but its value.
fn leaf<'w>(op: &str, path: &Path, out: &'w mut Writer) -> &'w mut Writer {
    let out = out.map(3).text("op").text(op);
    out.text("attribute").text(path.name()).text("value")
}

fn list<'v>(literals: impl ExactSizeIterator<Item = &'v Value>, out: &mut Writer) {
    out.list(literals.len());
    for literal in literals {
        literal.write(out);
    }
}

/// What may still be read of one predicate.
pub(super) struct Budget<'l> {
    limits: &'l Limits,
    nodes: usize,
}

impl<'l> Budget<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        let nodes = limits.predicate_nodes;
        Self { limits, nodes }
    }

    pub(super) fn spend(&mut self, nodes: usize) -> Result<(), Error> {
        let limit = self.limits.predicate_nodes;
        self.nodes = self.nodes.checked_sub(nodes).ok_or(Error::TooManyNodes { limit })?;
        Ok(())
    }

    /// A node that stands `depth` deep.
    pub(super) fn node(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Predicate, Error> {
        let limit = depth_limit(self.limits);
        if depth > limit {
            return Err(Error::TooDeep { limit });
        }
        self.spend(1)?;
        let (mut op, mut attribute, mut value, mut children) = (None, None, None, None);
        each_field(reader, |name, reader| match name {
            "op" => put(&mut op, "predicate.op", reader, Reader::text),
            "attribute" => put(&mut attribute, "predicate.attribute", reader, Reader::text),
            "value" => put(&mut value, "predicate.value", reader, Reader::raw),
            "children" => put(&mut children, "predicate.children", reader, Reader::raw),
            "valueRef" if reader.peek()? != Kind::Null => Err(Error::Unsupported {
                what: "predicate.valueRef",
            }),
            _ => Ok(false),
        })?;
        let op = need(op, "predicate.op")?;
        if !matches!(op, "and" | "or" | "not") {
            let path = |attribute| Path::parse(need(attribute, "predicate.attribute")?);
            return self.leaf(op, path, attribute, value.unwrap_or(NULL));
        }
        let mut parts = Vec::new();
        if let Some(children) = children {
            let mut reader = Reader::new(children);
            let field = "predicate.children";
            let len = reader.list().map_err(|error| Error::Field { field, error })?;
            for _ in 0..len {
                parts.push(self.node(&mut reader, depth + 1)?);
            }
        }
        Ok(match op {
            "and" => Predicate::and(parts),
            "or" => Predicate::or(parts),
            // Of nothing it is true, and of many it is of the first: so it is in TopGun.
            _ => parts.into_iter().next().map_or(Predicate::True, Predicate::negated),
        })
    }

    /// A leaf of this operator. The operator is looked at first, so that one that is not known is called by its name.
    pub(super) fn leaf<'a>(
        &mut self,
        op: &str,
        path: impl FnOnce(Option<&'a str>) -> Result<Path, Error>,
        attribute: Option<&'a str>,
        value: &[u8],
    ) -> Result<Predicate, Error> {
        if let Some(compare) = Compare::ALL.into_iter().find(|compare| compare.word() == op) {
            return Ok(Predicate::compare(path(attribute)?, compare, self.literal(value)?));
        }
        Ok(match op {
            "like" => {
                let path = path(attribute)?;
                let text = Reader::new(value).text().map_err(of_value)?;
                let pattern = Pattern::like(text, self.limits)?;
                self.spend(pattern.weight())?;
                Predicate::Like { path, pattern }
            }
            // A single value is TopGun's older way to ask whether a list contains it.
            "in" if Reader::new(value).peek() == Ok(Kind::List) => Predicate::In {
                path: path(attribute)?,
                literals: self.literals(value)?.into_iter().collect::<OneOf>(),
            },
            "between" => {
                let path = path(attribute)?;
                let field = "predicate.value";
                let ends = <[Value; 2]>::try_from(self.literals(value)?);
                let [low, high] = ends.map_err(|_| Error::Length { field, len: 2 })?;
                Predicate::Between { path, low, high }
            }
            "isNull" => Predicate::IsNull(path(attribute)?),
            "isNotNull" => Predicate::IsNotNull(path(attribute)?),
            "in" | "contains" => {
                let path = path(attribute)?;
                let literal = self.literal(value)?;
                self.spend(weight(&literal))?;
                let needles = Needles::one(literal, self.limits)?;
                Predicate::Contains { path, needles }
            }
            "containsAll" | "containsAny" => {
                let path = path(attribute)?;
                let literals = match Reader::new(value).peek()? {
                    Kind::List => self.literals(value)?,
                    _ => Vec::from([self.literal(value)?]),
                };
                self.spend(literals.iter().map(weight).sum())?;
                let needles = Needles::many(op == "containsAll", literals, self.limits)?;
                Predicate::Contains { path, needles }
            }
            "regex" => return Err(unsupported("the predicate regex")),
            "match" => return Err(unsupported("the predicate match")),
            "matchPhrase" => return Err(unsupported("the predicate matchPhrase")),
            "matchPrefix" => return Err(unsupported("the predicate matchPrefix")),
            "startsWith" => return Err(unsupported("the predicate startsWith")),
            "endsWith" => return Err(unsupported("the predicate endsWith")),
            _ => return Err(Error::Choice { field: "predicate.op" }),
        })
    }

    /// A literal. All that is in it is counted before any of it is taken into memory.
    pub(super) fn literal(&mut self, value: &[u8]) -> Result<Value, Error> {
        let mut reader = Reader::new(value);
        while !reader.is_empty() {
            reader.any().map_err(of_value)?;
            self.spend(1)?;
        }
        Value::decode(value, self.limits.depth).map_err(of_value)
    }

    fn literals(&mut self, value: &[u8]) -> Result<Vec<Value>, Error> {
        match self.literal(value)? {
            Value::List(literals) => Ok(literals),
            other => Err(of_value(msgpack::Error::WrongKind {
                expected: Kind::List,
                found: other.kind(),
                at: 0,
            })),
        }
    }
}

/// What a needle counts beside its node, if it is searched for in texts.
fn weight(literal: &Value) -> usize {
    match literal {
        Value::Text(text) => text.len() / 8,
        _ => 0,
    }
}

fn of_value(error: msgpack::Error) -> Error {
    let field = "predicate.value";
    Error::Field { field, error }
}

pub(super) fn unsupported(what: &'static str) -> Error {
    Error::Unsupported { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(build: impl FnOnce(&mut Writer)) -> Result<Predicate, Error> {
        let mut out = Writer::new();
        build(&mut out);
        Predicate::read(&mut Reader::new(&out.into_vec()), &Limits::default())
    }

    fn text(text: &str) -> Predicate {
        Predicate::parse(text, &Limits::default()).unwrap()
    }

    fn leaf_of(op: &str, value: impl FnOnce(&mut Writer)) -> Result<Predicate, Error> {
        node(|out| value(leaf(op, &Path::parse("a").unwrap(), out)))
    }

    #[test]
    fn nodes_as_topgun_writes_them() {
        let leaf = leaf_of("gt", |out| _ = out.f64(18.0));
        assert_eq!(leaf, Ok(text("a > 18")));
        let both = node(|out| {
            out.map(4)
                .text("attribute")
                .null()
                .text("value")
                .null()
                .text("children")
                .list(2);
            out.map(2).text("op").text("isNull").text("attribute").text("a");
            out.map(3)
                .text("value")
                .list(2)
                .text("x")
                .u64(1)
                .text("op")
                .text("in")
                .text("attribute")
                .text("b.c");
            out.text("op").text("and");
        });
        assert_eq!(both, Ok(text("a is null and b.c in (x, 1)")));
        let none = |op: &str| node(|out| _ = out.map(1).text("op").text(op));
        assert_eq!(none("and"), Ok(Predicate::True));
        assert_eq!(none("not"), Ok(Predicate::True));
        assert_eq!(none("or"), Ok(Predicate::never()));
        assert_eq!(leaf_of("in", |out| _ = out.text("x")), Ok(text("a contains x")));
        assert_eq!(
            leaf_of("containsAny", |out| _ = out.text("x")),
            Ok(text("a contains any (x)"))
        );
        assert_eq!(
            leaf_of("between", |out| _ = out.list(2).u64(1).u64(2)),
            Ok(text("a between 1 and 2"))
        );
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for op in ["regex", "match", "matchPhrase", "matchPrefix", "startsWith", "endsWith"] {
            let error = node(|out| _ = out.map(1).text("op").text(op)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the predicate {op} is not supported by this node")
            );
        }
        let reference = node(|out| _ = out.map(2).text("op").text("eq").text("valueRef").text("auth.id"));
        assert!(matches!(
            reference,
            Err(Error::Unsupported {
                what: "predicate.valueRef"
            })
        ));
        assert_eq!(
            node(|out| _ = out.map(1).text("op").text("=")),
            Err(Error::Choice { field: "predicate.op" })
        );
        assert_eq!(
            node(|out| _ = out.map(0)),
            Err(Error::Missing { field: "predicate.op" })
        );
        let eq = node(|out| _ = out.map(1).text("op").text("eq"));
        assert_eq!(
            eq,
            Err(Error::Missing {
                field: "predicate.attribute"
            })
        );
        assert!(leaf_of("in", |out| _ = out.raw(&[0xc1])).is_err());
        assert!(matches!(
            leaf_of("like", |out| _ = out.u64(1)),
            Err(Error::Field { .. })
        ));
        let between = leaf_of("between", |out| _ = out.list(1).u64(1));
        assert_eq!(
            between,
            Err(Error::Length {
                field: "predicate.value",
                len: 2
            })
        );
    }

    #[test]
    fn predicate_nodes() {
        let limits = Limits {
            predicate_nodes: 4,
            ..Limits::default()
        };
        let read = |filter: &str| {
            let mut out = Writer::new();
            text(filter).write(&mut out);
            Predicate::read(&mut Reader::new(&out.into_vec()), &limits)
        };
        let refused = Err(Error::TooManyNodes { limit: 4 });
        assert!(read("a = 1").is_ok() && read("a in (1, 2)").is_ok());
        assert_eq!(read("a in (1, 2, 3)"), refused);
        assert_eq!(read("a = 1 and b = 2"), refused);
        assert_eq!(read("a like \"01234567012345670123456701234567\""), refused);
        assert_eq!(read("a contains \"0123456701234567012345670\""), refused);
    }

    #[test]
    fn nesting_is_bounded_by_depth() {
        let nested = |levels: usize| {
            let mut out = Writer::new();
            for _ in 0..levels - 1 {
                out.map(2).text("op").text("not").text("children").list(1);
            }
            out.map(2).text("op").text("isNull").text("attribute").text("a");
            Predicate::read(&mut Reader::new(&out.into_vec()), &Limits::default())
        };
        assert!(nested(30).is_ok());
        assert_eq!(nested(31), Err(Error::TooDeep { limit: 30 }));
        assert_eq!(nested(100_000), Err(Error::TooDeep { limit: 30 }));
    }
}
