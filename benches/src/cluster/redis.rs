//! A Redis cluster: three masters, each with a replica.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::resp::Redis;
use super::{Folder, Place, eventually, free_addrs, tags};
use crate::Failure;
use crate::program::{cpu_of, freeze, kill};

/// Nodes of the cluster.
const NODES: usize = 6;

/// Of which so many are masters.
const MASTERS: usize = 3;

/// How long it may take until the cluster is as it should be.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether there is a Redis on this machine.
pub fn is_here() -> bool {
    ["redis-server", "redis-cli"].iter().all(|program| {
        let asked = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    })
}

/// The nodes. Killed when dropped.
pub struct RedisCluster {
    folder: Folder,
    /// Where each listens.
    pub addrs: Vec<String>,
    children: Vec<Option<Child>>,
    settings: Vec<String>,
}

impl RedisCluster {
    /// Starts a cluster with these settings besides the defaults, and waits until it is whole.
    pub fn start(place: &Place, settings: &[&str]) -> Result<Self, Failure> {
        let mut cluster = Self {
            folder: place.folder()?,
            addrs: free_addrs(NODES)?,
            children: (0..NODES).map(|_| None).collect(),
            settings: settings.iter().map(|word| (*word).to_owned()).collect(),
        };
        for who in 0..NODES {
            std::fs::create_dir(cluster.dir(who))?;
            cluster.boot(who)?;
        }
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(&cluster.addrs);
        create.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let output = create.output()?;
        if !output.status.success() {
            return Err(format!("redis-cli: {}", String::from_utf8_lossy(&output.stdout)).into());
        }
        cluster.settled()?;
        Ok(cluster)
    }

    fn dir(&self, who: usize) -> std::path::PathBuf {
        self.folder.0.join(format!("redis-{who}"))
    }

    /// Starts a node, for the first time or again, and waits until it answers.
    pub fn boot(&mut self, who: usize) -> Result<(), Failure> {
        let (dir, addr) = (self.dir(who), self.addrs[who].clone());
        let port = addr.rsplit(':').next().unwrap_or_default();
        let log = File::options().create(true).append(true).open(dir.join("log"))?;
        let mut command = Command::new("redis-server");
        command.args(["--port", port, "--bind", "127.0.0.1", "--cluster-enabled", "yes"]);
        command.args(&self.settings).arg("--dir").arg::<&Path>(&dir);
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.children[who] = Some(child);
        eventually("a Redis node answers", PATIENCE, || {
            let said = Redis::open(&addr)?.ask(&["PING"])?;
            if said.text() == "PONG" {
                Ok(())
            } else {
                Err(format!("{said:?}").into())
            }
        })
    }

    /// Ends a node as `kill -9` does: when that was said, and when it was no more.
    pub fn kill(&mut self, who: usize) -> Result<(Instant, Instant), Failure> {
        kill(&mut self.children[who].take().ok_or("it runs")?)
    }

    /// Has a node stand still, its connections open: when that was said, and when it was so.
    pub fn freeze(&self, who: usize) -> Result<(Instant, Instant), Failure> {
        freeze(self.children[who].as_ref().ok_or("it runs")?)
    }

    /// CPU time of all of them, so far.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        self.children.iter().flatten().map(|child| cpu_of(child.id())).sum()
    }

    /// Waits until every node says that all is well, and each master has its replica.
    pub fn settled(&self) -> Result<(), Failure> {
        eventually("the Redis cluster is whole", PATIENCE, || {
            let mut masters = 0;
            for addr in &self.addrs {
                let mut redis = Redis::open(addr)?;
                let info = redis.ask(&["CLUSTER", "INFO"])?.text();
                let role = redis.ask(&["INFO", "replication"])?.text();
                let is_master = role.contains("role:master");
                masters += usize::from(is_master);
                let linked = match is_master {
                    true => role.contains("connected_slaves:1") && role.contains("state=online"),
                    false => role.contains("master_link_status:up"),
                };
                if !info.contains("cluster_state:ok") || !info.contains("cluster_known_nodes:6") || !linked {
                    return Err(format!("{addr}: {info}{role}").into());
                }
            }
            if masters == MASTERS {
                Ok(())
            } else {
                Err(format!("{masters} masters").into())
            }
        })
    }

    /// The masters by their numbers, and for each of these tags which of them it belongs to.
    pub fn owners(&self, tags: &[String]) -> Result<(Vec<usize>, Vec<usize>), Failure> {
        let ranges = Redis::open(&self.addrs[0])?.ask(&["CLUSTER", "SLOTS"])?;
        let mut known = Vec::new();
        for range in ranges.list() {
            let [first, last, master, ..] = range.list() else {
                return Err(format!("CLUSTER SLOTS said {range:?}").into());
            };
            let [ip, port, ..] = master.list() else {
                return Err(format!("CLUSTER SLOTS said {range:?}").into());
            };
            let addr = format!("{}:{}", ip.text(), port.number());
            let who = self.addrs.iter().position(|known| *known == addr).ok_or(addr)?;
            known.push((first.number()..=last.number(), who));
        }
        let owner = |tag: &String| {
            let slot = i64::from(tags::slot_of(tag));
            let range = known.iter().find(|(range, _)| range.contains(&slot));
            range
                .map(|(_, who)| *who)
                .ok_or_else(|| Failure::from("a slot is nobody's"))
        };
        let owners = tags.iter().map(owner).collect::<Result<Vec<_>, _>>()?;
        let mut masters: Vec<usize> = known.iter().map(|(_, who)| *who).collect();
        masters.sort_unstable();
        masters.dedup();
        Ok((masters, owners))
    }
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
