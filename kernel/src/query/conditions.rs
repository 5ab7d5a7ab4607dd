//! The `where` object of TopGun's queries: `{field: value}`.
//!
//! Each field equals its value, or is missing or null for a null. A value that is an object of operators (`{"$gt": 5, "$lte":
//! 9}`: the words of nodes after a `$`, and `$ne`) is a condition for each of them.

use alloc::vec::Vec;

use super::node::{Budget, NULL, unsupported};
use super::{Compare, Error, Path, Predicate};
use crate::env::Limits;
use crate::msgpack::Reader;
use crate::value::Value;

impl Predicate {
    /// Reads a `where` object.
    ///
    /// # Errors
    /// [`Error`], whatever the bytes are.
    pub fn read_where(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, Error> {
        Budget::new(limits).conditions(reader)
    }
}

impl Budget<'_> {
    /// A `where` object.
    pub(super) fn conditions(&mut self, reader: &mut Reader<'_>) -> Result<Predicate, Error> {
        let mut parts = Vec::new();
        for _ in 0..reader.map()? {
            // A key that is no text is refused: to skip a condition would be to answer with more.
            let name = reader.text()?;
            if name.starts_with('$') {
                return Err(unsupported("an operator in place of a field of where"));
            }
            let path = Path::parse(name)?;
            let value = reader.raw()?;
            self.spend(1)?;
            if is_operators(value) {
                self.operators(&path, value, &mut parts)?;
            } else {
                parts.push(equality(path, self.literal(value)?));
            }
        }
        Ok(Predicate::and(parts))
    }

    fn operators(&mut self, path: &Path, value: &[u8], parts: &mut Vec<Predicate>) -> Result<(), Error> {
        let mut reader = Reader::new(value);
        for _ in 0..reader.map()? {
            let op = reader.text()?;
            let value = reader.raw()?;
            self.spend(1)?;
            parts.push(match op.strip_prefix('$').unwrap_or(op) {
                "eq" => equality(path.clone(), self.literal(value)?),
                "ne" | "neq" if value == NULL => Predicate::IsNotNull(path.clone()),
                op => {
                    let op = if op == "ne" { "neq" } else { op };
                    let leaf = self.leaf(op, |_| Ok(path.clone()), None, value);
                    leaf.map_err(|error| match error {
                        Error::Choice { .. } => unsupported("an operator of where"),
                        error => error,
                    })?
                }
            });
        }
        Ok(())
    }
}

/// What a `where` asks of a field.
fn equality(path: Path, literal: Value) -> Predicate {
    if literal.is_null() {
        return Predicate::IsNull(path);
    }
    Predicate::compare(path, Compare::Eq, literal)
}

/// Whether it is a map with operators for all its keys, and one at least.
fn is_operators(value: &[u8]) -> bool {
    let mut reader = Reader::new(value);
    let Ok(len @ 1..) = reader.map() else {
        return false;
    };
    (0..len).all(|_| reader.text().is_ok_and(|key| key.starts_with('$')) && reader.skip().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::Writer;

    fn conditions(build: impl FnOnce(&mut Writer)) -> Result<Predicate, Error> {
        let mut out = Writer::new();
        build(&mut out);
        Predicate::read_where(&mut Reader::new(&out.into_vec()), &Limits::default())
    }

    fn text(text: &str) -> Predicate {
        Predicate::parse(text, &Limits::default()).unwrap()
    }

    #[test]
    fn where_is_equality_or_operators() {
        let equal = conditions(|out| {
            _ = out
                .map(3)
                .text("a")
                .u64(1)
                .text("b.c")
                .null()
                .text("d")
                .map(1)
                .text("e")
                .u64(1)
        });
        let expected = ["a = 1", "b.c is null"].map(text).into_iter();
        let object = Value::Map([("e".into(), 1.into())].into_iter().collect());
        let object = Predicate::compare(Path::parse("d").unwrap(), Compare::Eq, object);
        assert_eq!(equal, Ok(Predicate::and(expected.chain([object]).collect())));
        let range = conditions(|out| _ = out.map(1).text("age").map(2).text("$gt").u64(18).text("$ne").null());
        assert_eq!(range, Ok(text("age > 18 and age is not null")));
        assert_eq!(conditions(|out| _ = out.map(0)), Ok(Predicate::True));
        let unknown = conditions(|out| _ = out.map(1).text("a").map(1).text("$near").u64(1));
        assert_eq!(unknown, Err(unsupported("an operator of where")));
        assert!(conditions(|out| _ = out.map(1).text("$or").list(0)).is_err());
        assert!(conditions(|out| _ = out.map(1).u64(1).u64(1)).is_err());
    }

    #[test]
    fn predicate_nodes() {
        let mut out = Writer::new();
        out.map(3).text("a").u64(1).text("b").u64(1).text("c").u64(1);
        let bytes = out.into_vec();
        let read = |predicate_nodes| {
            let limits = Limits {
                predicate_nodes,
                ..Limits::default()
            };
            Predicate::read_where(&mut Reader::new(&bytes), &limits)
        };
        assert!(read(6).is_ok());
        assert_eq!(read(5), Err(Error::TooManyNodes { limit: 5 }));
    }
}
