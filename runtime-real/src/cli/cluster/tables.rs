//! What the commands about the cluster print.

use serde_json::Value;

use crate::cli::query::visible;
use crate::cli::status::word;

pub fn status(found: &Value) -> String {
    let name = visible(&word(&found["name"]));
    let Some(id) = found["cluster"].as_str() else {
        return format!("cluster   {name}: the node does not belong to it yet");
    };
    let moves = found["moves"].as_array().map_or(0, Vec::len);
    let mut lines = vec![
        format!(
            "cluster   {name} {id}, generation {}, epoch {}",
            found["generation"], found["epoch"]
        ),
        format!("replicas  {}", found["replicas"]),
        format!("orphans   {}", found["orphans"]),
        format!("moves     {moves}"),
        format!("floor     {}", floor(found)),
        String::new(),
    ];
    lines.push(members(&found["members"]));
    lines.join("\n")
}

/// Up to when what was deleted is collected, in milliseconds since 1970.
fn floor(found: &Value) -> String {
    match (found["floorMs"].as_u64(), found["promisedMs"].as_u64()) {
        (None | Some(0), None | Some(0)) => "none".to_owned(),
        (floor, Some(next)) if floor < Some(next) => format!("{}, about to be {next}", floor.unwrap_or_default()),
        (floor, _) => floor.unwrap_or_default().to_string(),
    }
}

pub fn members(found: &Value) -> String {
    let head = ["node", "id", "addr", "zone", "weight", "owned", "held", "state"];
    let rows = found.as_array().into_iter().flatten().map(|member| {
        let mut row: Vec<String> = head[..7].iter().map(|name| visible(&word(&member[name]))).collect();
        row.push(state(member).to_owned());
        row
    });
    columns(&head, rows)
}

fn state(member: &Value) -> &'static str {
    match (member["alive"].as_bool(), member["leaving"].as_bool()) {
        (Some(true), Some(true)) => "leaving",
        (Some(true), _) => "alive",
        (_, Some(true)) => "leaving, not reached",
        _ => "not reached",
    }
}

pub fn moves(found: &Value) -> String {
    let rows = found.as_array().into_iter().flatten().map(|open| {
        let to = open["to"].as_array().map_or(0, Vec::len);
        vec![
            word(&open["partition"]),
            names(&open["from"]),
            names(&open["to"]),
            format!("{} of {to}", open["filled"]),
            word(&open["since"]),
        ]
    });
    columns(&["partition", "from", "to", "filled", "since"], rows)
}

pub fn located(found: &Value) -> String {
    let owner = found["owner"]
        .as_str()
        .map_or("nobody that can be reached".to_owned(), visible);
    let mut lines = vec![
        format!("partition  {}", found["partition"]),
        format!("owner      {owner}"),
        format!("replicas   {}", names(&found["replicas"])),
    ];
    if found["target"].as_array().is_some_and(|target| !target.is_empty()) {
        lines.push(format!("moves to   {}", names(&found["target"])));
    }
    lines.join("\n")
}

pub fn changed(found: &Value) -> String {
    let what = if found["change"] == "leave" {
        "is leaving"
    } else {
        "is removed"
    };
    let (node, id) = (visible(&word(&found["node"])), word(&found["id"]));
    format!(
        "{node} ({id}) {what}: epoch {}, {} partitions are moving",
        found["epoch"], found["moves"]
    )
}

pub fn comparing(found: &Value) -> String {
    let peers = found["peers"].as_array().into_iter().flatten();
    let peers: Vec<_> = peers.map(|peer| visible(&word(&peer["node"]))).collect();
    match &peers[..] {
        [] => "the node is linked with no peer: there is nobody to compare with".to_owned(),
        peers => format!("comparing with {}", peers.join(", ")),
    }
}

pub fn repairs(found: &Value) -> String {
    let cost = &found["cost"];
    let mut lines = vec![
        comparing(found),
        format!(
            "since the start  {} comparisons begun, {} partitions differed in those of peers",
            found["rounds"], found["differed"]
        ),
        format!(
            "repairs          {} begun, {} got everything, {} by a list",
            found["begun"], found["whole"], found["fallbacks"]
        ),
        format!(
            "their cost       {} round trips, {} bytes sent, {} received, {} coded symbols, {} items listed",
            cost["roundTrips"], cost["sentBytes"], cost["receivedBytes"], cost["symbols"], cost["listed"]
        ),
        format!(
            "records          {} received, {} given in them; {} bytes given in all",
            cost["recordsIn"], cost["recordsOut"], found["givenBytes"]
        ),
        String::new(),
    ];
    let head = [
        "node",
        "repairing",
        "waiting",
        "partition",
        "trips",
        "sent",
        "received",
        "symbols",
        "listed",
        "in",
        "out",
    ];
    let rows = found["peers"].as_array().into_iter().flatten().map(|peer| {
        let (last, cost) = (&peer["last"], &peer["last"]["cost"]);
        let mut row = vec![
            visible(&word(&peer["node"])),
            word(&peer["repairing"]),
            word(&peer["waiting"]),
        ];
        if !last.is_null() {
            row.push(word(&last["partition"]));
            let names = [
                "roundTrips",
                "sentBytes",
                "receivedBytes",
                "symbols",
                "listed",
                "recordsIn",
                "recordsOut",
            ];
            row.extend(names.map(|name| word(&cost[name])));
        }
        row.resize(head.len(), "-".to_owned());
        row
    });
    lines.push(columns(&head, rows));
    lines.join("\n")
}

pub fn recovered(found: &Value) -> String {
    let done = found["change"] == "recover";
    let (begun, given_up) = match done {
        true => ("has begun", "given up"),
        false => ("would begin", "to be given up"),
    };
    let mut lines = vec![
        format!(
            "generation {} {begun} with {}",
            found["generation"],
            names(&found["left"])
        ),
        format!("{given_up}: {}", names(&found["givenUp"])),
        format!(
            "{} of 271 partitions have no replica left: they are empty",
            found["gone"]
        ),
        format!(
            "{} have so few left that acknowledged writes may be missing",
            found["doubtful"]
        ),
    ];
    if !done {
        lines.push("nothing was done: --force does it".to_owned());
    }
    lines.join("\n")
}

fn names(list: &Value) -> String {
    let names = list.as_array().into_iter().flatten();
    let names: Vec<_> = names.map(|name| visible(&word(name))).collect();
    names.join(", ")
}

/// Rows under their heads, each column as wide as it has to be.
fn columns(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_is_what_is_agreed_and_a_line_a_member() {
        let found = json!({
            "cluster": "00ab", "name": "orrery", "generation": 1, "epoch": 7, "replicas": 3, "orphans": 0, "moves": [{}],
            "members": [
                {"node": "a", "id": "01", "addr": "a:1", "zone": "", "weight": 100, "owned": 91, "held": 271, "alive": true, "leaving": false},
                {"node": "bee", "id": "02", "addr": "b:1", "zone": "z", "weight": 100, "owned": 0, "held": 271, "alive": false, "leaving": true},
            ],
        });
        let expected = "\
cluster   orrery 00ab, generation 1, epoch 7
replicas  3
orphans   0
moves     1
floor     none

node  id  addr  zone  weight  owned  held  state
a     01  a:1         100     91     271   alive
bee   02  b:1   z     100     0      271   leaving, not reached";
        assert_eq!(status(&found), expected);
        let floors = |floor: u64, next: u64| super::floor(&json!({"floorMs": floor, "promisedMs": next}));
        assert_eq!(
            [floors(0, 7), floors(7, 7), floors(7, 9)],
            ["0, about to be 7", "7", "7, about to be 9"]
        );
        let found = json!({"cluster": null, "name": "orrery", "members": []});
        assert_eq!(status(&found), "cluster   orrery: the node does not belong to it yet");
    }

    #[test]
    fn moves_places_and_changes_are_told_by_name() {
        let open = json!([{"partition": 270, "from": ["a", "b"], "to": ["c", "b"], "filled": 1, "since": 9}]);
        let expected = "partition  from  to    filled  since\n270        a, b  c, b  1 of 2  9";
        assert_eq!(moves(&open), expected);
        let place = json!({"partition": 4, "owner": null, "replicas": ["a"], "target": ["c"]});
        let expected = "partition  4\nowner      nobody that can be reached\nreplicas   a\nmoves to   c";
        assert_eq!(located(&place), expected);
        let done = json!({"change": "leave", "node": "a", "id": "01", "epoch": 3, "moves": 90});
        assert_eq!(changed(&done), "a (01) is leaving: epoch 3, 90 partitions are moving");
    }
    #[test]
    fn a_recovery_says_what_it_costs_and_whether_it_was_done() {
        let mut found = json!({
            "change": "losses", "generation": 2, "epoch": 9, "left": ["a"], "givenUp": ["b", "c"], "gone": 3, "doubtful": 268,
        });
        let expected = "\
generation 2 would begin with a
to be given up: b, c
3 of 271 partitions have no replica left: they are empty
268 have so few left that acknowledged writes may be missing
nothing was done: --force does it";
        assert_eq!(recovered(&found), expected);
        found["change"] = "recover".into();
        assert!(recovered(&found).starts_with("generation 2 has begun with a\ngiven up: b, c\n"));
        assert!(!recovered(&found).contains("--force"));
    }
}
