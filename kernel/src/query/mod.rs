//! Floor 6: what may be asked of a map, once and live.
//!
//! A [`Query`] names a map, a [`Predicate`], an order, a limit and the fields that are wanted. [`Query::run`] answers it from a
//! store as it is now; a [`Live`] one is told of each change and says what enters, changes and leaves. Predicates are read in
//! place over a value's MessagePack: nothing is decoded that need not be.
//!
//! Over many nodes, [`Query::partitions`] says where records that match can be. Those who have these partitions are asked, each
//! for [`Query::of_source`] within its own; a [`Gather`] makes one answer of theirs, a [`GatheredLive`] one that is kept.
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
mod gather;
mod gathered;
mod gone;
mod lexer;
mod like;
mod literals;
mod live;
mod node;
mod order;
mod parser;
mod path;
mod plan;
mod predicate;
mod print;
mod prune;
mod routed;
mod run;
mod window;

#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;

pub use error::Error;
pub use filter::{FilterError, Problem};
pub use gather::Gather;
pub use gathered::{Answer, Change, GatheredLive, Said};
pub use gone::Gone;
pub use like::Pattern;
pub use literals::{Needles, OneOf, Quantity};
pub use live::{ChangeType, Event, Live, net};
pub use order::Direction;
pub use path::{KEY, Path};
pub use plan::Query;
pub use predicate::{Compare, Predicate};
pub use prune::Explain;
pub use routed::Misrouted;
pub use run::{Ranked, Row};
