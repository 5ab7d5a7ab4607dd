//! Writes over WebSocket, each acknowledged once it is synced: the real binary on a folder of its own, and a load generator
//! in one thread, on the same machine.

mod bound;
mod load;
mod server;
mod template;

use std::error::Error;
use std::time::Instant;

use crate::row::Row;
use crate::{Load, Rows};
use server::Server;

/// Writes in a whole run.
const WRITES: u64 = 1_000_000;

/// Writes before the clock starts: pages, buffers and branch predictors find their place.
const WARM_UP: u64 = 50_000;

pub(crate) fn run(load: &Load) -> Rows {
    let batch = u64::from(load.batch);
    let scale = if load.quick { 10 } else { 1 };
    let per_conn = (WRITES / scale / batch / u64::from(load.connections)).max(1);
    let warm_up = (WARM_UP / scale / batch / u64::from(load.connections)).max(1);
    let dir = tempfile::tempdir()?;
    let server = Server::start(&dir.path().join("data"))?;
    let mut clients = load::Clients::connect(&server.addr, load)?;
    clients.run(warm_up)?;

    let (cpu, start) = (server.cpu()?, Instant::now());
    let done = clients.run(per_conn)?;
    let (wall, cpu) = (start.elapsed(), server.cpu()? - cpu);
    let data = server.disk_bytes()?;
    drop(clients);
    server.stop()?;

    let per_s = done.writes as f64 / wall.as_secs_f64();
    let orrery = Row {
        bench: "socket-writes",
        subject: "orrery",
        ops: done.writes,
        cpu,
        wall,
        bytes: data,
        note: format!(
            "{per_s:.0} acknowledged writes/s; {} connections, batches of {batch}, {} ahead, {} byte values; batch latency p50 {} us, p99 {} us; generator {:.2} cpu-s",
            load.connections,
            load.depth,
            load.value_bytes,
            done.latency_us(50),
            done.latency_us(99),
            done.cpu.as_secs_f64(),
        ),
    };
    let group = u64::from(load.connections) * u64::from(load.depth) * done.frame_bytes;
    Ok(vec![orrery, bound::run(dir.path(), done.writes, done.bytes, group)?])
}

/// What went wrong.
type Failure = Box<dyn Error>;
