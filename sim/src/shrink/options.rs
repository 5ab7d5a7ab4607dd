//! Fewer options that are not as ever.

use super::Search;
use crate::plan::Plan;

/// What is no option of the world: who is in it, and how much time it has. With less time to converge anything would fail.
const KEPT: [&str; 5] = ["seed", "nodes", "clients", "heal_us", "converge_us"];

/// Options that make sense only together.
const TOGETHER: [&[&str]; 3] = [
    &["heartbeat_ms", "silence_ms"],
    &["secret", "impostors"],
    &["ordered", "loss_permille", "duplicate_permille"],
];

fn name(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// Whether a line says what is so without it.
pub(super) fn is_default(line: &str) -> bool {
    Plan::default().options().iter().any(|usual| usual == line)
}

/// As in a plan that does not mention them: all options, those that belong together, and then each.
pub(super) fn reset_options(search: &mut Search<'_>) {
    let names = |search: &Search<'_>| -> Vec<String> {
        let lines = search.plan.options();
        let options = lines
            .iter()
            .filter(|line| !is_default(line) && !KEPT.contains(&name(line)));
        options.map(|line| name(line).to_string()).collect()
    };
    let all = names(search);
    reset(search, &|option| all.iter().any(|other| other == option));
    for group in TOGETHER {
        reset(search, &|option| group.contains(&option));
    }
    for option in names(search) {
        if !TOGETHER[0].contains(&option.as_str()) {
            reset(search, &|other| other == option);
        }
    }
}

/// Lists with fewer words in them: those that are names go, those that are numbers are 0.
pub(super) fn shorten_lists(search: &mut Search<'_>) {
    let usual = Plan::default().options();
    // A list is what has no word in a plan that does not mention it.
    let lists = usual.iter().filter(|line| name(line) == line.trim_end());
    for list in lists.map(|line| name(line).to_string()) {
        let words = |search: &Search<'_>| -> Vec<String> {
            let lines = search.plan.options();
            let line = lines.iter().find(|line| name(line) == list);
            line.map_or(Vec::new(), |line| line.split(' ').skip(1).map(str::to_string).collect())
        };
        for index in (0..words(search).len()).rev() {
            let mut words = words(search);
            match words[index].parse::<i64>() {
                Ok(_) => words[index] = "0".into(),
                Err(_) => _ = words.remove(index),
            }
            let mut lines = search.plan.options();
            lines.retain(|line| name(line) != list);
            lines.push(format!("{list} {}", words.join(" ")));
            if let Some(plan) = search.plan.with_options(&lines) {
                search.take(plan);
            }
        }
    }
}

fn reset(search: &mut Search<'_>, which: &dyn Fn(&str) -> bool) {
    let mut lines = search.plan.options();
    lines.retain(|line| !which(name(line)));
    if let Some(plan) = search.plan.with_options(&lines) {
        search.take(plan);
    }
}
