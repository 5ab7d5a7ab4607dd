//! `cluster`: how the cluster is, and who is to leave it.

use clap::{Args, Subcommand};
use kernel::wire::admin::{ChangeAsked, Order};
use serde_json::Value;

use super::args::{NodeArgs, StatusArgs, StatusForm};
use super::data::with_client;
use super::query::visible;
use super::status::word;
use super::{Exit, complain, say};
use crate::client::{Client, ClientError, Place};
use crate::net::json;

const STATUS: &str = "\
How the cluster is, in the eyes of the node that is asked: what is agreed, and whom it reaches.

With --format json, one object: `cluster` (16 hexadecimal digits, null while the node belongs to none), `name`, `generation`, `epoch` (the \
version of what is agreed), `replicas`, `asked` (the id of the node that answers), `orphans` (partitions of which it reaches no \
replica), `members` and `moves` (as `cluster members` and `cluster moves` print them).

Examples:
  runtime-real cluster status
  runtime-real cluster status --format json --addr b:7878";

const MEMBERS: &str = "\
The members of the cluster, in the eyes of the node that is asked.

With --format json, an array of objects: `id` (16 hexadecimal digits), `node` (its name), `addr`, `zone`, `weight`, `alive` (whether the node \
that answers reaches it), `leaving`, `owned` (partitions that it acts as owner of), `held` (partitions that it is a replica of).";

const MOVES: &str = "\
The partitions that are moving. When there are none, every partition lies where it should.

With --format json, an array of objects: `partition`, `since` (the epoch in which the move was opened), `from` and `to` (names of nodes), \
`filled` (how many of the latter hold all of it).";

const REMOVE: &str = "\
Make a node a member no longer, at once: for one that is dead for good. What it held is made whole from the others; what only it had is \
lost. For one that is alive, `cluster leave` is the better way. A node that was removed says so, and stops with exit code 2.

Answers once the change is agreed: exit code 0. It is refused (3) if there is no such node, if several have that name, if it is the last, or \
if too few members can be reached; and 5 means that it was not agreed in time, and may still be.

Examples:
  runtime-real cluster remove b
  runtime-real cluster remove 8f03c1d2a4b5e697 --addr c:7878";

const LEAVE: &str = "\
Have a node give its partitions away, and then be a member no longer. Without --node, the node that is asked. It serves until then; \
`cluster moves` shows how far it is, and it stops by itself, with exit code 2.

Exit codes are those of `cluster remove`.

Examples:
  runtime-real cluster leave --addr b:7878
  runtime-real cluster leave --node b";

const RECOVER: &str = "\
Go on without members that are dead for good, where too few are left to agree on anything: the node that is asked, and those that it reaches, \
begin a new generation of the cluster. What the others alone had acknowledged is missing in it.

Without --force nothing is done: what would be given up is printed, and the exit code is 3. It is refused, too (3), where enough members can be \
reached: then `cluster remove` is the way.

Ask one node only, on the side that is to go on. Whoever was given up and comes back all the same, or was alive on another side, learns of the new \
generation and joins it anew, with what it holds.

With --format json, one object: `change` (`recover` if it was done, `losses` otherwise), `generation`, `epoch`, `left` and `givenUp` (names), `gone` \
(partitions of which nothing is left), `doubtful` (those of which fewer than a majority of the replicas are left: writes may be missing).

Examples:
  runtime-real cluster recover
  runtime-real cluster recover --force --addr c:7878";

const PARTITION: &str = "\
Where a key lies.

With --format json, one object: `map`, `key`, `partition`, `owner` (the name of the node that acts as owner, in the eyes of the one that is \
asked; null if none can be reached), `replicas` (names, the owner first, then the backups in the order in which they take over), `target` \
(the replicas that it moves to; empty while it does not move).";

#[derive(Debug, Subcommand)]
pub(super) enum ClusterTask {
    /// Members, moves, and what is agreed
    #[command(long_about = STATUS)]
    Status(StatusArgs),
    /// The members, and who of them is there
    #[command(long_about = MEMBERS)]
    Members(StatusArgs),
    /// The partitions that are moving
    #[command(long_about = MOVES)]
    Moves(StatusArgs),
    /// Make a node a member no longer, at once
    #[command(long_about = REMOVE)]
    Remove(RemoveArgs),
    /// Have a node give its partitions away, and be a member no longer
    #[command(long_about = LEAVE)]
    Leave(LeaveArgs),
    /// Go on without members that are dead for good, where too few are left to agree
    #[command(long_about = RECOVER)]
    Recover(RecoverArgs),
    /// Where a key lies
    #[command(long_about = PARTITION)]
    Partition(PartitionArgs),
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Its id or its name
    #[arg(value_name = "NODE")]
    pub member: String,
    #[arg(long, value_enum, default_value_t = StatusForm::Table)]
    pub format: StatusForm,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub(super) struct LeaveArgs {
    /// The id or the name of the one that is to leave
    #[arg(long = "node", value_name = "NODE")]
    pub member: Option<String>,
    #[arg(long, value_enum, default_value_t = StatusForm::Table)]
    pub format: StatusForm,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// Do it, and do not only say what it would cost
    #[arg(long)]
    pub force: bool,
    #[arg(long, value_enum, default_value_t = StatusForm::Table)]
    pub format: StatusForm,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub(super) struct PartitionArgs {
    pub map: String,
    pub key: String,
    #[arg(long, value_enum, default_value_t = StatusForm::Table)]
    pub format: StatusForm,
    #[command(flatten)]
    pub node: NodeArgs,
}

pub(super) fn run(task: &ClusterTask) -> Exit {
    let all = |found: &Value| found.clone();
    match task {
        ClusterTask::Status(args) => show(&args.node, args.format, async |node| node.cluster().await, all, status),
        ClusterTask::Members(args) => {
            let part = |found: &Value| found["members"].clone();
            show(
                &args.node,
                args.format,
                async |node| node.cluster().await,
                part,
                members,
            )
        }
        ClusterTask::Moves(args) => {
            let part = |found: &Value| found["moves"].clone();
            show(&args.node, args.format, async |node| node.cluster().await, part, moves)
        }
        ClusterTask::Remove(args) => change(&args.node, args.format, Order::Remove, &args.member),
        ClusterTask::Leave(args) => {
            let member = args.member.as_deref().unwrap_or_default();
            change(&args.node, args.format, Order::Leave, member)
        }
        ClusterTask::Recover(args) => {
            let order = if args.force { Order::Recover } else { Order::Losses };
            let ask = async |client: &mut Client| client.change(ChangeAsked { order, node: "" }).await;
            match show(&args.node, args.format, ask, all, recovered) {
                Exit::Done if !args.force => Exit::Refused,
                exit => exit,
            }
        }
        ClusterTask::Partition(args) => {
            let (map, key) = (&args.map[..], &args.key[..]);
            let ask = async |node: &mut Client| node.locate(Place { map, key }).await;
            show(&args.node, args.format, ask, all, located)
        }
    }
}

fn change(node: &NodeArgs, form: StatusForm, order: Order, member: &str) -> Exit {
    let ask = async |client: &mut Client| client.change(ChangeAsked { order, node: member }).await;
    show(node, form, ask, Value::clone, changed)
}

/// Asks, and prints the part of the answer that is wanted.
fn show<F>(
    node: &NodeArgs,
    form: StatusForm,
    ask: F,
    part: impl FnOnce(&Value) -> Value,
    table: impl FnOnce(&Value) -> String,
) -> Exit
where
    F: AsyncFnOnce(&mut Client) -> Result<Vec<u8>, ClientError>,
{
    with_client(node, ask).unwrap_or_else(
        |exit| exit,
        |payload| {
            let text = json::from_msgpack(&payload).map_err(|error| error.to_string());
            match text.and_then(|text| serde_json::from_str::<Value>(&text).map_err(|error| error.to_string())) {
                Ok(found) => {
                    let found = part(&found);
                    match form {
                        StatusForm::Json => say(&found),
                        StatusForm::Table => say(&table(&found)),
                    }
                    Exit::Done
                }
                Err(error) => {
                    complain("not_json", &format_args!("the answer is not JSON: {error}"), "");
                    Exit::Refused
                }
            }
        },
    )
}

fn status(found: &Value) -> String {
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
        String::new(),
    ];
    lines.push(members(&found["members"]));
    lines.join("\n")
}

fn members(found: &Value) -> String {
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

fn moves(found: &Value) -> String {
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

fn located(found: &Value) -> String {
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

fn changed(found: &Value) -> String {
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

fn recovered(found: &Value) -> String {
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
            "{} have fewer than a majority: what the others alone had acknowledged is missing",
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

node  id  addr  zone  weight  owned  held  state
a     01  a:1         100     91     271   alive
bee   02  b:1   z     100     0      271   leaving, not reached";
        assert_eq!(status(&found), expected);
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
268 have fewer than a majority: what the others alone had acknowledged is missing
nothing was done: --force does it";
        assert_eq!(recovered(&found), expected);
        found["change"] = "recover".into();
        assert!(recovered(&found).starts_with("generation 2 has begun with a\ngiven up: b, c\n"));
        assert!(!recovered(&found).contains("--force"));
    }
}
