//! `cluster`: how the cluster is, and who is to leave it.

mod tables;

use clap::{Args, Subcommand};
use kernel::wire::admin::{ChangeAsked, Order};
use serde_json::Value;

use super::args::{NodeArgs, StatusArgs, StatusForm};
use super::data::with_client;
use super::{Exit, complain, say};
use crate::client::{Client, ClientError, Place};
use crate::net::json;
use tables::{changed, comparing, located, members, moves, recovered, repairs, status};

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
`cluster moves` shows how far it is, and it stops by itself, with exit code 2, once it has nothing left that only it has heard of.

Exit codes are those of `cluster remove`. It is refused (3) for a node that cannot be reached, too: nobody else knows what that has. One that dies while it leaves stays a member that is leaving, until it is back or `cluster remove` is given.

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
(partitions of which nothing is left), `doubtful` (those of which so few replicas are left that acknowledged writes may be missing).

Examples:
  runtime-real cluster recover
  runtime-real cluster recover --force --addr c:7878";

const REPAIR: &str = "\
Have a node compare what it holds with every peer that it is linked with, now, and mend what differs. It does so by itself as well, every \
minute by default; nothing has to be repaired by hand.

Digests say which partitions differ, coded symbols (RIBLT) or a list which keys, and only those records are sent. With --explain what that has \
cost since the node was started is printed. The answer does not wait for what it begins: ask again to see what that came to.

With --format json, one object: `rounds`, `differed`, `begun`, `whole`, `fallbacks`, `givenBytes`, `cost` (an object: `roundTrips`, `sentBytes`, \
`receivedBytes`, `symbols`, `listed`, `recordsIn`, `recordsOut`) and `peers` (an array of `node`, `repairing`, `waiting` and `last`: null, or an \
object of `partition`, `whole`, `listed` and `cost`).

Examples:
  runtime-real cluster repair
  runtime-real cluster repair --explain --addr b:7878";

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
    /// Compare with all peers now, and mend what differs
    #[command(long_about = REPAIR)]
    Repair(RepairArgs),
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
pub(super) struct RepairArgs {
    /// Print what repairs have cost
    #[arg(long)]
    pub explain: bool,
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
        ClusterTask::Repair(args) => {
            let table = if args.explain { repairs } else { comparing };
            show(&args.node, args.format, async |node| node.repair().await, all, table)
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
