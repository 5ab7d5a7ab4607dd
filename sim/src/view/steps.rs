//! What a step was about, in a few words: what went in, and what came of it.

use kernel::machine::{Command, Fetched, Input, Output, Phase, Role};

/// What a node was told. `frame` is what its frame says, where it was told one.
pub(super) fn input(input: &Input<'_>, frame: &str) -> String {
    let outcome = |what: &str, error: Option<String>| match error {
        None => format!("{what} is done"),
        Some(error) => format!("{what} failed: {error}"),
    };
    match input {
        Input::Boot { .. } => "boots".into(),
        Input::Wake => "wakes".into(),
        Input::Opened { kind, peer, .. } => match (kind.role, peer) {
            (_, Some(_)) => "its dial is answered".into(),
            (Role::Peer, None) => "accepts a node".into(),
            (Role::Client, None) => "accepts a client".into(),
        },
        Input::DialFailed { reason, .. } => format!("its dial came to nothing: {reason}"),
        Input::Received { .. } => format!("is told {frame}"),
        Input::Drained { .. } => "has sent what it had to send".into(),
        Input::Closed { .. } => "a connection is gone".into(),
        Input::Committed { result, .. } => outcome("a commit", result.err().map(|error| error.to_string())),
        Input::Applied { result, .. } => outcome("an apply", result.err().map(|error| error.to_string())),
        Input::Fetched { result, .. } => match result {
            Ok(Fetched::Recovered { applied, log, .. }) => match log {
                Some((first, last)) => format!("finds records up to {applied}, log {first} to {last}"),
                None => format!("finds records up to {applied}, an empty log"),
            },
            Ok(Fetched::Records { rows, .. }) => format!("has read {}", count(rows.len(), "record")),
            Ok(Fetched::Log { entries, .. }) => format!("has read its log, {}", count(entries.len(), "part")),
            Err(error) => format!("a read failed: {error}"),
        },
        Input::Command(Command::Drain) => "is told to stop".into(),
    }
}

/// What a node asked for. Empty, if that was nothing.
pub(super) fn output(output: &Output, changes: usize) -> String {
    let commit = output.commit.as_ref();
    let entry = commit.filter(|commit| commit.entry.is_some());
    let waiting = commit.map_or(0, |commit| commit.envelopes.len());
    let parts = [
        some(output.send.len(), "sends", "frame"),
        entry.map(|_| format!("commits {}", count(changes, "change"))),
        some(waiting, "after the commit sends", "frame"),
        output
            .apply
            .as_ref()
            .map(|apply| format!("applies {}", count(apply.puts.len() + apply.deletes.len(), "record"))),
        output.cut.map(|_| "cuts its log".to_string()),
        (!output.fetch.is_empty()).then(|| "reads its disk".to_string()),
        some(output.dial.len(), "dials", "node"),
        some(output.close.len(), "closes", "connection"),
        output.phase.map(|next| format!("is {}", phase(&next))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn some(number: usize, does: &str, what: &str) -> Option<String> {
    (number > 0).then(|| format!("{does} {}", count(number, what)))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What a node as a whole does.
pub(super) fn phase(phase: &Phase) -> String {
    match phase {
        Phase::Recovering => "recovering".into(),
        Phase::Ready { records, log_entries } => {
            format!("ready ({records} records, {log_entries} log entries found)")
        }
        Phase::Failed { error } => format!("failed: {error}"),
        Phase::Joining => "joining".into(),
        Phase::Removed => "removed".into(),
        Phase::Stopped => "stopped".into(),
    }
}
