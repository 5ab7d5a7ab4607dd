//! Fewer nodes and clients.

use super::Search;
use crate::plan::edit::Who;

/// Without a node or a client: with all that it does, or with somebody else who does that.
pub(super) fn drop_people(search: &mut Search<'_>) {
    for who in (0..search.plan.header.clients as usize).rev() {
        drop_one(search, Who::Client(who), who);
    }
    for who in (0..search.plan.header.nodes as usize).rev() {
        drop_one(search, Who::Node(who), who);
    }
}

fn drop_one(search: &mut Search<'_>, who: Who, number: usize) {
    let without = |search: &mut Search<'_>, other: Option<usize>| {
        let plan = other.map_or(search.plan.clone(), |other| search.plan.done_by(who, other));
        plan.without(who).is_some_and(|plan| search.take(plan))
    };
    if without(search, None) {
        return;
    }
    let _ = (0..number).any(|other| without(search, Some(other)));
}
