//! How two nodes get to know each other: who each is, where it belongs, and that it knows the secret.

use alloc::format;

use crate::env::{ConnId, Now, PeerId, WriterId};
use crate::node::link::{Link, Remote, Stage};
use crate::node::{LinkNews, Node};
use crate::session::{Access, Purpose, Secret, Shows};
use crate::wire::PEER_PROTOCOL_VERSION;
use crate::wire::cluster::Word;
use crate::wire::peer::{self, Hello, PeerMessage};

impl Node {
    /// Introduces this node.
    pub(super) fn greet_peer(&mut self, conn: ConnId, dialled: Option<PeerId>, now: Now) {
        let ordered = self.conns.get(conn).is_some_and(|c| c.kind.ordered);
        let link = Link::new(dialled, ordered, self.rng.entropy(), now.mono_us);
        let nonce = link.nonce;
        self.peers.begin(conn, link);
        self.say_hello(conn, nonce);
    }

    fn say_hello(&mut self, conn: ConnId, nonce: [u8; 32]) {
        let hello = peer::hello(&Hello {
            version: self.protocol_version(),
            id: self.membership.id(),
            addr: &self.config.addr,
            weight: self.config.weight,
            zone: &self.config.zone,
            cluster_name: &self.config.cluster_name,
            cluster: self.membership.cluster(),
            epoch: self.membership.durable(),
            name: &self.config.name,
            boot: self.boot_id(),
            boots: self.membership.boots(),
            booted: self.membership.booted(),
            committed: self.store.committed_number(),
            routing: self.config.routing.digest(),
            nonce,
        });
        // Its id must outlive what it says under it.
        self.outbox.push(conn, hello, Shows::State);
    }

    /// The other side lacks the hello or the proof: on a connection that loses frames both are said again, now and then.
    fn introduce_again(&mut self, conn: ConnId, now: Now) {
        let Some(link) = self.peers.link(conn) else {
            return;
        };
        let again_us = link.introduced_us + self.config.limits.heartbeat_ms * 500;
        if again_us > now.mono_us {
            return;
        }
        link.introduced_us = now.mono_us;
        let (is_dialler, nonce) = (link.dialled.is_some(), link.nonce);
        let asked = match &link.stage {
            Stage::Hello => None,
            Stage::Proof(remote) | Stage::Up(remote) => Some(remote.nonce),
        };
        self.say_hello(conn, nonce);
        if let Some(asked) = asked {
            self.say_proof(conn, is_dialler, &asked, &nonce);
        }
    }

    fn say_proof(&mut self, conn: ConnId, is_dialler: bool, asked: &[u8; 32], own: &[u8; 32]) {
        let proof = self.proof(is_dialler, &self.config.name, self.boot_id(), asked, own);
        self.outbox.push(conn, peer::proof(&proof), Shows::Nothing);
    }

    /// The protocol that it speaks to its peers.
    fn protocol_version(&self) -> u64 {
        PEER_PROTOCOL_VERSION - u64::from(self.config.rare.is_older())
    }

    /// The identity drawn at this boot.
    pub(super) fn boot_id(&self) -> WriterId {
        self.hlc.latest().writer()
    }

    pub(super) fn peer_frame(&mut self, conn: ConnId, frame: &[u8], now: Now) {
        let limits = &self.config.limits;
        let ordered = self.conns.get(conn).is_some_and(|c| c.kind.ordered);
        let Some(link) = self.peers.link(conn) else {
            return;
        };
        link.heard_us = now.mono_us;
        let longest = if link.remote().is_some() {
            limits.frame_bytes
        } else {
            limits.unauthenticated_frame_bytes
        };
        if frame.len() > longest && !ordered && link.stage != Stage::Hello {
            // It overtook the proof. The digests will bring it again.
            return;
        }
        let message = if frame.len() <= longest {
            PeerMessage::decode(frame).ok()
        } else {
            None
        };
        let understood = match message {
            Some(PeerMessage::Hello(hello)) if link.stage == Stage::Hello => self.peer_hello(conn, hello),
            Some(PeerMessage::Proof(proof)) => self.peer_proof(conn, proof, now),
            Some(PeerMessage::Refused(reason)) => {
                // The last that it says. Whoever answers can say it, and nothing but the news depends on it.
                let node = link.stage.name();
                let node = if node.is_empty() { "the other side" } else { node };
                let reason = format!("{node} refused this node: {reason}");
                self.peers.because(reason);
                self.close(conn, now);
                true
            }
            Some(PeerMessage::Again) if !ordered => {
                self.introduce_again(conn, now);
                true
            }
            Some(PeerMessage::Again) => false,
            // On a connection without order, what follows a handshake can overtake it; and repeats are no sin.
            Some(_) if link.remote().is_none() => true,
            Some(PeerMessage::Hello(_)) => true,
            Some(PeerMessage::Pong { taken }) => {
                link.confirmed = link.confirmed.max(taken);
                true
            }
            Some(PeerMessage::Ping(ping)) => {
                let pong = peer::pong(link.taken);
                self.outbox.push(conn, pong, Shows::Heartbeat);
                self.heard_beat(conn, ping, now);
                true
            }
            Some(message) => self.peer_data(conn, message, frame.len() as u64, now),
            None => false,
        };
        if !understood {
            self.peers.because_at_least("it said what makes no sense");
            self.close(conn, now);
        }
    }

    /// Whether the other side may go on: it speaks this protocol, routes alike, and is not this node.
    fn peer_hello(&mut self, conn: ConnId, hello: Hello<'_>) -> bool {
        let spoken = self.protocol_version();
        let Some(link) = self.peers.link(conn) else {
            return false;
        };
        let dialled = link.dialled;
        let remote = Remote {
            id: hello.id,
            name: hello.name.into(),
            addr: hello.addr.into(),
            weight: hello.weight,
            zone: hello.zone.into(),
            cluster: hello.cluster,
            epoch: hello.epoch,
            boot: hello.boot,
            boots: hello.boots.to_vec(),
            booted: hello.booted,
            committed: hello.committed,
            nonce: hello.nonce,
        };
        let own_cluster = self.membership.cluster();
        let limits = &self.config.limits;
        let refused = if hello.boot == self.boot_id() {
            // This very node answered, or somebody who repeats what it said. It may be another the next time.
            Some("it is this very node")
        } else if hello.version != spoken {
            Some("it speaks another version of the protocol")
        } else if hello.id == self.membership.id() {
            Some("it has this node's id: its data is a copy of this node's")
        } else if own_cluster != 0 && hello.cluster != 0 && hello.cluster != own_cluster {
            Some("it belongs to another cluster")
        } else if hello.cluster_name != self.config.cluster_name {
            Some("it is meant for a cluster of another name: see --cluster-name")
        } else if hello.routing != self.config.routing.digest() {
            Some("its maps route in another way: every node needs the same --partition-by")
        } else if hello.name.is_empty() || hello.name.len() > limits.id_bytes || hello.name == self.config.name {
            Some("it has no name, one that is too long, or this node's")
        } else if hello.addr.len() > limits.id_bytes || hello.zone.len() > limits.id_bytes || hello.weight == 0 {
            Some("its address or zone is too long, or its weight is 0")
        } else {
            None
        };
        if let Some(reason) = refused {
            self.peers.put_off(dialled, limits.redial_ms.1);
            if hello.name.len() <= limits.id_bytes {
                self.peers.called(hello.name);
            }
            return self.refuse_peer(conn, reason);
        }
        let Some(link) = self.peers.link(conn) else {
            return false;
        };
        let is_dialler = link.dialled.is_some();
        let own_nonce = link.nonce;
        link.stage = Stage::Proof(remote.clone());
        self.say_proof(conn, is_dialler, &remote.nonce, &own_nonce);
        true
    }

    /// Says why the other side cannot be linked with, to it and to whoever reads the log.
    fn refuse_peer(&mut self, conn: ConnId, reason: &'static str) -> bool {
        self.outbox.push_last(conn, peer::refused(reason));
        self.peers.because(reason);
        false
    }

    /// What only a node that knows the secret can say, about itself, on this connection, in this role.
    fn proof(&self, is_dialler: bool, name: &str, boot: WriterId, asked: &[u8; 32], own: &[u8; 32]) -> [u8; 32] {
        let key = Secret::key(self.config.secret.as_ref(), Purpose::PeerProof);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&[u8::from(is_dialler)]);
        hasher.update(asked).update(own);
        hasher.update(&boot.0.to_be_bytes()).update(name.as_bytes());
        *hasher.finalize().as_bytes()
    }

    fn peer_proof(&mut self, conn: ConnId, proof: &[u8], now: Now) -> bool {
        let Some(link) = self.peers.link(conn) else {
            return false;
        };
        let Stage::Proof(remote) = link.stage.clone() else {
            // A repeat, or one that overtook its hello.
            return true;
        };
        let (link_dialled, is_dialler, nonce) = (link.dialled, link.dialled.is_some(), link.nonce);
        let expected = self.proof(!is_dialler, &remote.name, remote.boot, &nonce, &remote.nonce);
        // BLAKE3's digests compare in constant time.
        if blake3::Hash::from(expected) != *proof {
            return self.refuse_peer(conn, "it does not know the secret");
        }
        if self.is_set_back(&remote) {
            let told = Word::SetBack.to_frame();
            self.outbox.push_last(conn, told);
            self.peers.put_off(link_dialled, self.config.limits.redial_ms.1);
            self.peers
                .because("this node has seen later data of it than it has: it is to begin anew, under another id");
            return false;
        }
        self.conns.set_access(conn, Access::Granted);
        self.link_up(conn, remote, now);
        true
    }

    fn link_up(&mut self, conn: ConnId, remote: Remote, now: Now) {
        let own = self.membership.id();
        let dialler = |link: &Link| if link.dialled.is_some() { own } else { remote.id };
        let Some(link) = self.peers.link(conn) else {
            return;
        };
        // Proven, and so worth to be known even if this link is one too many.
        let dialled_by = dialler(link);
        let dialled = link.dialled;
        self.peers.answers(dialled, remote.id, &remote.name);
        if let Some((other, old)) = self.peers.other_link_to(remote.id, Some(conn)) {
            let same_boot = old.remote().is_some_and(|r| r.boot == remote.boot);
            let keep_old = same_boot && dialler(old) < dialled_by;
            self.peers.because("two nodes need one link");
            if keep_old {
                self.close(conn, now);
                return;
            }
            self.close(other, now);
        }
        let Some(link) = self.peers.link(conn) else {
            return;
        };
        let name = remote.name.clone();
        let (id, dialled) = (remote.id, link.dialled.is_some());
        link.stage = Stage::Up(remote);
        // The first heartbeat tells what the handshake did not: at once.
        link.pinged_us = 0;
        self.peers.is_up(conn, id);
        // Also what was there before a restart.
        self.leftovers.look_again();
        self.linked(conn, now);
        if (dialled || self.fills.open() > 0) && self.membership.is_member() {
            self.begin_round(conn, now);
        }
        self.peers.tell(LinkNews { node: name, lost: None });
    }
}
