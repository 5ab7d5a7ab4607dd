//! Three nodes: into one, out of another, watched on the third.

use crate::data::{AIRPORTS, file, import};
use crate::process::{Process, eventually, free_addrs};
use crate::watch::Watch;

#[test]
fn what_one_node_imports_another_answers_and_the_third_sees() {
    let dir = tempfile::tempdir().unwrap();
    let addrs: [String; 3] = free_addrs();
    let start = |who: usize| {
        let data = dir.path().join(format!("node-{who}"));
        let mut args = vec!["--listen", &addrs[who]];
        if who > 0 {
            args.extend(["--join", &addrs[0]]);
        }
        Process::start_with(&data, &args)
    };
    let [a, b, c] = [0, 1, 2].map(start);
    eventually("all partitions are where they belong", || {
        let still = [&a, &b, &c]
            .iter()
            .all(|node| node.status("moves") == "0" && node.status("members") == "3");
        still.then_some(())
    });
    let watch = Watch::start(&c, &["airports", "iata = SFO", "--fields", "city"]);
    let (path, rows) = match file(AIRPORTS) {
        Some(path) => (path, 3_376),
        None => {
            let path = dir.path().join("airports.csv");
            std::fs::write(&path, "iata,city,state,latitude\nSFO,San Francisco,CA,37.61900194\n").unwrap();
            (path, 1)
        }
    };
    import(&a, &path, "airports", &["--key", "iata"]);
    assert_eq!(
        watch.line(),
        "{\"change\":\"ENTER\",\"key\":\"SFO\",\"value\":{\"city\":\"San Francisco\"}}"
    );
    eventually("all rows have come", || {
        (b.status("records") == rows.to_string()).then_some(())
    });
    for filter in ["", "state=CA and latitude>35"] {
        let query = ["query", "airports", filter];
        assert_eq!(a.ok(&query), b.ok(&query));
    }
    b.ok(&[
        "set",
        "airports",
        "SFO",
        "{\"iata\": \"SFO\", \"city\": \"Yerba Buena\"}",
    ]);
    assert_eq!(
        watch.line(),
        "{\"change\":\"UPDATE\",\"key\":\"SFO\",\"value\":{\"city\":\"Yerba Buena\"}}"
    );
}
