//! A small client, for the command line: one connection, one request at a time.

mod error;
mod queries;

use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_io::Timer;
use async_tungstenite::tungstenite::Message;
use bytes::Bytes;
use futures_lite::StreamExt;
use futures_lite::future::or;
use kernel::cluster::agreed::{Became, Wish};
use kernel::crdt::Version;
use kernel::env::{Limits, WriterId};
use kernel::hlc::{Hlc, Stamp};
use kernel::wire::admin::{self, ChangeAsked, Locate};
use kernel::wire::agreed::AgreedAsk;
use kernel::wire::client::{self as say, Get};
use kernel::wire::op::{Ask, Op};
use kernel::wire::repairs;
use kernel::wire::server::{Done, ServerMessage};
use kernel::wire::{Consistency, ReadConsistency};

pub use error::ClientError;
pub use queries::{Answer, Change, Heard};

use crate::net::socket::{Socket, dial};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What operations of one connection are called: there is never more than one under way.
const ID: &str = "1";

/// An open connection to a node.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    addr: String,
    limits: Limits,
    hlc: Hlc,
    writer: String,
    /// The query that was asked last: answers to others are late.
    asked: u64,
}

/// Where a record is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The map.
    pub map: &'a str,
    /// The key.
    pub key: &'a str,
}

/// What a read shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value as MessagePack, and when it was written, if there is one.
    pub value: Option<(Vec<u8>, Stamp)>,
    /// For how long it may have missed what the acting owner has, in milliseconds: of a read of any replica that knows.
    pub stale_ms: Option<u64>,
}

/// An answer that was awaited, before it is read.
struct Reply(Bytes);

impl Client {
    /// Connects to the node at `addr` and authenticates. Writes are stamped under the name `writer`, which must be
    /// nobody else's.
    pub async fn connect(addr: &str, token: Option<&str>, writer: String) -> Result<Self, ClientError> {
        let limits = Limits::default();
        let dialled = or(async { Some(dial(addr, "/ws", limits.frame_bytes).await) }, late()).await;
        let socket = match dialled {
            Some(dialled) => dialled.map_err(|error| ClientError::dialling(addr, error))?,
            None => return Err(ClientError::silent(addr)),
        };
        let mut client = Self {
            socket,
            addr: addr.to_owned(),
            limits,
            hlc: Hlc::new(WriterId::of(&writer)),
            writer,
            asked: 0,
        };
        client.handshake(token).await?;
        Ok(client)
    }

    async fn handshake(&mut self, token: Option<&str>) -> Result<(), ClientError> {
        let mut token = token;
        loop {
            let reply = self.receive().await?;
            match self.read(&reply)? {
                ServerMessage::AuthAck { clock } => {
                    // What is written from here on is later than all that the node knows to be durable.
                    clock.into_iter().for_each(|clock| self.hlc.observe(clock));
                    return Ok(());
                }
                ServerMessage::AuthRequired => match token.take() {
                    Some(token) => self.send(say::auth(token)).await?,
                    None => return Err(ClientError::no_token()),
                },
                other => return Err(ClientError::unexpected(&self.addr, &other)),
            }
        }
    }

    /// Writes a value, as MessagePack, perhaps for a while only, or deletes what is there. Says what was reached, in the
    /// protocol's word: see [`Consistency::reached`].
    pub async fn write(
        &mut self,
        at: Place<'_>,
        value: Option<&[u8]>,
        ttl_ms: Option<u64>,
        consistency: Consistency,
        ask: Ask<'_>,
    ) -> Result<String, ClientError> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let op = Op {
            id: ID,
            map: at.map,
            key: at.key.as_bytes(),
            consistency,
            version: Version {
                stamp: self.hlc.now(since_1970.as_millis() as u64),
                writer: &self.writer,
                ttl_ms,
                value,
            },
        };
        let frame = say::op(&op, ask);
        // Once it may have left, only an answer tells what became of it.
        self.send(frame).await.map_err(ClientError::after_a_write)?;
        let reply = self.receive().await.map_err(ClientError::after_a_write)?;
        match self.read(&reply).map_err(ClientError::after_a_write)? {
            ServerMessage::OpAck {
                last_id,
                beyond,
                achieved,
            } => {
                let beyond = beyond.iter().find(|Done { id, .. }| *id == ID);
                let achieved = beyond.map_or((last_id == ID).then_some(achieved), |done| Some(done.achieved));
                let achieved = achieved.ok_or_else(|| ClientError::other(&self.addr).after_a_write())?;
                Ok(achieved.to_owned())
            }
            other => Err(ClientError::unexpected(&self.addr, &other).after_a_write()),
        }
    }

    /// Reads a value.
    pub async fn get(&mut self, at: Place<'_>, consistency: ReadConsistency) -> Result<Found, ClientError> {
        let get = Get {
            id: ID,
            map: at.map,
            key: at.key.as_bytes(),
            consistency,
        };
        self.send(say::get_key(&get)).await?;
        let reply = self.receive().await?;
        match self.read(&reply)? {
            ServerMessage::Value { found, stale_ms, .. } => Ok(Found {
                value: found.map(|(value, at)| (value.to_vec(), at.stamp)),
                stale_ms,
            }),
            other => Err(ClientError::unexpected(&self.addr, &other)),
        }
    }

    /// Asks for a lock or a definition, and says what became of it.
    pub async fn agree(&mut self, ask: &AgreedAsk<'_>) -> Result<Became, ClientError> {
        let looks = matches!(ask.wish, Wish::Look);
        let unknown = |error: ClientError| if looks { error } else { error.after_a_write() };
        self.send(ask.to_frame()).await.map_err(unknown)?;
        let reply = self.receive().await.map_err(unknown)?;
        match self.read(&reply).map_err(unknown)? {
            ServerMessage::Agreed { became, .. } => Ok(became),
            other => Err(unknown(ClientError::unexpected(&self.addr, &other))),
        }
    }

    /// How the node is, as MessagePack.
    pub async fn status(&mut self) -> Result<Vec<u8>, ClientError> {
        self.about(say::status()).await
    }

    /// How the cluster is in the node's eyes, as MessagePack.
    pub async fn cluster(&mut self) -> Result<Vec<u8>, ClientError> {
        self.about(admin::cluster_asked()).await
    }

    /// Where a key lies, as MessagePack.
    pub async fn locate(&mut self, at: Place<'_>) -> Result<Vec<u8>, ClientError> {
        let (map, key) = (at.map, at.key.as_bytes());
        self.about(admin::locate(&Locate { map, key })).await
    }

    /// Changes the member list, and says what was changed, as MessagePack.
    pub async fn change(&mut self, asked: ChangeAsked<'_>) -> Result<Vec<u8>, ClientError> {
        let done = self.about(admin::change_asked(&asked)).await;
        done.map_err(ClientError::after_a_write)
    }

    /// Has the node compare with its peers, and says what repairs have cost, as MessagePack.
    pub async fn repair(&mut self) -> Result<Vec<u8>, ClientError> {
        self.about(repairs::asked()).await
    }

    async fn about(&mut self, frame: Bytes) -> Result<Vec<u8>, ClientError> {
        self.send(frame).await?;
        let reply = self.receive().await?;
        match self.read(&reply)? {
            ServerMessage::Status { payload } | ServerMessage::Cluster { payload } => Ok(payload.to_vec()),
            other => Err(ClientError::unexpected(&self.addr, &other)),
        }
    }

    /// The connection itself, for who has more than one request under way.
    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    fn read<'f>(&self, reply: &'f Reply) -> Result<ServerMessage<'f>, ClientError> {
        let message = ServerMessage::decode(&reply.0, self.limits.depth + 4);
        message.map_err(|error| ClientError::gibberish(&self.addr, &error))
    }

    async fn send(&mut self, frame: Bytes) -> Result<(), ClientError> {
        let sent = or(async { Some(self.socket.send(Message::Binary(frame)).await) }, late()).await;
        match sent {
            Some(sent) => sent.map_err(|error| ClientError::lost(&self.addr, &error)),
            None => Err(ClientError::silent(&self.addr)),
        }
    }

    async fn receive(&mut self) -> Result<Reply, ClientError> {
        self.receive_until(late()).await
    }

    /// The next answer, unless `late` comes to its end before it.
    async fn receive_until(&mut self, late: impl Future<Output = Option<Never>>) -> Result<Reply, ClientError> {
        let mut late = pin!(late);
        loop {
            let next = async { Some(self.socket.next().await) };
            let message = or(next, async { late.as_mut().await.map(|never| match never {}) }).await;
            match message {
                None => return Err(ClientError::silent(&self.addr)),
                Some(Some(Ok(Message::Binary(frame)))) => return Ok(Reply(frame)),
                Some(Some(Ok(Message::Close(Some(frame))))) if !frame.reason.is_empty() => {
                    return Err(ClientError::lost(&self.addr, &frame.reason));
                }
                Some(Some(Ok(_))) => {}
                Some(Some(Err(error))) => return Err(ClientError::lost(&self.addr, &error)),
                Some(None) => return Err(ClientError::lost(&self.addr, &"the node closed the connection")),
            }
        }
    }
}

/// Has no value: of a wait that gives nothing.
enum Never {}

async fn late<T>() -> Option<T> {
    Timer::after(PATIENCE).await;
    None
}
