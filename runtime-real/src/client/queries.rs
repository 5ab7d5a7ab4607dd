//! Queries of the small client: answered once, or followed.

use std::future::pending;

use kernel::query::{ChangeType, Compare, Direction, KEY, Path, Predicate, Query};
use kernel::value::Value;
use kernel::wire::Code;
use kernel::wire::query::{Explained, query_explained, query_once, query_sub, query_unsub};
use kernel::wire::server::ServerMessage;

use super::{Client, ClientError};

/// Rows of one page, at first. Where they do not fit a frame, fewer are asked for.
const PAGE_ROWS: usize = 5_000;

/// A record of an answer: its key, and its value as MessagePack.
pub type Answer = (Vec<u8>, Vec<u8>);

/// A change of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub change: ChangeType,
    /// To which record.
    pub key: Vec<u8>,
    /// Its value as MessagePack; what leaves has none.
    pub value: Option<Vec<u8>>,
}

/// What is heard of a query that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// All of the answer, in order; forget what was before.
    All(Vec<Answer>),
    /// One change of it.
    Change(Change),
}

impl Client {
    /// What a query finds, in order.
    pub async fn query(&mut self, query: &Query) -> Result<Vec<Answer>, ClientError> {
        let id = self.next_id();
        self.send(query_once(&id, query)).await?;
        loop {
            match self.heard(false).await? {
                Heard::All(rows) => {
                    // A node that does not know of answers without more has made it live.
                    self.send(query_unsub(&id)).await?;
                    return Ok(rows);
                }
                Heard::Change(_) => {}
            }
        }
    }

    /// How many rows a query finds, and how they are come by. A node that does not know the wish says nothing of it.
    pub async fn explain(&mut self, query: &Query) -> Result<(usize, Option<Explained>), ClientError> {
        let id = self.next_id();
        self.send(query_explained(&id, query)).await?;
        loop {
            let reply = self.receive().await?;
            match self.read(&reply)? {
                ServerMessage::QueryResp { id: of, results } if of == id => {
                    return Ok((results.rows().count(), results.explained()));
                }
                ServerMessage::QueryResp { .. } | ServerMessage::QueryUpdate(_) => {}
                other => return Err(ClientError::unexpected(&self.addr, &other)),
            }
        }
    }

    /// What a query without an order finds, in the order of the keys, page by page: each is given to `take`. What changes
    /// meanwhile may be seen or not.
    pub async fn pages<E: From<ClientError>>(
        &mut self,
        query: &Query,
        mut take: impl FnMut(Vec<Answer>) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = Path::parse(KEY).map_err(|error| ClientError::refused(0, &error.to_string()))?;
        let (mut left, mut page_rows) = (query.limit, PAGE_ROWS);
        let mut page = query.clone();
        page.order = vec![(key.clone(), Direction::Ascending)];
        loop {
            let most = left.unwrap_or(usize::MAX).min(page_rows);
            page.limit = Some(most);
            let rows = match self.query(&page).await {
                Err(ClientError::Refused { code, .. }) if code == Code::TooLarge.name() && page_rows > 1 => {
                    page_rows /= 2;
                    continue;
                }
                answered => answered?,
            };
            left = left.map(|left| left - rows.len());
            let (count, last) = (rows.len(), rows.last().map(|(last, _)| last.clone()));
            take(rows)?;
            let Some(last) = last.filter(|_| count == most && left != Some(0)) else {
                return Ok(());
            };
            page.predicate = Predicate::and(vec![query.predicate.clone(), beyond(&key, last)]);
        }
    }

    /// Asks to be told what a query finds, and each change of that: see [`Client::next`].
    pub async fn follow(&mut self, query: &Query) -> Result<(), ClientError> {
        let id = self.next_id();
        self.send(query_sub(&id, query)).await
    }

    fn next_id(&mut self) -> String {
        self.asked += 1;
        self.asked.to_string()
    }

    /// What is heard next of the query that is followed, whenever that is.
    pub async fn next(&mut self) -> Result<Heard, ClientError> {
        self.heard(true).await
    }

    async fn heard(&mut self, patient: bool) -> Result<Heard, ClientError> {
        loop {
            let reply = match patient {
                true => self.receive_until(pending()).await?,
                false => self.receive().await?,
            };
            let asked = self.asked.to_string();
            match self.read(&reply)? {
                ServerMessage::QueryResp { id, results } if id == asked => {
                    let rows = results
                        .rows()
                        .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())));
                    let rows: Result<_, _> = rows.collect();
                    return rows
                        .map(Heard::All)
                        .map_err(|error| ClientError::gibberish(&self.addr, &error));
                }
                ServerMessage::QueryUpdate(update) if update.id == asked => {
                    return Ok(Heard::Change(Change {
                        change: update.change,
                        key: update.key.to_vec(),
                        value: update.value.map(<[u8]>::to_vec),
                    }));
                }
                ServerMessage::QueryResp { .. } | ServerMessage::QueryUpdate(_) => {}
                other => return Err(ClientError::unexpected(&self.addr, &other)),
            }
        }
    }
}

/// True of the keys after `last`, in the order that keys are answered in: texts before bytes that are none.
fn beyond(key: &Path, last: Vec<u8>) -> Predicate {
    let compare = |op, literal: Value| Predicate::compare(key.clone(), op, literal);
    match String::from_utf8(last) {
        Ok(text) => Predicate::or(vec![
            compare(Compare::Gt, Value::from(text.as_str())),
            compare(Compare::Gte, Value::Bytes(Vec::new())),
        ]),
        Err(bytes) => compare(Compare::Gt, Value::Bytes(bytes.into_bytes())),
    }
}
