//! What clients say to a node, from the first frame on.

use alloc::format;

use crate::env::{ConnId, Mutant, Now, Rare};
use crate::machine::ConnKind;
use crate::node::Node;
use crate::node::waits::Asker;
use crate::session::{Access, Kind, Request, Shown, Shows};
use crate::wire::admin;
use crate::wire::client::ClientMessage;
use crate::wire::server::{self, Refusal};
use crate::wire::{Code, Error};

impl Node {
    /// An open node says so at once; one with a secret asks for it. An exchange hears nothing before its answer.
    pub(super) fn greet_client(&mut self, conn: ConnId, kind: ConnKind, now: Now) {
        if kind.push {
            let frame = match self.config.secret {
                None => self.auth_ack(now),
                Some(_) => server::auth_required(),
            };
            self.outbox.push(conn, frame, Shows::Nothing);
        }
    }

    fn auth_ack(&mut self, now: Now) -> bytes::Bytes {
        let clock = match self.config.mutants.is(Mutant::ClockBeyondBound) {
            true => self.hlc.now(now.wall_ms),
            false => self.hlc.spoken(now.wall_ms),
        };
        server::auth_ack(self.config.secret.is_none(), &self.config.name, clock)
    }

    /// Says why a connection is closed as soon as it was opened.
    pub(super) fn turn_away(&mut self, conn: ConnId, kind: ConnKind, reason: &str) {
        if kind.role == crate::machine::Role::Client {
            let refusal = Refusal {
                code: Code::NotReady,
                reason: reason.into(),
            };
            self.outbox.push_last(conn, server::error(&refusal, ""));
        }
    }

    pub(super) fn client_frame(&mut self, conn: ConnId, kind: ConnKind, access: Access, frame: &[u8], now: Now) {
        let refused = access == Access::Granted && self.rarely(Rare::RefuseFrame, now.mono_us);
        let limits = &self.config.limits;
        let longest = match access {
            Access::Granted => limits.frame_bytes.min(kind.frame_bytes),
            _ => limits.unauthenticated_frame_bytes,
        };
        if frame.len() > longest {
            let reason = format!("the frame has {} bytes, over {longest}", frame.len());
            self.desk(now).refuse(conn, Code::TooLarge, reason, "");
            return;
        }
        if refused || self.conns.is_full(conn, limits) {
            let reason = "answers wait to be read on this connection".into();
            self.desk(now).refuse(conn, Code::Overloaded, reason, "");
            return;
        }
        match ClientMessage::decode(frame, limits.depth) {
            Err(error) => {
                if matches!(error, Error::Encoding(_)) {
                    // It was damaged on its way, and whatever was in it may yet come again.
                    self.conns.left_gap(conn);
                }
                self.desk(now).refuse_frame(conn, &error);
            }
            Ok(ClientMessage::Auth { token }) => self.authenticate(conn, kind, token, now),
            Ok(message) if access == Access::Granted => self.request(conn, kind, message, now),
            Ok(_) => {
                let reason = "this node asks for a token first".into();
                self.desk(now).refuse(conn, Code::AuthRequired, reason, "");
            }
        }
    }

    fn authenticate(&mut self, conn: ConnId, kind: ConnKind, token: &str, now: Now) {
        let granted = self
            .config
            .secret
            .as_ref()
            .is_none_or(|secret| secret.is(token.as_bytes()));
        if !granted {
            self.conns.set_access(conn, Access::Refused);
            self.tally.operations.add(Kind::Auth, Some(Code::AuthFailed));
            self.outbox.push_last(conn, server::auth_fail("the token is wrong"));
            if kind.push {
                self.close(conn, now);
            }
            return;
        }
        self.conns.set_access(conn, Access::Granted);
        self.tally.operations.add(Kind::Auth, None);
        if kind.push {
            let frame = self.auth_ack(now);
            self.outbox.push(conn, frame, Shows::Nothing);
        }
    }

    fn request(&mut self, conn: ConnId, kind: ConnKind, message: ClientMessage<'_>, now: Now) {
        let early = self.config.mutants.is(Mutant::ServeWhileRecovering) && matches!(message, ClientMessage::Get(_));
        let about = matches!(message, ClientMessage::Status | ClientMessage::Cluster) && self.state.is_serving();
        if !early && !about && !self.serves() {
            self.not_ready(conn, message, now);
            return;
        }
        let request = match message {
            ClientMessage::Op(ops) | ClientMessage::Batch(ops) => {
                self.write(Asker::Client { conn, exchange: false }, ops, now);
                None
            }
            ClientMessage::Sync(ops) => {
                self.write(Asker::Client { conn, exchange: true }, ops, now);
                None
            }
            ClientMessage::Get(get) if early => self.desk(now).read(conn, kind, get, Shown::Held, None),
            ClientMessage::Get(get) => self.read(conn, kind, get, now),
            ClientMessage::QuerySub(sub) => self.query(conn, kind, sub, now),
            ClientMessage::QueryUnsub { id } => {
                self.close_query(conn, id);
                None
            }
            ClientMessage::Status => {
                self.tally.operations.add(Kind::Status, None);
                let frame = admin::status(&self.status());
                self.outbox.push(conn, frame, Shows::State);
                Some(Request::Read { conn, id: "".into() })
            }
            ClientMessage::Cluster => {
                self.tally.operations.add(Kind::Cluster, None);
                let frame = admin::cluster(&self.cluster_status());
                self.outbox.push(conn, frame, Shows::State);
                Some(Request::Read { conn, id: "".into() })
            }
            ClientMessage::ClusterLocate(at) => self.locate(conn, &at, now),
            ClientMessage::ClusterChange(asked) => {
                self.change_cluster(conn, &asked, now);
                None
            }
            ClientMessage::Agreed(ask) => {
                self.ask_register(conn, ask, now);
                None
            }
            ClientMessage::ClusterRepair => self.repair_now(conn),
            ClientMessage::Ping { timestamp } => {
                self.tally.operations.add(Kind::Ping, None);
                let frame = server::pong(timestamp, now.wall_ms);
                self.outbox.push(conn, frame, Shows::Nothing);
                None
            }
            ClientMessage::Auth { .. } => {
                self.desk(now).refuse_frame(conn, &Error::UnknownType);
                None
            }
        };
        self.requests.extend(request);
    }

    fn not_ready(&mut self, conn: ConnId, message: ClientMessage<'_>, now: Now) {
        let serving = self.state.is_serving() && !self.draining;
        let (code, reason) = match (serving, self.membership.is_removed()) {
            (false, _) => (Code::NotReady, "the node is recovering or stopping"),
            (true, true) => (Code::NotMember, "the node was removed from its cluster"),
            (true, false) => (Code::NotMember, "the node does not belong to a cluster yet"),
        };
        let mut desk = self.desk(now);
        match message {
            ClientMessage::Op(ops) | ClientMessage::Batch(ops) => {
                desk.refuse_ops(conn, ops, false, code, reason);
            }
            ClientMessage::Sync(ops) => desk.refuse_ops(conn, ops, true, code, reason),
            ClientMessage::Get(get) => desk.refuse(conn, code, reason.into(), get.id),
            ClientMessage::Agreed(ask) => desk.refuse(conn, code, reason.into(), ask.id),
            _ => desk.refuse(conn, code, reason.into(), ""),
        }
    }
}
