//! A predicate as the text that reads back as it.

use core::fmt::{self, Display, Formatter, Write};

use super::lexer::{is_keyword, is_word};
use super::{Path, Predicate, Quantity};
use crate::value::Value;

/// As the text that [`Predicate::parse`] reads. Literals that people do not type (bytes, lists, maps, NaN, and null in a list)
/// are shown, but do not come back.
impl Display for Predicate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::True => f.write_str("true"),
            Self::Compare { path, op, literal } => write!(f, "{} {} {}", Name(path), op.sign(), Literal(literal)),
            Self::Like { path, pattern } => write!(f, "{} like {}", Name(path), Quoted(pattern.text())),
            Self::In { path, literals } => write!(f, "{} in {}", Name(path), List(|| literals.literals().iter())),
            Self::Between { path, low, high } => {
                write!(f, "{} between {} and {}", Name(path), Literal(low), Literal(high))
            }
            Self::IsNull(path) => write!(f, "{} is null", Name(path)),
            Self::IsNotNull(path) => write!(f, "{} is not null", Name(path)),
            Self::Contains { path, needles } => {
                let literals = List(|| needles.literals());
                match needles.quantity() {
                    Quantity::One => {
                        write!(f, "{} contains ", Name(path))?;
                        joined(f, "", needles.literals().map(Literal))
                    }
                    Quantity::All => write!(f, "{} contains all {literals}", Name(path)),
                    Quantity::Any => write!(f, "{} contains any {literals}", Name(path)),
                }
            }
            Self::And(parts) if parts.is_empty() => f.write_str("true"),
            Self::Or(parts) if parts.is_empty() => f.write_str("false"),
            Self::And(parts) => joined(f, " and ", parts.iter().map(Inner)),
            Self::Or(parts) => joined(f, " or ", parts.iter().map(Inner)),
            Self::Not(part) => write!(f, "not ({part})"),
        }
    }
}

/// A part of a greater one.
struct Inner<'p>(&'p Predicate);

impl Display for Inner<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Predicate::And(parts) | Predicate::Or(parts) if !parts.is_empty() => write!(f, "({})", self.0),
            part => part.fmt(f),
        }
    }
}

struct Name<'p>(&'p Path);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.0.name();
        if is_word(name) && !is_keyword(name) {
            return f.write_str(name);
        }
        quoted(f, name, '`', |c| c == '`', '`')
    }
}

struct Quoted<'t>(&'t str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        quoted(f, self.0, '"', |c| matches!(c, '"' | '\\'), '\\')
    }
}

fn quoted(f: &mut Formatter<'_>, text: &str, quote: char, special: fn(char) -> bool, escape: char) -> fmt::Result {
    f.write_char(quote)?;
    for c in text.chars() {
        if special(c) {
            f.write_char(escape)?;
        }
        f.write_char(c)?;
    }
    f.write_char(quote)
}

struct Literal<'v>(&'v Value);

impl Display for Literal<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Bool(yes) => yes.fmt(f),
            Value::Int(n) => n.fmt(f),
            // A number that overflows reads as infinity.
            Value::Float(x) if x.is_infinite() => f.write_str(if *x > 0.0 { "1e999" } else { "-1e999" }),
            Value::Float(x) if x.is_nan() => f.write_str("nan"),
            // With a point or an exponent, so that it stays a float.
            Value::Float(x) => write!(f, "{x:?}"),
            Value::Text(text) => Quoted(text).fmt(f),
            Value::Bytes(bytes) => {
                f.write_str("0x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Value::List(elements) => {
                f.write_char('[')?;
                joined(f, ", ", elements.iter().map(Literal))?;
                f.write_char(']')
            }
            Value::Map(map) => {
                f.write_char('{')?;
                joined(f, ", ", map.iter().map(|(key, value)| Pair(key, value)))?;
                f.write_char('}')
            }
        }
    }
}

struct Pair<'v>(&'v Value, &'v Value);

impl Display for Pair<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Literal(self.0), Literal(self.1))
    }
}

/// Literals in parentheses, made anew each time that they are shown.
struct List<F>(F);

impl<'v, I: Iterator<Item = &'v Value>, F: Fn() -> I> Display for List<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('(')?;
        joined(f, ", ", (self.0)().map(Literal))?;
        f.write_char(')')
    }
}

fn joined(f: &mut Formatter<'_>, between: &str, parts: impl Iterator<Item = impl Display>) -> fmt::Result {
    for (index, part) in parts.enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        part.fmt(f)?;
    }
    Ok(())
}
