//! WebSockets as connections.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role as Side, WebSocketConfig};
use async_tungstenite::tungstenite::{Error as WsError, Message};
use async_tungstenite::{WebSocketReceiver, WebSocketSender, WebSocketStream, client_async_with_config};
use bytes::Bytes;
use futures_lite::StreamExt;
use futures_util::SinkExt;
use kernel::machine::{ConnKind, Role};
use smol::net::TcpStream;

use super::json;
use super::smol_net::{NetReader, NetWriter};
use crate::driver::Link;

/// A WebSocket over TCP.
pub type Socket = WebSocketStream<TcpStream>;

/// What both halves of a socket know.
#[derive(Debug, Default)]
struct Shared {
    /// The other side speaks JSON: its last frame was text.
    text: Cell<bool>,
    /// Why we close, for the other side.
    reason: RefCell<Option<CloseFrame>>,
}

/// The half of a WebSocket that frames come out of.
#[derive(Debug)]
pub struct SocketReader {
    receiver: WebSocketReceiver<TcpStream>,
    shared: Rc<Shared>,
    role: Role,
    frame_bytes: usize,
    /// Counts as an open connection until dropped.
    _slot: Option<Rc<super::server::Slot>>,
}

/// The half of a WebSocket that frames go into.
#[derive(Debug)]
pub struct SocketWriter {
    sender: WebSocketSender<TcpStream>,
    shared: Rc<Shared>,
}

/// Limits on what a socket reads, before memory is taken for it.
fn config(frame_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(64 << 10)
        .max_message_size(Some(frame_bytes))
        .max_frame_size(Some(frame_bytes))
}

/// The server's side of a socket whose handshake is done. `read_ahead` came with it. With `text`, it is JSON that is
/// spoken until the other side sends something else.
pub(super) async fn accepted(
    stream: TcpStream,
    read_ahead: &[u8],
    role: Role,
    text: bool,
    frame_bytes: usize,
    slot: Rc<super::server::Slot>,
) -> Link<NetReader, NetWriter> {
    let config = Some(config(frame_bytes));
    let socket = WebSocketStream::from_partially_read(stream, read_ahead.to_vec(), Side::Server, config).await;
    link(socket, role, text, frame_bytes, Some(slot))
}

/// Opens a socket to another node's `/peer`.
pub(super) async fn dial_peer(addr: &str, frame_bytes: usize) -> io::Result<Link<NetReader, NetWriter>> {
    let socket = dial(addr, "/peer", frame_bytes).await.map_err(io::Error::other)?;
    Ok(link(socket, Role::Peer, false, frame_bytes, None))
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answers there.
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    /// Somebody answers, and takes no socket.
    #[error("refused with {status}: {body}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What was said.
        body: String,
    },
    /// What answers speaks another protocol.
    #[error("no node answers there: {0}")]
    Protocol(WsError),
}

/// Opens a socket to `path` of the node at `addr`.
pub async fn dial(addr: &str, path: &str, frame_bytes: usize) -> Result<Socket, DialError> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{addr}{path}");
    let opened = client_async_with_config(url, stream, Some(config(frame_bytes))).await;
    opened.map(|(socket, _)| socket).map_err(|error| match error {
        WsError::Io(error) => DialError::Unreachable(error),
        WsError::Http(answer) => DialError::Refused {
            status: answer.status().as_u16(),
            body: String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default())
                .trim()
                .to_owned(),
        },
        other => DialError::Protocol(other),
    })
}

fn link(
    socket: Socket,
    role: Role,
    text: bool,
    frame_bytes: usize,
    slot: Option<Rc<super::server::Slot>>,
) -> Link<NetReader, NetWriter> {
    let (sender, receiver) = socket.split();
    let shared = Rc::new(Shared::default());
    shared.text.set(text);
    Link {
        kind: ConnKind {
            role,
            push: true,
            ordered: true,
            frame_bytes,
        },
        reader: NetReader::Socket(SocketReader {
            receiver,
            shared: Rc::clone(&shared),
            role,
            frame_bytes,
            _slot: slot,
        }),
        writer: NetWriter::Socket(SocketWriter { sender, shared }),
    }
}

impl SocketReader {
    pub(super) async fn read(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.receiver.next().await {
                None => return Ok(None),
                Some(Ok(Message::Binary(frame))) => {
                    self.shared.text.set(false);
                    return Ok(Some(frame));
                }
                Some(Ok(Message::Text(_))) if self.role == Role::Peer => {
                    return Err(self.refuse(CloseCode::Unsupported, "nodes speak binary frames"));
                }
                Some(Ok(Message::Text(text))) => {
                    self.shared.text.set(true);
                    return match json::to_msgpack(text.as_bytes()) {
                        Ok(frame) => Ok(Some(frame)),
                        Err(error) => Err(self.refuse(CloseCode::Invalid, &error.to_string())),
                    };
                }
                // Pings are answered underneath; after a close frame the stream ends.
                Some(Ok(_)) => {}
                Some(Err(WsError::Capacity(_))) => {
                    let reason = format!("a frame may have {} bytes", self.frame_bytes);
                    return Err(self.refuse(CloseCode::Size, &reason));
                }
                Some(Err(WsError::Io(error))) => return Err(error),
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
    }

    /// Notes why the socket is about to be closed, for the other side.
    fn refuse(&self, code: CloseCode, reason: &str) -> io::Error {
        // A close frame holds 123 bytes of reason.
        let mut end = reason.len().min(123);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let frame = CloseFrame {
            code,
            reason: reason[..end].into(),
        };
        self.shared.reason.replace(Some(frame));
        io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
    }
}

impl SocketWriter {
    pub(super) async fn write(&mut self, frame: Bytes) -> io::Result<()> {
        let message = match self.shared.text.get() {
            false => Message::Binary(frame),
            true => Message::text(json::from_msgpack(&frame).map_err(io::Error::other)?),
        };
        self.sender.feed(message).await.map_err(io::Error::other)
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.sender.flush().await.map_err(io::Error::other)
    }

    pub(super) async fn close(&mut self) -> io::Result<()> {
        let reason = self.shared.reason.take();
        self.sender.send(Message::Close(reason)).await.map_err(io::Error::other)
    }
}
