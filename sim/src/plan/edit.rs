//! What can be changed about a plan without knowing each kind of event: who and what an entry mentions, and the people of
//! the cluster. Whoever adds an event adds its line to [`Event::parts`], and nothing else here.

use kernel::wire::{Consistency, ReadConsistency};

use super::{Event, On, Plan};
use crate::endpoint::Endpoint;
use crate::watch::{Filter, Order, Watch};

/// Something that an event mentions.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    /// A node.
    Node(&'a mut usize),
    /// A client.
    Client(&'a mut usize),
    /// One or the other.
    End(&'a mut Endpoint),
    /// A map.
    Map(&'a mut String),
    /// A key.
    Key(&'a mut String),
    /// A number that is written. No two entries write the same.
    Written(&'a mut u64),
    /// How long something lasts.
    ForUs(&'a mut u64),
    /// How long what is written is read, where it goes.
    TtlMs(&'a mut Option<u64>),
    /// How many replicas must have what is written.
    Writes(&'a mut Consistency),
    /// Which replicas are asked.
    Reads(&'a mut ReadConsistency),
    /// How far something is off, either way.
    Signed(&'a mut i64),
}

/// A node or a client: what can be taken out of a plan with all that mentions it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Node(usize),
    Client(usize),
}

impl Event {
    /// Everything that it mentions.
    pub(crate) fn parts(&mut self) -> Vec<Part<'_>> {
        use Part::{Client, End, ForUs, Key, Map, Node, Reads, Signed, TtlMs, Writes, Written};
        match self {
            Event::Put {
                client,
                map,
                key,
                value,
                ttl_ms,
                level,
            } => vec![
                Client(client),
                Map(map),
                Key(key),
                Written(value),
                TtlMs(ttl_ms),
                Writes(level),
            ],
            Event::Delete {
                client,
                map,
                key,
                level,
            } => vec![Client(client), Map(map), Key(key), Writes(level)],
            Event::Get {
                client,
                map,
                key,
                level,
            } => vec![Client(client), Map(map), Key(key), Reads(level)],
            Event::Watch { client, watch } => {
                let key = match &mut watch.filter {
                    Filter::NotKey(key) => Some(Key(key)),
                    _ => None,
                };
                [Client(client), Map(&mut watch.map)].into_iter().chain(key).collect()
            }
            Event::Register { client, .. } => vec![Client(client)],
            Event::Fault(fault) => {
                let (measured, lasts) = (fault.kind.is_measured(), fault.kind.lasts());
                let mut parts = match &mut fault.on {
                    On::Node(node) => vec![Node(node)],
                    On::Nodes(first, second) => vec![Node(first), Node(second)],
                    On::Link(from, to) => vec![End(from), End(to)],
                    On::Client(client) => vec![Client(client)],
                };
                parts.extend(measured.then_some(Signed(&mut fault.by)));
                parts.extend(lasts.then_some(ForUs(&mut fault.for_us)));
                parts
            }
        }
    }

    /// Its kind: the first word of its line.
    pub(crate) fn kind(&self) -> String {
        let line = self.to_string();
        line.split_whitespace().next().unwrap_or_default().to_string()
    }

    /// One that says the same in a simpler way, if its kind has one.
    pub(crate) fn plainer(&self) -> Option<Self> {
        match self {
            Event::Watch { client, watch } => {
                let watch = Watch {
                    map: watch.map.clone(),
                    filter: Filter::All,
                    order: Order::Key,
                    limit: 0,
                };
                Some(Event::Watch { client: *client, watch })
            }
            _ => None,
        }
    }

    fn mentions(&self, who: Who) -> bool {
        let mut event = self.clone();
        event.parts().into_iter().any(|part| number_in(part, who).is_some())
    }
}

/// The number of a node, or of a client, whichever is asked about: if it is that one.
fn number_in<'a>(part: Part<'a>, who: Who) -> Option<&'a mut usize> {
    let number = of_kind(part, who)?;
    let (Who::Node(wanted) | Who::Client(wanted)) = who;
    (*number == wanted).then_some(number)
}

/// The number of a node, or of a client, whichever is asked about.
fn of_kind<'a>(part: Part<'a>, who: Who) -> Option<&'a mut usize> {
    match (part, who) {
        (Part::Node(node) | Part::End(Endpoint::Node(node)), Who::Node(_)) => Some(node),
        (Part::Client(client) | Part::End(Endpoint::Client(client)), Who::Client(_)) => Some(client),
        _ => None,
    }
}

impl Plan {
    /// Without a node or a client, and without all that mentions it; those behind it move up. `None` if it is the last.
    pub(crate) fn without(&self, who: Who) -> Option<Self> {
        let mut plan = self.clone();
        let header = &mut plan.header;
        let drop_at = |list: &mut Vec<i64>, place: usize| {
            if place < list.len() {
                list.remove(place);
            }
        };
        let (Who::Node(gone) | Who::Client(gone)) = who;
        match who {
            Who::Node(node) if header.nodes > 1 => {
                header.dead -= u64::from(node as u64 + header.dead >= header.nodes);
                header.nodes -= 1;
                drop_at(&mut header.skew_ms, node);
                drop_at(&mut header.drift_ppm, node);
            }
            Who::Client(client) if header.clients > 1 => {
                let number = client as u64;
                let twin = number < header.twins;
                let impostor = number + header.impostors >= header.clients;
                let exchange = !twin && number - header.twins < header.exchanges;
                header.clients -= 1;
                header.twins -= u64::from(twin);
                header.exchanges -= u64::from(exchange);
                header.impostors -= u64::from(impostor);
                drop_at(&mut header.client_skew_ms, client);
            }
            _ => return None,
        }
        plan.entries.retain(|entry| !entry.event.mentions(who));
        for entry in &mut plan.entries {
            let numbers = entry.event.parts().into_iter().filter_map(|part| of_kind(part, who));
            numbers.filter(|number| **number > gone).for_each(|number| *number -= 1);
        }
        Some(plan)
    }

    /// With another number wherever a node or a client is mentioned: somebody else does it.
    pub(crate) fn done_by(&self, who: Who, other: usize) -> Self {
        let mut plan = self.clone();
        for entry in &mut plan.entries {
            let numbers = entry.event.parts().into_iter().filter_map(|part| number_in(part, who));
            numbers.for_each(|number| *number = other);
        }
        plan
    }

    /// Whether everybody whom an entry mentions is there.
    pub(super) fn check_ends(&self) -> Result<(), String> {
        let (nodes, clients) = (self.header.nodes as usize, self.header.clients as usize);
        for entry in &self.entries {
            let mut event = entry.event.clone();
            for part in event.parts() {
                match part {
                    Part::Node(node) | Part::End(Endpoint::Node(node)) if *node >= nodes => {
                        return Err(format!("`{}us {}`: there is no n{node}", entry.at_us, entry.event));
                    }
                    Part::Client(client) | Part::End(Endpoint::Client(client)) if *client >= clients => {
                        return Err(format!("`{}us {}`: there is no c{client}", entry.at_us, entry.event));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The lines of the header, as in the plan's text.
    pub(crate) fn options(&self) -> Vec<String> {
        let head = Plan {
            header: self.header.clone(),
            entries: Vec::new(),
        };
        head.to_string().lines().map(str::to_string).collect()
    }

    /// With only these lines of a header: whatever they do not name is as in a plan without a line.
    /// `None` if they are no header.
    pub(crate) fn with_options(&self, lines: &[String]) -> Option<Self> {
        let head: Plan = lines.join("\n").parse().ok()?;
        Some(Plan {
            header: head.header,
            entries: self.entries.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::FaultKind;

    fn plan(text: &str) -> Plan {
        text.parse().expect("a plan")
    }

    #[test]
    fn who_is_taken_out_leaves_no_trace_and_the_others_move_up() {
        let before = plan(
            "nodes 3\nclients 3\ntwins 1\nexchanges 2\nskew_ms 1 2 3\nclient_skew_ms 4 5 6\n\
             1us put c0 m k 1\n2us get c1 m k\n3us block n0 n1 for 5\n4us block c2 n2 for 5\n5us crash n2 for 9",
        );
        let after = before.without(Who::Node(1)).expect("two are left");
        let expected = "nodes 2\nclients 3\ntwins 1\nexchanges 2\nskew_ms 1 3\nclient_skew_ms 4 5 6\n\
                        1us put c0 m k 1\n2us get c1 m k\n4us block c2 n1 for 5\n5us crash n1 for 9";
        assert_eq!(after, plan(expected));
        let after = before.without(Who::Client(0)).expect("two are left");
        let expected = "nodes 3\nclients 2\ntwins 0\nexchanges 2\nskew_ms 1 2 3\nclient_skew_ms 5 6\n\
                        2us get c0 m k\n3us block n0 n1 for 5\n4us block c1 n2 for 5\n5us crash n2 for 9";
        assert_eq!(after, plan(expected));
        assert_eq!(plan("nodes 1").without(Who::Node(0)), None);
    }

    #[test]
    fn whoever_can_be_mentioned_is_seen() {
        let everybody = plan("nodes 3\nclients 3\nimpostors 1\n");
        let fewer = everybody.without(Who::Client(2)).expect("two are left");
        assert_eq!((fewer.header.clients, fewer.header.impostors), (2, 0));
        // The examples of all faults mention n0 or c0, and each is gone with the one that it mentions.
        let faults = FaultKind::ALL
            .map(|kind| format!("1us {}", kind.row().example))
            .join("\n");
        let faults = plan(&format!("nodes 3\nclients 3\n{faults}"));
        let rest = faults
            .without(Who::Node(0))
            .and_then(|plan| plan.without(Who::Client(0)));
        assert_eq!(rest.expect("some are left").entries, []);
    }

    #[test]
    fn options_that_are_left_out_are_as_in_an_empty_plan() {
        let before = plan("nodes 2\nloss_permille 50\nordered false\n1us crash n1 for 5");
        let lines: Vec<String> = before.options();
        assert_eq!(before.with_options(&lines), Some(before.clone()));
        let without: Vec<String> = lines.into_iter().filter(|line| line != "ordered false").collect();
        let after = before.with_options(&without).expect("a header");
        assert!(after.header.ordered);
        assert_eq!((after.header.loss_permille, after.entries), (50, before.entries));
    }
}
