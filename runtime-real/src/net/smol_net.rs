//! The [`Net`] of a production node.

use std::future::Future;
use std::io;
use std::rc::Rc;

use async_channel::Receiver;
use smol::LocalExecutor;

use super::link::{NetLink, NetReader, NetWriter};
use super::socket;
use crate::driver::{LinkOf, Net};

/// Connections that a [`Server`](super::Server) accepted, sockets that it dials, and the executor of both.
#[derive(Debug)]
pub struct SmolNet {
    executor: Rc<LocalExecutor<'static>>,
    accepted: Receiver<NetLink>,
    frame_bytes: usize,
}

impl SmolNet {
    /// Tasks run on `executor`; connections come from `accepted`; dialled ones carry frames of `frame_bytes`.
    pub fn new(executor: Rc<LocalExecutor<'static>>, accepted: Receiver<NetLink>, frame_bytes: usize) -> Self {
        Self {
            executor,
            accepted,
            frame_bytes,
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
        socket::dial_peer(&addr, self.frame_bytes).await.map(NetLink::from)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(task).detach();
    }
}
