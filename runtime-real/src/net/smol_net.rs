//! The [`Net`] of a production node.

use std::future::Future;
use std::io;
use std::rc::Rc;

use async_channel::Receiver;
use bytes::Bytes;
use smol::LocalExecutor;

use super::exchange::{ExchangeReader, ExchangeWriter};
use super::socket::{self, SocketReader, SocketWriter};
use crate::driver::{FrameReader, FrameWriter, Link, LinkOf, Net};

/// Connections that a [`Server`](super::Server) accepted, sockets that it dials, and the executor of both.
#[derive(Debug)]
pub struct SmolNet {
    executor: Rc<LocalExecutor<'static>>,
    accepted: Receiver<Link<NetReader, NetWriter>>,
    frame_bytes: usize,
}

impl SmolNet {
    /// Tasks run on `executor`; connections come from `accepted`; dialled ones carry frames of `frame_bytes`.
    pub fn new(
        executor: Rc<LocalExecutor<'static>>,
        accepted: Receiver<Link<NetReader, NetWriter>>,
        frame_bytes: usize,
    ) -> Self {
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
        socket::dial_peer(&addr, self.frame_bytes).await
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(task).detach();
    }
}

/// Frames from a WebSocket or of an HTTP exchange.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum NetReader {
    Socket(SocketReader),
    Exchange(ExchangeReader),
}

/// Frames to a WebSocket or of an HTTP exchange.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum NetWriter {
    Socket(SocketWriter),
    Exchange(ExchangeWriter),
}

impl FrameReader for NetReader {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Socket(reader) => reader.read().await,
            Self::Exchange(reader) => reader.read().await,
        }
    }
}

impl FrameWriter for NetWriter {
    async fn write(&mut self, frame: Bytes) -> io::Result<()> {
        match self {
            Self::Socket(writer) => writer.write(frame).await,
            Self::Exchange(writer) => writer.write(frame),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(writer) => writer.flush().await,
            Self::Exchange(_) => Ok(()),
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(writer) => writer.close().await,
            Self::Exchange(writer) => {
                writer.close();
                Ok(())
            }
        }
    }
}
