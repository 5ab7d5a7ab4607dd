//! How much is read from somebody who has not yet been let in.
//!
//! The machine decides who may speak, and says so in what it sends: `AUTH_ACK` to a client, anything beyond the handshake to
//! a peer. Until then a socket gives only so many bytes; what comes after them stays with the system, and costs this
//! process nothing. A client may thus send its token and go on without waiting, and whoever never authenticates is closed by the
//! machine.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_lite::{AsyncRead, AsyncWrite};
use kernel::machine::Role;
use kernel::wire::peer::PeerMessage;
use kernel::wire::server::ServerMessage;

/// How deep a greeting nests. What nests deeper is something else.
const GREETING_DEPTH: usize = 4;

/// Whether the other side of a socket has been let in.
#[derive(Debug)]
pub(super) struct Gate {
    /// Bytes that may still be read; `None` once it is open.
    left: Cell<Option<usize>>,
    waiting: RefCell<Option<Waker>>,
}

impl Gate {
    /// One that lets `bytes` through before it is opened.
    pub(super) fn closed(bytes: usize) -> Rc<Self> {
        Rc::new(Self {
            left: Cell::new(Some(bytes)),
            waiting: RefCell::default(),
        })
    }

    /// One that is open.
    pub(super) fn open() -> Rc<Self> {
        Rc::new(Self {
            left: Cell::new(None),
            waiting: RefCell::default(),
        })
    }

    /// Looks at a frame that the machine sends, and opens if it shows that the other side is let in.
    pub(super) fn pass(&self, role: Role, frame: &[u8]) {
        if self.left.get().is_none() {
            return;
        }
        let is_in = match role {
            Role::Client => matches!(
                ServerMessage::decode(frame, GREETING_DEPTH),
                Ok(ServerMessage::AuthAck { .. })
            ),
            Role::Peer => !matches!(
                PeerMessage::decode(frame),
                Ok(PeerMessage::Hello(_) | PeerMessage::Proof(_) | PeerMessage::Refused(_))
            ),
        };
        if is_in {
            self.left.set(None);
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// A stream behind a gate.
#[derive(Debug)]
pub(super) struct Gated<S> {
    stream: S,
    gate: Rc<Gate>,
}

impl<S> Gated<S> {
    pub(super) fn new(stream: S, gate: Rc<Gate>) -> Self {
        Self { stream, gate }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(left) = self.gate.left.get() else {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        };
        if left == 0 {
            self.gate.waiting.replace(Some(context.waker().clone()));
            return Poll::Pending;
        }
        let end = buffer.len().min(left);
        let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer[..end]);
        if let Poll::Ready(Ok(bytes)) = read {
            self.gate.left.set(Some(left - bytes));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    use futures_lite::AsyncReadExt;
    use futures_lite::future::{block_on, poll_once};
    use kernel::hlc::Stamp;
    use kernel::wire::{peer, server};

    #[test]
    fn a_stranger_gives_so_many_bytes_and_the_rest_once_it_is_let_in() {
        let gate = Gate::closed(10);
        let mut stream = Gated::new(futures_lite::io::Cursor::new(vec![7; 100]), Rc::clone(&gate));
        block_on(async {
            let mut whole = Vec::new();
            assert!(poll_once(stream.read_to_end(&mut whole)).await.is_none());
            assert_eq!(whole.len(), 10);
            gate.pass(Role::Client, &server::auth_required());
            assert!(poll_once(stream.read_to_end(&mut whole)).await.is_none());
            gate.pass(Role::Client, &server::auth_ack(false, "n", Stamp::ZERO));
            stream.read_to_end(&mut whole).await.unwrap();
            assert_eq!(whole.len(), 100);
        });
    }

    #[test]
    fn who_waits_at_the_gate_hears_it_open() {
        let gate = Gate::closed(0);
        let mut stream = Gated::new(&b"hello"[..], Rc::clone(&gate));
        block_on(async {
            let mut byte = [0];
            let mut reading = pin!(stream.read(&mut byte));
            assert!(poll_once(&mut reading).await.is_none());
            // Who is turned away is not let in.
            gate.pass(Role::Peer, &peer::refused("it is a stranger"));
            assert!(poll_once(&mut reading).await.is_none());
            gate.pass(Role::Peer, &peer::ping(peer::Ping::default()));
            assert_eq!(reading.await.unwrap(), 1);
        });
    }
}
