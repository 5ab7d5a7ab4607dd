//! Queries, each checked against the file that was imported.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::data::{AIRPORTS, FLIGHTS, MOVIES, count, csv, elements, file, import, rows};
use crate::process::Process;

#[test]
fn airports_are_found_as_they_are_in_the_file() {
    let Some(path) = file(AIRPORTS) else { return };
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    import(&node, &path, "airports", &["--key", "iata"]);
    let airports = csv(&path);
    let expect = |filter: &str, holds: &dyn Fn(&BTreeMap<String, String>) -> bool| {
        let expected = airports.iter().filter(|row| holds(row)).count();
        println!("{expected:5} {filter}");
        assert_eq!(count(&node, "airports", filter), expected, "{filter}");
        expected
    };
    let number = |row: &BTreeMap<String, String>, name: &str| row[name].parse::<f64>().unwrap();
    let known = [
        expect("state=CA and latitude>35", &|row| {
            row["state"] == "CA" && number(row, "latitude") > 35.0
        }),
        expect("name like \"%Muni%\"", &|row| {
            row["name"].to_lowercase().contains("muni")
        }),
        expect("state in (CA, NV, \"OR\")", &|row| {
            ["CA", "NV", "OR"].contains(&row["state"].as_str())
        }),
        expect("iata = 00M", &|row| row["iata"] == "00M"),
        expect("not (state = TX or state = AK)", &|row| {
            !["TX", "AK"].contains(&row["state"].as_str())
        }),
        expect("longitude between -100 and -90", &|row| {
            (-100.0..=-90.0).contains(&number(row, "longitude"))
        }),
    ];
    assert!(known.iter().all(|count| *count > 0), "{known:?}");
    expect("city is null", &|row| row["city"].is_empty());

    // Every value of every row, and the order.
    let found = rows(&node.ok(&["query", "airports", "", "--order", "latitude:desc", "--limit", "50"]));
    let mut northern: Vec<_> = airports.iter().collect();
    northern.sort_by(|a, b| {
        let by_latitude = number(b, "latitude").total_cmp(&number(a, "latitude"));
        by_latitude.then_with(|| a["iata"].cmp(&b["iata"]))
    });
    assert_eq!(found.len(), 50);
    for (found, row) in found.iter().zip(northern) {
        assert_eq!(found["_key"], row["iata"].as_str());
        for (name, cell) in row {
            match &found[name] {
                Value::Number(n) => assert_eq!(n.as_f64(), cell.parse().ok(), "{found}"),
                Value::Null => assert!(cell.is_empty(), "{found}"),
                other => assert_eq!(other, cell.as_str(), "{found}"),
            }
        }
    }
    let found = node.ok(&["query", "airports", "iata=00M", "--fields", "city,state"]);
    assert_eq!(found, "{\"_key\":\"00M\",\"city\":\"Bay Springs\",\"state\":\"MS\"}");
}

#[test]
fn films_and_flights_are_found_as_they_are_in_the_files() {
    let (Some(movies), Some(flights)) = (file(MOVIES), file(FLIGHTS)) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    import(&node, &movies, "movies", &[]);
    import(&node, &flights, "flights", &[]);
    let (movies, flights) = (elements(&movies), elements(&flights));
    let expect = |map: &str, all: &[Value], filter: &str, holds: &dyn Fn(&Value) -> bool| {
        let expected = all.iter().filter(|row| holds(row)).count();
        println!("{expected:5} {map}: {filter}");
        assert_eq!(count(&node, map, filter), expected, "{filter}");
        assert!(expected > 0, "{filter}");
    };
    expect("movies", &movies, "Director is null", &|film| {
        film["Director"].is_null()
    });
    expect("movies", &movies, "Title is not null and `IMDB Rating` >= 8", &|film| {
        !film["Title"].is_null() && film["IMDB Rating"].as_f64().is_some_and(|rating| rating >= 8.0)
    });
    expect("movies", &movies, "`MPAA Rating` in (PG, \"PG-13\")", &|film| {
        film["MPAA Rating"] == "PG" || film["MPAA Rating"] == "PG-13"
    });
    expect("movies", &movies, "Title > 0", &|film| {
        film["Title"].as_f64().is_some_and(|title| title > 0.0)
    });
    expect("flights", &flights, "delay > 100 and origin = ATL", &|flight| {
        flight["delay"].as_i64().unwrap() > 100 && flight["origin"] == "ATL"
    });
    expect(
        "flights",
        &flights,
        "destination in (SFO, OAK) or distance >= 2500",
        &|flight| {
            let to = flight["destination"].as_str().unwrap();
            to == "SFO" || to == "OAK" || flight["distance"].as_i64().unwrap() >= 2_500
        },
    );
    expect("flights", &flights, "date like \"2001/01/01%\"", &|flight| {
        flight["date"].as_str().unwrap().starts_with("2001/01/01")
    });
}

#[test]
fn a_query_is_printed_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    node.ok(&["set", "m", "a", "{\"n\": 1, \"in\": {\"x\": \"one\"}}"]);
    node.ok(&["set", "m", "b", "{\"n\": 2}"]);
    node.ok(&["set", "m", "c", "7"]);
    let said = node.cli(&["query", "m", "n > 0"]);
    assert_eq!(
        said.out,
        "{\"_key\":\"a\",\"n\":1,\"in\":{\"x\":\"one\"}}\n{\"_key\":\"b\",\"n\":2}\n"
    );
    assert_eq!(said.err, "2 rows\n");
    let list = node.ok(&[
        "query",
        "m",
        "--format",
        "json",
        "--fields",
        "in.x,_key",
        "--order",
        "n:desc",
    ]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        list,
        serde_json::json!([{"_key": "b"}, {"in.x": "one", "_key": "a"}, {"_key": "c"}])
    );
    assert_eq!(node.ok(&["query", "m", "n = 9", "--format", "json"]), "[]");
    let table = node.ok(&["query", "m", "--format", "table"]);
    for cell in ["_key", "n", "{\"x\":\"one\"}", "value", "7"] {
        assert!(table.contains(&format!(" {cell} ")), "{table}");
    }
}
