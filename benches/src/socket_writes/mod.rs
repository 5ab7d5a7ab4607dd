//! Writes over WebSocket, each acknowledged once it is synced: the real binary on a folder of its own, and a load generator
//! in one thread, on the same machine.

pub mod bound;
pub mod load;
pub mod template;

use std::ffi::OsStr;
use std::path::Path;
use std::time::Instant;

use kernel::wire::Consistency;

use crate::program::built;
use crate::row::Row;
use crate::server::Server;
use crate::{Failure, Load, Rows};
use load::Done;

/// Writes in a whole run.
const WRITES: u64 = 1_000_000;

/// Writes before the clock starts: pages, buffers and branch predictors find their place.
const WARM_UP: u64 = 50_000;

/// What the recording may take: all that comes in a run fits one of its segments.
const RECORD_BYTES: &str = "4GiB";

pub(crate) fn run(load: &Load) -> Rows {
    let dir = tempfile::tempdir()?;
    let (alone, done) = one(load, &dir.path().join("alone"), None)?;
    let ring = dir.path().join("ring");
    let (recorded, _) = one(load, &dir.path().join("recorded"), Some(&ring))?;
    let group = u64::from(load.connections) * u64::from(load.depth) * done.frame_bytes;
    let bound = bound::run("socket-writes", dir.path(), done.writes, done.bytes, group)?;
    Ok(vec![alone, recorded, bound])
}

/// A server on the folder `data`, recorded into `ring`, under the whole load.
fn one(load: &Load, data: &Path, ring: Option<&Path>) -> Result<(Row, Done), Failure> {
    let batch = u64::from(load.batch);
    let scale = if load.quick { 10 } else { 1 };
    let per_conn = (WRITES / scale / batch / u64::from(load.connections)).max(1);
    let warm_up = (WARM_UP / scale / batch / u64::from(load.connections)).max(1);
    let more: Vec<&OsStr> = match ring {
        Some(ring) => vec![
            "--record".as_ref(),
            ring.as_ref(),
            "--record-bytes".as_ref(),
            RECORD_BYTES.as_ref(),
        ],
        None => Vec::new(),
    };
    let server = Server::start(&built("runtime-real")?, data, "127.0.0.1:0", &more)?;
    let target = || load::Target {
        addr: &server.addr,
        tags: &[],
        consistency: Consistency::default(),
    };
    let targets: Vec<_> = (0..load.connections).map(|_| target()).collect();
    let mut clients = load::Clients::connect(&targets, load)?;
    clients.run(warm_up)?;

    let (cpu, start) = (server.cpu()?, Instant::now());
    let done = clients.run(per_conn)?;
    let (wall, cpu) = (start.elapsed(), server.cpu()? - cpu);
    let bytes = server.disk_bytes()?;
    drop(clients);
    if ring.is_some() {
        let page = server.metrics()?;
        if !page.contains("orrery_recording_active 1\n") || !page.contains("orrery_recording_gaps_total 0\n") {
            return Err("something was not recorded".into());
        }
    }
    server.stop()?;

    let per_s = done.writes as f64 / wall.as_secs_f64();
    let mut note = format!(
        "{per_s:.0} acknowledged writes/s; {} connections, batches of {batch}, {} ahead, {} byte values; batch latency p50 {} us, p99 {} us; generator {:.2} cpu-s",
        load.connections,
        load.depth,
        load.value_bytes,
        done.latency_us(50),
        done.latency_us(99),
        done.cpu.as_secs_f64(),
    );
    if let Some(ring) = ring {
        let files = std::fs::read_dir(ring)?;
        let lens = files.map(|file| Ok(file?.metadata()?.len()));
        let recorded = lens.sum::<Result<u64, std::io::Error>>()?;
        note.push_str(&format!("; {} bytes recorded a write", recorded / done.writes));
    }
    let subject = if ring.is_some() { "orrery recorded" } else { "orrery" };
    let row = Row {
        bench: "socket-writes",
        subject,
        ops: done.writes,
        cpu,
        wall,
        bytes,
        note,
    };
    Ok((row, done))
}
