//! Each rule by itself. What whole clusters do is in `sim/tests/liveness.rs`.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::env::{SeededRng, WriterId};

const MS: u64 = 1_000;

fn node(n: u64) -> NodeId {
    NodeId(n)
}

fn boot(n: u64) -> Boot {
    Boot {
        birth_ms: 10,
        writer: WriterId(100 + n),
    }
}

/// The detector of node 0 among `n` nodes, stepped by hand.
struct Bench {
    it: Liveness,
    rng: SeededRng,
    now_us: u64,
}

impl Bench {
    fn new(n: u64) -> Self {
        let mut it = Liveness::new(node(0), boot(0), LivenessSettings::default(), Mutants::default());
        let members: Vec<NodeId> = (0..n).map(node).collect();
        it.set_members(&members, 5_000_000);
        let (rng, now_us) = (SeededRng::from_u64(1), 5_000_000);
        Self { it, rng, now_us }
    }

    /// Steps as asked until `for_ms` have passed; what was sent.
    fn run(&mut self, for_ms: u64) -> Vec<(NodeId, Gossip)> {
        let (until_us, mut out) = (self.now_us + for_ms * MS, Vec::new());
        while let Some(wake_us) = self.it.wake_us().filter(|wake_us| *wake_us <= until_us) {
            self.now_us = self.now_us.max(wake_us);
            self.it.tick(self.now_us, &mut self.rng, &mut out);
        }
        self.now_us = until_us;
        out
    }

    /// What comes back when `gossip` comes from member `n`.
    fn hear(&mut self, n: u64, gossip: &Gossip) -> Vec<(NodeId, Gossip)> {
        let mut out = Vec::new();
        self.it.receive(node(n), gossip, self.now_us, &mut out);
        out
    }

    /// An answer of member `n`, which has heard everything up to now.
    fn answer(&self, n: u64) -> Gossip {
        gossip(n, Some(self.it.local.lived_us()))
    }

    /// Runs for so long while the members `alive` answer everything within 10 ms.
    fn run_with(&mut self, for_ms: u64, alive: &[u64]) {
        for _ in 0..for_ms / 10 {
            self.run(10);
            for n in alive {
                let answer = self.answer(*n);
                self.hear(*n, &answer);
            }
        }
    }
}

/// A message of member `n` that has heard of node 0's life up to `echo_us`.
fn gossip(n: u64, echo_us: Option<u64>) -> Gossip {
    Gossip {
        boot: boot(n),
        incarnation: 0,
        sent_us: 1,
        echo: echo_us.map(|at_us| Echo {
            to: boot(0).writer,
            at_us,
        }),
        kind: Kind::Ack,
        rumors: Vec::new(),
    }
}

fn accusation(of: u64, incarnation: u64, by: &[u64]) -> Rumor {
    Rumor {
        node: node(of),
        boot: boot(of),
        incarnation,
        age_us: None,
        accusers: by.iter().map(|by| node(*by)).collect(),
    }
}

#[test]
fn everybody_is_probed_in_each_round_where_there_are_few() {
    let mut bench = Bench::new(9);
    for n in 1..9 {
        let answer = bench.answer(n);
        bench.hear(n, &answer);
    }
    let pings = bench.run(1);
    let to: Vec<u64> = pings.iter().map(|(to, _)| to.0).collect();
    assert_eq!(to, (1..9).collect::<Vec<_>>());
}

#[test]
fn where_there_are_many_each_has_its_turn_and_a_round_is_no_longer() {
    let mut bench = Bench::new(33);
    let alive: Vec<u64> = (1..33).collect();
    let mut probed = Vec::new();
    for _ in 0..4 {
        let out = bench.run(1);
        assert!(out.len() <= 8, "{}", out.len());
        probed.extend(out.iter().map(|(to, _)| to.0));
        bench.run_with(120, &alive);
        // Up to just before the next round.
        let next_us = bench.it.next_round_us - bench.it.local.lived_us();
        bench.now_us += next_us;
    }
    probed.sort_unstable();
    probed.dedup();
    assert_eq!(probed, alive, "four rounds of eight");
}

#[test]
fn only_an_echo_is_a_sign_of_life() {
    let mut bench = Bench::new(2);
    let old = bench.answer(1);
    for _ in 0..400 {
        bench.run(10);
        // It speaks all the time, and has not heard this node since the start.
        bench.hear(1, &old);
    }
    assert_eq!(bench.it.state(node(1)), Health::Failed);
}

#[test]
fn an_echo_of_another_run_or_from_the_future_proves_nothing() {
    let mut bench = Bench::new(2);
    for _ in 0..400 {
        bench.run(10);
        let mut other = bench.answer(1);
        other.echo = Some(Echo {
            to: WriterId(7),
            at_us: bench.it.local.lived_us(),
        });
        bench.hear(1, &other);
        let future = gossip(1, Some(u64::MAX));
        bench.hear(1, &future);
    }
    assert_eq!(bench.it.state(node(1)), Health::Failed);
}

#[test]
fn a_member_in_doubt_is_asked_about_and_what_others_know_counts() {
    let mut bench = Bench::new(3);
    bench.run_with(1_000, &[1, 2]);
    for _ in 0..300 {
        let asked = bench.run(10).into_iter().any(|(to, gossip)| {
            let about = gossip.rumors.first().map(|rumor| rumor.node);
            to == node(1) && gossip.kind == Kind::Ask(node(2)) && about == Some(node(2))
        });
        let mut answer = bench.answer(1);
        if asked {
            let rumor = Rumor {
                age_us: Some(20 * MS),
                ..accusation(2, 0, &[])
            };
            answer.rumors.push(rumor);
        }
        bench.hear(1, &answer);
        assert_eq!(bench.it.state(node(2)), Health::Alive);
    }
}

#[test]
fn who_is_asked_answers_at_once_and_again_when_there_is_more() {
    let mut bench = Bench::new(3);
    bench.run_with(1_000, &[1, 2]);
    bench.run(150);
    let mut ask = bench.answer(1);
    ask.kind = Kind::Ask(node(2));
    let out = bench.hear(1, &ask);
    let kinds: Vec<_> = out.iter().map(|(to, gossip)| (to.0, gossip.kind)).collect();
    assert_eq!(kinds, [(1, Kind::Ack), (2, Kind::Ping)]);
    let age_us = out[0].1.rumors[0].age_us.unwrap();
    assert!((150 * MS..=170 * MS).contains(&age_us), "{age_us}");
    let answer = bench.answer(2);
    let out = bench.hear(2, &answer);
    assert_eq!((out[0].0, out[0].1.rumors[0].age_us), (node(1), Some(0)));
    let answer = bench.answer(2);
    assert!(bench.hear(2, &answer).is_empty(), "told once");
}

#[test]
fn the_finding_of_all_others_gives_up_at_once_and_without_them_it_takes_longer() {
    let failed_after_ms = |confirm: bool| {
        let mut bench = Bench::new(4);
        bench.run_with(1_000, &[1, 2, 3]);
        for waited_ms in (0..10_000).step_by(10) {
            bench.run_with(10, &[1, 2]);
            if confirm && bench.it.state(node(3)) == Health::Suspect {
                for by in [1, 2] {
                    let mut answer = bench.answer(by);
                    answer.rumors.push(accusation(3, 0, &[by]));
                    bench.hear(by, &answer);
                }
            }
            if bench.it.state(node(3)) == Health::Failed {
                return waited_ms;
            }
        }
        panic!("never given up")
    };
    let settings = LivenessSettings::default();
    assert!(failed_after_ms(true) <= settings.silence_ms + 30);
    let alone_ms = settings.silence_ms + settings.suspicion_max_ms;
    let took_ms = failed_after_ms(false);
    assert!((alone_ms - 30..=alone_ms + 30).contains(&took_ms), "{took_ms}");
}

#[test]
fn the_word_of_all_others_is_not_enough_against_ones_own_proof() {
    let mut bench = Bench::new(5);
    for _ in 0..500 {
        bench.run_with(10, &[1, 2, 3, 4]);
        let mut answer = bench.answer(1);
        answer.rumors.push(accusation(4, 0, &[1, 2, 3]));
        bench.hear(1, &answer);
    }
    assert_eq!(bench.it.state(node(4)), Health::Alive);
}

#[test]
fn an_accusation_is_answered_with_a_higher_incarnation_and_only_once() {
    let mut bench = Bench::new(3);
    let mut accused = bench.answer(1);
    accused.kind = Kind::Ping;
    accused.rumors.push(accusation(0, 0, &[1, 2]));
    let out = bench.hear(1, &accused);
    assert_eq!((out[0].0, out[0].1.incarnation), (node(1), 1));
    let out = bench.hear(1, &accused);
    assert_eq!(out[0].1.incarnation, 1, "it was said");
    assert_eq!(bench.it.take_news(), [News::Refuted { by: node(1) }]);
    // Everybody is told before the next round.
    let told: Vec<u64> = bench.run(1).iter().map(|(to, _)| to.0).collect();
    assert!(told.contains(&2), "{told:?}");
    let mut absurd = bench.answer(1);
    absurd.rumors.push(accusation(0, u64::MAX, &[1]));
    bench.hear(1, &absurd);
}

#[test]
fn one_that_was_given_up_is_told_so_and_comes_back_by_a_higher_incarnation_alone() {
    let mut bench = Bench::new(3);
    bench.run_with(1_000, &[1, 2]);
    bench.run_with(5_000, &[1]);
    assert_eq!(bench.it.state(node(2)), Health::Failed);
    bench.it.take_news();
    let told = bench.run(300).into_iter().find(|(to, _)| *to == node(2)).unwrap().1;
    assert_eq!(
        (told.rumors[0].node, told.rumors[0].accusers.as_slice()),
        (node(2), &[node(0)][..])
    );
    let mut back = bench.answer(2);
    bench.hear(2, &back);
    assert_eq!(bench.it.state(node(2)), Health::Failed, "said before it knew");
    back.incarnation = 1;
    bench.hear(2, &back);
    assert_eq!(bench.it.state(node(2)), Health::Alive);
    let (from, to) = (Health::Failed, Health::Alive);
    assert_eq!(
        bench.it.take_news(),
        [News::Turned {
            node: node(2),
            from,
            to
        }]
    );
}

#[test]
fn a_later_run_counts_at_once_and_an_earlier_one_only_once_that_was_given_up() {
    let mut bench = Bench::new(3);
    bench.run_with(1_000, &[1, 2]);
    let later = Boot {
        birth_ms: 11,
        writer: WriterId(1),
    };
    let mut second = bench.answer(2);
    second.boot = later;
    bench.hear(2, &second);
    assert_eq!(bench.it.boot_of(node(2)), Some(later));
    // The first one still speaks: it is told which run counts.
    let mut first = bench.answer(2);
    first.kind = Kind::Ping;
    let out = bench.hear(2, &first);
    assert_eq!(out[0].1.rumors[0].boot, later);
    assert_eq!(bench.it.boot_of(node(2)), Some(later));
    // The later one falls silent; a node whose clock was put back takes its place.
    bench.run_with(6_000, &[1]);
    assert_eq!(bench.it.state(node(2)), Health::Failed);
    first.echo = None;
    bench.hear(2, &first);
    assert_eq!(bench.it.state(node(2)), Health::Failed, "it was not spoken to since");
    let first = bench.answer(2);
    bench.hear(2, &first);
    assert_eq!(
        (bench.it.state(node(2)), bench.it.boot_of(node(2))),
        (Health::Alive, Some(boot(2)))
    );
    // What others still say of the one that was given up counts no more.
    let mut stale = bench.answer(1);
    stale.rumors.push(Rumor {
        boot: later,
        ..accusation(2, 5, &[1])
    });
    bench.hear(1, &stale);
    assert_eq!(bench.it.boot_of(node(2)), Some(boot(2)));
}

#[test]
fn one_that_shares_its_id_with_a_later_one_is_told() {
    let mut bench = Bench::new(2);
    let later = Boot {
        birth_ms: 99,
        writer: WriterId(1),
    };
    let mut told = bench.answer(1);
    told.rumors.push(Rumor {
        boot: later,
        ..accusation(0, 0, &[])
    });
    bench.hear(1, &told);
    bench.hear(1, &told);
    assert_eq!(bench.it.superseded(), Some(later));
    assert_eq!(bench.it.take_news(), [News::Superseded { by: later }]);
}

#[test]
fn who_was_stopped_for_a_minute_wakes_up_to_the_members_that_it_knew() {
    let mut bench = Bench::new(5);
    bench.run_with(2_000, &[1, 2, 3, 4]);
    bench.now_us += 60_000 * MS;
    let mut out = Vec::new();
    bench.it.tick(bench.now_us, &mut bench.rng, &mut out);
    assert!(bench.it.states().all(|(_, health)| health == Health::Alive));
    assert!(bench.it.local.factor() > 1, "it trusts itself less");
}

#[test]
fn one_that_hears_from_nobody_trusts_itself_less_than_one_that_misses_a_few() {
    let after = |alive: &[u64]| {
        let mut bench = Bench::new(5);
        bench.run_with(2_000, &[1, 2, 3, 4]);
        bench.run_with(1_080, alive);
        (bench.it.local.factor(), bench.it.state(node(4)))
    };
    assert_eq!(after(&[1, 2]), (1, Health::Suspect));
    let (factor, state) = after(&[]);
    assert!(factor > 1);
    assert_eq!(state, Health::Alive, "it waits longer");
}

#[test]
fn one_among_many_who_hears_nobody_does_not_shout() {
    let mut bench = Bench::new(64);
    let all: Vec<u64> = (1..64).collect();
    bench.run_with(4_000, &all);
    let most = (0..60).map(|_| bench.run(100).len()).max();
    // Eight, each with three who are asked about it, in up to three quarters of a round; the round, and what is pushed.
    assert!(most.is_some_and(|most| most <= 3 * 8 * 4 + 4 * 8), "{most:?}");
}

#[test]
fn a_lost_connection_is_a_reason_to_ask_and_none_to_judge() {
    let mut bench = Bench::new(3);
    bench.run_with(1_005, &[1, 2]);
    bench.it.connection_lost(node(2), bench.now_us);
    assert_eq!(bench.it.wake_us(), Some(bench.now_us));
    let kinds: Vec<_> = bench.run(0).iter().map(|(to, gossip)| (to.0, gossip.kind)).collect();
    assert!(kinds.contains(&(2, Kind::Ping)), "{kinds:?}");
    assert!(kinds.contains(&(1, Kind::Ask(node(2)))), "{kinds:?}");
    assert_eq!(bench.it.state(node(2)), Health::Alive);
    assert!(bench.run(0).is_empty(), "once");
}

#[test]
fn one_that_is_not_a_member_is_answered_and_not_kept() {
    let mut bench = Bench::new(2);
    let mut stranger = gossip(9, None);
    stranger.kind = Kind::Ping;
    let out = bench.hear(9, &stranger);
    let echo = Echo {
        to: boot(9).writer,
        at_us: 1,
    };
    assert_eq!((out[0].0, out[0].1.echo), (node(9), Some(echo)));
    assert_eq!(bench.it.state(node(9)), Health::Failed);
    bench.it.set_members(&[node(0)], bench.now_us);
    assert_eq!((bench.it.wake_us(), bench.it.state(node(1))), (None, Health::Failed));
    assert_eq!(bench.it.state(node(0)), Health::Alive);
}

#[test]
fn a_message_is_bounded_however_much_there_is_to_tell() {
    let mut bench = Bench::new(40);
    for n in 1..40 {
        let answer = bench.answer(n);
        bench.hear(n, &answer);
    }
    let longest = |bench: &mut Bench| bench.run(400).iter().map(|(_, gossip)| gossip.encoded_len()).max();
    let (mut most, by) = (0, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for about in 10..40 {
        let mut loud = bench.answer(1);
        loud.rumors.push(accusation(about, 0, &by));
        bench.hear(1, &loud);
        most = most.max(longest(&mut bench).unwrap_or(0));
    }
    assert!(most > 100 && most < 1_024, "{most}");
    (0..999).for_each(|_| bench.it.news.push(News::Refuted { by: node(1) }));
    assert_eq!(bench.it.take_news().len(), News::MOST);
}

fn any_gossip() -> impl Strategy<Value = (u64, Gossip)> {
    let any_boot = || {
        (9u64..12, 99u64..105).prop_map(|(birth_ms, writer)| Boot {
            birth_ms,
            writer: WriterId(writer),
        })
    };
    let small = || prop_oneof![0u64..4, Just(u64::MAX), 4_900_000u64..9_000_000];
    let rumor = (
        0u64..7,
        any_boot(),
        small(),
        proptest::option::of(small()),
        proptest::collection::vec(0u64..7, 0..10),
    );
    let rumor = rumor.prop_map(|(n, boot, incarnation, age_us, by)| Rumor {
        boot,
        age_us,
        ..accusation(n, incarnation, &by)
    });
    let kind = prop_oneof![
        Just(Kind::Ping),
        Just(Kind::Ack),
        (0u64..7).prop_map(|n| Kind::Ask(node(n)))
    ];
    let echo = proptest::option::of((99u64..105, small()).prop_map(|(to, at_us)| Echo {
        to: WriterId(to),
        at_us,
    }));
    let rumors = proptest::collection::vec(rumor, 0..12);
    let parts = (0u64..7, any_boot(), small(), small(), echo, kind, rumors);
    parts.prop_map(|(from, boot, incarnation, sent_us, echo, kind, rumors)| {
        let gossip = Gossip {
            boot,
            incarnation,
            sent_us,
            echo,
            kind,
            rumors,
        };
        (from, gossip)
    })
}

proptest! {
    #[test]
    fn whatever_comes_in_nothing_breaks_and_a_copy_goes_on_alike(
        steps in proptest::collection::vec((any_gossip(), 0u64..300), 1..40),
    ) {
        let mut bench = Bench::new(6);
        for ((from, gossip), wait_ms) in steps {
            let bytes = postcard::to_allocvec(&bench.it).unwrap();
            let mut copy: Liveness = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&postcard::to_allocvec(&copy).unwrap(), &bytes);
            let mut out = Vec::new();
            copy.receive(node(from), &gossip, bench.now_us, &mut out);
            prop_assert_eq!(bench.hear(from, &gossip), out);
            prop_assert_eq!(postcard::to_allocvec(&copy).unwrap(), postcard::to_allocvec(&bench.it).unwrap());
            bench.run(wait_ms);
            for (_, sent) in bench.run(wait_ms) {
                prop_assert!(sent.rumors.len() <= 9);
            }
        }
    }
}
