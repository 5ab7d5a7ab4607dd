//! Floor 0: what a machine is given from outside (time, randomness, limits) and the names of things.

mod clock;
mod ids;
mod limits;
mod mutant;
mod rare;
pub(crate) mod raw;
mod rng;

pub use clock::{Now, VirtualClock};
pub use ids::{ConnId, NodeId, PeerId, Ticket, WriterId, name_hash};
pub use limits::{BadLimit, Limits};
pub use mutant::{Mutant, Mutants, TESTING};
pub use rare::{Rare, RarePaths, Taken};
pub use rng::SeededRng;
