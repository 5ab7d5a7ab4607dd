//! The words and signs of a filter.

use alloc::string::String;

use super::Compare;
use super::filter::{FilterError, Problem};
use crate::value::{Int, Value};

/// Words that mean something where a field may stand. A field that is called so is put in backticks.
const KEYWORDS: [&str; 11] = [
    "and", "or", "not", "in", "is", "like", "between", "contains", "null", "true", "false",
];

/// A word or sign.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Lexeme<'t> {
    /// A bare word: a keyword, a name, a number, a text.
    Word(&'t str),
    /// A text in quotes.
    Text(String),
    /// A field's name in backticks.
    Name(String),
    /// A comparison.
    Sign(Compare),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// Nothing more.
    End,
}

impl Lexeme<'_> {
    /// Whether it is this keyword, in any case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// A filter's text, taken apart from its beginning.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    /// Where the next lexeme is looked for, in bytes.
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The position of a byte as people count: the first character is at 1.
    pub(super) fn position(&self, at: usize) -> usize {
        1 + self.text.get(..at).map_or(0, |before| before.chars().count())
    }

    /// What stands between two places.
    pub(super) fn slice(&self, from: usize, to: usize) -> &'t str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// The next lexeme, and where it begins and ends.
    pub(super) fn next(&mut self) -> Result<(Lexeme<'t>, usize, usize), FilterError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let start = self.at + (rest.len() - rest.trim_start().len());
        let rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            self.at = start;
            return Ok((Lexeme::End, start, start));
        };
        let (lexeme, len) = match first {
            '(' => (Lexeme::Open, 1),
            ')' => (Lexeme::Close, 1),
            ',' => (Lexeme::Comma, 1),
            '"' | '\'' | '`' => {
                let problem = Problem::Unclosed { quote: first };
                let (text, len) = quoted(rest, first).ok_or_else(|| self.error(start, problem))?;
                let name = first == '`';
                (if name { Lexeme::Name(text) } else { Lexeme::Text(text) }, len)
            }
            '=' | '!' | '<' | '>' => {
                let (sign, len) = sign(rest).ok_or_else(|| self.error(start, Problem::Sign))?;
                (Lexeme::Sign(sign), len)
            }
            _ => {
                let len = rest.find(|c| !is_word_char(c)).unwrap_or(rest.len());
                (Lexeme::Word(rest.get(..len).unwrap_or_default()), len)
            }
        };
        self.at = start + len;
        Ok((lexeme, start, self.at))
    }

    pub(super) fn error(&self, at: usize, problem: Problem) -> FilterError {
        FilterError {
            at: self.position(at),
            problem,
        }
    }
}

fn sign(rest: &str) -> Option<(Compare, usize)> {
    const SIGNS: [(&str, Compare); 8] = [
        ("==", Compare::Eq),
        ("!=", Compare::Neq),
        ("<>", Compare::Neq),
        ("<=", Compare::Lte),
        (">=", Compare::Gte),
        ("=", Compare::Eq),
        ("<", Compare::Lt),
        (">", Compare::Gt),
    ];
    let (sign, compare) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign))?;
    Some((*compare, sign.len()))
}

/// A text up to its closing quote, and how many bytes it took with both. Within backticks a backtick is written twice; within
/// quotes a `\` goes before a quote or another `\`, and is an ordinary character before anything else.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let escaped = match (c, next) {
            ('`', Some('`')) if quote == '`' => true,
            ('\\', Some(next)) if quote != '`' => matches!(next, '"' | '\'' | '\\'),
            _ => false,
        };
        if escaped {
            text.extend(chars.next().map(|(_, next)| next));
        } else if c == quote {
            return Some((text, at + c.len_utf8()));
        } else {
            text.push(c);
        }
    }
    None
}

fn is_word_char(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '(' | ')' | ',' | '"' | '\'' | '`' | '=' | '!' | '<' | '>')
}

/// Whether it is one bare word.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

/// Whether it means something where a field may stand.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// What a bare word is where a value may stand: null, a boolean or a number if it is written so, otherwise a text.
///
/// A number is as in JSON. `007` is none: whoever writes zeros in front means an identifier.
pub(super) fn literal(word: &str) -> Value {
    for (name, value) in [("null", Value::Null), ("true", true.into()), ("false", false.into())] {
        if word.eq_ignore_ascii_case(name) {
            return value;
        }
    }
    number(word).unwrap_or_else(|| word.into())
}

fn number(word: &str) -> Option<Value> {
    let magnitude = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (magnitude, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_ok = exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    let whole_ok = digits(whole) && (whole == "0" || !whole.starts_with('0'));
    if !whole_ok || !fraction.is_none_or(digits) || !exponent_ok {
        return None;
    }
    if fraction.is_none()
        && exponent.is_none()
        && let Some(n) = word.parse().ok().and_then(Int::new)
    {
        return Some(Value::Int(n));
    }
    word.parse().ok().map(Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_numbers_only_if_all_of_them_is() {
        assert_eq!(literal("35"), 35.into());
        assert_eq!(literal("-35.50"), (-35.5).into());
        assert_eq!(literal("1e3"), 1000.0.into());
        assert_eq!(literal("18446744073709551615"), u64::MAX.into());
        assert!(matches!(literal("18446744073709551616"), Value::Float(_)));
        assert!(matches!(literal("0.0"), Value::Float(_)) && matches!(literal("0"), Value::Int(_)));
        for text in [
            "00M",
            "2024-01-02",
            "007",
            "-",
            ".5",
            "5.",
            "1e",
            "+1",
            "inf",
            "NaN",
            "1_000",
            "0x10",
        ] {
            assert_eq!(literal(text), text.into(), "{text}");
        }
        assert_eq!(literal("NULL"), Value::Null);
        assert_eq!(literal("True"), true.into());
    }

    #[test]
    fn quotes_close() {
        assert_eq!(quoted(r#""a\"b\\c\%" x"#, '"'), Some((r#"a"b\c\%"#.into(), 11)));
        assert_eq!(quoted("'it\\'s'", '\''), Some(("it's".into(), 7)));
        assert_eq!(quoted("`a``b`", '`'), Some(("a`b".into(), 6)));
        assert_eq!(quoted("\"open\\\"", '"'), None);
        assert_eq!(quoted("``", '`'), Some(("".into(), 2)));
    }
}
