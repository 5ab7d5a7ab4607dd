//! The second phase of a run: after the faults everything must come to rest, where enough is left for that.

use sim::plan::Plan;
use sim::run::{End, Options, Report, run};
use sim::seeds::code_of;

/// Three nodes, a client that writes, and what else the header says.
fn play(header: &str) -> Report {
    let plan = format!(
        "nodes 3\nclients 1\nheal_us 1000000\n{header}\n1000us put c0 m k 1\n900000us block c0 n0 for 100\n\
         999999us put c0 m k 2"
    );
    let plan: Plan = plan.parse().expect("a plan");
    run(&plan, Options::default())
}

#[test]
fn all_nodes_come_back() {
    let report = play("");
    assert_eq!((report.end, report.acknowledged), (End::Held, 2));
    assert_eq!((report.left.nodes, report.left.of), (3, 3));
}

#[test]
fn a_majority_is_enough() {
    let report = play("dead 1");
    assert_eq!((report.end, report.acknowledged), (End::Held, 2));
    assert_eq!((report.left.nodes, report.left.are_majority()), (2, true));
    assert_eq!(report.reached["minority-gone"], 1);
}

#[test]
fn stuck_without_a_majority_is_no_failure() {
    let report = play("dead 3");
    assert!(
        matches!(&report.end, End::WithoutMajority(why) if why.contains("c0")),
        "{:?}",
        report.end
    );
    assert_eq!((code_of(&report.end), report.reached["majority-gone"]), (0, 1));
}

#[test]
fn stuck_with_all_of_them_is() {
    let report = play("converge_us 1000");
    assert!(matches!(&report.end, End::Stuck(_)), "{:?}", report.end);
    assert_eq!(code_of(&report.end), 4);
}
