//! The faults that a plan can hold: one row of a table each. How one is written, read, cut down and drawn follows from its row;
//! what it does is in [`crate::run`].

use std::fmt;

use crate::endpoint::Endpoint;

/// Something that goes wrong, at a time that its entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// To whom.
    pub on: On,
    /// How much, for kinds that have a measure.
    pub by: i64,
    /// For how long, for kinds that last.
    pub for_us: u64,
}

/// To whom something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// A node.
    Node(usize),
    /// One node by another: the first is the one that is left alone.
    Nodes(usize, usize),
    /// The way from one end to another. The other way is another entry's business.
    Link(Endpoint, Endpoint),
    /// A client.
    Client(usize),
}

/// The kinds of faults. What each does to whom is in its row of [`FaultKind::row`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // The row says it, for people and for `sim list` alike.
pub enum FaultKind {
    Offline,
    Block,
    Clog,
    SlowLink,
    Cut,
    HalfOpen,
    Crash,
    CrashAt,
    CrashLoop,
    Stop,
    Leave,
    Pause,
    Older,
    Wipe,
    OldDisk,
    CloneDisk,
    LoseTransaction,
    Flip,
    FailCommit,
    FailApply,
    FailRead,
    Full,
    SlowDisk,
    Jump,
    Freeze,
}

/// What is to be known about a kind.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name, the first word of its line.
    pub name: &'static str,
    /// Such a line, for messages: it shows to whom it happens, whether it has a measure, and whether it lasts.
    pub example: &'static str,
    /// What it does, for people.
    pub about: &'static str,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 25] = [
        FaultKind::Offline,
        FaultKind::Block,
        FaultKind::Clog,
        FaultKind::SlowLink,
        FaultKind::Cut,
        FaultKind::HalfOpen,
        FaultKind::Crash,
        FaultKind::CrashAt,
        FaultKind::CrashLoop,
        FaultKind::Stop,
        FaultKind::Leave,
        FaultKind::Pause,
        FaultKind::Older,
        FaultKind::Wipe,
        FaultKind::OldDisk,
        FaultKind::CloneDisk,
        FaultKind::LoseTransaction,
        FaultKind::Flip,
        FaultKind::FailCommit,
        FaultKind::FailApply,
        FaultKind::FailRead,
        FaultKind::Full,
        FaultKind::SlowDisk,
        FaultKind::Jump,
        FaultKind::Freeze,
    ];

    /// What is to be known about it.
    pub fn row(self) -> Row {
        let row = |example: &'static str, about| Row {
            name: example.split(' ').next().unwrap_or(example),
            example,
            about,
        };
        match self {
            FaultKind::Offline => row(
                "offline c0 for 5000",
                "a client has no network; it goes on writing into its queue",
            ),
            FaultKind::Block => row("block n0 n1 for 5000", "nothing gets from one end to the other"),
            FaultKind::Clog => row(
                "clog n0 n1 for 5000",
                "what is sent from one end to the other waits, and no connection breaks for it",
            ),
            FaultKind::SlowLink => row(
                "slow-link n0 n1 20 for 5000",
                "everything from one end to the other takes so many times as long",
            ),
            FaultKind::Cut => row(
                "cut n0 n1",
                "every connection between two ends is cut, in the middle of whatever frame is on its way",
            ),
            FaultKind::HalfOpen => row(
                "half-open n0 n1",
                "every connection between two ends is gone for the first, and the other does not hear of it",
            ),
            FaultKind::Crash => row("crash n0 for 5000", "a node crashes, and is booted after a while"),
            FaultKind::CrashAt => row(
                "crash-at n0 17 for 5000",
                "a node crashes in the middle of performing the output of so many steps on, if that comes in time",
            ),
            FaultKind::CrashLoop => row(
                "crash-loop n0 700 for 5000",
                "a node crashes every so many microseconds, and is booted at once",
            ),
            FaultKind::Stop => row(
                "stop n0 for 5000",
                "a node is told to stop cleanly, and is booted after a while, stopped or not",
            ),
            FaultKind::Leave => row(
                "leave n0 for 5000",
                "the operator has a node leave; if it has after a while, it joins anew with an empty disk",
            ),
            FaultKind::Pause => row(
                "pause n0 for 5000",
                "a node's process stands still; what comes for it meanwhile comes all at once after",
            ),
            FaultKind::Older => row(
                "older n0 for 5000",
                "a node is restarted as one of the protocol before, and after a while as itself",
            ),
            FaultKind::Wipe => row("wipe n0 for 5000", "a node crashes, and is booted with an empty disk"),
            FaultKind::OldDisk => row(
                "old-disk n0 for 5000",
                "a copy of a node's disk is taken; after a while the node crashes and is booted with it",
            ),
            FaultKind::CloneDisk => row(
                "clone-disk n0 n1 for 5000",
                "the second node crashes, and is booted with a copy of the first one's disk",
            ),
            FaultKind::LoseTransaction => row(
                "lose-transaction n0 for 5000",
                "a node crashes, and the last transaction that its disk had synced is gone; if it cannot serve with that, its disk is \
                 replaced after a while",
            ),
            FaultKind::Flip => row(
                "flip n0 for 5000",
                "a node crashes, and a bit of what its disk holds is flipped; if it cannot serve with that, its disk is replaced after \
                 a while",
            ),
            FaultKind::FailCommit => row("fail-commit n0", "the next group of log entries of a node fails"),
            FaultKind::FailApply => row("fail-apply n0", "the next apply of a node fails"),
            FaultKind::FailRead => row("fail-read n0", "the next read of a node's storage fails"),
            FaultKind::Full => row("full n0 for 5000", "a node's disk has no room"),
            FaultKind::SlowDisk => row("slow n0 20 for 5000", "a node's disk takes so many times as long"),
            FaultKind::Jump => row("jump n0 -5000", "a node's wall clock jumps by so many milliseconds"),
            FaultKind::Freeze => row("freeze n0 for 5000", "a node's wall clock stands still"),
        }
    }

    /// That of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.row().name == name)
    }

    /// Whether it has a measure.
    pub fn is_measured(self) -> bool {
        let words = self.row().example.split(' ').skip(1);
        words
            .take_while(|word| *word != "for")
            .any(|word| word.parse::<i64>().is_ok())
    }

    /// Whether it lasts.
    pub fn lasts(self) -> bool {
        self.row().example.contains(" for ")
    }

    /// It, to a node.
    pub fn on_node(self, node: usize) -> Fault {
        Fault {
            kind: self,
            on: On::Node(node),
            by: 0,
            for_us: 0,
        }
    }

    /// It, to whoever.
    pub fn on(self, on: On) -> Fault {
        Fault { on, ..self.on_node(0) }
    }
}

impl Fault {
    /// By so much.
    pub fn by(self, by: i64) -> Self {
        Self { by, ..self }
    }

    /// For so long.
    pub fn for_us(self, for_us: u64) -> Self {
        Self { for_us, ..self }
    }

    /// Reads the words of a line behind the time. `known` says whether there is such an end.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn read(
        kind: FaultKind,
        words: &[&str],
        known: impl Fn(Endpoint) -> Result<Endpoint, String>,
    ) -> Result<Self, String> {
        let Row { name, example, .. } = kind.row();
        let shape = || format!("`{name}` is written `{example}`");
        let examples: Vec<&str> = example.split(' ').skip(1).collect();
        if words.len() != examples.len() {
            return Err(shape());
        }
        let mut ends = Vec::new();
        let mut fault = kind.on_node(0);
        let mut lasts = false;
        for (word, example) in words.iter().zip(examples) {
            if example == "for" {
                lasts = *word == "for";
                if !lasts {
                    return Err(shape());
                }
            } else if lasts {
                fault.for_us = word.parse().map_err(|_| shape())?;
            } else if let Ok(like) = example.parse::<Endpoint>() {
                let end = known(word.parse().map_err(|_| shape())?)?;
                // Where the example has two nodes, a link may have a client at an end.
                let two = words.get(1).is_some_and(|word| word.parse::<Endpoint>().is_ok());
                if !two && matches!(like, Endpoint::Node(_)) != matches!(end, Endpoint::Node(_)) {
                    return Err(shape());
                }
                ends.push(end);
            } else {
                fault.by = word.parse().map_err(|_| shape())?;
            }
        }
        fault.on = match (kind, &ends[..]) {
            (FaultKind::CloneDisk, [Endpoint::Node(kept), Endpoint::Node(cloned)]) => On::Nodes(*kept, *cloned),
            (FaultKind::CloneDisk, _) => return Err(shape()),
            (_, [Endpoint::Node(node)]) => On::Node(*node),
            (_, [Endpoint::Client(client)]) => On::Client(*client),
            (_, [from, to]) => On::Link(*from, *to),
            _ => return Err(shape()),
        };
        Ok(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.row().name, self.on)?;
        if self.kind.is_measured() {
            write!(f, " {}", self.by)?;
        }
        if self.kind.lasts() {
            write!(f, " for {}", self.for_us)?;
        }
        Ok(())
    }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            On::Node(node) => write!(f, "n{node}"),
            On::Nodes(first, second) => write!(f, "n{first} n{second}"),
            On::Link(from, to) => write!(f, "{from} {to}"),
            On::Client(client) => write!(f, "c{client}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_read_as_it_is_written() {
        for (place, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            let example = kind.row().example;
            let words: Vec<&str> = example.split(' ').collect();
            assert_eq!(FaultKind::of(words[0]), Some(kind));
            let fault = Fault::read(kind, &words[1..], Ok).unwrap_or_else(|wrong| panic!("{example}: {wrong}"));
            assert_eq!(fault.to_string(), example);
            assert!(Fault::read(kind, &words[1..words.len() - 1], Ok).is_err(), "{example}");
        }
    }

    #[test]
    fn what_happens_to_nodes_cannot_happen_to_clients() {
        let read = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            Fault::read(FaultKind::of(words[0]).unwrap(), &words[1..], Ok)
        };
        assert_eq!(
            read("crash c0 for 5"),
            Err("`crash` is written `crash n0 for 5000`".into())
        );
        assert!(read("offline n0 for 5").is_err());
        assert!(read("clone-disk n0 c1 for 5").is_err());
        assert!(read("block c0 n1 for 5").is_ok());
        assert!(read("cut n0 c1").is_ok());
    }
}
