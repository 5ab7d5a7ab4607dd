use super::*;
use crate::cluster::{ClusterState, Member};
use crate::partition::PartitionId;
use crate::query::Row;
use alloc::collections::BTreeSet as Set;
use alloc::string::String;
use alloc::vec;

fn ids(numbers: &[u64]) -> PartitionSet {
    numbers.iter().filter_map(|number| PartitionId::new(*number)).collect()
}

/// Partition 0 lies at node 1 and then 2, partition 1 at node 2 and then 3, all others at node 1 alone.
fn routes(alive: &[u64]) -> Routes {
    let founder = Member {
        id: NodeId(1),
        name: "n1".into(),
        addr: "a:1".into(),
        weight: 1,
        zone: String::new(),
        leaving: false,
    };
    let mut state = ClusterState::born(7, 3, founder);
    for id in 2..4 {
        let id = NodeId(id);
        state.members.push(Member {
            id,
            ..state.members[0].clone()
        });
    }
    state.placements[0].replicas = vec![NodeId(1), NodeId(2)];
    state.placements[1].replicas = vec![NodeId(2), NodeId(3)];
    Routes::new(&state, |node| alive.contains(&node.0))
}

fn gathering(limit: Option<usize>, once: bool) -> Gathering {
    let query = Query {
        limit,
        ..Query::of("m")
    };
    let (routing, limits) = (Routing::new(), Limits::default());
    Gathering::new(
        query,
        ids(&[0, 1]),
        once,
        Some(5_000),
        &routing,
        &limits,
        Mutants::default(),
    )
}

/// A key that lies in a partition, with a row that sorts by it.
fn row(partition: u64, n: u8) -> Ranked {
    let at = PartitionId::new(partition).unwrap();
    let routing = Routing::new();
    let mut keys = (0..100_000).map(|i| alloc::format!("{n}-{i}"));
    let key = keys.find(|key| routing.partition("m", key.as_bytes()) == at).unwrap();
    let name = RecordKey::new("m", key.as_bytes(), &Limits::default()).unwrap();
    Ranked {
        rank: key.clone().into_bytes().into(),
        row: Row {
            key: name,
            value: vec![n].into(),
        },
    }
}

struct Asked {
    gathering: Gathering,
    requests: u64,
}

impl Asked {
    fn new(gathering: Gathering) -> Self {
        Self { gathering, requests: 0 }
    }

    /// Asks whom there is to ask.
    fn plan(&mut self, alive: &[u64]) -> Vec<(u64, PartitionSet)> {
        let (asks, _) = self.gathering.plan(&routes(alive));
        for (node, partitions) in &asks {
            self.requests += 1;
            self.gathering
                .ask(*node, Some(ConnId(node.0)), self.requests, *partitions, 1_000);
        }
        asks.into_iter().map(|(node, set)| (node.0, set)).collect()
    }

    fn answer(&mut self, node: u64, rows: Vec<Ranked>, covers: &[u64]) {
        let node = NodeId(node);
        let asked = self.gathering.asked_of(node).unwrap().1;
        let news = self
            .gathering
            .take_rows(node, 0, rows, Some(ids(covers)), 1_000, &Limits::default())
            .unwrap();
        assert!(matches!(news, News::None));
        self.gathering.decline(asked.difference(ids(covers)), 0);
    }

    fn settle(&mut self) -> Option<Settled> {
        self.gathering.settle().unwrap()
    }

    fn shown(&self) -> Set<u8> {
        self.gathering.rows().iter().map(|row| row.value[0]).collect()
    }

    /// Both partitions are answered for by their owners.
    fn open(limit: Option<usize>) -> Self {
        let mut asked = Self::new(gathering(limit, false));
        assert_eq!(asked.plan(&[1, 2, 3]), [(1, ids(&[0])), (2, ids(&[1]))]);
        asked.answer(1, vec![row(0, 1)], &[0]);
        assert!(asked.settle().is_none(), "one is missing");
        asked.answer(2, vec![row(1, 2), row(1, 3)], &[1]);
        let settled = asked.settle().unwrap();
        assert_eq!((settled.changes.len(), settled.dropped.len()), (limit.unwrap_or(3), 0));
        assert!(asked.plan(&[1, 2, 3]).is_empty(), "nobody is asked twice");
        asked
    }
}

#[test]
fn the_owners_are_asked_and_their_answers_taken_at_once() {
    let mut asked = Asked::open(None);
    assert_eq!(asked.shown(), [1, 2, 3].into());
    let told = asked
        .gathering
        .told(NodeId(1), 1, Some(1), vec![Said::Has(row(0, 4))])
        .unwrap();
    assert!(matches!(told, News::Changes(changes) if changes.len() == 1));
}

#[test]
fn when_an_owner_is_lost_the_next_one_takes_over_and_nothing_is_seen_of_it() {
    for limit in [None, Some(2)] {
        let mut asked = Asked::open(limit);
        let before = asked.shown();
        assert_eq!(asked.gathering.link_gone(ConnId(2)), [2]);
        assert_eq!(asked.plan(&[1, 3]), [(3, ids(&[1]))]);
        assert_eq!(asked.shown(), before, "what it had said stays until then");
        asked.answer(3, vec![row(1, 2), row(1, 3)], &[1]);
        // What the new one tells before all of the round is there is not lost.
        asked
            .gathering
            .told(NodeId(3), 3, Some(1), vec![Said::Left(row(1, 3).row.key)])
            .unwrap();
        let changes = asked.settle().unwrap().changes;
        assert_eq!(changes.len(), usize::from(limit.is_none()));
        assert_eq!(asked.shown(), [1, 2].into());
    }
}

#[test]
fn a_source_that_lost_a_partition_is_asked_anew_where_the_answer_has_an_end() {
    for (limit, asks) in [(None, vec![(2, ids(&[0, 1]))]), (Some(9), vec![(2, ids(&[0, 1]))])] {
        let mut asked = Asked::open(limit.map(|_: usize| 3));
        assert_eq!(
            asked.plan(&[2, 3]),
            asks,
            "node 1 is dead and its partition is node 2's"
        );
        asked.answer(2, vec![row(0, 1), row(1, 2), row(1, 3)], &[0, 1]);
        let settled = asked.settle().unwrap();
        assert!(settled.changes.is_empty(), "{:?}", settled.changes);
        assert_eq!(
            settled.dropped.len(),
            2,
            "what was asked before of either counts no more"
        );
        // It is back.
        let back = asked.plan(&[1, 2, 3]);
        match limit {
            None => assert_eq!(back, [(1, ids(&[0]))]),
            Some(_) => assert_eq!(back, [(1, ids(&[0])), (2, ids(&[1]))]),
        }
    }
}

#[test]
fn what_a_node_declines_is_asked_again_after_a_while() {
    let mut asked = Asked::new(gathering(None, false));
    asked.plan(&[1, 2, 3]);
    asked.answer(1, vec![], &[]);
    asked.answer(2, vec![row(1, 2)], &[1]);
    assert!(asked.settle().is_none());
    assert!(asked.plan(&[1, 2, 3]).is_empty(), "not at once");
    assert_eq!(asked.gathering.next_us(), Some(5_000), "the deadline comes first");
    assert!(asked.gathering.pass(99_999).is_empty());
    assert!(asked.plan(&[1, 2, 3]).is_empty());
    asked.gathering.pass(100_000);
    assert_eq!(asked.plan(&[1, 2, 3]), [(1, ids(&[0]))]);
    asked.answer(1, vec![row(0, 1)], &[0]);
    assert!(asked.settle().is_some());
    assert_eq!(asked.shown(), [1, 2].into());
}

#[test]
fn frames_that_are_missing_are_noticed_and_those_that_come_twice_are_not_counted() {
    let mut asked = Asked::open(None);
    let mut told = |number, n| {
        asked
            .gathering
            .told(NodeId(1), 1, Some(number), vec![Said::Has(row(0, n))])
            .unwrap()
    };
    assert!(matches!(told(1, 4), News::Changes(_)));
    assert!(matches!(told(1, 5), News::None));
    assert!(matches!(told(3, 6), News::Gap));
    asked.gathering.failed(NodeId(1), 1, 0);
    assert!(asked.plan(&[1, 2, 3]).is_empty());
    asked.gathering.pass(100_000);
    assert_eq!(asked.plan(&[1, 2, 3]), [(1, ids(&[0]))]);
}

#[test]
fn an_answer_is_there_when_all_its_chunks_are_in_whatever_order() {
    let limits = Limits::default();
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
        let mut asked = Asked::new(gathering(None, true));
        assert_eq!(asked.plan(&[1, 2, 3]).len(), 2);
        asked.answer(2, vec![row(1, 9)], &[1]);
        for (at, part) in order.into_iter().enumerate() {
            assert!(
                !asked.gathering.answered().contains(PartitionId::new(0).unwrap()),
                "after {at} of {order:?}"
            );
            for _twice in 0..2 {
                let covers = (part == 2).then(|| ids(&[0]));
                let rows = vec![row(0, part as u8)];
                asked
                    .gathering
                    .take_rows(NodeId(1), part, rows, covers, 1_000, &limits)
                    .unwrap();
            }
        }
        assert_eq!(asked.gathering.answered(), ids(&[0, 1]), "{order:?}");
    }
}

#[test]
fn what_nobody_answers_is_asked_again() {
    let mut asked = Asked::new(gathering(None, true));
    assert_eq!(asked.plan(&[1, 2, 3]).len(), 2);
    assert_eq!(asked.gathering.pass(999), []);
    asked.answer(1, vec![row(0, 1)], &[0]);
    assert_eq!(asked.gathering.pass(1_000), [(Some(ConnId(2)), 2)]);
    assert_eq!(asked.plan(&[1, 2, 3]), [(2, ids(&[1]))]);
    asked.answer(2, vec![row(1, 2)], &[1]);
    assert_eq!(asked.gathering.answered(), ids(&[0, 1]));
    assert_eq!(asked.shown(), [1, 2].into());
}
