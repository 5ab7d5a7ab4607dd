//! The truth, to an invariant that is told that the limits are lower than they are.

use kernel::env::Limits;

use super::{Case, Lie};

pub fn lies() -> Vec<Case> {
    let case = |says, limits| Case {
        invariant: "within-limits",
        says,
        lie: truth,
        limits,
    };
    vec![
        case("bytes are unsent on connection", |limits| Limits {
            unsent_bytes: 1,
            frame_bytes: 100,
            ..limits
        }),
        case("a frame for connection", |limits| Limits {
            frame_bytes: 100,
            ..limits
        }),
        case("unsent on all connections", |limits| Limits {
            unsent_bytes: 1,
            unsent_total_bytes: 1,
            chunk_bytes: 1,
            ..limits
        }),
        case("changes are in flight", |limits| Limits {
            commit_bytes_in_flight: 1,
            ..limits
        }),
        case("connections were accepted", |limits| Limits {
            connections: 1,
            ..limits
        }),
        case("a request was taken", |limits| Limits {
            unsent_bytes: 1,
            ..limits
        }),
        case("live queries", |limits| Limits {
            subscriptions: 0,
            ..limits
        }),
        case("wait for an apply", |limits| Limits {
            apply_bytes: 1,
            ..limits
        }),
    ]
}

fn truth() -> Lie {
    Box::new(|seen, next| next(seen))
}
