//! The bound: the same bytes, appended to a file and synced in groups as large as all that the clients have under way.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use rustix::fs::fdatasync;
use rustix::time::{ClockId, clock_gettime};

use crate::Failure;
use crate::row::Row;

/// Appends `bytes` in groups, each synced before the next.
pub fn run(bench: &'static str, dir: &Path, writes: u64, bytes: u64, group_bytes: u64) -> Result<Row, Failure> {
    let path = dir.join("bound");
    let mut file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let group = vec![b'x'; usize::try_from(group_bytes)?];
    let (mut left, mut syncs) = (bytes, 0_u64);
    let (cpu, start) = (cpu(), Instant::now());
    while left > 0 {
        let next = left.min(group_bytes);
        file.write_all(&group[..usize::try_from(next)?])?;
        fdatasync(&file)?;
        left -= next;
        syncs += 1;
    }
    let (wall, cpu) = (start.elapsed(), self::cpu() - cpu);
    let per_s = writes as f64 / wall.as_secs_f64();
    Ok(Row {
        bench,
        subject: "fdatasync",
        ops: writes,
        cpu,
        wall,
        bytes,
        note: format!("{per_s:.0} writes/s, were that all; {syncs} appends of {group_bytes} bytes, each synced"),
    })
}

/// CPU time of this process so far.
pub fn cpu() -> std::time::Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    std::time::Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
