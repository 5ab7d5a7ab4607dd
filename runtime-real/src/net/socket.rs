//! WebSockets as connections.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role as Side, WebSocketConfig};
use async_tungstenite::tungstenite::{Error as WsError, Message};
use async_tungstenite::{WebSocketReceiver, WebSocketSender, WebSocketStream, client_async_with_config};
use bytes::Bytes;
use futures_lite::{AsyncRead, AsyncWrite, StreamExt};
use futures_util::SinkExt;
use kernel::machine::{ConnKind, Role};
use smol::net::TcpStream;

use super::gate::{Gate, Gated};
use super::handshake::{self, linger};
use super::introduced::Introduced;
use super::json;
use super::port::in_time;
use super::slot::Slot;
use super::stream::Stream;
use super::tls::Tls;
use crate::driver::Link;
use crate::metrics::Sparingly;

/// How long who is dialled may take for a TLS handshake.
const TLS_PATIENCE: Duration = Duration::from_secs(3);

/// A WebSocket of a client, over TCP.
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
    receiver: WebSocketReceiver<Gated<Stream>>,
    shared: Rc<Shared>,
    role: Role,
    /// The node at the other end, if it is one.
    node: Option<Box<Introduced>>,
    frame_bytes: usize,
    /// Counts as an open connection until dropped.
    slot: Option<Rc<Slot>>,
}

/// The half of a WebSocket that frames go into.
#[derive(Debug)]
pub struct SocketWriter {
    sender: WebSocketSender<Gated<Stream>>,
    shared: Rc<Shared>,
    role: Role,
    gate: Rc<Gate>,
}

/// Limits on what a socket reads, before memory is taken for it.
fn config(frame_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(64 << 10)
        .max_message_size(Some(frame_bytes))
        .max_frame_size(Some(frame_bytes))
}

/// A socket that somebody opened to us.
#[derive(Debug)]
pub(super) struct Accepted {
    pub stream: Stream,
    /// What came with the handshake.
    pub read_ahead: Bytes,
    pub from: SocketAddr,
    pub warnings: Rc<RefCell<Sparingly>>,
    pub role: Role,
    /// JSON is spoken until the other side sends something else.
    pub text: bool,
    pub frame_bytes: usize,
    /// What is read before the machine has let the other side in.
    pub unauthenticated_bytes: usize,
    pub slot: Rc<Slot>,
}

impl Accepted {
    /// The server's side of the socket.
    pub(super) async fn link(self) -> Link<SocketReader, SocketWriter> {
        let config = Some(config(self.frame_bytes));
        let gate = Gate::closed(self.unauthenticated_bytes);
        let certificate = self.stream.certificate();
        let node = (self.role == Role::Peer).then(|| Introduced::accepted(self.from, certificate, self.warnings));
        let stream = Gated::new(self.stream, Rc::clone(&gate));
        let socket = WebSocketStream::from_partially_read(stream, self.read_ahead.into(), Side::Server, config).await;
        let mut link = link(socket, gate, node, self.frame_bytes);
        link.reader.shared.text.set(self.text);
        link.reader.slot = Some(self.slot);
        link
    }
}

/// Opens a socket to another node's `/peer`, with `tls` where this node has it.
pub(super) async fn dial_peer(
    addr: &str,
    tls: Option<&Tls>,
    frame_bytes: usize,
) -> Result<Link<SocketReader, SocketWriter>, PeerDialError> {
    let stream = connect(addr).await.map_err(DialError::from)?;
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(tls) => match in_time(TLS_PATIENCE, handshake::connect(tls, stream, addr)).await {
            Some(Ok(stream)) => stream,
            Some(Err((reason, stream))) => {
                linger(stream).await;
                return Err(PeerDialError::Tls(reason));
            }
            None => return Err(PeerDialError::Tls("it does not answer the TLS handshake".into())),
        },
    };
    let node = Introduced::dialled(addr, stream.certificate());
    // Who listens at a configured address is not asked to be brief.
    let gate = Gate::open();
    let stream = Gated::new(stream, Rc::clone(&gate));
    let socket = match shake_hands(stream, addr, "/peer", frame_bytes).await {
        // What is wrong with our certificate comes as the answer to the first that is said.
        Err(DialError::Unreachable(error)) if tls.is_some() => {
            return Err(PeerDialError::Tls(handshake::reason(&error)));
        }
        opened => opened?,
    };
    Ok(link(socket, gate, Some(node), frame_bytes))
}

/// Why a node could not be linked with.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerDialError {
    /// As with any socket.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It is there, and there is no mutual TLS with it.
    #[error("no mutual TLS with it: {0}")]
    Tls(String),
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
    shake_hands(connect(addr).await?, addr, path, frame_bytes).await
}

async fn connect(addr: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    addr: &str,
    path: &str,
    frame_bytes: usize,
) -> Result<WebSocketStream<S>, DialError> {
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
    socket: WebSocketStream<Gated<Stream>>,
    gate: Rc<Gate>,
    node: Option<Introduced>,
    frame_bytes: usize,
) -> Link<SocketReader, SocketWriter> {
    let role = match node {
        None => Role::Client,
        Some(_) => Role::Peer,
    };
    let (sender, receiver) = socket.split();
    let shared = Rc::new(Shared::default());
    Link {
        kind: ConnKind {
            role,
            push: true,
            ordered: true,
            frame_bytes,
        },
        reader: SocketReader {
            receiver,
            shared: Rc::clone(&shared),
            role,
            node: node.map(Box::new),
            frame_bytes,
            slot: None,
        },
        writer: SocketWriter {
            sender,
            shared,
            role,
            gate,
        },
    }
}

impl SocketReader {
    pub(super) async fn read(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.receiver.next().await {
                None => return Ok(None),
                Some(Ok(Message::Binary(frame))) => {
                    self.shared.text.set(false);
                    self.check_node(&frame)?;
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
                // A node that closes for a reason has refused this one.
                Some(Ok(Message::Close(Some(frame)))) if self.node.is_some() && !frame.reason.is_empty() => {
                    let node = self.node.iter();
                    node.for_each(|node| node.warn("a peer closed the link", frame.reason.as_str()));
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

    /// Whether the node at the other end, if it is one, is what its certificate says.
    fn check_node(&mut self, frame: &[u8]) -> io::Result<()> {
        let Some(node) = &mut self.node else { return Ok(()) };
        let Err(reason) = node.check(frame) else { return Ok(()) };
        node.warn("refused: a node is not what its certificate says", &reason);
        Err(self.refuse(CloseCode::Policy, &reason))
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
        self.gate.pass(self.role, &frame);
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
