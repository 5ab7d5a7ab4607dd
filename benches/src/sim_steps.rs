//! The simulator: steps of whole nodes, beside a heap of events that does nothing with them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{built, measured};
use crate::row::Row;
use crate::timer::measure;
use crate::{Failure, Load, Rows};

const BENCH: &str = "sim-steps";

/// Events that the bare heap holds at a time: about as many as a busy cluster of five has under way.
const PENDING: u64 = 1_000;

/// Where `.ci/madsim` leaves two tasks that exchange messages on madsim's network; this overrides it.
const PING_PONG: &str = "ORRERY_MADSIM_PING_PONG";

pub(crate) fn run(load: &Load) -> Rows {
    let scale = if load.quick { 10 } else { 1 };
    let dir = tempfile::tempdir()?;
    let sim = built("sim")?;
    let simulated = |subject, plan: &Plan, checked| plan.run(&sim, dir.path(), subject, checked);
    // Every message of every write is worked off on its way; and a cluster that mostly waits.
    let busy = Plan {
        writes: 50_000 / scale,
        every_us: 200,
    };
    let moderate = Plan {
        writes: 20_000 / scale,
        every_us: 100_000,
    };
    let mut rows = vec![
        bare_heap(20_000_000 / scale),
        simulated("orrery", &busy, true)?,
        simulated("orrery-unchecked", &busy, false)?,
        simulated("orrery-moderate", &moderate, true)?,
        simulated("orrery-moderate-unchecked", &moderate, false)?,
    ];
    rows.extend(madsim()?);
    Ok(rows)
}

/// A plan of five nodes, and five clients that write in turn.
struct Plan {
    writes: u64,
    every_us: u64,
}

impl Plan {
    fn text(&self) -> String {
        let heal_us = self.writes * self.every_us;
        let mut text = format!("seed 1\nnodes 5\nclients 5\nclient_batch 1\nheal_us {heal_us}\n");
        for write in 0..self.writes {
            let (at_us, client, key) = (write * self.every_us, write % 5, write * 7_919 % 1_000);
            _ = writeln!(text, "{at_us}us put c{client} m k{key} {}", write + 1);
        }
        text
    }

    fn run(&self, sim: &Path, dir: &Path, subject: &'static str, checked: bool) -> Result<Row, Failure> {
        let file = dir.join(subject);
        fs::write(&file, self.text())?;
        let mut command = Command::new(sim);
        command.arg("run").arg("--plan").arg(&file);
        if !checked {
            command.arg("--unchecked");
        }
        let (output, spent) = measured(&mut command)?;
        // `1962428 steps in 15100 ms: ...`
        let said = String::from_utf8(output.stdout)?;
        let words: Vec<&str> = said.split_whitespace().take(4).collect();
        let [steps, "steps", "in", virtual_ms] = words[..] else {
            return Err(format!("the simulator says {said:?}").into());
        };
        let (steps, virtual_ms): (u64, u64) = (steps.parse()?, virtual_ms.parse()?);
        let pace = u128::from(virtual_ms) * 1_000 / spent.wall.as_micros().max(1);
        let promises = if checked { "all promises" } else { "no promise" };
        let note = format!(
            "steps; 5 nodes, {} writes/s, each committed by all, {promises} checked; {pace} virtual s per wall s",
            1_000_000 / self.every_us
        );
        Ok(Row::of_thread((BENCH, subject), steps as usize, spent, 0, note))
    }
}

/// One event after the other out of a heap, and another one in: what a simulator costs that simulates nothing.
fn bare_heap(events: u64) -> Row {
    let mut heap: BinaryHeap<Reverse<(u64, u64)>> = (0..PENDING).map(|event| Reverse((event, event))).collect();
    let spent = measure(&mut heap, |heap| {
        let mut random = 1_u64;
        for seq in 0..events {
            let Some(Reverse((at_us, event))) = heap.pop() else {
                break;
            };
            // A linear congruential generator (Knuth, MMIX): the heap is never in order by itself.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            heap.push(Reverse((at_us + 1 + (random >> 54), event ^ seq)));
        }
    });
    let note = format!("events, {PENDING} pending: popped and pushed, nothing done");
    Row::of_thread((BENCH, "bare-heap"), events as usize, spent, 0, note)
}

/// Messages between two tasks on madsim, if that is built.
fn madsim() -> Result<Option<Row>, Failure> {
    let usual = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/madsim/release/examples/madsim-ping-pong"
    );
    let program = std::env::var_os(PING_PONG).map_or(PathBuf::from(usual), PathBuf::from);
    if !program.exists() {
        eprintln!(
            "madsim is left out: {} is not built (BENCH=1 .ci/madsim builds it)",
            program.display()
        );
        return Ok(None);
    }
    let (output, spent) = measured(&mut Command::new(&program))?;
    let said = String::from_utf8(output.stdout)?;
    // A line that says `1000000 messages`, whatever else it says.
    let words: Vec<&str> = said.split_whitespace().collect();
    let count = words.windows(2).find(|pair| pair[1].starts_with("messages"));
    let count = count.and_then(|pair| pair[0].parse().ok());
    let messages: usize =
        count.ok_or_else(|| format!("{} does not say how many messages: {said:?}", program.display()))?;
    let note = "messages between two tasks, no node".to_string();
    Ok(Some(Row::of_thread((BENCH, "madsim"), messages, spent, 0, note)))
}
