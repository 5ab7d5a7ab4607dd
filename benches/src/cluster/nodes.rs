//! Nodes of one cluster: the first begins it, the others join.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kernel::partition::PARTITIONS;
use kernel::value::Value;

use super::conn::{Conn, list, number, text};
use super::{Folder, Place, eventually, free_addrs};
use crate::Failure;
use crate::server::Server;

/// Replicas of a partition, where there are nodes enough.
pub const REPLICAS: usize = 3;

/// The nodes, by their number: those that run, and room for those that do not.
pub struct Nodes {
    binary: PathBuf,
    folder: Folder,
    /// Where each listens, whether it runs or not.
    pub addrs: Vec<String>,
    servers: Vec<Option<Server>>,
}

impl Nodes {
    /// Room for `count` nodes.
    pub fn new(place: &Place, count: usize) -> Result<Self, Failure> {
        Ok(Self {
            binary: place.binary()?,
            folder: place.folder()?,
            addrs: free_addrs(count)?,
            servers: (0..count).map(|_| None).collect(),
        })
    }

    /// What a node is called.
    pub fn name(who: usize) -> String {
        format!("n{who}")
    }

    /// Starts one of them, for the first time or again, and waits until it serves.
    pub fn start(&mut self, who: usize) -> Result<(), Failure> {
        let name = Self::name(who);
        let mut args: Vec<&OsStr> = vec![
            "--node".as_ref(),
            name.as_ref(),
            "--log-level".as_ref(),
            "info".as_ref(),
        ];
        if who > 0 {
            args.extend::<[&OsStr; 2]>(["--join".as_ref(), self.addrs[0].as_ref()]);
        }
        let data = self.folder.0.join(&name);
        self.servers[who] = Some(Server::start(&self.binary, &data, &self.addrs[who], &args)?);
        Ok(())
    }

    /// Where their data and logs are.
    pub fn folder(&self) -> &PathBuf {
        &self.folder.0
    }

    /// Ends one as `kill -9` does: when that was said, and when it was no more.
    pub fn kill(&mut self, who: usize) -> Result<(Instant, Instant), Failure> {
        self.servers[who].take().ok_or("it runs")?.kill()
    }

    /// Has one stand still, its connections open: when that was said, and when it was so.
    pub fn freeze(&self, who: usize) -> Result<(Instant, Instant), Failure> {
        self.servers[who].as_ref().ok_or("it runs")?.freeze()
    }

    /// Stops all, and makes sure that they found nothing wrong.
    pub fn stop(self) -> Result<(), Failure> {
        self.servers.into_iter().flatten().try_for_each(Server::stop)
    }

    /// CPU time of all that run, so far.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        self.servers.iter().flatten().map(Server::cpu).sum()
    }

    /// Waits until one that was told to leave has ended, as it does then.
    pub fn gone(&mut self, who: usize, patience: Duration) -> Result<(), Failure> {
        const REMOVED: i32 = 2;
        let server = self.servers[who].as_mut().ok_or("it runs")?;
        let ended = || server.ended()?.ok_or_else(|| "it runs".into());
        let status = eventually("a node that left stops", patience, ended)?;
        self.servers[who] = None;
        match status.code() {
            Some(REMOVED) => Ok(()),
            _ => Err(format!("a node that left ended with {status}").into()),
        }
    }

    /// Waits until those that run are all members in the eyes of each, reach each other, hold even shares, and nothing moves.
    pub fn settled(&self, patience: Duration) -> Result<(), Failure> {
        let running = self.servers.iter().flatten().count();
        let running_addrs = self.servers.iter().flatten().map(|server| &server.addr);
        for addr in running_addrs {
            let mut conn = None;
            eventually(&format!("{addr} says that the cluster is settled"), patience, || {
                if conn.is_none() {
                    conn = Some(Conn::open(addr, "bench-settled")?);
                }
                let asked = conn.as_mut().ok_or("a connection")?.cluster();
                match asked {
                    Ok(found) => is_settled(&found, running),
                    Err(refused) => {
                        conn = None;
                        Err(refused.into())
                    }
                }
            })?;
        }
        Ok(())
    }

    /// The nodes that hold each of these tags, by name, the acting owner first.
    pub fn holders(&self, tags: &[String]) -> Result<Vec<Vec<String>>, Failure> {
        let asked = self.servers.iter().flatten().next().ok_or("a node runs")?;
        let mut conn = Conn::open(&asked.addr, "bench-holders")?;
        let mut all = Vec::with_capacity(tags.len());
        for tag in tags {
            let found = conn.locate("bench", tag)?;
            let owner = text(&found, "owner");
            let names = list(&found, "replicas").iter().filter_map(|name| match name {
                Value::Text(name) if name != owner => Some(name.clone()),
                _ => None,
            });
            all.push([owner.to_owned()].into_iter().chain(names).collect());
        }
        Ok(all)
    }
}

fn is_settled(found: &Value, running: usize) -> Result<(), Failure> {
    let members = list(found, "members");
    let alive = |member: &&Value| matches!(member.field("alive"), Some(Value::Bool(true)));
    let (alive, moves, orphans) = (
        members.iter().filter(alive).count(),
        list(found, "moves").len(),
        number(found, "orphans"),
    );
    let held: Vec<u64> = members.iter().map(|member| number(member, "held")).collect();
    let per_node = usize::from(PARTITIONS) * REPLICAS.min(running) / running;
    let even = held.iter().all(|held| (*held as usize).abs_diff(per_node) <= 1);
    if members.len() == running && alive == running && moves == 0 && orphans == 0 && even {
        return Ok(());
    }
    let what = format!(
        "{} members of {running}, {alive} alive, {moves} moves, {orphans} orphans, held {held:?}",
        members.len()
    );
    Err(what.into())
}
