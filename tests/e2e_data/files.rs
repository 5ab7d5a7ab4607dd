//! Files in, and out again.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use rustix::process::Signal;
use serde_json::json;

use crate::data::{AIRPORTS, FLIGHTS, MOVIES, count, csv, elements, file, import, rows};
use crate::process::{Process, command, eventually};

#[test]
fn a_second_import_changes_nothing() {
    let (Some(airports), Some(movies), Some(flights)) = (file(AIRPORTS), file(MOVIES), file(FLIGHTS)) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    let import_all = || {
        let said = [
            import(&node, &airports, "airports", &["--key", "iata"]),
            import(&node, &movies, "movies", &[]),
            import(&node, &flights, "flights", &[]),
        ];
        println!("{}", said.join("\n"));
        assert!(
            said[0].contains("airports: 3376 rows acknowledged, 0 skipped"),
            "{said:?}"
        );
        assert!(
            said[1].contains("movies: 3201 rows acknowledged, 0 skipped"),
            "{said:?}"
        );
        assert!(
            said[2].contains("flights: 20000 rows acknowledged, 0 skipped"),
            "{said:?}"
        );
    };
    import_all();
    let digest = node.status("digest");
    assert_eq!(count(&node, "airports", ""), csv(&airports).len());
    assert_eq!(count(&node, "movies", ""), elements(&movies).len());
    assert_eq!(count(&node, "flights", ""), elements(&flights).len());
    import_all();
    assert_eq!(node.status("digest"), digest);

    // Whoever has edited a record since is not overwritten.
    node.ok(&["set", "airports", "00M", "{\"edited\": true}"]);
    import_all();
    assert_eq!(node.ok(&["get", "airports", "00M"]), "{\"edited\":true}");
    import(&node, &airports, "airports", &["--key", "iata", "--at", "now"]);
    let bay_springs = node.ok(&["get", "airports", "00M"]);
    let expected = "{\"iata\":\"00M\",\"name\":\"Thigpen\",\"city\":\"Bay Springs\",\"state\":\"MS\",\"country\":\"USA\",\
        \"latitude\":31.95376472,\"longitude\":-89.23450472}";
    assert_eq!(bay_springs, expected);
}

#[test]
fn values_of_json_keep_their_types_and_keys_are_their_text() {
    let Some(movies) = file(MOVIES) else { return };
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    let films = elements(&movies);
    let titles: BTreeSet<String> = films
        .iter()
        .filter(|film| !film["Title"].is_null())
        .map(|film| {
            film["Title"]
                .as_str()
                .map_or_else(|| film["Title"].to_string(), str::to_owned)
        })
        .collect();
    let untitled = films.iter().filter(|film| film["Title"].is_null()).count();
    let numbered = films.iter().filter(|film| film["Title"].is_number()).count();
    println!("{} titles, {untitled} without, {numbered} numbers", titles.len());

    let said = import(&node, &movies, "movies", &["--key", "Title", "--on-error", "skip"]);
    let expected = format!("{} rows acknowledged, {untitled} skipped", films.len() - untitled);
    assert!(said.contains(&expected), "{said}");
    let found = rows(&node.ok(&["query", "movies"]));
    let keys: BTreeSet<String> = found
        .iter()
        .map(|row| row["_key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys, titles);
    // Of two films with one title the later one in the file stays.
    for row in found.iter().filter(|row| row["Title"].is_number()) {
        let mut film = films
            .iter()
            .rfind(|film| film["Title"] == row["Title"])
            .unwrap()
            .clone();
        film["_key"] = row["_key"].clone();
        assert_eq!(*row, film);
    }
}

#[test]
fn a_node_that_is_killed_in_the_middle_of_an_import_gets_all_of_it_in_the_end() {
    let Some(flights) = file(FLIGHTS) else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = Process::start(&data);
    let addr = node.addr.clone();
    let content = fs::read(&flights).unwrap();
    // It is read from a pipe, so that the second half cannot come before the node has gone.
    let import_piped = |node: Option<Process>| {
        let args = [
            "import",
            "-",
            "--format",
            "json",
            "--map",
            "flights",
            "--at",
            "1700000000000",
            "--batch",
            "100",
            "--addr",
            &addr,
        ];
        let mut process = command(&args);
        process
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut importing = process.spawn().unwrap();
        let mut pipe = importing.stdin.take().unwrap();
        let (gone, goes) = mpsc::channel();
        let content = content.clone();
        let writing = thread::spawn(move || {
            let (first, second) = content.split_at(content.len() / 2);
            pipe.write_all(first).unwrap();
            goes.recv().unwrap();
            pipe.write_all(second).unwrap();
        });
        let node = node.map(|node| {
            eventually("rows arrive", || {
                let records: usize = node.status("records").parse().unwrap();
                (records >= 1_000).then_some(())
            });
            node.signal(Signal::KILL);
            node.wait();
            let node = Process::start_with(&data, &["--listen", &addr]);
            let records: usize = node.status("records").parse().unwrap();
            println!("killed with {records} rows");
            assert!((1_000..20_000).contains(&records), "{records}");
            node
        });
        gone.send(()).unwrap();
        writing.join().unwrap();
        let done = importing.wait_with_output().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr),
        );
        assert_eq!(done.status.code(), Some(0), "{err}");
        assert!(out.contains("20000 rows acknowledged, 0 skipped"), "{out}");
        node
    };
    let node = import_piped(Some(node)).unwrap();
    assert_eq!(count(&node, "flights", ""), 20_000);
    assert_eq!(node.status("records"), "20000");
    let digest = node.status("digest");
    import_piped(None);
    assert_eq!(node.status("digest"), digest);
    node.kill();
    let node = Process::start(&data);
    assert_eq!(node.status("records"), "20000");
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    for (key, value) in [
        (
            "a",
            json!({"zip": "00501", "n": 1, "x": 1e16, "deep": {"a": [1, "2", null]}}),
        ),
        (
            "b",
            json!({"zip": "501", "n": 18_446_744_073_709_551_615_u64, "x": 0.1, "deep": null}),
        ),
        ("1.50", json!({"zip": "true", "n": -1, "x": 1.0, "deep": "a \"b\",\nc"})),
        ("c", json!({"zip": null, "n": 0, "x": -2.5e-7, "deep": ""})),
    ] {
        node.ok(&["set", "m", key, &value.to_string()]);
        node.ok(&["set", "odd", key, &value.to_string()]);
    }
    // What is no object, or looks like what stands for one; only NDJSON tells those apart among others.
    for (key, value) in [
        ("5", "5"),
        ("l", "[1]"),
        ("v", "{\"value\":5}"),
        ("k", "{\"_key\":\"x\"}"),
        ("e", "{}"),
    ] {
        node.ok(&["set", "odd", key, value]);
    }
    let round = |map: &str, form: &str| {
        let exported = node.cli(&["export", "--map", map, "--format", form]);
        assert_eq!(exported.code, Some(0), "{exported:?}");
        let path = dir.path().join(format!("{map}.{form}"));
        fs::write(&path, &exported.out).unwrap();
        let schema = exported.err.split('\'').nth(1).unwrap_or_default();
        let back = format!("{map}-{form}");
        let mut more = vec!["--key", "_key"];
        if !schema.is_empty() {
            more.extend(["--schema", schema]);
        }
        import(&node, &path, &back, &more);
        let [was, is] = [map, &back].map(|map| node.ok(&["export", "--map", map]));
        assert_eq!(was, is);
    };
    round("m", "ndjson");
    round("odd", "ndjson");
    round("m", "csv");
    if let Some(airports) = file(AIRPORTS) {
        import(&node, &airports, "airports", &["--key", "iata"]);
        round("airports", "csv");
    }
    if let Some(movies) = file(MOVIES) {
        import(&node, &movies, "movies", &[]);
        round("movies", "ndjson");
        round("movies", "csv");
    }
    let some = node.ok(&["export", "--map", "m", "--filter", "n > 0"]);
    assert_eq!(some.lines().count(), 2);
}

#[test]
fn a_map_that_is_larger_than_an_answer_is_exported_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    let path = dir.path().join("many.ndjson");
    let most = kernel::env::Limits::default().query_rows;
    let lines: String = (0..=most).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    fs::write(&path, lines).unwrap();
    let said = import(&node, &path, "many", &[]);
    assert!(said.contains("100001 rows acknowledged"), "{said}");
    for args in [&["export", "--map", "many"][..], &["query", "many"]] {
        let rows = rows(&node.ok(args));
        assert_eq!(rows.len(), most + 1);
        for (n, row) in rows.iter().enumerate() {
            assert_eq!(*row, json!({"_key": format!("{:010}", n + 1), "n": n}));
        }
    }
    // What cannot be paged says what would help.
    let ordered = node.cli(&["query", "many", "", "--order", "n"]);
    assert!(
        ordered.code == Some(3) && ordered.err.contains("--limit"),
        "{ordered:?}"
    );
    let first = node.ok(&["query", "many", "", "--order", "n:desc", "--limit", "1"]);
    assert_eq!(first, "{\"_key\":\"0000100001\",\"n\":100000}");
}
