//! `status`: how a node is.

use serde_json::Value;

use super::args::{StatusArgs, StatusForm};
use super::data::with_client;
use super::{Exit, complain, say};
use crate::net::json;

pub(super) fn run(args: &StatusArgs) -> Exit {
    let status = with_client(&args.node, async |client| client.status().await);
    status.unwrap_or_else(
        |exit| exit,
        |payload| {
            let text = json::from_msgpack(&payload).map_err(|error| error.to_string());
            match text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string())) {
                Ok(status) => {
                    match args.format {
                        StatusForm::Json => say(&status),
                        StatusForm::Table => say(&table(&status)),
                    }
                    Exit::Done
                }
                Err(error) => {
                    complain("not_json", &format_args!("the status is not JSON: {error}"), "");
                    Exit::Refused
                }
            }
        },
    )
}

/// One line a field; peers below, one line each.
fn table(status: &Value) -> String {
    let mut lines = Vec::new();
    let fields = status.as_object().into_iter().flatten();
    let (lists, plain): (Vec<_>, Vec<_>) = fields.partition(|(_, value)| value.is_array());
    for (name, value) in plain {
        lines.push(format!("{name:<12} {}", word(value)));
    }
    for (name, list) in lists {
        let rows = list.as_array().map_or(&[][..], Vec::as_slice);
        lines.push(format!("{name:<12} {}", rows.len()));
        for row in rows {
            let cells = row.as_object().into_iter().flatten();
            let cells: Vec<_> = cells.map(|(name, value)| format!("{name} {}", word(value))).collect();
            lines.push(format!("  {}", cells.join(", ")));
        }
    }
    lines.join("\n")
}

pub(super) fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_a_field_and_a_line_a_peer() {
        let status = serde_json::json!({"node": "a", "records": 3, "peers": [{"addr": "x:1", "linked": true}]});
        let expected = "node         a\nrecords      3\npeers        1\n  addr x:1, linked true";
        assert_eq!(table(&status), expected);
    }
}
