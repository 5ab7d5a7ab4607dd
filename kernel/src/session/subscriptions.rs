//! Live queries: who watches what, and what they are told.
//!
//! A subscription follows the state in memory; what it tells rides on the commit of what it tells of, so that nobody sees a
//! change before it is durable. When that state is thrown away (a failed commit), or a connection has too much unsent to be told
//! of each change, the subscription is *stale*: it is opened again as soon as it can be, and a whole new answer says what is there.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::env::{ConnId, Limits, Mutant, Mutants};
use crate::msgpack::Reader;
use crate::partition::PartitionSet;
use crate::query::{self, ChangeType, Gone, Live, Query, Row, net};
use crate::session::{Conns, Outbox, Shows};
use crate::store::{BadKey, RecordKey, Store, is_reserved};
use crate::wire::Code;
use crate::wire::query::{Explained, QuerySub, query_resp, query_update};
use crate::wire::server::{self, Refusal};

/// A live query: the connection, and the client's name for it.
pub type Name = (ConnId, Box<str>);

/// A query that is to be answered from what the node holds.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The client's name for it.
    pub id: &'a str,
    /// What is asked.
    pub query: Query,
    /// The partitions in which there can be records that match.
    pub within: PartitionSet,
    /// What the client was told is gone.
    pub gone: Gone,
    /// Only the answer is wanted.
    pub once: bool,
    /// How it is answered, if that is wanted too.
    pub explained: Option<Explained>,
    /// The longest frame that the connection carries.
    pub longest: usize,
}

/// The live queries of all connections.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Subscriptions {
    table: BTreeMap<Name, Subscription>,
    /// Which of them watch a map: a change asks only those.
    by_map: BTreeMap<String, Vec<Name>>,
    /// How many are stale, so that a step without any need not look.
    stale: usize,
    mutants: Mutants,
}

#[derive(Debug, Serialize, Deserialize)]
struct Subscription {
    query: Query,
    /// The partitions in which there can be records that match: this node acts as owner of all of them.
    within: PartitionSet,
    gone: Gone,
    /// `None`: stale.
    live: Option<Live>,
}

impl Subscription {
    /// Tells of the difference that `keys` make together.
    fn tell(
        &mut self,
        (conn, id): &Name,
        keys: &[&RecordKey],
        store: &Store,
        longest: usize,
        outbox: &mut Outbox,
        mutants: Mutants,
    ) -> Result<(), Refusal> {
        let Some(live) = &mut self.live else {
            return Ok(());
        };
        let mut events = Vec::new();
        for key in keys {
            let value = live.value(store, key);
            events.extend(live.change(key, value).map_err(|error| refusal_of_query(&error))?);
        }
        for event in net(events) {
            let left = event.change == ChangeType::Leave;
            let value = live.value(store, &event.key);
            let moves_up = event.change == ChangeType::Enter && !keys.contains(&&event.key);
            if (mutants.is(Mutant::LeaveLost) && left && value.is_some())
                || (mutants.is(Mutant::WindowNotRefilled) && moves_up)
            {
                continue;
            }
            let value = value.filter(|_| !left).map(|value| {
                let (key, value) = (event.key.clone(), Bytes::copy_from_slice(value));
                self.query.project(&Row { key, value })
            });
            let frame = query_update(id, event.key.key(), value.as_deref(), event.change);
            if frame.len() > longest {
                return Err(too_large("a change of the answer does not fit one frame"));
            }
            outbox.push(*conn, frame, Shows::Update);
        }
        Ok(())
    }
}

impl Subscriptions {
    /// None yet.
    pub fn new(mutants: Mutants) -> Self {
        Self {
            mutants,
            ..Self::default()
        }
    }

    /// Answers a query from the partitions `within`, all of which this node acts for; it is then live, unless only the answer is
    /// wanted. The answer shows state.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn open(
        &mut self,
        conn: ConnId,
        ask: Asked<'_>,
        store: &Store,
        limits: &Limits,
        outbox: &mut Outbox,
    ) -> Result<(), Refusal> {
        let Asked {
            id,
            query,
            within,
            gone,
            once,
            explained,
            longest,
        } = ask;
        if once {
            let rows = query
                .run_but(&gone, store, &within, limits)
                .map_err(|error| refusal_of_query(&error))?;
            return answer(conn, id, &projected(&query, rows), explained.as_ref(), longest, outbox);
        }
        let (live, rows) = Live::open_but(gone.clone(), query.clone(), store, &within, limits)
            .map_err(|error| refusal_of_query(&error))?;
        answer(conn, id, &projected(&query, rows), explained.as_ref(), longest, outbox)?;
        let name: Name = (conn, id.into());
        self.by_map.entry(query.map.clone()).or_default().push(name.clone());
        let live = Some(live);
        self.table.insert(
            name,
            Subscription {
                query,
                within,
                gone,
                live,
            },
        );
        Ok(())
    }

    /// How many of a connection there are.
    pub fn held(&self, conn: ConnId) -> usize {
        let first = (conn, Box::from(""));
        self.table.range(first..).take_while(|((of, _), _)| *of == conn).count()
    }

    /// Takes those away whose partitions this node does not act for any more.
    pub fn take_foreign(&mut self, acts_for: impl Fn(PartitionSet) -> bool) -> Vec<(Name, Query, PartitionSet)> {
        let foreign = self.table.iter().filter(|(_, s)| !acts_for(s.within));
        let foreign: Vec<_> = foreign
            .map(|(name, s)| (name.clone(), s.query.clone(), s.within))
            .collect();
        for ((conn, id), ..) in &foreign {
            self.close(*conn, id);
        }
        foreign
    }

    /// Ends a live query, if there is one of that name.
    pub fn close(&mut self, conn: ConnId, id: &str) {
        let name: Name = (conn, id.into());
        let Some(gone) = self.table.remove(&name) else {
            return;
        };
        self.stale -= usize::from(gone.live.is_none());
        if let Some(names) = self.by_map.get_mut(&gone.query.map) {
            names.retain(|other| *other != name);
            if names.is_empty() {
                self.by_map.remove(&gone.query.map);
            }
        }
    }

    /// Ends all live queries of a connection.
    pub fn close_all(&mut self, conn: ConnId) {
        let first: Name = (conn, "".into());
        let names = self.table.range(first..).take_while(|((of, _), _)| *of == conn);
        let ids: Vec<Box<str>> = names.map(|((_, id), _)| id.clone()).collect();
        for id in ids {
            self.close(conn, &id);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The state that all of them followed was thrown away.
    pub fn all_stale(&mut self) {
        for subscription in self.table.values_mut() {
            subscription.live = None;
        }
        self.stale = self.table.len();
    }

    /// Tells of what was changed or has expired: what the store has of these keys is not what it had before. All of a step is
    /// told of as one change, for the store holds all of it already.
    pub fn tell<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k RecordKey>,
        store: &Store,
        conns: &Conns,
        limits: &Limits,
        outbox: &mut Outbox,
    ) {
        let mut failed = Vec::new();
        let watched: BTreeSet<&RecordKey> = keys.filter(|key| self.by_map.contains_key(key.map())).collect();
        let mut rest = watched.into_iter().peekable();
        while let Some(first) = rest.next() {
            let mut of_map = alloc::vec![first];
            while let Some(key) = rest.next_if(|key| key.map() == first.map()) {
                of_map.push(key);
            }
            for name in self.by_map.get(first.map()).into_iter().flatten() {
                let Some(subscription) = self.table.get_mut(name) else {
                    continue;
                };
                if subscription.live.is_none() {
                    continue;
                }
                if conns.is_full(name.0, limits) {
                    if self.mutants.is(Mutant::SlowWatcherSkipped) {
                        continue;
                    }
                    subscription.live = None;
                    self.stale += 1;
                    continue;
                }
                let longest = conns.longest(name.0, limits);
                if let Err(refusal) = subscription.tell(name, &of_map, store, longest, outbox, self.mutants) {
                    // It is told of nothing more, whatever else this step changes.
                    subscription.live = None;
                    self.stale += 1;
                    failed.push((name.clone(), refusal));
                }
            }
        }
        for ((conn, id), refusal) in failed {
            self.end(conn, &id, &refusal, outbox);
        }
    }

    /// Opens stale ones again, of those connections that have drained, and answers them anew.
    pub fn refresh(&mut self, store: &Store, conns: &Conns, limits: &Limits, outbox: &mut Outbox) {
        if self.stale == 0 || self.mutants.is(Mutant::StaleForEver) {
            return;
        }
        let drained = |conn| {
            conns
                .get(conn)
                .is_some_and(|c| c.unsent_bytes <= limits.unsent_bytes / 2)
        };
        let names = self
            .table
            .iter()
            .filter(|((conn, _), s)| s.live.is_none() && drained(*conn));
        let names: Vec<Name> = names.map(|(name, _)| name.clone()).collect();
        for (conn, id) in names {
            let name = (conn, id);
            let Some(subscription) = self.table.get_mut(&name) else {
                continue;
            };
            let (conn, id) = &name;
            let (query, gone) = (subscription.query.clone(), subscription.gone.clone());
            let opened = Live::open_but(gone, query, store, &subscription.within, limits)
                .map_err(|error| refusal_of_query(&error));
            let answered = opened.and_then(|(live, rows)| {
                let rows = projected(&subscription.query, rows);
                answer(*conn, id, &rows, None, conns.longest(*conn, limits), outbox)?;
                Ok(live)
            });
            match answered {
                Ok(live) => {
                    subscription.live = Some(live);
                    self.stale -= 1;
                }
                Err(refusal) => self.end(*conn, id, &refusal, outbox),
            }
        }
    }

    fn end(&mut self, conn: ConnId, id: &str, refusal: &Refusal, outbox: &mut Outbox) {
        outbox.push(conn, server::error(refusal, id), Shows::Nothing);
        self.close(conn, id);
    }
}

/// Reads a query as a client sends it.
///
/// # Errors
/// Why it is refused.
pub fn read_query(sub: QuerySub<'_>, limits: &Limits) -> Result<Query, Refusal> {
    if sub.id.len() > limits.id_bytes {
        return Err(too_large("the query's id is too long"));
    }
    if is_reserved(sub.map) {
        let reason = BadKey::Reserved.to_string();
        let code = Code::BadRequest;
        return Err(Refusal { code, reason });
    }
    let read = || {
        let mut query = Query::read(sub.map, &mut Reader::new(sub.query), limits)?;
        if let Some(fields) = sub.fields {
            query.fields = Some(Query::read_fields(&mut Reader::new(fields), limits)?);
        }
        Ok(query)
    };
    read().map_err(|error: query::Error| refusal_of_query(&error))
}

/// What is wanted of each value in place of the whole.
fn projected(query: &Query, rows: Vec<Row>) -> Vec<Row> {
    let project = |row: Row| Row {
        value: query.project(&row),
        key: row.key,
    };
    rows.into_iter().map(project).collect()
}

/// Answers a query with these rows, each with what is wanted of it.
///
/// # Errors
/// They do not fit a frame of `longest` bytes.
pub fn answer(
    conn: ConnId,
    id: &str,
    rows: &[Row],
    explained: Option<&Explained>,
    longest: usize,
    outbox: &mut Outbox,
) -> Result<(), Refusal> {
    let frame = query_resp(id, rows, explained);
    if frame.len() > longest {
        return Err(too_large(
            "the answer does not fit one frame: ask for fewer fields or rows",
        ));
    }
    outbox.push(conn, frame, Shows::Read);
    Ok(())
}

/// Why a query is refused, as the client is told.
pub fn refusal_of_query(error: &query::Error) -> Refusal {
    let code = match error {
        query::Error::Unsupported { .. } => Code::Unsupported,
        _ if error.is_limit() => Code::TooLarge,
        _ => Code::BadRequest,
    };
    Refusal {
        code,
        reason: error.to_string(),
    }
}

fn too_large(reason: &str) -> Refusal {
    Refusal {
        code: Code::TooLarge,
        reason: reason.into(),
    }
}
