//! The network of a production node: one port, on which HTTP and WebSocket are spoken.
//!
//! | path | is |
//! |---|---|
//! | `GET /ws` | a WebSocket for clients: binary frames are MessagePack, text frames JSON; answers come as the client spoke last |
//! | `GET /ws?format=json` | the same, with JSON before the client has spoken |
//! | `GET /peer` | a WebSocket between nodes: binary frames |
//! | `POST /sync` | one frame up, the answer down: `application/x-msgpack` or `application/json` |
//! | `GET /health/live`, `GET /health/ready` | for whoever watches the process |
//!
//! Whatever carries it, the driver sees a [`Link`](crate::driver::Link) with a kind.

mod answer;
mod clock;
mod exchange;
pub mod json;
mod routes;
mod server;
mod smol_net;
pub mod socket;

pub use clock::SystemClock;
pub use routes::{Health, Rules};
pub use server::Server;
pub use smol_net::{NetReader, NetWriter, SmolNet};
