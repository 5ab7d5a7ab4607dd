//! The [`Net`] of a production node.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::rc::Rc;

use async_channel::Receiver;
use smol::LocalExecutor;

use super::link::{NetLink, NetReader, NetWriter};
use super::socket::{self, DialError, PeerDialError};
use super::tls::Tls;
use crate::driver::{LinkOf, Net};
use crate::metrics::Sparingly;

/// Connections that a [`Server`](super::Server) accepted, sockets that it dials, and the executor of both.
#[derive(Debug)]
pub struct SmolNet {
    executor: Rc<LocalExecutor<'static>>,
    accepted: Receiver<NetLink>,
    frame_bytes: usize,
    tls: Option<Tls>,
    /// Warnings of those that were dialled and refused, by address.
    refused: RefCell<BTreeMap<String, Sparingly>>,
}

impl SmolNet {
    /// Tasks run on `executor`; connections come from `accepted`; dialled ones carry frames of `frame_bytes`, and speak `tls` if it
    /// is given.
    pub fn new(
        executor: Rc<LocalExecutor<'static>>,
        accepted: Receiver<NetLink>,
        frame_bytes: usize,
        tls: Option<Tls>,
    ) -> Self {
        Self {
            executor,
            accepted,
            frame_bytes,
            tls,
            refused: RefCell::default(),
        }
    }

    /// Says why somebody who is there does not link. Who is not there at all is no news: it is dialled again and again.
    fn note(&self, addr: &str, error: &PeerDialError) {
        let is_refusal = matches!(
            error,
            PeerDialError::Tls(_) | PeerDialError::Dial(DialError::Refused { .. })
        );
        if is_refusal && let Some(unsaid) = self.refused.borrow_mut().entry(addr.to_owned()).or_default().may() {
            tracing::warn!(addr, reason = %error, unsaid, "a peer was dialled and there is no link");
        }
    }
}

impl Net for SmolNet {
    type Reader = NetReader;
    type Writer = NetWriter;

    async fn accept(&self) -> io::Result<LinkOf<Self>> {
        let link = self.accepted.recv().await;
        link.map_err(|_| io::Error::other("the listener is gone"))
    }

    async fn dial(&self, addr: String) -> io::Result<LinkOf<Self>> {
        match socket::dial_peer(&addr, self.tls.as_ref(), self.frame_bytes).await {
            Ok(link) => {
                self.refused.borrow_mut().remove(&addr);
                Ok(link.into())
            }
            Err(error) => {
                self.note(&addr, &error);
                Err(io::Error::other(error))
            }
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(task).detach();
    }
}
