//! The grammar of filters, by recursive descent.

use alloc::string::String;
use alloc::vec::Vec;

use super::filter::{FilterError, Problem};
use super::lexer::{Lexeme, Lexer, is_keyword, literal};
use super::node::Budget;
use super::{Compare, Error, Needles, Path, Pattern, Predicate};
use crate::env::Limits;
use crate::value::{DEPTH_MAX, Value};

/// A filter that is being read. See [`Predicate::parse`] for the grammar: each rule is a function.
pub(super) struct Parser<'t, 'l> {
    lexer: Lexer<'t>,
    /// What stands next, from where to where.
    pub(super) next: Lexeme<'t>,
    start: usize,
    end: usize,
    /// What stood before it.
    before: (usize, usize),
    budget: Budget<'l>,
    limits: &'l Limits,
}

impl<'t, 'l> Parser<'t, 'l> {
    pub(super) fn new(text: &'t str, limits: &'l Limits) -> Result<Self, FilterError> {
        let mut lexer = Lexer::new(text);
        let (next, start, end) = lexer.next()?;
        Ok(Self {
            lexer,
            next,
            start,
            end,
            before: (0, 0),
            budget: Budget::new(limits),
            limits,
        })
    }

    /// Takes what stands next.
    fn take(&mut self) -> Result<Lexeme<'t>, FilterError> {
        let (next, start, end) = self.lexer.next()?;
        self.before = (self.start, self.end);
        (self.start, self.end) = (start, end);
        Ok(core::mem::replace(&mut self.next, next))
    }

    fn take_if(&mut self, is_it: impl FnOnce(&Lexeme<'t>) -> bool) -> Result<bool, FilterError> {
        let found = is_it(&self.next);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn keyword(&mut self, word: &str) -> Result<bool, FilterError> {
        self.take_if(|next| next.is(word))
    }

    pub(super) fn expected(&self, what: &'static str) -> FilterError {
        const SHOWN_CHARS: usize = 40;
        let (from, to) = self.before;
        let after = self.lexer.slice(from, to).chars().take(SHOWN_CHARS).collect();
        self.lexer.error(self.start, Problem::Expected { what, after })
    }

    fn need(&mut self, lexeme: Lexeme<'t>, what: &'static str) -> Result<(), FilterError> {
        match self.take_if(|next| *next == lexeme)? {
            true => Ok(()),
            false => Err(self.expected(what)),
        }
    }

    /// What is wrong with something that began at `at`.
    fn refused<T>(&self, at: usize, result: Result<T, Error>) -> Result<T, FilterError> {
        result.map_err(|error| self.lexer.error(at, Problem::Refused(error)))
    }

    fn spend(&mut self, nodes: usize) -> Result<(), FilterError> {
        let spent = self.budget.spend(nodes);
        self.refused(self.start, spent)
    }

    /// What may have an `or` in it, within `depth - 1` parentheses and `not`s.
    pub(super) fn any(&mut self, depth: usize) -> Result<Predicate, FilterError> {
        let mut parts = Vec::from([self.all(depth)?]);
        while self.keyword("or")? {
            parts.push(self.all(depth)?);
        }
        self.combined(parts, Predicate::or)
    }

    fn all(&mut self, depth: usize) -> Result<Predicate, FilterError> {
        let mut parts = Vec::from([self.one(depth)?]);
        while self.keyword("and")? {
            parts.push(self.one(depth)?);
        }
        self.combined(parts, Predicate::and)
    }

    fn combined(
        &mut self,
        parts: Vec<Predicate>,
        combine: fn(Vec<Predicate>) -> Predicate,
    ) -> Result<Predicate, FilterError> {
        if parts.len() > 1 {
            self.spend(1)?;
        }
        Ok(combine(parts))
    }

    fn one(&mut self, depth: usize) -> Result<Predicate, FilterError> {
        let limit = self.limits.depth.min(DEPTH_MAX);
        if depth > limit {
            return self.refused(self.start, Err(Error::TooDeep { limit }));
        }
        self.spend(1)?;
        if self.keyword("not")? {
            return Ok(self.one(depth + 1)?.negated());
        }
        if self.take_if(|next| *next == Lexeme::Open)? {
            let inner = self.any(depth + 1)?;
            self.need(Lexeme::Close, "'and', 'or' or ')'")?;
            return Ok(inner);
        }
        if self.keyword("true")? {
            return Ok(Predicate::True);
        }
        if self.keyword("false")? {
            return Ok(Predicate::never());
        }
        let path = self.field()?;
        self.condition(path)
    }

    fn field(&mut self) -> Result<Path, FilterError> {
        let name = match &self.next {
            Lexeme::Word(word) if !is_keyword(word) => (*word).into(),
            Lexeme::Name(name) => name.clone(),
            _ => return Err(self.expected("a field")),
        };
        let path = Path::parse(&name);
        let path = self.refused(self.start, path)?;
        self.take()?;
        Ok(path)
    }

    fn condition(&mut self, path: Path) -> Result<Predicate, FilterError> {
        if let Lexeme::Sign(op) = self.next {
            self.take()?;
            return Ok(match (op, self.value()?) {
                (Compare::Eq, Value::Null) => Predicate::IsNull(path),
                (Compare::Neq, Value::Null) => Predicate::IsNotNull(path),
                (op, literal) => Predicate::compare(path, op, literal),
            });
        }
        if self.keyword("is")? {
            let not = self.keyword("not")?;
            if !self.keyword("null")? {
                return Err(self.expected(if not { "'null'" } else { "'null' or 'not null'" }));
            }
            return Ok(if not {
                Predicate::IsNotNull(path)
            } else {
                Predicate::IsNull(path)
            });
        }
        if self.keyword("not")? {
            self.spend(1)?;
            let condition = self.worded(path, "'like', 'in', 'between' or 'contains'")?;
            return Ok(condition.negated());
        }
        self.worded(path, "a comparison")
    }

    fn worded(&mut self, path: Path, what: &'static str) -> Result<Predicate, FilterError> {
        if self.keyword("like")? {
            let at = self.start;
            let text = match self.take_text()? {
                Some(text) => text,
                None => return Err(self.expected("a pattern")),
            };
            let pattern = Pattern::like(&text, self.limits);
            let pattern = self.refused(at, pattern)?;
            self.spend(pattern.weight())?;
            return Ok(Predicate::Like { path, pattern });
        }
        if self.keyword("in")? {
            let literals = self.list()?.into_iter().collect();
            return Ok(Predicate::In { path, literals });
        }
        if self.keyword("between")? {
            let low = self.value()?;
            if !self.keyword("and")? {
                return Err(self.expected("'and'"));
            }
            let high = self.value()?;
            return Ok(Predicate::Between { path, low, high });
        }
        if self.keyword("contains")? {
            return self.contains(path);
        }
        Err(self.expected(what))
    }

    fn contains(&mut self, path: Path) -> Result<Predicate, FilterError> {
        let at = self.start;
        let word = match self.next {
            Lexeme::Word(word) => Some(word),
            _ => None,
        };
        // `all` and `any` are keywords before a list, and words like others elsewhere.
        let many = word.filter(|word| ["all", "any"].iter().any(|many| word.eq_ignore_ascii_case(many)));
        let needles = match many.filter(|_| matches!(self.lexer.clone().next(), Ok((Lexeme::Open, ..)))) {
            Some(many) => {
                self.take()?;
                let literals = self.list()?;
                Needles::many(many.eq_ignore_ascii_case("all"), literals, self.limits)
            }
            None => Needles::one(self.value()?, self.limits),
        };
        let needles = self.refused(at, needles)?;
        self.spend(needles.weight())?;
        Ok(Predicate::Contains { path, needles })
    }

    fn list(&mut self) -> Result<Vec<Value>, FilterError> {
        self.need(Lexeme::Open, "a list such as (a, b)")?;
        let mut values = Vec::new();
        if self.take_if(|next| *next == Lexeme::Close)? {
            return Ok(values);
        }
        loop {
            values.push(self.value()?);
            if self.take_if(|next| *next == Lexeme::Close)? {
                return Ok(values);
            }
            self.need(Lexeme::Comma, "',' or ')'")?;
        }
    }

    fn value(&mut self) -> Result<Value, FilterError> {
        let value = match &mut self.next {
            Lexeme::Word(word) => literal(word),
            Lexeme::Text(text) => Value::Text(core::mem::take(text)),
            _ => return Err(self.expected("a value")),
        };
        self.spend(1)?;
        self.take()?;
        Ok(value)
    }

    /// A text, or a bare word of any kind.
    fn take_text(&mut self) -> Result<Option<String>, FilterError> {
        let text = match &mut self.next {
            Lexeme::Word(word) => (*word).into(),
            Lexeme::Text(text) => core::mem::take(text),
            _ => return Ok(None),
        };
        self.take()?;
        Ok(Some(text))
    }
}
