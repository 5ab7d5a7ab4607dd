//! Predicates as people type them.

use alloc::string::String;
use core::fmt;

use super::lexer::Lexeme;
use super::parser::Parser;
use super::predicate::depth_limit;
use super::{Error, Predicate};
use crate::env::Limits;

/// Why a text is no filter, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {at}: {problem}")]
pub struct FilterError {
    /// The place, in characters, from 1.
    pub at: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Something else should stand here.
    Expected {
        /// What.
        what: &'static str,
        /// What it would come after; empty at the beginning.
        after: String,
    },
    /// A quote is not closed.
    Unclosed {
        /// Which.
        quote: char,
    },
    /// No comparison is written so.
    Sign,
    /// The text is too long.
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The predicate is one that cannot be asked.
    Refused(Error),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected { what, after } if after.is_empty() => write!(f, "expected {what}"),
            Self::Expected { what, after } => write!(f, "expected {what} after '{after}'"),
            Self::Unclosed { quote } => write!(f, "the {quote} is not closed"),
            Self::Sign => f.write_str("expected one of = != <> < <= > >="),
            Self::TooLong { limit } => write!(f, "the filter is longer than {limit} bytes"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl Predicate {
    /// Reads a filter:
    ///
    /// ```text
    /// filter    = [ any ]
    /// any       = all { "or" all }
    /// all       = one { "and" one }
    /// one       = "not" one | "(" any ")" | "true" | "false" | field condition
    /// condition = ( "=" | "!=" | "<>" | "<" | "<=" | ">" | ">=" ) value
    ///           | "is" [ "not" ] "null"
    ///           | [ "not" ] ( "like" value | "in" list | "between" value "and" value
    ///                       | "contains" ( value | ( "all" | "any" ) list ) )
    /// list      = "(" [ value { "," value } ] ")"
    /// ```
    ///
    /// Keywords are in any case. A field is a bare word (`address.city`) or stands in backticks. A value is a text in double or
    /// single quotes, or a bare word: `null`, `true`, `false`, a number as in JSON, and everything else is a text (`CA`, `%x%`,
    /// `2024-01-02`, `00M`). A bare word ends at a space or at one of `( ) , = ! < >` and quotes. Where a value must stand, any
    /// word is one, so that `state = OR` finds Oregon. `= null` is `is null`, and `!= null` is `is not null`. An empty filter
    /// is true of everything.
    ///
    /// What is read can be written as a node and read from that.
    ///
    /// # Errors
    /// [`FilterError`], with the place and what was expected there, or the limit: `filter_bytes`, `depth`, `predicate_nodes`,
    /// `pattern_chars`.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, FilterError> {
        let limit = limits.filter_bytes;
        if text.len() > limit {
            let problem = Problem::TooLong { limit };
            return Err(FilterError { at: 1, problem });
        }
        let mut parser = Parser::new(text, limits)?;
        if parser.next == Lexeme::End {
            return Ok(Self::True);
        }
        let predicate = parser.any(1)?;
        if parser.next != Lexeme::End {
            return Err(parser.expected("'and', 'or' or the end"));
        }
        // The parentheses were counted on the way; a node may nest deeper than they do.
        let limit = depth_limit(limits);
        if predicate.depth() > limit {
            return Err(FilterError {
                at: 1,
                problem: Problem::Refused(Error::TooDeep { limit }),
            });
        }
        Ok(predicate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Predicate {
        Predicate::parse(text, &Limits::default()).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn error(text: &str) -> String {
        Predicate::parse(text, &Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn as_people_type() {
        for (typed, meant) in [
            ("state=CA and latitude>35", "state = \"CA\" and latitude > 35"),
            ("name like \"%Muni%\"", "name like \"%Muni%\""),
            ("name LIKE %Muni%", "name like \"%Muni%\""),
            ("state in (CA, \"NY\",OR)", "state in (\"CA\", \"NY\", \"OR\")"),
            ("city is null OR a.b is NOT null", "city is null or a.b is not null"),
            ("not (a<>1 or b!=2) and c=3", "not (a != 1 or b != 2) and c = 3"),
            ("a between -1 and 5.5", "a between -1 and 5.5"),
            ("a=1 or b=2 and c=3", "a = 1 or (b = 2 and c = 3)"),
            ("not not a>=1", "not (not (a >= 1))"),
            ("a not in (1) and b not like x", "not (a in (1)) and not (b like \"x\")"),
            ("`odd name` = 'it\\'s'", "`odd name` = \"it's\""),
            ("state = OR or state = and", "state = \"OR\" or state = \"and\""),
            ("iata = 00M", "iata = \"00M\""),
            ("a = null or b != null", "a is null or b is not null"),
            (
                "tags contains all (x, 1) or tags contains any",
                "tags contains all (\"x\", 1) or tags contains \"any\"",
            ),
            ("((a=true))", "a = true"),
            ("true and false", "true and false"),
            ("`in` = x", "`in` = \"x\""),
            ("  ", "true"),
            ("a < null", "false"),
        ] {
            assert_eq!(parse(typed).to_string(), meant, "{typed}");
        }
    }

    #[test]
    fn an_error_says_where_and_what() {
        for (typed, problem) in [
            ("state =", "at 8: expected a value after '='"),
            ("= 1", "at 1: expected a field"),
            ("a = 1 and state", "at 16: expected a comparison after 'state'"),
            ("city is 1", "at 9: expected 'null' or 'not null' after 'is'"),
            ("city is not 1", "at 13: expected 'null' after 'not'"),
            ("ñ = \"open", "at 5: the \" is not closed"),
            ("a ! b", "at 3: expected one of = != <> < <= > >="),
            ("a = 1 b = 2", "at 7: expected 'and', 'or' or the end after '1'"),
            ("(a = 1", "at 7: expected 'and', 'or' or ')' after '1'"),
            ("a in 1", "at 6: expected a list such as (a, b) after 'in'"),
            ("a in (1 2)", "at 9: expected ',' or ')' after '1'"),
            ("a in (1,)", "at 9: expected a value after ','"),
            ("a between 1 or 2", "at 13: expected 'and' after '1'"),
            (
                "a not 1",
                "at 7: expected 'like', 'in', 'between' or 'contains' after 'not'",
            ),
            ("a like (", "at 8: expected a pattern after 'like'"),
            ("and", "at 1: expected a field"),
            ("`` = 1", "at 1: the name of a field is empty"),
        ] {
            assert_eq!(error(typed), problem, "{typed}");
        }
    }

    #[test]
    fn ten_thousand_parentheses_are_an_error() {
        let deep = |open: &str, close: &str, n: usize| format!("{}a=1{}", open.repeat(n), close.repeat(n));
        assert!(error(&deep("(", ")", 10_000)).contains("nests deeper than 64"));
        assert!(error(&deep("not ", "", 10_000)).contains("nests deeper than 64"));
        assert!(error(&deep("(", "", 10_000)).contains("nests deeper"));
        assert!(error(&deep("not ", "", 31)).contains("nests deeper than 30"));
        assert_eq!(parse(&deep("(", ")", 60)), parse("a=1"));
        assert_eq!(parse(&deep("not ", "", 29)).depth(), 30);
    }

    #[test]
    fn filter_bytes() {
        let limits = Limits {
            filter_bytes: 5,
            predicate_nodes: 2,
            ..Limits::default()
        };
        assert!(Predicate::parse("a = 1", &limits).is_ok());
        let error = Predicate::parse("aa = 1", &limits).unwrap_err();
        assert_eq!(error.problem, Problem::TooLong { limit: 5 });
        let limits = Limits {
            filter_bytes: 100,
            ..limits
        };
        let error = Predicate::parse("a=1 and b=2", &limits).unwrap_err();
        assert_eq!(error.problem, Problem::Refused(Error::TooManyNodes { limit: 2 }));
    }
}
