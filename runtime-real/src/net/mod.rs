//! The network of a production node: one port, on which HTTP and WebSocket are spoken.
//!
//! | path | is |
//! |---|---|
//! | `GET /ws` | a WebSocket for clients: binary frames are MessagePack, text frames JSON; answers come as the client spoke last |
//! | `GET /ws?format=json` | the same, with JSON before the client has spoken |
//! | `GET /peer` | a WebSocket between nodes: binary frames; over mutual TLS alone, where the node has certificates |
//! | `POST /sync` | one frame up, the answer down: `application/x-msgpack` or `application/json` |
//! | `GET /metrics` | what Prometheus scrapes |
//! | `GET /health/live`, `GET /health/ready` | for whoever watches the process |
//!
//! A connection whose first byte begins a TLS handshake is one of another node, and must show a certificate of the cluster. Then the same
//! HTTP is spoken on it.
//!
//! Whatever carries it, the driver sees a [`Link`](crate::driver::Link) with a kind.

mod answer;
mod clock;
mod exchange;
mod gate;
mod handshake;
mod introduced;
pub mod json;
mod link;
mod port;
mod routes;
mod server;
mod slot;
mod smol_net;
pub mod socket;
mod stream;
mod tls;

pub use clock::SystemClock;
pub use link::{NetLink, NetReader, NetWriter};
pub use port::{Health, Page, Rules};
pub use server::Server;
pub use smol_net::SmolNet;
pub use tls::{Tls, TlsError, TlsFiles};
