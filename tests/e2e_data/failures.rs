//! What is wrong with a file, a filter or a node, and how the process ends for it.

use std::fs;

use crate::data::count;
use crate::process::{Done, Process, run};

#[test]
fn bad_rows_end_an_import_or_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    let path = dir.path().join("people.csv");
    fs::write(&path, "id,age\n1,30\n2,40,x\n,50\n4,old\n5,60\n").unwrap();
    let path = path.to_str().unwrap();
    let args = |more: &[&'static str]| {
        let first = ["import", path, "--map", "m", "--key", "id", "--schema", "age:int"];
        node.cli(&[&first[..], more].concat())
    };
    let failed = args(&[]);
    assert_eq!(failed.code, Some(2), "{failed:?}");
    assert!(
        failed
            .err
            .contains("error[bad_row]: line 3: it has 3 cells, and there are 2 columns"),
        "{failed:?}"
    );
    assert_eq!(count(&node, "m", ""), 1);

    let skipped = args(&["--on-error", "skip"]);
    assert_eq!(skipped.code, Some(0), "{skipped:?}");
    assert!(skipped.out.contains("2 rows acknowledged, 3 skipped"), "{skipped:?}");
    for line in [
        "skipped: line 3: it has 3 cells, and there are 2 columns",
        "skipped: line 4: id is empty, so the row has no key",
        "skipped: line 5: column age: 'old' is no int",
    ] {
        assert!(skipped.err.contains(line), "{skipped:?}");
    }
    assert_eq!(
        node.ok(&["query", "m"]),
        "{\"_key\":\"1\",\"id\":1,\"age\":30}\n{\"_key\":\"5\",\"id\":5,\"age\":60}"
    );

    // The same file read in another way is as old as before: one of the two stays, whichever, and that is said.
    let both = [
        &["--schema", "age:int"][..],
        &["--schema", "age:text"],
        &["--schema", "age:int"],
    ]
    .map(|schema| {
        let first = ["import", path, "--map", "twice", "--on-error", "skip"];
        node.cli(&[&first[..], schema].concat()).err.contains("say --at now")
    });
    assert!(!both[0] && both[1] != both[2], "{both:?}");

    // What is no JSON any more ends it, whatever is wanted of bad rows; what was before it is there.
    let broken = dir.path().join("broken.json");
    fs::write(&broken, "[{\"a\": 1},\n {\"a\": 2},\n {\"a\": ").unwrap();
    let done = node.cli(&["import", broken.to_str().unwrap(), "--map", "b", "--on-error", "skip"]);
    assert!(
        done.code == Some(2) && done.err.contains("error[bad_file]: line 3:"),
        "{done:?}"
    );
    assert_eq!(count(&node, "b", ""), 2);
}

#[test]
fn rows_that_route_otherwise_than_their_field_says_are_refused_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start_with(&dir.path().join("data"), &["--partition-by", "orders=tenantId/"]);
    let path = dir.path().join("orders.csv");
    fs::write(&path, "id,tenantId\na/1,a\na/2,b\n7/1,7\nx{b},b\n").unwrap();
    let path = path.to_str().unwrap();
    let import = |more: &[&'static str]| {
        let first = ["import", path, "--map", "orders", "--key", "id"];
        node.cli(&[&first[..], more].concat())
    };
    let failed = import(&[]);
    assert!(
        failed.code == Some(2) && failed.err.contains("error[bad_row]: line 3"),
        "{failed:?}"
    );
    let skipped = import(&["--on-error", "skip"]);
    assert_eq!(skipped.code, Some(0), "{skipped:?}");
    assert!(skipped.out.contains("3 rows acknowledged, 1 skipped"), "{skipped:?}");
    let said = "the key routes by \"a\", and the field tenantId is \"b\"";
    assert!(skipped.err.contains(said), "{skipped:?}");
    assert_eq!(count(&node, "orders", "tenantId = 7"), 1);
    let refused = node.cli(&["set", "orders", "a/9", "{\"tenantId\":\"c\"}"]);
    assert!(
        refused.code == Some(3) && refused.err.contains("error[BadRequest]"),
        "{refused:?}"
    );
}

#[test]
fn exit_codes_tell_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    let write = |name: &str, content: &str| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (csv, text, json) = (
        write("a.csv", "a\n1\n"),
        write("a.txt", "a\n1\n"),
        write("a.json", "[1]"),
    );
    for (args, said) in [
        (&["import", &text, "--map", "m"][..], "error[unknown_form]"),
        (
            &["import", "/nowhere.csv", "--map", "m"],
            "error[cannot_open]: /nowhere.csv",
        ),
        (&["import", &csv, "--map", ""], "error[bad_map_name]"),
        (
            &["import", &csv, "--map", "m", "--key", "b"],
            "there is no column b: there are a",
        ),
        (
            &["import", &csv, "--map", "m", "--schema", "b:int"],
            "there is no column b",
        ),
        (
            &["import", &csv, "--map", "m", "--schema", "a:number"],
            "int, float, bool, text or json",
        ),
        (
            &["import", &json, "--map", "m", "--schema", "a:int"],
            "error[schema_of_json]",
        ),
        (&["import", &csv, "--map", "m", "--batch", "0"], "--batch"),
        (&["import", &csv, "--map", "m", "--retry-for", "soon"], "10s"),
        (
            &["query", "m", "a ! 1"],
            "error[bad_filter]: at 3: expected one of = != <> < <= > >=\n  a ! 1\n    ^",
        ),
        (&["watch", "m", "a ="], "error[bad_filter]"),
        (&["export", "--map", "m", "--filter", "("], "error[bad_filter]"),
    ] {
        let done = node.cli(args);
        assert!(done.code == Some(2) && done.err.contains(said), "{args:?}: {done:?}");
    }
    let future = node.cli(&["import", &csv, "--map", "m", "--at", "99999999999999"]);
    assert!(
        future.code == Some(3) && future.err.contains("error[ClockDrift]"),
        "{future:?}"
    );
    let long = "m".repeat(200);
    let refused = node.cli(&["query", &long]);
    assert!(matches!(refused.code, Some(0 | 3)), "{refused:?}");

    let piped = node.cli(&["import", "-", "--map", "m"]);
    assert_eq!(piped.code, Some(2), "{piped:?}");
    let nothing = node.cli(&["import", "-", "--format", "csv", "--map", "m"]);
    assert!(
        nothing.code == Some(0) && nothing.out.contains("0 rows acknowledged"),
        "{nothing:?}"
    );

    let addr = node.addr.clone();
    node.kill();
    let unreachable = |args: &[&str]| {
        let done: Done = run(&[args, &["--addr", &addr]].concat());
        assert!(done.code == Some(4) && done.err.contains(&addr), "{done:?}");
    };
    unreachable(&["import", &csv, "--map", "m"]);
    unreachable(&["export", "--map", "m"]);
    unreachable(&["query", "m"]);
    unreachable(&["watch", "m"]);
}
