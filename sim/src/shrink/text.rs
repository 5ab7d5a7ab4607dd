//! A plan for people: what matters first.

use std::fmt::Write;

use super::options::is_default;
use crate::plan::Plan;

/// The plan as text, with remarks: first the options that are not as ever, then what happens, and in the end the options
/// that are, because what is usual changes and the plan is to stay.
pub fn text(plan: &Plan, remarks: &[String]) -> String {
    let mut out = String::new();
    for line in remarks.iter().flat_map(|remark| remark.lines()) {
        _ = writeln!(out, "# {line}");
    }
    // The entries are checked against these as they are read.
    let first = |line: &str| {
        ["seed ", "nodes ", "clients "]
            .iter()
            .any(|name| line.starts_with(name))
    };
    let (special, usual): (Vec<String>, Vec<String>) = plan
        .options()
        .into_iter()
        .partition(|line| first(line) || !is_default(line));
    special.iter().for_each(|line| _ = writeln!(out, "{line}"));
    for entry in &plan.entries {
        _ = writeln!(out, "{}us {}", entry.at_us, entry.event);
    }
    _ = writeln!(out, "# As ever:");
    usual.iter().for_each(|line| _ = writeln!(out, "{line}"));
    out
}
