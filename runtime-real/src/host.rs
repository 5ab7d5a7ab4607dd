//! A whole node on this machine: a data folder, a port, and a machine between them.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::process;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use async_channel::{Sender, unbounded};
use async_signal::{Signal, Signals};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use kernel::env::Limits;
use kernel::machine::{Command, Phase};
use kernel::session::Secret;
use smol::LocalExecutor;
use smol::net::TcpListener;

use crate::driver::{Clock, Driver, DriverError, Settings, disk};
use crate::metrics::{MeteredLog, MeteredNet, MeteredRecords, Metrics, Watch, Watched};
use crate::net::{Health, Page, Rules, Server, SmolNet, SystemClock, Tls};
use crate::record::RecordError;
use crate::storage::{Folder, FolderError};

/// What a node runs on.
#[derive(Debug)]
pub struct Host {
    /// Its data.
    pub folder: Folder,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it holds itself to. The same as the machine's.
    pub limits: Limits,
    /// What clients and peers have to know. The same as the machine's.
    pub secret: Option<Secret>,
    /// What it links with other nodes over, if not over plain TCP.
    pub tls: Option<Tls>,
    /// The version that metrics and the log show.
    pub version: &'static str,
}

/// What happens on the way, for whoever started the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// It listens here. Requests are refused until it is ready.
    Listening(SocketAddr),
    /// It belongs to no cluster yet: it joins one, or begins one.
    Joining,
    /// It serves.
    Ready,
}

/// Why a node could not run, or ran no longer.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {error}")]
    Listen {
        /// Which.
        addr: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The operating system did not give something that every node needs.
    #[error("the system gives no {what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// What it says.
        error: io::Error,
    },
    /// Its steps cannot be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The node stopped by itself.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl HostError {
    /// A stable word for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "cannot_listen",
            Self::Folder(error) => error.code(),
            Self::System { .. } => "system",
            Self::Record(error) => error.code(),
            Self::Driver(DriverError::Failed(_)) => "data_unusable",
            Self::Driver(DriverError::Removed) => "removed",
            Self::Driver(DriverError::StorageGone) => "storage_gone",
            Self::Driver(DriverError::Accept(_)) => "cannot_accept",
        }
    }

    /// What may help, if anything is known to.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse => {
                "something listens there already, perhaps another node: stop it, or choose another --listen"
            }
            Self::Listen { .. } => "choose another --listen; 127.0.0.1:0 takes any free port",
            Self::Record(_) => "choose another folder with --record, or leave it out",
            Self::Driver(DriverError::Removed) => {
                "the other members hold what it held. To have it join again, as a new member, give it an empty --data and --join"
            }
            Self::Driver(DriverError::Failed(_)) => {
                "the log says what was found; restore a backup, or move the folder away"
            }
            _ => "",
        }
    }
}

impl Host {
    /// Runs the machine that `make` makes, which is told where the node listens, until it is stopped by SIGTERM, SIGINT or an order
    /// that comes out of `stop`.
    ///
    /// A second signal ends the process at once: what was acknowledged is on disk.
    ///
    /// # Errors
    /// [`HostError`]; a node that is no member of its cluster any more ends with [`DriverError::Removed`], and does not wait for better
    /// days: there are none.
    pub fn run<M: Watched + 'static>(
        self,
        make: impl FnOnce(SocketAddr) -> Result<M, HostError>,
        stop: async_channel::Receiver<Command>,
        milestone: impl Fn(Milestone) + 'static,
    ) -> Result<(), HostError> {
        let executor = Rc::new(LocalExecutor::new());
        block_on(executor.run(self.serve(make, stop, milestone, Rc::clone(&executor))))
    }

    async fn serve<M: Watched + 'static>(
        self,
        make: impl FnOnce(SocketAddr) -> Result<M, HostError>,
        stop: async_channel::Receiver<Command>,
        milestone: impl Fn(Milestone) + 'static,
        executor: Rc<LocalExecutor<'static>>,
    ) -> Result<(), HostError> {
        let addr = self.listen;
        let cannot_listen = |error| HostError::Listen { addr, error };
        let listener = TcpListener::bind(addr).await.map_err(cannot_listen)?;
        let listening = listener.local_addr().map_err(cannot_listen)?;
        let machine = make(listening)?;
        let health = Health::default();
        let metrics = Metrics::new(self.version);
        let (machine, clock) = (Rc::new(RefCell::new(machine)), Rc::new(SystemClock::start()));
        let watch = Watch::new(Rc::clone(&machine), &metrics);
        let page = {
            let (metrics, clock) = (metrics.clone(), Rc::clone(&clock));
            // Requests and steps share a thread, and a step never waits: nobody looks while one is under way.
            Page::new(move || {
                let machine = machine.borrow();
                metrics.page(&machine.stats(), machine.recording(), clock.now().mono_us)
            })
        };
        let rules = Rules {
            frame_bytes: self.limits.frame_bytes,
            unauthenticated_frame_bytes: self.limits.unauthenticated_frame_bytes,
            body_bytes: self.limits.body_bytes,
            // An eighth is left for those that this node dials, and those that are gone without the machine knowing it yet.
            connections: self.limits.connections - self.limits.connections / 8,
            patience: Duration::from_millis(self.limits.silence_ms),
            secret: self.secret,
            tls: self.tls.clone(),
            health: health.clone(),
            metrics: page,
        };
        let (server, accepted) = Server::new(listener, rules, Rc::clone(&executor));
        tracing::info!(addr = %listening, data = %self.folder.path().display(), "listening");
        if let Some(tls) = &self.tls {
            tracing::info!("peers speak mutual TLS with this node, and no other way");
            if let Some(reason) = tls.unfit() {
                tracing::warn!(reason, "the other nodes may not take this node's certificate");
            }
        }
        milestone(Milestone::Listening(listening));
        executor.spawn(server.run()).detach();

        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).map_err(|error| HostError::System {
            what: "randomness",
            error: error.into(),
        })?;
        let (commands, orders) = unbounded();
        watch_signals(&executor, commands.clone())?;
        executor
            .spawn(async move {
                while let Ok(command) = stop.recv().await {
                    let _ = commands.send(command).await;
                }
            })
            .detach();

        let (log, records) = self.folder.stores()?;
        let (log, records) = (
            MeteredLog::new(log, metrics.clone()),
            MeteredRecords::new(records, metrics.clone()),
        );
        let (disk, log_loop, records_loop) = disk(log, records);
        let threads = [spawn_thread("log", log_loop)?, spawn_thread("records", records_loop)?];
        let net = SmolNet::new(executor, accepted, self.limits.frame_bytes, self.tls);
        let net = Rc::new(MeteredNet::new(net, metrics.clone()));
        let settings = Settings::new(&self.limits, entropy);
        let on_phase = phases(health, metrics, milestone);
        let end = Driver::new(watch, net, clock, disk, orders, settings, on_phase)
            .run()
            .await;
        // The driver let go of the loops: they finish what they do and close their files.
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a storage thread panicked");
            }
        }
        Ok(end?)
    }
}

/// Notes each phase where people and balancers look for it.
fn phases(health: Health, metrics: Metrics, milestone: impl Fn(Milestone)) -> impl FnMut(Phase) {
    let (mut start, mut took) = (Instant::now(), Duration::ZERO);
    let mut reading = true;
    move |phase| {
        if std::mem::replace(&mut reading, phase == Phase::Recovering) && phase != Phase::Recovering {
            took = start.elapsed();
        }
        health.set_ready(matches!(phase, Phase::Ready { .. }));
        match phase {
            Phase::Recovering => {
                start = Instant::now();
                tracing::info!("reading what the data folder holds");
            }
            Phase::Ready { records, log_entries } => {
                metrics.recovered(took.as_secs_f64());
                let ms = took.as_millis() as u64;
                tracing::info!(records, log_entries, ms, "recovered");
                milestone(Milestone::Ready);
            }
            Phase::Joining => {
                tracing::info!("the data folder is read; the node belongs to no cluster yet");
                milestone(Milestone::Joining);
            }
            Phase::Removed => tracing::error!("the node is no member of its cluster any more"),
            Phase::Failed { error } => tracing::error!(%error, "the node cannot serve"),
            Phase::Stopped => tracing::info!("stopped"),
        }
    }
}

fn spawn_thread(
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<()>, HostError> {
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || block_on(work));
    thread.map_err(|error| HostError::System {
        what: "thread for storage",
        error,
    })
}

/// The first signal stops the node, the second ends the process.
fn watch_signals(executor: &LocalExecutor<'static>, commands: Sender<Command>) -> Result<(), HostError> {
    let what = "signals";
    let signals = Signals::new([Signal::Term, Signal::Int]);
    let mut signals = signals.map_err(|error| HostError::System { what, error })?;
    let watch = async move {
        let mut stopping = false;
        while let Some(Ok(signal)) = signals.next().await {
            if stopping {
                tracing::warn!("a second signal: ending at once");
                process::exit(if signal == Signal::Int { 130 } else { 143 });
            }
            tracing::info!("stopping: finishing what is in flight; a second signal ends at once");
            stopping = true;
            let _ = commands.send(Command::Drain).await;
        }
    };
    executor.spawn(watch).detach();
    Ok(())
}
