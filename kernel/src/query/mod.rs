//! Floor 6: what may be asked of a map, once and live.
//!
//! Predicates are read in
//! place over a value's MessagePack: nothing is decoded that need not be.
//!
//! A predicate comes in two forms: as TopGun's node or `where` object from the wire, and as text that people type
//! ([`Predicate::parse`]: `state=CA and latitude > 35`). Both are bounded by [`crate::env::Limits`], and a part that this
//! kernel cannot do is refused by its name.

mod compare;
mod conditions;
mod error;
mod fields;
mod filter;
mod fold;
mod lexer;
mod like;
mod literals;
mod node;
mod parser;
mod path;
mod predicate;
mod print;

pub use error::Error;
pub use filter::{FilterError, Problem};
pub use like::Pattern;
pub use literals::{Needles, OneOf, Quantity};
pub use path::{KEY, Path};
pub use predicate::{Compare, Predicate};
