//! What a plan may ask for. A plan comes from a file, and a file from anybody: beyond these a run would have no end, no room, or no
//! meaning.

use super::header::Field;
use super::{Ask, Event, Plan};

/// No time in a plan is beyond a day.
const MOST_US: u64 = 86_400_000_000;
const MOST_MS: u64 = MOST_US / 1_000;
/// Most entries.
pub(super) const MOST_ENTRIES: usize = 200_000;
/// Longest name of a map or key, in bytes.
const LONGEST_NAME: usize = 200;

/// Least and most of an option.
fn bounds(name: &str) -> (u64, u64) {
    match name {
        "seed" => (0, u64::MAX),
        "nodes" => (1, 12),
        "clients" => (1, 50),
        "twins" | "exchanges" | "impostors" => (0, 50),
        "dead" => (0, 12),
        "latency_shape" => (0, 2),
        "latency_spread" => (1, 1_000),
        "bytes_per_ms" => (1, 1 << 40),
        "log_bytes" | "chunk_bytes" | "apply_bytes" | "commit_bytes_in_flight" | "unsent_bytes" => (1, 1 << 30),
        "client_batch" => (1, 10_000),
        "move_bytes_per_s" => (1, 1 << 30),
        "offline_horizon_ms" => (1, 1 << 40),
        // Timers of no time at all would stop the clock of the world.
        "heartbeat_ms" | "silence_ms" | "anti_entropy_ms" | "redial_ms" => (1, MOST_MS),
        "patience_us" => (1_000, MOST_US),
        name if name.ends_with("permille") => (0, 1_000),
        name if name.ends_with("ms") => (0, MOST_MS),
        _ => (0, MOST_US),
    }
}

/// What is wrong with the numbers of a plan, if anything is.
pub(super) fn check(plan: &Plan) -> Result<(), String> {
    let mut header = plan.header.clone();
    for (name, field) in header.fields() {
        let (least, most) = bounds(name);
        let numbers = match field {
            Field::Number(number) => vec![*number],
            Field::Pair((low, high)) => vec![*low, *high],
            Field::List(list) => list.iter().map(|number| number.unsigned_abs()).collect(),
            Field::Flag(_) | Field::Rare(_) => Vec::new(),
        };
        // Drift is in millionths: a clock may stand for a tenth of the time, or run ahead by as much.
        let (least, most) = if name == "drift_ppm" {
            (0, 100_000)
        } else {
            (least, most)
        };
        if let Some(number) = numbers.iter().find(|number| !(least..=most).contains(*number)) {
            return Err(format!("`{name}` is between {least} and {most}, and not {number}"));
        }
    }
    let header = &plan.header;
    if header.dead > header.nodes {
        return Err(format!(
            "`dead` is {}, and there are {} nodes",
            header.dead, header.nodes
        ));
    }
    if header.twins + header.exchanges + header.impostors > header.clients {
        return Err(format!(
            "`twins`, `exchanges` and `impostors` come to more than the {} clients",
            header.clients
        ));
    }
    crate::run::limits(header).check().map_err(|bad| bad.to_string())?;
    plan.entries.iter().try_for_each(|entry| {
        let named = |wrong: String| format!("`{}us {}`: {wrong}", entry.at_us, entry.event);
        if entry.at_us > MOST_US {
            return Err(named(format!("no time is beyond {MOST_US}us")));
        }
        check_event(&entry.event).map_err(named)
    })
}

fn check_event(event: &Event) -> Result<(), String> {
    match event {
        Event::Put { map, key, ttl_ms, .. } => {
            check_names(map, key)?;
            match ttl_ms {
                Some(ms) if *ms > MOST_MS => Err(format!("a time to live is at most {MOST_MS} ms")),
                _ => Ok(()),
            }
        }
        Event::Delete { map, key, .. } | Event::Get { map, key, .. } => check_names(map, key),
        Event::Watch { watch, .. } => check_names(&watch.map, ""),
        Event::Register {
            ask: Ask::Lock { ttl_ms },
            ..
        } if *ttl_ms > MOST_MS => Err(format!("a lock is held for at most {MOST_MS} ms")),
        Event::Register { name, .. } => check_names("l", name),
        Event::Fault(fault) if fault.for_us > MOST_US => Err(format!("nothing lasts longer than {MOST_US}us")),
        Event::Fault(fault) if fault.by.unsigned_abs() > MOST_MS => Err(format!("no measure is beyond {MOST_MS}")),
        Event::Fault(fault) if fault.kind == super::FaultKind::CrashLoop && fault.by < 10 => {
            Err("a node that crashes again takes at least 10 microseconds".into())
        }
        Event::Fault(_) => Ok(()),
    }
}

fn check_names(map: &str, key: &str) -> Result<(), String> {
    match map.len().max(key.len()) {
        0..=LONGEST_NAME => Ok(()),
        long => Err(format!("a name has at most {LONGEST_NAME} bytes, and not {long}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        text.parse::<Plan>().expect_err(text).to_string()
    }

    #[test]
    fn what_no_run_could_do_is_refused_by_name() {
        assert_eq!(wrong("nodes 0"), "`nodes` is between 1 and 12, and not 0");
        assert_eq!(
            wrong("nodes 1000000000"),
            "`nodes` is between 1 and 12, and not 1000000000"
        );
        assert_eq!(
            wrong("drift_ppm -1000000"),
            "`drift_ppm` is between 0 and 100000, and not 1000000"
        );
        assert!(wrong("nodes 3\ndead 4").contains("there are 3 nodes"));
        assert!(wrong("clients 2\nimpostors 3").contains("more than the 2 clients"));
        let max = u64::MAX;
        for option in [
            "heal_us",
            "converge_us",
            "patience_us",
            "anti_entropy_ms",
            "loss_permille",
            "chunk_bytes",
        ] {
            assert!(wrong(&format!("{option} {max}")).contains(option));
        }
        for line in [
            "crash n0 for 99999999999999",
            "jump n0 -9223372036854775808",
            "crash-loop n0 0 for 5",
        ] {
            assert!(wrong(&format!("5us {line}")).starts_with("`5us "), "{line}");
        }
        assert!(wrong("99999999999999us crash n0 for 5").contains("no time is beyond"));
        assert!(wrong(&format!("5us get c0 m {}", "k".repeat(201))).contains("at most 200 bytes"));
    }

    #[test]
    fn whoever_is_mentioned_is_there_in_the_end() {
        assert!(wrong("5us put c2 m k 1\nclients 1").contains("c2"));
    }
}
