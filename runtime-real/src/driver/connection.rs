//! The task of one connection: frames in, frames out, and one goodbye.

use std::rc::Rc;

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures_lite::future::{self, or};
use kernel::env::{ConnId, PeerId};

use super::budget::{Budget, Held};
use super::host::{Clock, FrameReader, FrameWriter, Link, LinkOf, Net};

/// Bytes after which a writer flushes, however many frames still wait.
const FLUSH_BYTES: u64 = 256 << 10;

/// What must reach the driver even while it takes no frames.
pub(super) enum Control<N: Net + ?Sized> {
    Accepted(LinkOf<N>),
    Dialled {
        peer: PeerId,
        link: std::io::Result<LinkOf<N>>,
    },
    Drained {
        conn: ConnId,
        bytes: u64,
    },
}

/// What comes out of connections, in order. The end of one comes here too, after its last frame.
#[derive(Debug)]
pub(super) enum FromConn {
    Received { conn: ConnId, frame: Bytes, held: Held },
    Closed { conn: ConnId },
}

/// Where a connection's task puts what happens.
pub(super) struct Mailbox<N: Net + ?Sized> {
    pub control: Sender<Control<N>>,
    pub frames: Sender<FromConn>,
    pub budget: Rc<Budget>,
}

/// The task's ends of a connection that the driver holds.
pub(super) struct Lines {
    /// Frames to write. Closed by the driver when there will be no more.
    pub outbox: Receiver<Bytes>,
    /// Nothing ever comes; it is disconnected when the driver wants the connection gone.
    pub hangup: Receiver<()>,
}

/// Carries a connection until either side ends it, then says so once.
pub(super) async fn carry<N: Net, C: Clock>(
    conn: ConnId,
    link: LinkOf<N>,
    lines: Lines,
    mailbox: Mailbox<N>,
    clock: Rc<C>,
    grace_us: u64,
) {
    let Link {
        mut reader, mut writer, ..
    } = link;
    let overdue = async {
        let _ = lines.hangup.recv().await;
        clock.sleep(grace_us).await;
    };
    let reading = read_all::<N>(conn, &mut reader, &mailbox);
    let writing = write_all::<N>(conn, &mut writer, &lines.outbox, &mailbox);
    or(or(writing, reading), overdue).await;
    // Whoever ended it, the other side hears a goodbye if it still listens. A second one does no harm.
    or(
        async {
            let _ = writer.close().await;
        },
        clock.sleep(grace_us),
    )
    .await;
    lines.outbox.close();
    drop((reader, writer));
    let _ = mailbox.frames.send(FromConn::Closed { conn }).await;
}

async fn read_all<N: Net>(conn: ConnId, reader: &mut N::Reader, mailbox: &Mailbox<N>) {
    loop {
        match reader.read().await {
            Ok(Some(frame)) => {
                let held = mailbox.budget.take(frame.len() as u64).await;
                let event = FromConn::Received { conn, frame, held };
                if mailbox.frames.send(event).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(conn = conn.0, %error, "a connection broke while reading");
                return;
            }
        }
    }
}

async fn write_all<N: Net>(conn: ConnId, writer: &mut N::Writer, outbox: &Receiver<Bytes>, mailbox: &Mailbox<N>) {
    while let Ok(first) = outbox.recv().await {
        let (mut next, mut bytes) = (Some(first), 0);
        while let Some(frame) = next {
            bytes += frame.len() as u64;
            if let Err(error) = writer.write(frame).await {
                tracing::debug!(conn = conn.0, %error, "a connection broke while writing");
                return;
            }
            next = match bytes < FLUSH_BYTES {
                true => outbox.try_recv().ok(),
                false => None,
            };
        }
        if let Err(error) = writer.flush().await {
            tracing::debug!(conn = conn.0, %error, "a connection broke while writing");
            return;
        }
        if mailbox.control.send(Control::Drained { conn, bytes }).await.is_err() {
            return;
        }
    }
    // The driver gave its last frame. Reading goes on until the other side has closed too: to drop the socket with
    // something unread would reset it, and could take our last frames from the other side.
    if writer.close().await.is_ok() {
        future::pending::<()>().await;
    }
}
