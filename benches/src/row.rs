//! One result.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::timer::Spent;

/// The names of a row's columns, as wide as it is printed.
pub const HEAD: &str = "bench            subject          ops_per_cpu_s      wall_s           bytes  note";

/// One result: what was done, by whom, and what it took.
#[derive(Debug)]
pub struct Row {
    /// The bench.
    pub bench: &'static str,
    /// Who did it. Ours is `orrery`.
    pub subject: &'static str,
    /// Operations done.
    pub ops: u64,
    /// CPU time of whoever did them.
    pub cpu: Duration,
    /// Time that passed.
    pub wall: Duration,
    /// Bytes that are left: in memory, or on disk.
    pub bytes: u64,
    /// What else there is to say.
    pub note: String,
}

impl Row {
    /// What one thread did.
    pub fn of_thread(
        (bench, subject): (&'static str, &'static str),
        ops: usize,
        spent: Spent,
        bytes: u64,
        note: String,
    ) -> Self {
        Self {
            bench,
            subject,
            ops: ops as u64,
            cpu: spent.cpu,
            wall: spent.wall,
            bytes,
            note,
        }
    }

    fn ops_per_cpu_s(&self) -> f64 {
        self.ops as f64 / self.cpu.as_secs_f64().max(1e-9)
    }

    /// The row as a JSON object.
    pub fn json(&self) -> String {
        serde_json::json!({
            "bench": self.bench,
            "subject": self.subject,
            "ops_per_cpu_s": self.ops_per_cpu_s().round(),
            "wall_s": self.wall.as_secs_f64(),
            "bytes": self.bytes,
            "note": self.note,
        })
        .to_string()
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<16} {:<16} {:>13.0} {:>11.3} {:>15}  {}",
            self.bench,
            self.subject,
            self.ops_per_cpu_s(),
            self.wall.as_secs_f64(),
            self.bytes,
            self.note
        )
    }
}
