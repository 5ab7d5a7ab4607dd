//! What `GET /metrics` and the log show, and that neither shows a secret.

use std::path::Path;

use crate::process::{Process, eventually, free_addrs};

const SECRET: &str = "correct horse battery";

fn scrape(node: &Process, headers: &[(&str, &str)]) -> String {
    let (status, head, body) = node.http("GET", "/metrics", headers, &[]);
    assert_eq!(status, 200, "{head}");
    String::from_utf8(body).unwrap()
}

/// The value of the first line that begins like this.
fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("{name} is not in\n{page}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn secret_file(dir: &Path) -> String {
    let path = dir.join("cluster.secret");
    std::fs::write(&path, SECRET).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_was_done_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    node.ok(&["set", "m", "a", "1"]);
    node.ok(&["set", "m", "b", "2"]);
    node.ok(&["get", "m", "a"]);
    node.ok(&["del", "m", "b"]);
    assert_eq!(node.cli(&["set", "m", &"k".repeat(1_000), "1"]).code, Some(3));

    let page = scrape(&node, &[]);
    for (name, expected) in [
        ("orrery_operations_total{kind=\"put\",result=\"ok\"}", 2.0),
        ("orrery_operations_total{kind=\"put\",result=\"TooLarge\"}", 1.0),
        ("orrery_operations_total{kind=\"get\",result=\"ok\"}", 1.0),
        ("orrery_operations_total{kind=\"delete\",result=\"ok\"}", 1.0),
        ("orrery_request_seconds_count", 5.0),
        // The cluster that it began is the first entry.
        ("orrery_log_sync_seconds_count", 4.0),
        ("orrery_log_transaction_changes_sum", 3.0),
        ("orrery_log_committed_entry", 4.0),
        ("orrery_records", 2.0),
        ("orrery_tombstones", 1.0),
        ("orrery_connections_opened_total{role=\"client\"}", 5.0),
        ("orrery_frames_received_total{role=\"client\"}", 5.0),
        ("orrery_replication_links", 0.0),
    ] {
        let found = value(&page, name);
        assert!(
            (found - expected).abs() < 0.5,
            "{name} is {found}, not {expected}\n{page}"
        );
    }
    assert!(value(&page, "orrery_process_resident_memory_bytes") > 1e6);
    assert!(
        page.contains("orrery_build_info{version=\"") && page.ends_with("# EOF\n"),
        "{page}"
    );
    eventually("what was written is applied", || {
        let page = scrape(&node, &[]);
        (value(&page, "orrery_log_depth_bytes") < 0.5 && value(&page, "orrery_apply_rows_count") > 0.5).then_some(())
    });
}

#[test]
fn links_are_seen_in_the_metrics_and_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs::<2>();
    let start = |who: usize, name: &str| {
        let join = ["--join", &addrs[0]];
        let args = ["--listen", &addrs[who], "--node", name, "--heartbeat", "100ms"];
        Process::start_with(&dir.path().join(name), &[&args[..], &join[..2 * who]].concat())
    };
    let (a, b) = (start(0, "north"), start(1, "south"));
    eventually("all partitions are where they belong", || {
        let page = scrape(&a, &[]);
        let still = page.contains("orrery_cluster_members 2\n") && page.contains("orrery_cluster_moves 0\n");
        (still && page.contains("orrery_partitions_orphaned 0\n")).then_some(())
    });
    a.ok(&["set", "m", "k", "1"]);
    eventually("the change is forwarded", || {
        let page = scrape(&a, &[]);
        let linked = page.contains("orrery_replication_unsent_bytes{peer=\"south\"}");
        // To whom depends on who owns the partition.
        let taken = |node| value(&scrape(node, &[]), "orrery_replication_taken_total");
        (linked && taken(&a) + taken(&b) > 0.5).then_some(())
    });
    assert!(a.log().contains("linked with a peer peer=\"south\""), "{}", a.log());
    eventually("the peer says that it took the change", || {
        let page = scrape(&a, &[]);
        let caught_up = page.contains("orrery_replication_lag_changes{peer=\"south\"} 0");
        (caught_up && page.contains("orrery_replication_linked{peer=\"south\"} 1")).then_some(())
    });
    b.kill();
    eventually("the loss is told with its reason", || {
        // Two nodes that dial each other may have given up one of two links before: that is news as well, of another kind.
        let is_told = |line: &str| {
            line.contains("the link to a peer is gone")
                && line.contains("reason=\"the connection was closed or broke\"")
        };
        a.log().lines().any(is_told).then_some(())
    });
    for value in ["2", "3", "4"] {
        a.ok(&["set", "m", "k", value]);
    }
    let page = scrape(&a, &[]);
    assert!(
        page.contains("orrery_replication_lag_changes{peer=\"south\"} 3"),
        "{page}"
    );
    assert!(page.contains("orrery_replication_linked{peer=\"south\"} 0"), "{page}");
}

#[test]
fn metrics_are_for_those_who_know_the_secret_and_nothing_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = secret_file(dir.path());
    let more = [
        "--cluster-secret-file",
        &file,
        "--log",
        "json",
        "--log-level",
        "trace",
        "--listen",
        "0.0.0.0:0",
        "--advertise",
        "127.0.0.1:0",
    ];
    let mut node = Process::start_with(&dir.path().join("data"), &more);
    node.addr = node.addr.replace("0.0.0.0", "127.0.0.1");

    let (status, head, _) = node.http("GET", "/metrics", &[], &[]);
    assert!(status == 401 && head.contains("www-authenticate: Bearer"), "{head}");
    let (status, ..) = node.http("GET", "/metrics", &[("authorization", "Bearer nonsense")], &[]);
    assert_eq!(status, 403);
    let (status, ..) = node.http("GET", "/health/live", &[], &[]);
    assert_eq!(status, 200);

    node.ok(&["set", "m", "k", "1", "--token", SECRET]);
    let wrong = node.cli(&["set", "m", "k", "1", "--token", "incorrect horse battery"]);
    assert_eq!(wrong.code, Some(3));
    let bearer = format!("Bearer {SECRET}");
    let page = scrape(&node, &[("authorization", &bearer)]);
    assert!(value(&page, "orrery_operations_total{kind=\"auth\",result=\"AuthFailed\"}") > 0.5);
    let printed = crate::process::run(&["config", "print", "--cluster-secret-file", &file]);
    assert!(printed.out.contains(&file), "{printed:?}");
    for (what, text) in [
        ("the metrics", &page),
        ("the log", &node.log()),
        ("the settings", &printed.out),
        ("the refusal", &wrong.err),
    ] {
        assert!(
            !text.contains(SECRET) && !text.contains("horse battery"),
            "{what}:\n{text}"
        );
    }
    let first: serde_json::Value = serde_json::from_str(node.log().lines().next().unwrap()).unwrap();
    assert_eq!(first["message"], "starting");
    assert!(first["settings"].as_str().unwrap().contains(&file), "{first}");
    assert!(first["version"].as_str().is_some(), "{first}");
}
