//! A client that waits for each answer, or for those to several reads at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kernel::crdt::Version;
use kernel::env::WriterId;
use kernel::hlc::Hlc;
use kernel::value::Value;
use kernel::wire::admin::{self, ChangeAsked, Locate, Order};
use kernel::wire::client::{self as say, Get};
use kernel::wire::op::{Ask, Op};
use kernel::wire::server::{Done, ServerMessage};
use kernel::wire::{Code, Consistency, ReadConsistency};

use crate::Failure;
use crate::socket::{dial, frame, head};

/// Nesting of the deepest answer.
const DEPTH: usize = 16;

/// A node answers whatever it is asked within its own time for requests, which is half of this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why something was not done.
#[derive(Debug)]
pub enum Refused {
    /// The node said no, or that it does not know.
    Said(String),
    /// The connection is of no use any more.
    Lost(String),
}

impl Refused {
    /// Why, in words.
    pub fn reason(self) -> String {
        match self {
            Self::Said(reason) | Self::Lost(reason) => reason,
        }
    }

    fn said(code: u64, reason: &str) -> Self {
        let name = Code::from_number(code).map_or("?", Code::name);
        Self::Said(format!("{name}: {reason}"))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        refused.reason().into()
    }
}

/// A value as MessagePack, if there is one.
pub type Found = Option<Vec<u8>>;

/// An open connection to a node.
#[derive(Debug)]
pub struct Conn {
    stream: TcpStream,
    input: Vec<u8>,
    hlc: Hlc,
    writer: String,
    asked: u64,
}

impl Conn {
    /// Connects to a node. Writes are stamped under the name `writer`, which must be nobody else's.
    pub fn open(addr: &str, writer: &str) -> Result<Self, Refused> {
        let stream = dial(addr).map_err(|error| Refused::Lost(format!("{addr}: {error}")))?;
        let timeout = stream.set_read_timeout(Some(PATIENCE));
        timeout.map_err(|error| Refused::Lost(error.to_string()))?;
        let mut conn = Self {
            stream,
            input: Vec::new(),
            hlc: Hlc::new(WriterId::of(writer)),
            writer: writer.to_owned(),
            asked: 0,
        };
        let answer = conn.receive()?;
        match read(&answer)? {
            ServerMessage::AuthAck { clock } => clock.into_iter().for_each(|clock| conn.hlc.observe(clock)),
            other => return Err(unexpected(&other)),
        }
        Ok(conn)
    }

    /// Waits no longer than that for an answer from now on; then the connection counts as lost.
    pub fn patience(self, patience: Duration) -> Result<Self, Refused> {
        let timeout = self.stream.set_read_timeout(Some(patience));
        timeout.map_err(|error| Refused::Lost(error.to_string()))?;
        Ok(self)
    }

    /// Writes a value, as MessagePack, and waits until that is acknowledged as it was asked for.
    pub fn write(&mut self, map: &str, key: &str, value: &[u8], level: Consistency) -> Result<(), Refused> {
        self.asked += 1;
        let id = self.asked.to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let op = Op {
            id: &id,
            map,
            key: key.as_bytes(),
            consistency: level,
            version: Version::new(self.hlc.now(now.as_millis() as u64), &self.writer, Some(value)),
        };
        let frame = say::op(&op, Ask::default());
        self.send(&frame)?;
        let answer = self.receive()?;
        match read(&answer)? {
            ServerMessage::OpAck {
                last_id,
                beyond,
                achieved,
            } => {
                let beyond = beyond.iter().find(|Done { id: done, .. }| *done == id);
                let achieved = beyond.map_or((last_id == id).then_some(achieved), |done| Some(done.achieved));
                match achieved.map(|achieved| level.reached(achieved)) {
                    Some(reached) if reached >= level => Ok(()),
                    reached => Err(Refused::Lost(format!("asked for {level:?}, and told of {reached:?}"))),
                }
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Reads all of these, asked at once: in their order what was found, or why that is not known.
    pub fn read(
        &mut self,
        map: &str,
        keys: &[String],
        level: ReadConsistency,
    ) -> Result<Vec<Result<Found, String>>, Refused> {
        let first = self.asked;
        for key in keys {
            self.asked += 1;
            let get = Get {
                id: &self.asked.to_string(),
                map,
                key: key.as_bytes(),
                consistency: level,
            };
            self.send(&say::get_key(&get))?;
        }
        let mut found: Vec<Option<Result<Found, String>>> = keys.iter().map(|_| None).collect();
        for _ in keys {
            let answer = self.receive()?;
            let (id, result) = match read(&answer)? {
                ServerMessage::Value { id, found, .. } => (id, Ok(found.map(|(value, _)| value.to_vec()))),
                ServerMessage::Error { request, code, reason } => (request, Err(Refused::said(code, reason).reason())),
                other => return Err(unexpected(&other)),
            };
            let at = id.parse().ok().and_then(|id: u64| id.checked_sub(first + 1));
            let place = at.and_then(|at| found.get_mut(at as usize));
            *place.ok_or_else(|| Refused::Lost(format!("an answer to {id}, which was not asked")))? = Some(result);
        }
        let missing = || Err("it was not answered".to_owned());
        Ok(found.into_iter().map(|found| found.unwrap_or_else(missing)).collect())
    }

    /// How the cluster is, in the eyes of the node.
    pub fn cluster(&mut self) -> Result<Value, Refused> {
        self.about(&admin::cluster_asked())
    }

    /// How many keys the node has a version of, deleted ones included.
    pub fn records(&mut self) -> Result<u64, Refused> {
        Ok(number(&self.about(&say::status())?, "records"))
    }

    /// Where a key lies, in the eyes of the node.
    pub fn locate(&mut self, map: &str, key: &str) -> Result<Value, Refused> {
        let key = key.as_bytes();
        self.about(&admin::locate(&Locate { map, key }))
    }

    /// Has a node give its partitions away and leave. Comes back once that is agreed.
    pub fn leave(&mut self, node: &str) -> Result<(), Refused> {
        let order = Order::Leave;
        self.about(&admin::change_asked(&ChangeAsked { order, node }))?;
        Ok(())
    }

    fn about(&mut self, frame: &[u8]) -> Result<Value, Refused> {
        self.send(frame)?;
        let answer = self.receive()?;
        match read(&answer)? {
            ServerMessage::Cluster { payload } | ServerMessage::Status { payload } => {
                Value::decode(payload, DEPTH).map_err(|error| Refused::Lost(error.to_string()))
            }
            other => Err(unexpected(&other)),
        }
    }

    fn send(&mut self, payload: &[u8]) -> Result<(), Refused> {
        let mut out = head(payload.len());
        out.extend_from_slice(payload);
        let sent = self.stream.write_all(&out);
        sent.map_err(|error| Refused::Lost(error.to_string()))
    }

    fn receive(&mut self) -> Result<Vec<u8>, Refused> {
        const BINARY: u8 = 0x82;
        let lost = |error: &str| Refused::Lost(error.to_owned());
        loop {
            if let Some((head, len)) = frame(&self.input)
                && self.input.len() >= head + len
            {
                let rest = self.input.split_off(head + len);
                let mut whole = std::mem::replace(&mut self.input, rest);
                if whole[0] != BINARY {
                    return Err(lost("the node closes the connection"));
                }
                return Ok(whole.split_off(head));
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(lost("the node closed the connection")),
                Ok(bytes) => self.input.extend_from_slice(&chunk[..bytes]),
                Err(error) => return Err(lost(&error.to_string())),
            }
        }
    }
}

fn read(answer: &[u8]) -> Result<ServerMessage<'_>, Refused> {
    ServerMessage::decode(answer, DEPTH).map_err(|error| Refused::Lost(error.to_string()))
}

fn unexpected(message: &ServerMessage<'_>) -> Refused {
    match message {
        ServerMessage::OpRejected { code, reason, .. } | ServerMessage::Error { code, reason, .. } => {
            Refused::said(*code, reason)
        }
        other => Refused::Lost(format!("the node said {other:?}")),
    }
}

/// A number that a map holds under a name; 0 if it holds none.
pub fn number(map: &Value, name: &str) -> u64 {
    match map.field(name) {
        Some(Value::Int(number)) => u64::try_from(number.get()).unwrap_or_default(),
        _ => 0,
    }
}

/// A text that a map holds under a name; empty if it holds none.
pub fn text<'v>(map: &'v Value, name: &str) -> &'v str {
    match map.field(name) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// A list that a map holds under a name; empty if it holds none.
pub fn list<'v>(map: &'v Value, name: &str) -> &'v [Value] {
    match map.field(name) {
        Some(Value::List(list)) => list,
        _ => &[],
    }
}
