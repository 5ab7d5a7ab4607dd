//! The literals of a predicate that has many.

use alloc::vec::Vec;

use super::compare::Field;
use super::{Error, Pattern};
use crate::env::Limits;
use crate::value::Value;

/// Literals that a field may equal: ascending, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OneOf {
    literals: Vec<Value>,
}

impl OneOf {
    /// The literals.
    pub fn literals(&self) -> &[Value] {
        &self.literals
    }
}

impl FromIterator<Value> for OneOf {
    fn from_iter<I: IntoIterator<Item = Value>>(literals: I) -> Self {
        let mut literals: Vec<_> = literals.into_iter().collect();
        literals.sort();
        literals.dedup();
        Self { literals }
    }
}

/// How many of the needles must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// The only one.
    One,
    /// Each of them. Of none it is true, in a text or list.
    All,
    /// One of them at least.
    Any,
}

/// What a text or list contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needles {
    quantity: Quantity,
    /// With the pattern that finds it in a text, if it is one.
    needles: Vec<(Value, Option<Pattern>)>,
}

impl Needles {
    /// A single one.
    ///
    /// # Errors
    /// [`Error::LongPattern`].
    pub fn one(literal: Value, limits: &Limits) -> Result<Self, Error> {
        Self::new(Quantity::One, [literal], limits)
    }

    /// All of these, or any.
    ///
    /// # Errors
    /// [`Error::LongPattern`].
    pub fn many(all: bool, literals: Vec<Value>, limits: &Limits) -> Result<Self, Error> {
        Self::new(if all { Quantity::All } else { Quantity::Any }, literals, limits)
    }

    fn new(quantity: Quantity, literals: impl IntoIterator<Item = Value>, limits: &Limits) -> Result<Self, Error> {
        let with_pattern = |literal: Value| {
            let pattern = match &literal {
                Value::Text(text) => Some(Pattern::containing(text, limits)?),
                _ => None,
            };
            Ok((literal, pattern))
        };
        let needles = literals.into_iter().map(with_pattern).collect::<Result<_, Error>>()?;
        Ok(Self { quantity, needles })
    }

    /// How many must be there.
    pub fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// What they are.
    pub fn literals(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.needles.iter().map(|(literal, _)| literal)
    }

    /// What they count beside their literals, being searched for in texts.
    pub(super) fn weight(&self) -> usize {
        let patterns = self.needles.iter().filter_map(|(_, pattern)| pattern.as_ref());
        patterns.map(Pattern::weight).sum()
    }

    /// Whether as many of them as must are in a field.
    pub(super) fn are_in(&self, field: Field<'_>) -> bool {
        if let Some(text) = field.text() {
            return self.enough(|(_, pattern)| pattern.as_ref().is_some_and(|pattern| pattern.matches(text)));
        }
        self.enough(|(literal, _)| {
            let elements = field.elements();
            elements.is_some_and(|mut elements| elements.any(|element| element.equals(literal)))
        }) && field.elements().is_some()
    }

    fn enough(&self, is_in: impl FnMut(&(Value, Option<Pattern>)) -> bool) -> bool {
        let mut needles = self.needles.iter();
        match self.quantity {
            Quantity::All => needles.all(is_in),
            Quantity::One | Quantity::Any => needles.any(is_in),
        }
    }
}
