//! One HTTP exchange as a connection: the credentials, if there are any, and the body are the frames that come, and the
//! first frame that goes is the answer.

use std::collections::VecDeque;
use std::io;

use async_channel::{Receiver, Sender, bounded};
use bytes::Bytes;
use kernel::machine::{ConnKind, Role};

use crate::driver::Link;

/// A connection that carries `frames`, and where the answer will be. The channel closes when there will be none.
pub(super) fn exchange(
    frames: VecDeque<Bytes>,
    frame_bytes: usize,
) -> (Link<ExchangeReader, ExchangeWriter>, Receiver<Bytes>) {
    let (reply, answer) = bounded(1);
    let kind = ConnKind {
        role: Role::Client,
        push: false,
        ordered: true,
        frame_bytes,
    };
    let reader = ExchangeReader {
        frames,
        reply: reply.clone(),
    };
    let writer = ExchangeWriter { reply };
    (Link { kind, reader, writer }, answer)
}

/// Gives the frames, then waits until the exchange is over.
#[derive(Debug)]
pub struct ExchangeReader {
    frames: VecDeque<Bytes>,
    reply: Sender<Bytes>,
}

impl ExchangeReader {
    pub(super) async fn read(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(frame) = self.frames.pop_front() {
            return Ok(Some(frame));
        }
        // The handler lets go when it has the answer, or when its client went away.
        self.reply.closed().await;
        Ok(None)
    }
}

impl Drop for ExchangeReader {
    fn drop(&mut self) {
        self.reply.close();
    }
}

/// Takes the answer.
#[derive(Debug)]
pub struct ExchangeWriter {
    reply: Sender<Bytes>,
}

impl ExchangeWriter {
    pub(super) fn write(&mut self, frame: Bytes) -> io::Result<()> {
        let sent = self.reply.try_send(frame);
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the exchange is over"))
    }

    pub(super) fn close(&mut self) {
        self.reply.close();
    }
}
