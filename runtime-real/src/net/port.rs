//! What the requests of one port share.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use async_channel::Sender;
use async_io::Timer;
use futures_lite::future::or;
use kernel::session::Secret;
use smol::LocalExecutor;

use super::link::NetLink;
use super::tls::Tls;
use crate::driver::Budget;
use crate::metrics::Sparingly;

/// What a listener holds its clients to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Longest frame.
    pub frame_bytes: usize,
    /// Longest frame of somebody who has yet to authenticate.
    pub unauthenticated_frame_bytes: usize,
    /// Bytes of all bodies that are being read or served at once. Who comes when they are taken waits, and is refused
    /// after [`Rules::patience`].
    pub body_bytes: u64,
    /// Most connections at once.
    pub connections: usize,
    /// How long a client may take to say what it wants: for a request's head, and for each next piece of its body.
    pub patience: Duration,
    /// What a client has to know; `None` serves whoever connects. The machine decides who may speak; this decides how
    /// much is read before it has, and who sees the metrics.
    pub secret: Option<Secret>,
    /// What other nodes must speak TLS with; `None` lets them speak as they come.
    pub tls: Option<Tls>,
    /// What the health paths say.
    pub health: Health,
    /// What `/metrics` shows.
    pub metrics: Page,
}

/// Whether the node serves. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Health(Rc<Cell<bool>>);

impl Health {
    /// From now on the node serves, or does not.
    pub fn set_ready(&self, ready: bool) {
        self.0.set(ready);
    }

    /// Whether it serves.
    pub fn is_ready(&self) -> bool {
        self.0.get()
    }
}

/// A text that is made anew each time it is asked for.
#[derive(Clone)]
pub struct Page(Rc<dyn Fn() -> String>);

impl Page {
    /// What `make` makes.
    pub fn new(make: impl Fn() -> String + 'static) -> Self {
        Self(Rc::new(make))
    }

    pub(super) fn text(&self) -> String {
        (self.0)()
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new(String::new)
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page(..)")
    }
}

/// What the requests of one port share.
#[derive(Debug)]
pub(super) struct Port {
    pub rules: Rules,
    /// Where new links go.
    pub links: Sender<NetLink>,
    /// Runs what outlives its request.
    pub executor: Rc<LocalExecutor<'static>>,
    /// Room for bodies.
    pub bodies: Rc<Budget>,
    /// Warnings of handshakes that failed.
    pub no_tls: RefCell<Sparingly>,
    /// Warnings of nodes that came and are refused.
    pub strange: Rc<RefCell<Sparingly>>,
    /// Warnings of nodes that came without TLS.
    pub plain_peers: RefCell<Sparingly>,
}

impl Port {
    pub(super) fn new(rules: Rules, links: Sender<NetLink>, executor: Rc<LocalExecutor<'static>>) -> Self {
        Self {
            bodies: Budget::new(rules.body_bytes),
            no_tls: RefCell::default(),
            strange: Rc::default(),
            plain_peers: RefCell::default(),
            rules,
            links,
            executor,
        }
    }
}

/// What comes of `work`; `None` if it takes longer than `patience`.
pub(super) async fn in_time<T>(patience: Duration, work: impl Future<Output = T>) -> Option<T> {
    or(async { Some(work.await) }, async {
        Timer::after(patience).await;
        None
    })
    .await
}
