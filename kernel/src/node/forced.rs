//! A new beginning that whoever runs the cluster forces, where too few members are left to agree on anything.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::cluster::{Losses, Member, Tally};
use crate::env::{ConnId, NodeId, Now};
use crate::node::Node;
use crate::session::{Kind, Request, Shows};
use crate::wire::Code;
use crate::wire::admin::{self, Forced, Order};

impl Node {
    /// Somebody wants that those go on who are left, or to know what that costs.
    pub(super) fn force(&mut self, conn: ConnId, order: Order, now: Now) {
        match self.forced(order, now) {
            Ok(forced) => {
                self.tally.operations.add(Kind::Cluster, None);
                self.outbox.push(conn, admin::forced(&forced), Shows::State);
                self.requests.push(Request::Read { conn, id: "".into() });
            }
            Err((code, reason)) => {
                let mut desk = self.desk(now);
                desk.doing = Kind::Cluster;
                desk.refuse(conn, code, reason, "");
            }
        }
    }

    fn forced(&mut self, order: Order, now: Now) -> Result<Forced, (Code, String)> {
        let own = self.membership.id();
        let Tally { have, need, of } = self.members_reached();
        let Some(state) = self.membership.state().filter(|_| self.membership.is_member()) else {
            return Err((Code::NotMember, "the node belongs to no cluster".into()));
        };
        if have >= need {
            let reason = format!(
                "enough members can be reached to agree on any change, {have} of {of}: nothing has to be forced. A member that is \
                 gone for good is removed with `cluster remove`"
            );
            return Err((Code::NotPossible, reason));
        }
        let is_left = |id: &NodeId| *id == own || self.peers.to(*id).is_some();
        let (left, given_up): (Vec<_>, Vec<_>) = state.members.iter().partition(|member| is_left(&member.id));
        let ids: Vec<NodeId> = left.iter().map(|member| member.id).collect();
        let names = |members: Vec<&Member>| {
            let mut names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
            names.sort_unstable();
            names
        };
        let Losses { gone, doubtful } = state.losses(&ids);
        let mut forced = Forced {
            order,
            generation: state.generation() + 1,
            epoch: self.membership.epoch(),
            left: names(left),
            given_up: names(given_up),
            gone: gone as u64,
            doubtful: doubtful as u64,
        };
        if order == Order::Recover {
            let (version, next) = state.forced(&ids, self.rng.next_u64());
            if !self.begin_generation(version, next, now) {
                return Err((
                    Code::StorageFull,
                    "the disk has no room for a change of the cluster".into(),
                ));
            }
            forced.epoch = version;
        }
        Ok(forced)
    }
}
