//! Lies about what several replicas have. The history is one of eventual writes, told as if more had been asked for.

use kernel::wire::Consistency;
use sim::client::{Said, Talk};
use sim::invariant::Seen;

use super::database::{Earlier, found, reads, says};
use super::{Case, Lie, case};

pub fn lies() -> Vec<Case> {
    const ACKNOWLEDGED: &str = "quorum-acknowledged";
    vec![
        case(ACKNOWLEDGED, "replicas have it on disk", acknowledges_before_it_is_kept),
        case(ACKNOWLEDGED, "3 of 3 replicas", strong_is_what_one_has),
        case(ACKNOWLEDGED, "asked for strong", || less_than(Consistency::Strong)),
        case(ACKNOWLEDGED, "asked for quorum", || less_than(Consistency::Quorum)),
        case("quorum-reads", "sees every quorum write", reads_what_was_there_before),
        case("acknowledged", "nobody else has it", leaves_with_what_it_had),
        case("bounded-staleness", "0 ms old at most", is_older_than_it_says),
    ]
}

/// What is said, as if this had been asked for and reached.
fn at_level(said: &Said, asked: Consistency, reached: Consistency) -> Said {
    let mut said = said.clone();
    match &mut said {
        Said::AsksToWrite { level, .. } => *level = asked,
        Said::Done { level, .. } => *level = reached,
        _ => {}
    }
    said
}

/// Tells what clients and nodes say to each other otherwise.
fn retold(mut retell: impl FnMut(usize, &Talk, super::Next<'_>) + 'static) -> Lie {
    Box::new(move |seen, next| match *seen {
        Seen::Talked { client, talk } => retell(client, talk, next),
        _ => next(seen),
    })
}

fn acknowledges_before_it_is_kept() -> Lie {
    const LEVEL: Consistency = Consistency::Quorum;
    retold(|client, talk, next| {
        says(client, talk, at_level(&talk.said, LEVEL, LEVEL), next);
        if let Said::AsksToWrite { request, write, .. } = &talk.said {
            let done = Said::Done {
                request: *request,
                write: write.clone(),
                level: LEVEL,
            };
            says(client, talk, done, next);
        }
    })
}

fn strong_is_what_one_has() -> Lie {
    const LEVEL: Consistency = Consistency::Strong;
    retold(|client, talk, next| says(client, talk, at_level(&talk.said, LEVEL, LEVEL), next))
}

fn less_than(asked: Consistency) -> Lie {
    retold(move |client, talk, next| says(client, talk, at_level(&talk.said, asked, Consistency::Eventual), next))
}

fn reads_what_was_there_before() -> Lie {
    const LEVEL: Consistency = Consistency::Quorum;
    let mut earlier = Earlier::default();
    Box::new(move |seen, next| {
        earlier.note(seen);
        let Seen::Talked { client, talk } = *seen else {
            return next(seen);
        };
        says(client, talk, at_level(&talk.said, LEVEL, LEVEL), next);
        if let Said::Done { write, .. } = &talk.said
            && let Some(older) = earlier.than(&write.key, &write.version)
        {
            reads(client, talk, &write.key, &older, next);
        }
    })
}

/// Who has acknowledged a write leaves, and has moved nothing.
fn leaves_with_what_it_had() -> Lie {
    Box::new(|seen, next| {
        next(seen);
        if let Seen::Acknowledged { node, .. } = *seen {
            next(&Seen::Retired { node, others: &[] });
        }
    })
}

/// Who has acknowledged a write shows what was there before, as if that were all it had.
fn is_older_than_it_says() -> Lie {
    let mut earlier = Earlier::default();
    Box::new(move |seen, next| {
        earlier.note(seen);
        next(seen);
        if let Seen::Acknowledged { node, write, .. } = *seen
            && let Some(older) = earlier.than(&write.key, &write.version)
        {
            let (key, found, stale_ms) = (&write.key, found(&older), 0);
            next(&Seen::Aged {
                node,
                owner: node,
                key,
                found: found.as_ref(),
                stale_ms,
            });
        }
    })
}
