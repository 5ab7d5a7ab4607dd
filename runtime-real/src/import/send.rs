//! Rows sent to a node, over as many connections as it takes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::future::pending;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use async_io::Timer;
use async_tungstenite::tungstenite::{Error as WsError, Message};
use bytes::Bytes;
use futures_lite::StreamExt;
use futures_lite::future::or;
use kernel::env::Limits;
use kernel::wire::Code;
use kernel::wire::server::{Done, ServerMessage};

use super::target::size;
use super::{BadRow, Row, Target};
use crate::client::{Client, ClientError};
use crate::net::socket::Socket;

/// Batches that wait for their acknowledgement at once.
const WINDOW_BATCHES: usize = 4;

/// Bytes that wait for their acknowledgement at once, when each row is small against it.
const WINDOW_BYTES: usize = 16 << 20;

/// Bytes of one batch, when each row is small against it.
const BATCH_BYTES: usize = 4 << 20;

/// Longest silence of a node that owes an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shortest and longest pause before something is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What comes from the reader of a file.
pub type Parsed = Result<Row, BadRow>;

/// What is told on the way.
#[derive(Debug)]
pub enum News<'a> {
    /// So many rows more are acknowledged.
    Acknowledged(usize),
    /// A row is bad: it was not sent, or the node will never take it.
    Bad(&'a BadRow),
    /// The node is away, or refuses for now.
    Waiting(&'a ClientError),
}

/// Why an import ended before all rows were acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A row is bad, and whoever listens to the news wants no more. All rows before it are acknowledged.
    #[error("{0}")]
    Bad(BadRow),
    /// The node could not be reached, refused, or was lost.
    #[error("{error}")]
    Node {
        /// What happened.
        error: ClientError,
        /// How many rows had left, and nobody knows what became of them.
        unknown: usize,
    },
}

/// Sends what comes from `rows` until there is no more and all of it is acknowledged. `news` says whether to go on.
///
/// # Errors
/// [`SendError`]; rows before it may have been written.
pub async fn send(
    target: &Target,
    rows: Receiver<Parsed>,
    news: &mut dyn FnMut(News<'_>) -> bool,
) -> Result<(), SendError> {
    let socket = connect(target)
        .await
        .map_err(|error| SendError::Node { error, unknown: 0 })?;
    let mut sending = Sending {
        target,
        rows,
        news,
        ready: VecDeque::new(),
        ready_bytes: 0,
        flight: BTreeMap::new(),
        flight_bytes: 0,
        ended: false,
        stop: None,
        refused: None,
        trouble: None,
    };
    sending.run(socket).await
}

/// A row on its way.
struct Waiting {
    row: Row,
    /// It has left before, and nobody knows what became of it.
    unknown: bool,
}

struct Sending<'a> {
    target: &'a Target,
    rows: Receiver<Parsed>,
    news: &'a mut dyn FnMut(News<'_>) -> bool,
    /// Rows to be sent next.
    ready: VecDeque<Waiting>,
    ready_bytes: usize,
    /// Rows sent on this connection whose answer is owed, by their number.
    flight: BTreeMap<u64, Waiting>,
    flight_bytes: usize,
    /// No more rows come.
    ended: bool,
    /// What ended it early: what is under way is awaited, and no more.
    stop: Option<SendError>,
    /// A refusal for now: when no answer is owed any more there is a pause, and then the next try.
    refused: Option<ClientError>,
    /// Since when nothing has been acknowledged for all the trying, and how often it has been tried since.
    trouble: Option<(Instant, u32)>,
}

/// Why a connection is used no more.
enum Lost {
    /// It may go better with the next one.
    ForNow(ClientError),
    ForGood(ClientError),
}

/// What a conversation waits for.
enum Event {
    Frame(Option<Result<Message, WsError>>),
    Row(Option<Parsed>),
    Silence,
}

impl Sending<'_> {
    async fn run(&mut self, mut socket: Socket) -> Result<(), SendError> {
        loop {
            match self.converse(&mut socket).await {
                Ok(()) => return self.stop.take().map_or(Ok(()), Err),
                Err(Lost::ForGood(error)) => return Err(self.failed(error)),
                Err(Lost::ForNow(error)) => {
                    // What was under way goes again, under the same stamps.
                    let flight = std::mem::take(&mut self.flight);
                    self.flight_bytes = 0;
                    self.put_back(flight.into_values().map(|waiting| waiting.row), true);
                    socket = self.reconnect(error).await?;
                }
            }
        }
    }

    async fn reconnect(&mut self, mut error: ClientError) -> Result<Socket, SendError> {
        while self.pause(&error).await {
            match connect(self.target).await {
                Ok(socket) => return Ok(socket),
                Err(refused) if refused.is_for_now() => error = refused,
                Err(refused) => return Err(self.failed(refused)),
            }
        }
        Err(self.failed(error))
    }

    fn failed(&mut self, error: ClientError) -> SendError {
        let waiting = self.ready.iter().filter(|waiting| waiting.unknown).count();
        let unknown = self.flight.len() + waiting;
        match self.stop.take() {
            Some(SendError::Node { error, .. }) => SendError::Node { error, unknown },
            _ => SendError::Node { error, unknown },
        }
    }

    /// Waits before the next try. Says whether there should be one.
    async fn pause(&mut self, error: &ClientError) -> bool {
        let (since, tries) = self.trouble.unwrap_or((Instant::now(), 0));
        if tries == 0 {
            (self.news)(News::Waiting(error));
        }
        if since.elapsed() >= self.target.retry_for {
            return false;
        }
        self.trouble = Some((since, tries + 1));
        Timer::after((PAUSE.0 * 2_u32.pow(tries.min(8))).min(PAUSE.1)).await;
        true
    }

    /// Sends and listens on one connection until all is acknowledged.
    async fn converse(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        loop {
            if self.flight.is_empty()
                && let Some(error) = self.refused.take()
                && !self.pause(&error).await
            {
                return Err(Lost::ForGood(error));
            }
            while let Some(batch) = self.next_batch() {
                self.send_batch(socket, batch).await?;
            }
            if self.flight.is_empty() && self.refused.is_none() && self.has_ended() && self.ready.is_empty() {
                return Ok(());
            }
            match self.event(socket).await {
                Event::Frame(Some(Ok(Message::Binary(frame)))) => self.answer(&frame)?,
                Event::Frame(Some(Ok(_))) => {}
                Event::Frame(Some(Err(error))) => return Err(self.lost(&error)),
                Event::Frame(None) => return Err(self.lost(&"the node closed the connection")),
                Event::Row(row) => self.take(row),
                Event::Silence => return Err(Lost::ForNow(ClientError::silent(&self.target.addr))),
            }
        }
    }

    async fn event(&self, socket: &mut Socket) -> Event {
        let owed = !self.flight.is_empty();
        let wants_rows = self.has_room() && !self.has_ended() && !self.is_full();
        let frame = async { Event::Frame(socket.next().await) };
        let row = async {
            match wants_rows {
                true => Event::Row(self.rows.recv().await.ok()),
                false => pending().await,
            }
        };
        let silence = async {
            match owed {
                true => Timer::after(PATIENCE).await,
                false => pending().await,
            };
            Event::Silence
        };
        or(or(frame, row), silence).await
    }

    fn lost(&self, reason: &dyn Display) -> Lost {
        Lost::ForNow(ClientError::lost(&self.target.addr, reason))
    }

    fn has_ended(&self) -> bool {
        self.ended || self.stop.is_some()
    }

    fn has_room(&self) -> bool {
        self.refused.is_none()
            && self.flight.len() < WINDOW_BATCHES * self.target.batch
            && self.flight_bytes < WINDOW_BYTES
    }

    /// Whether there is a whole batch to be sent.
    fn is_full(&self) -> bool {
        self.ready.len() >= self.target.batch || self.ready_bytes >= BATCH_BYTES
    }

    fn take(&mut self, row: Option<Parsed>) {
        match row {
            None => self.ended = true,
            Some(Ok(row)) => {
                self.ready_bytes += size(&row);
                self.ready.push_back(Waiting { row, unknown: false });
            }
            Some(Err(bad)) => self.bad(bad),
        }
    }

    fn bad(&mut self, bad: BadRow) {
        if !(self.news)(News::Bad(&bad)) && self.stop.is_none() {
            self.stop = Some(SendError::Bad(bad));
        }
    }

    fn put_back(&mut self, rows: impl Iterator<Item = Row>, unknown: bool) {
        for row in rows {
            self.ready_bytes += size(&row);
            self.ready.push_back(Waiting { row, unknown });
        }
        self.ready.make_contiguous().sort_by_key(|waiting| waiting.row.number);
    }

    /// Rows to send now, if there is room for them. Few are sent only where nothing is under way that more could wait for.
    fn next_batch(&mut self) -> Option<Vec<Waiting>> {
        if !self.has_room() {
            return None;
        }
        while !self.is_full() && !self.has_ended() {
            match self.rows.try_recv() {
                Ok(row) => self.take(Some(row)),
                Err(error) => {
                    self.ended = error.is_closed();
                    break;
                }
            }
        }
        if self.ready.is_empty() || !(self.is_full() || self.has_ended() || self.flight.is_empty()) {
            return None;
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < self.target.batch
            && let Some(waiting) = self.ready.front()
        {
            bytes += size(&waiting.row);
            if bytes > BATCH_BYTES && !batch.is_empty() {
                break;
            }
            batch.extend(self.ready.pop_front());
        }
        self.ready_bytes -= batch.iter().map(|waiting: &Waiting| size(&waiting.row)).sum::<usize>();
        Some(batch)
    }

    async fn send_batch(&mut self, socket: &mut Socket, batch: Vec<Waiting>) -> Result<(), Lost> {
        let frame = self.target.encode(batch.iter().map(|waiting| &waiting.row));
        for waiting in batch {
            self.flight_bytes += size(&waiting.row);
            self.flight.insert(waiting.row.number, waiting);
        }
        let late = async {
            Timer::after(PATIENCE).await;
            None
        };
        match or(async { Some(socket.send(Message::Binary(frame)).await) }, late).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(self.lost(&error)),
            None => Err(Lost::ForNow(ClientError::silent(&self.target.addr))),
        }
    }

    fn answer(&mut self, frame: &Bytes) -> Result<(), Lost> {
        let message = ServerMessage::decode(frame, Limits::default().depth);
        let message = message.map_err(|error| Lost::ForGood(ClientError::gibberish(&self.target.addr, &error)))?;
        match message {
            ServerMessage::OpAck { last_id, beyond, .. } => {
                self.acknowledged(last_id, &beyond);
                Ok(())
            }
            ServerMessage::OpRejected { id, code, reason } => {
                self.rejected(id, code, reason);
                Ok(())
            }
            ServerMessage::Error { code, reason, .. } => {
                let error = ClientError::refused(code, reason);
                match error.is_for_now() {
                    true => Err(Lost::ForNow(error)),
                    false => Err(Lost::ForGood(error)),
                }
            }
            _ => Ok(()),
        }
    }

    fn acknowledged(&mut self, last_id: &str, beyond: &[Done<'_>]) {
        let before = self.flight.len();
        let last: u64 = last_id.parse().unwrap_or(0);
        let later = self.flight.split_off(&last.saturating_add(1));
        let done = std::mem::replace(&mut self.flight, later);
        self.flight_bytes -= done.values().map(|waiting| size(&waiting.row)).sum::<usize>();
        for done in beyond {
            self.settle(done.id);
        }
        let count = before - self.flight.len();
        if count > 0 {
            self.trouble = None;
            (self.news)(News::Acknowledged(count));
        }
    }

    fn rejected(&mut self, id: &str, code: u64, reason: &str) {
        let Some(Waiting { row, unknown }) = self.settle(id) else {
            return;
        };
        let error = ClientError::refused(code, reason);
        if Code::from_number(code).is_some_and(Code::is_final) {
            let reason = format!("the node refused it: {reason}");
            self.bad(BadRow { line: row.line, reason });
        } else if error.is_for_now() {
            let unknown = unknown || matches!(error, ClientError::Unknown { .. });
            self.put_back([row].into_iter(), unknown);
            self.refused = Some(error);
        } else if self.stop.is_none() {
            self.ready.clear();
            self.ready_bytes = 0;
            self.stop = Some(SendError::Node { error, unknown: 0 });
        }
    }

    /// Takes a row out of those that an answer is owed for.
    fn settle(&mut self, id: &str) -> Option<Waiting> {
        let waiting = self.flight.remove(&id.parse().ok()?)?;
        self.flight_bytes -= size(&waiting.row);
        Some(waiting)
    }
}

async fn connect(target: &Target) -> Result<Socket, ClientError> {
    let client = Client::connect(&target.addr, target.token.as_deref(), target.writer.clone()).await?;
    Ok(client.into_socket())
}
