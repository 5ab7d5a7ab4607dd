//! The page: one HTML file that holds the recording and all that is needed to look at it.

use super::json::Object;
use super::record::{Begun, Committing, Mark, Recording};
use crate::clock::EPOCH_MS;
use crate::endpoint::Endpoint;
use crate::invariant::all;
use crate::outcome::Outcome;
use crate::plan::{Entry, Event, Fault, On, Plan};
use crate::run::{End, limits};

const HTML: &str = include_str!("page/page.html");
const CSS: &str = include_str!("page/page.css");
/// In the order in which they build on each other.
const SCRIPTS: [&str; 8] = [
    include_str!("page/recording.js"),
    include_str!("page/state.js"),
    include_str!("page/sheet.js"),
    include_str!("page/arrows.js"),
    include_str!("page/lanes.js"),
    include_str!("page/overview.js"),
    include_str!("page/panel.js"),
    include_str!("page/main.js"),
];

/// What is said over a page.
#[derive(Debug, Clone)]
pub struct Heading {
    /// Which run it is: `seed 7`.
    pub title: String,
    /// The command that runs it again.
    pub replay: String,
}

/// The whole file.
pub(super) fn page(heading: &Heading, plan: &Plan, recording: &mut Recording, outcome: &Outcome) -> String {
    let data = data(heading, plan, recording, outcome);
    let title = escaped(&heading.title);
    // What is put in later is not looked at again, whatever it holds.
    let parts = [
        ("{{title}}", title.as_str()),
        ("{{style}}", CSS),
        ("{{data}}", &data),
        ("{{script}}", &SCRIPTS.join("\n")),
    ];
    let mut out = String::with_capacity(HTML.len() + CSS.len() + data.len() + 100_000);
    let mut rest = HTML;
    for (name, value) in parts {
        let (before, after) = rest.split_once(name).unwrap_or((rest, ""));
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn data(heading: &Heading, plan: &Plan, recording: &mut Recording, outcome: &Outcome) -> String {
    ask(plan, recording);
    let mut out = Object::new();
    out.text("title", &heading.title);
    out.text("replay", &heading.replay);
    out.text("plan", &plan.to_string());
    out.object("end", end(recording, outcome));
    out.number("nodes", plan.header.nodes.into());
    out.number("clients", plan.header.clients.into());
    out.number("epoch_ms", EPOCH_MS.into());
    out.number("heal_us", plan.header.heal_us.into());
    out.number("seen", recording.seen.into());
    out.texts(
        "promises",
        all(&limits(&plan.header)).iter().map(|invariant| invariant.name()),
    );
    out.object("messages", messages(recording));
    out.object("happenings", happenings(recording));
    out.object("commits", commits(&recording.commits));
    out.object("faults", faults(plan, recording));
    let nodes = recording.nodes;
    let lane = |who: Endpoint| match who {
        Endpoint::Node(node) => node,
        Endpoint::Client(client) => nodes + client,
    };
    let tracks = std::mem::take(&mut recording.tracks);
    for (node, track) in tracks.iter().enumerate() {
        out.object(&format!("n{node}"), track.write(&mut recording.tables, lane));
    }
    recording.tracks = tracks;
    recording.tables.write(&mut out);
    out.finish()
}

fn end(recording: &Recording, outcome: &Outcome) -> Object {
    let report = outcome.report();
    let (how, promise, text) = match report.map(|report| &report.end) {
        None => ("crashed", "", outcome.to_string()),
        Some(End::Held | End::WithoutMajority(_)) => ("held", "", outcome.to_string()),
        Some(End::Broken(violation)) => ("broken", violation.invariant, violation.expected.clone()),
        Some(End::Stuck(why)) => ("stuck", "", why.clone()),
    };
    let mut out = Object::new();
    out.text("how", how);
    out.text("promise", promise);
    out.text("text", &text);
    out.number("at_us", report.map_or(recording.last_us, |report| report.at_us).into());
    if let Some(report) = report {
        out.text("hash", &format!("{:032x}", report.hash));
        out.number("steps", report.steps.into());
        out.number("acknowledged", report.acknowledged.into());
        out.number("refused", report.refused.into());
        out.number("read", report.read.into());
    }
    out
}

/// Adds what the plan has the clients do, as far as the run came.
fn ask(plan: &Plan, recording: &mut Recording) {
    let done = plan.entries.iter().take_while(|entry| entry.at_us <= recording.last_us);
    let done: Vec<_> = done.cloned().collect();
    for Entry { at_us, event } in done {
        let (client, keys) = match &event {
            Event::Put { client, map, key, .. }
            | Event::Delete { client, map, key, .. }
            | Event::Get { client, map, key, .. } => (*client, vec![[map.as_bytes(), &[0], key.as_bytes()].concat()]),
            Event::Watch { client, .. } | Event::Register { client, .. } => (*client, vec![]),
            Event::Fault(_) => continue,
        };
        let asked = event.to_string().replacen(&format!(" c{client}"), "", 1);
        let lane = recording.lane(Endpoint::Client(client));
        recording.note(at_us, Some(lane), Mark::Ask, &format!("is to {asked}"), keys);
    }
    recording.happenings.sort_by_key(|happening| happening.at_us);
}

fn messages(recording: &mut Recording) -> Object {
    recording.messages.sort_by_key(|message| message.sent_us);
    let all = &recording.messages;
    let mut out = Object::new();
    out.steps("sent", all.iter().map(|message| message.sent_us));
    out.numbers(
        "way",
        all.iter()
            .map(|message| (message.until_us - message.sent_us).cast_signed()),
    );
    out.numbers("lost", all.iter().map(|message| message.lost.into()));
    out.numbers("from", all.iter().map(|message| message.from as i64));
    out.numbers("to", all.iter().map(|message| message.to as i64));
    out.numbers("kind", all.iter().map(|message| message.kind));
    out.numbers("text", all.iter().map(|message| message.text));
    out.numbers("keys", all.iter().map(|message| message.keys));
    out
}

fn happenings(recording: &Recording) -> Object {
    let all = &recording.happenings;
    let mut out = Object::new();
    out.steps("at", all.iter().map(|happening| happening.at_us));
    out.numbers(
        "lane",
        all.iter()
            .map(|happening| happening.lane.map_or(-1, |lane| lane as i64)),
    );
    out.numbers("mark", all.iter().map(|happening| happening.mark as i64));
    out.numbers("text", all.iter().map(|happening| happening.text));
    out.numbers("keys", all.iter().map(|happening| happening.keys));
    out
}

fn commits(all: &[Committing]) -> Object {
    let mut out = Object::new();
    out.numbers("node", all.iter().map(|commit| commit.node as i64));
    out.steps("at", all.iter().map(|commit| commit.at_us));
    out.numbers(
        "until",
        all.iter().map(|commit| commit.until_us.map_or(-1, u64::cast_signed)),
    );
    out.numbers("done", all.iter().map(|commit| commit.done.into()));
    out.numbers("entry", all.iter().map(|commit| commit.entry.cast_signed()));
    out.lists("versions", all.iter().map(|commit| commit.versions.clone()));
    out
}

/// What the plan disturbs. A fault that does not last happens at once, and none outlasts the healing.
fn faults(plan: &Plan, recording: &Recording) -> Object {
    let all = recording
        .faults
        .iter()
        .filter_map(|begun| match plan.entries.get(begun.entry)?.event {
            Event::Fault(fault) => Some((begun, fault)),
            _ => None,
        });
    let all: Vec<(&Begun, Fault)> = all.collect();
    let until_us = |(begun, fault): &(&Begun, Fault)| {
        let over_us = plan.header.heal_us.min(recording.last_us).max(begun.at_us);
        let lasts = fault.kind.lasts();
        let until_us = begun.until_us.unwrap_or(over_us).min(over_us);
        (if lasts { until_us } else { begun.at_us }).cast_signed()
    };
    let lanes = |(_, fault): &(&Begun, Fault)| {
        let ends = match fault.on {
            On::Node(node) => vec![Endpoint::Node(node)],
            On::Nodes(one, other) => vec![Endpoint::Node(one), Endpoint::Node(other)],
            On::Link(from, to) => vec![from, to],
            On::Client(client) => vec![Endpoint::Client(client)],
        };
        ends.into_iter().map(|end| recording.lane(end) as i64).collect()
    };
    let is_link = |(_, fault): &(&Begun, Fault)| matches!(fault.on, On::Link(..)).into();
    let texts: Vec<String> = all.iter().map(|(_, fault)| fault.to_string()).collect();
    let mut out = Object::new();
    out.numbers("at", all.iter().map(|(begun, _)| begun.at_us.cast_signed()));
    out.numbers("until", all.iter().map(until_us));
    out.texts("text", texts.iter().map(String::as_str));
    out.texts("about", all.iter().map(|(_, fault)| fault.kind.row().about));
    out.numbers("link", all.iter().map(is_link));
    out.lists("lanes", all.iter().map(lanes));
    out
}
