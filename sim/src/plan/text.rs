//! A plan as text: one option or one event a line. `#` begins a remark.

use std::fmt;
use std::str::FromStr;

use kernel::env::Rare;
use kernel::wire::{Consistency, ReadConsistency};

use super::header::Field;
use super::{Ask, Entry, Event, Fault, FaultKind, Header, Plan, bounds};
use crate::endpoint::Endpoint;

/// Why a text is not a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPlan {
    /// In which line, from 1; 0 where it is the whole that is wrong.
    pub line: usize,
    /// What is wrong there.
    pub wrong: String,
}

impl fmt::Display for BadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.wrong),
            line => write!(f, "line {line}: {}", self.wrong),
        }
    }
}

impl std::error::Error for BadPlan {}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, field) in self.header.clone().fields() {
            match field {
                Field::Flag(flag) => writeln!(f, "{name} {flag}")?,
                Field::Number(number) => writeln!(f, "{name} {number}")?,
                Field::Pair((low, high)) => writeln!(f, "{name} {low} {high}")?,
                Field::Rare(list) => {
                    write!(f, "{name}")?;
                    list.iter().try_for_each(|rare| write!(f, " {}", rare.name()))?;
                    writeln!(f)?;
                }
                Field::List(list) => {
                    write!(f, "{name}")?;
                    list.iter().try_for_each(|number| write!(f, " {number}"))?;
                    writeln!(f)?;
                }
            }
        }
        self.entries
            .iter()
            .try_for_each(|Entry { at_us, event }| writeln!(f, "{at_us}us {event}"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Put {
                client,
                map,
                key,
                value,
                ttl_ms,
                level,
            } => {
                write!(f, "put c{client} {map} {key} {value}")?;
                ttl_ms.map_or(Ok(()), |ttl_ms| write!(f, " ttl {ttl_ms}"))?;
                f.write_str(written(*level))
            }
            Event::Delete {
                client,
                map,
                key,
                level,
            } => write!(f, "delete c{client} {map} {key}{}", written(*level)),
            Event::Get {
                client,
                map,
                key,
                level,
            } => write!(f, "get c{client} {map} {key}{}", read(*level)),
            Event::Watch { client, watch } => write!(f, "watch c{client} {watch}"),
            Event::Register { client, name, ask } => match ask {
                Ask::Lock { ttl_ms } => write!(f, "lock c{client} {name} {ttl_ms}"),
                Ask::Define => write!(f, "define c{client} {name}"),
                Ask::Swap => write!(f, "swap c{client} {name}"),
                Ask::Look => write!(f, "look c{client} {name}"),
            },
            Event::Fault(fault) => fault.fmt(f),
        }
    }
}

/// The last word of a write: none for what is usual.
fn written(level: Consistency) -> &'static str {
    match level {
        Consistency::Eventual => "",
        Consistency::Quorum => " quorum",
        Consistency::Strong => " strong",
    }
}

/// The last word of a read: none for what is usual.
fn read(level: ReadConsistency) -> &'static str {
    match level {
        ReadConsistency::Owner => "",
        ReadConsistency::Any => " any",
        ReadConsistency::Quorum => " quorum",
    }
}

impl FromStr for Plan {
    type Err = BadPlan;

    fn from_str(text: &str) -> Result<Self, BadPlan> {
        let mut plan = Plan::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = words
                .first()
                .and_then(|word| word.strip_suffix("us"))
                .and_then(|at| at.parse().ok());
            let read = match (at, words.as_slice()) {
                (_, []) => Ok(()),
                _ if plan.entries.len() >= bounds::MOST_ENTRIES => {
                    Err(format!("a plan has at most {} entries", bounds::MOST_ENTRIES))
                }
                (Some(at_us), words) => event(&words[1..], &plan.header).map(|event| {
                    plan.entries.push(Entry { at_us, event });
                }),
                (None, words) => option(words, &mut plan.header),
            };
            read.map_err(|wrong| BadPlan { line: index + 1, wrong })?;
        }
        plan.entries.sort_by_key(|entry| entry.at_us);
        // An option may stand behind the events that it is about.
        let whole = |wrong| BadPlan { line: 0, wrong };
        plan.check_ends().map_err(whole)?;
        bounds::check(&plan).map_err(whole)?;
        Ok(plan)
    }
}

fn option(words: &[&str], header: &mut Header) -> Result<(), String> {
    let (name, values) = words.split_first().ok_or("an empty line")?;
    let mut fields = header.fields();
    let field = fields.iter_mut().find(|(known, _)| known == name);
    let (_, field) = field.ok_or_else(|| format!("there is no `{name}`"))?;
    match (field, values) {
        (Field::Flag(flag), [value]) => {
            **flag = value.parse().map_err(|_| format!("`{name}` is true or false"))?;
        }
        (Field::Number(number), [value]) => {
            **number = value.parse().map_err(|_| format!("`{name}` takes a number"))?;
        }
        (Field::Pair(pair), [low, high]) => {
            let number = |word: &str| word.parse::<u64>().map_err(|_| format!("`{name}` takes two numbers"));
            **pair = (number(low)?, number(high)?);
            if pair.0 > pair.1 {
                return Err(format!("`{name}` takes the smaller number first"));
            }
        }
        (Field::List(list), values) => {
            let numbers: Result<Vec<i64>, _> = values.iter().map(|word| word.parse()).collect();
            **list = numbers.map_err(|_| format!("`{name}` takes numbers"))?;
        }
        (Field::Rare(list), names) => {
            let of = |name: &&str| {
                let known = Rare::ALL.into_iter().find(|rare| rare.name() == *name);
                known.ok_or_else(|| format!("no rare path is called `{name}`"))
            };
            **list = names.iter().map(of).collect::<Result<_, _>>()?;
        }
        (Field::Flag(_), _) => return Err(format!("`{name}` is true or false")),
        (Field::Number(_), _) => return Err(format!("`{name}` takes a number")),
        (Field::Pair(_), _) => return Err(format!("`{name}` takes two numbers")),
    }
    Ok(())
}

fn event(words: &[&str], header: &Header) -> Result<Event, String> {
    let name = *words.first().ok_or("a time without an event")?;
    let known = |end: Endpoint| match end {
        Endpoint::Node(node) if node as u64 >= header.nodes => Err(format!("there is no n{node}")),
        Endpoint::Client(client) if client as u64 >= header.clients => Err(format!("there is no c{client}")),
        end => Ok(end),
    };
    if let Some(kind) = FaultKind::of(name) {
        return Fault::read(kind, &words[1..], known).map(Event::Fault);
    }
    let example = match name {
        "put" => "put c0 map key 7",
        "delete" => "delete c0 map key",
        "get" => "get c0 map key",
        "watch" => "watch c0 map above:50 down 3",
        "lock" => "lock c0 name 800",
        "define" => "define c0 name",
        "swap" => "swap c0 name",
        "look" => "look c0 name",
        _ => return Err(format!("nothing is called `{name}`")),
    };
    let shape = || format!("`{name}` is written `{example}`");
    let client = |word: &str| match known(word.parse()?)? {
        Endpoint::Client(client) => Ok(client),
        Endpoint::Node(_) => Err(shape()),
    };
    let number = |word: &str| word.parse::<u64>().map_err(|_| shape());
    let written = |words: &[&str]| match words {
        [] => Ok(Consistency::default()),
        [word] => Consistency::of(word).ok_or_else(shape),
        _ => Err(shape()),
    };
    let read = |words: &[&str]| match words {
        [] => Ok(ReadConsistency::default()),
        [word] => ReadConsistency::of(word).ok_or_else(shape),
        _ => Err(shape()),
    };
    Ok(match words[1..] {
        [who, map, key, value, ref rest @ ..] if name == "put" => {
            let (map, key) = (map.to_string(), key.to_string());
            let (ttl_ms, rest) = match rest {
                ["ttl", ms, rest @ ..] => (Some(number(ms)?), rest),
                rest => (None, rest),
            };
            if ttl_ms == Some(0) {
                return Err(shape());
            }
            Event::Put {
                client: client(who)?,
                map,
                key,
                value: number(value)?,
                ttl_ms,
                level: written(rest)?,
            }
        }
        [who, map, key, ref rest @ ..] if name == "delete" => Event::Delete {
            client: client(who)?,
            map: map.to_string(),
            key: key.to_string(),
            level: written(rest)?,
        },
        [who, map, key, ref rest @ ..] if name == "get" => Event::Get {
            client: client(who)?,
            map: map.to_string(),
            key: key.to_string(),
            level: read(rest)?,
        },
        [who, register, ref rest @ ..] if matches!(name, "lock" | "define" | "swap" | "look") => Event::Register {
            client: client(who)?,
            name: register.to_string(),
            ask: match (name, rest) {
                ("lock", [ttl_ms]) => Ask::Lock {
                    ttl_ms: number(ttl_ms).ok().filter(|ms| *ms > 0).ok_or_else(shape)?,
                },
                ("define", []) => Ask::Define,
                ("swap", []) => Ask::Swap,
                ("look", []) => Ask::Look,
                _ => return Err(shape()),
            },
        },
        [who, _, _, _, _] if name == "watch" => Event::Watch {
            client: client(who)?,
            watch: words[2..].join(" ").parse().map_err(|()| shape())?,
        },
        _ => return Err(shape()),
    })
}
