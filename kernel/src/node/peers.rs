//! The nodes that this one replicates with: dialling, handshakes, heartbeats, one link to each.
//!
//! Two nodes that list each other dial each other; of two links to one node the one dialled by the smaller id stays. A static
//! list stands in for the member list that a cluster will agree on.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::env::{ConnId, Limits, Mutant, NodeId, Now, PeerId, SeededRng, WriterId};
use crate::machine::{Dial, Output};
use crate::node::LinkNews;
use crate::node::Node;
use crate::node::link::{Link, Remote, Stage};
use crate::session::{Access, Purpose, Secret, Shows};
use crate::wire::PEER_PROTOCOL_VERSION;
use crate::wire::peer::{self, Hello, PeerMessage};

/// News that are kept for whoever may ask.
const NEWS: usize = 64;

/// The configured peers and the links to whoever is a peer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Peers {
    list: Vec<Peer>,
    links: BTreeMap<ConnId, Link>,
    /// What happened to them, until somebody asks: outside of any step, and nothing is decided by it.
    #[serde(skip)]
    news: Vec<LinkNews>,
    /// Why the next link that is lost is lost. It goes into the news and nowhere else.
    #[serde(skip)]
    reason: Option<&'static str>,
    /// Those whose handshake is done. Strangers who never finish one cost nothing but their entry above.
    up: BTreeSet<ConnId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Peer {
    addr: String,
    state: PeerState,
    wait_ms: u64,
    /// Who answered there last.
    known: Option<(NodeId, String)>,
    /// Changes since it was last linked.
    missed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum PeerState {
    Idle { dial_us: u64 },
    Dialling,
    Connected(ConnId),
}

impl Peers {
    /// Peers at these addresses, none dialled yet.
    pub fn new(addrs: &[String]) -> Self {
        let peer = |addr: &String| Peer {
            addr: addr.clone(),
            state: PeerState::Idle { dial_us: 0 },
            wait_ms: 0,
            known: None,
            missed: 0,
        };
        Self {
            list: addrs.iter().map(peer).collect(),
            links: BTreeMap::new(),
            news: Vec::new(),
            reason: None,
            up: BTreeSet::new(),
        }
    }

    /// One link.
    pub fn link(&mut self, conn: ConnId) -> Option<&mut Link> {
        self.links.get_mut(&conn)
    }

    /// The links whose handshake is done.
    pub fn up(&self) -> Vec<ConnId> {
        self.up.iter().copied().collect()
    }

    fn up_links(&self) -> impl Iterator<Item = (ConnId, &Link)> {
        self.up.iter().filter_map(|conn| Some((*conn, self.links.get(conn)?)))
    }

    /// Whether there is a link to a node, but for one.
    fn other_link_to(&self, id: NodeId, but: Option<ConnId>) -> Option<(ConnId, &Link)> {
        let mut links = self.up_links();
        links.find(|(conn, link)| Some(*conn) != but && link.remote().is_some_and(|remote| remote.id == id))
    }

    /// The same, each with its connection and the node's name.
    pub fn links_up(&self) -> impl Iterator<Item = (ConnId, &Link, &str)> {
        let links = self.up_links();
        links.filter_map(|(conn, link)| Some((conn, link, link.remote()?.name.as_str())))
    }

    /// Changes were made: peers that are not linked miss them.
    pub fn count_missed(&mut self, changes: u64) {
        for index in 0..self.list.len() {
            let id = self.list[index].known.as_ref().map(|(id, _)| *id);
            let linked = id.is_some_and(|id| self.other_link_to(id, None).is_some());
            // Of one that never answered nobody knows whether it is one of those that are linked.
            let missed = &mut self.list[index].missed;
            *missed = if linked || id.is_none() { 0 } else { *missed + changes };
        }
    }

    /// Configured peers that are not linked: the name, or the address where it is not known, and the changes missed.
    pub fn unlinked(&self) -> impl Iterator<Item = (&str, u64)> {
        let linked = |id: NodeId| self.other_link_to(id, None).is_some();
        let away = self
            .list
            .iter()
            .filter(move |peer| !peer.known.as_ref().is_some_and(|(id, _)| linked(*id)));
        away.map(|peer| {
            let name = peer.known.as_ref().map_or(&peer.addr, |(_, name)| name);
            (name.as_str(), peer.missed)
        })
    }

    /// How many are configured.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// A connection that was dialled is open.
    pub fn connected(&mut self, peer: PeerId, conn: ConnId) {
        if let Some(peer) = self.list.get_mut(peer.0 as usize) {
            peer.state = PeerState::Connected(conn);
        }
    }

    /// A dial came to nothing.
    pub fn dial_failed(&mut self, peer: PeerId, now: Now, rng: &mut SeededRng, limits: &Limits) {
        if let Some(peer) = self.list.get_mut(peer.0 as usize) {
            peer.retry(now, rng, limits);
        }
    }

    /// A connection is gone; if it was dialled, it is dialled again after a while.
    pub fn lost(&mut self, conn: ConnId, now: Now, rng: &mut SeededRng, limits: &Limits) {
        let reason = self.reason.take();
        self.up.remove(&conn);
        if let Some(link) = self.links.remove(&conn) {
            let node = match &link.stage {
                Stage::Hello => String::new(),
                Stage::Proof(remote) | Stage::Up(remote) => remote.name.clone(),
            };
            let lost = Some(reason.unwrap_or("this node closed it"));
            self.tell(LinkNews { node, lost });
        }
        let dialled = self
            .list
            .iter_mut()
            .find(|peer| peer.state == PeerState::Connected(conn));
        if let Some(peer) = dialled {
            peer.retry(now, rng, limits);
        }
    }

    /// Why the next connection that is lost is lost, for people.
    pub fn because(&mut self, reason: &'static str) {
        self.reason = Some(reason);
    }

    fn tell(&mut self, news: LinkNews) {
        if self.news.len() < NEWS {
            self.news.push(news);
        }
    }

    /// What happened to the links since this was last asked.
    pub fn take_news(&mut self) -> Vec<LinkNews> {
        core::mem::take(&mut self.news)
    }

    /// Changes for this link were left out: everything must be compared again.
    pub fn falls_behind(&mut self, conn: ConnId) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.behind = true;
        }
    }

    /// Each configured peer: its address, its name as far as known, and whether it is linked.
    pub fn status(&self) -> Vec<(String, String, bool)> {
        let linked = |id: NodeId| self.other_link_to(id, None).is_some();
        let row = |peer: &Peer| {
            let (id, name) = peer.known.clone().unzip();
            (peer.addr.clone(), name.unwrap_or_default(), id.is_some_and(linked))
        };
        self.list.iter().map(row).collect()
    }

    /// When a timer here is due.
    pub fn wake_us(&self, limits: &Limits) -> Option<u64> {
        let dials = self.list.iter().filter_map(|peer| match peer.state {
            PeerState::Idle { dial_us } => Some(dial_us),
            _ => None,
        });
        let links = self.up_links().flat_map(|(_, link)| {
            let silence = link.heard_us + limits.silence_ms * 1_000;
            let ping = link.pinged_us + limits.heartbeat_ms * 1_000;
            let repairs = link.repairs.due_us(limits);
            [Some(silence), Some(ping), link.round_due_us, repairs]
                .into_iter()
                .flatten()
        });
        dials.chain(links).min()
    }
}

impl Peer {
    /// Waits before the next dial: longer each time, and not in step with others.
    fn retry(&mut self, now: Now, rng: &mut SeededRng, limits: &Limits) {
        let (shortest, longest) = limits.redial_ms;
        self.wait_ms = (self.wait_ms * 2).clamp(shortest, longest);
        let wait_us = self.wait_ms * 1_000;
        let dial_us = now.mono_us + wait_us / 2 + rng.between(0, wait_us / 2);
        self.state = PeerState::Idle { dial_us };
    }
}

impl Node {
    /// Dials, heartbeats, and gives up on the silent.
    pub(super) fn peer_timers(&mut self, now: Now, out: &mut Output) {
        if self.draining {
            return;
        }
        let limits = &self.config.limits;
        for (index, peer) in self.peers.list.iter_mut().enumerate() {
            let PeerState::Idle { dial_us } = peer.state else {
                continue;
            };
            let linked = |id: NodeId| {
                let mut up = self.peers.up.iter().filter_map(|conn| self.peers.links.get(conn));
                up.any(|link| link.remote().is_some_and(|remote| remote.id == id))
            };
            let linked = peer.known.as_ref().is_some_and(|(id, _)| linked(*id));
            if dial_us <= now.mono_us && linked {
                // It dialled this node, and that link stayed. If it breaks, whichever side notices first dials.
                peer.retry(now, &mut self.rng, limits);
            } else if dial_us <= now.mono_us || self.config.mutants.is(Mutant::RedialStorm) {
                peer.state = PeerState::Dialling;
                out.dial.push(Dial {
                    peer: PeerId(index as u64),
                    addr: peer.addr.clone(),
                });
            }
        }
        for conn in self.peers.up() {
            self.link_timers(conn, now);
        }
    }

    fn link_timers(&mut self, conn: ConnId, now: Now) {
        let limits = &self.config.limits;
        let Some(link) = self.peers.links.get_mut(&conn) else {
            return;
        };
        if link.heard_us + limits.silence_ms * 1_000 <= now.mono_us {
            self.peers.because("it fell silent");
            self.close(conn, now);
            return;
        }
        if link.pinged_us + limits.heartbeat_ms * 1_000 <= now.mono_us {
            link.pinged_us = now.mono_us;
            if self.config.mutants.is(Mutant::DeadLinkKept) {
                link.heard_us = now.mono_us;
            }
            // It has held for a while: the next loss is a new one, and is dialled at once.
            if let Some(peer) = link.dialled.and_then(|peer| self.peers.list.get_mut(peer.0 as usize)) {
                peer.wait_ms = 0;
            }
            self.outbox.push(conn, peer::ping(), Shows::Heartbeat);
        }
        let drained = self
            .conns
            .get(conn)
            .is_some_and(|c| c.unsent_bytes <= limits.unsent_bytes / 2);
        if link.round_due_us.is_some_and(|due| due <= now.mono_us) || (link.behind && drained) {
            self.begin_round(conn, now);
        }
        self.repair_timers(conn, now);
    }

    /// Introduces this node.
    pub(super) fn greet_peer(&mut self, conn: ConnId, dialled: Option<PeerId>, now: Now) {
        let link = Link::new(dialled, self.rng.entropy(), now.mono_us);
        let hello = peer::hello(&Hello {
            version: self.protocol_version(),
            name: &self.config.name,
            boot: self.boot_id(),
            routing: self.config.routing.digest(),
            nonce: link.nonce,
        });
        self.peers.links.insert(conn, link);
        self.outbox.push(conn, hello, Shows::Nothing);
    }

    /// The protocol that it speaks to its peers.
    fn protocol_version(&self) -> u64 {
        PEER_PROTOCOL_VERSION - u64::from(self.config.rare.is_older())
    }

    /// The identity drawn at this boot.
    fn boot_id(&self) -> WriterId {
        self.hlc.latest().writer()
    }

    pub(super) fn peer_frame(&mut self, conn: ConnId, frame: &[u8], now: Now) {
        let limits = &self.config.limits;
        let ordered = self.conns.get(conn).is_some_and(|c| c.kind.ordered);
        let Some(link) = self.peers.links.get_mut(&conn) else {
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
            // On a connection without order, what follows a handshake can overtake it; and repeats are no sin.
            Some(_) if link.remote().is_none() => true,
            Some(PeerMessage::Hello(_)) => true,
            Some(PeerMessage::Pong { taken }) => {
                link.confirmed = link.confirmed.max(taken);
                true
            }
            Some(PeerMessage::Ping) => {
                let pong = peer::pong(link.taken);
                self.outbox.push(conn, pong, Shows::Heartbeat);
                true
            }
            Some(message) => self.peer_data(conn, message, frame.len() as u64, now),
            None => false,
        };
        if !understood {
            self.peers.reason.get_or_insert("it said what makes no sense");
            self.close(conn, now);
        }
    }

    /// Whether the other side may go on: it speaks this protocol, routes alike, and is not this node.
    fn peer_hello(&mut self, conn: ConnId, hello: Hello<'_>) -> bool {
        let spoken = self.protocol_version();
        let Some(link) = self.peers.links.get_mut(&conn) else {
            return false;
        };
        let remote = Remote {
            id: NodeId::of(hello.name),
            name: hello.name.into(),
            boot: hello.boot,
            nonce: hello.nonce,
        };
        if hello.boot == self.hlc.latest().writer() {
            // This very node answered, or somebody who repeats what it said. It may be another the next time.
            if let Some(peer) = link.dialled.and_then(|peer| self.peers.list.get_mut(peer.0 as usize)) {
                peer.wait_ms = self.config.limits.redial_ms.1;
            }
            self.peers.because("it is this very node");
            return false;
        }
        let fits = hello.version == spoken
            && hello.routing == self.config.routing.digest()
            && !hello.name.is_empty()
            && hello.name.len() <= self.config.limits.id_bytes
            && hello.name != self.config.name;
        if !fits {
            self.peers
                .because("it has another protocol or other routing, or this node's name");
            return false;
        }
        let is_dialler = link.dialled.is_some();
        let own_nonce = link.nonce;
        link.stage = Stage::Proof(remote.clone());
        let proof = self.proof(is_dialler, &self.config.name, self.boot_id(), &remote.nonce, &own_nonce);
        self.outbox.push(conn, peer::proof(&proof), Shows::Nothing);
        true
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
        let Some(link) = self.peers.links.get(&conn) else {
            return false;
        };
        let Stage::Proof(remote) = link.stage.clone() else {
            // A repeat, or one that overtook its hello.
            return true;
        };
        let (is_dialler, nonce) = (link.dialled.is_some(), link.nonce);
        let expected = self.proof(!is_dialler, &remote.name, remote.boot, &nonce, &remote.nonce);
        // BLAKE3's digests compare in constant time.
        if blake3::Hash::from(expected) != *proof {
            self.peers.because("it does not know the secret");
            return false;
        }
        self.conns.set_access(conn, Access::Granted);
        self.link_up(conn, remote, now);
        true
    }

    fn link_up(&mut self, conn: ConnId, remote: Remote, now: Now) {
        let own = NodeId::of(&self.config.name);
        let dialler = |link: &Link| if link.dialled.is_some() { own } else { remote.id };
        let Some(link) = self.peers.links.get(&conn) else {
            return;
        };
        // Proven, and so worth to be known even if this link is one too many.
        if let Some(peer) = link.dialled.and_then(|peer| self.peers.list.get_mut(peer.0 as usize)) {
            peer.known = Some((remote.id, remote.name.clone()));
        }
        if let Some((other, old)) = self.peers.other_link_to(remote.id, Some(conn)) {
            let same_boot = old.remote().is_some_and(|r| r.boot == remote.boot);
            let keep_old = same_boot && dialler(old) < dialler(link);
            self.peers.because("two nodes need one link");
            if keep_old {
                self.close(conn, now);
                return;
            }
            self.close(other, now);
        }
        let Some(link) = self.peers.links.get_mut(&conn) else {
            return;
        };
        let name = remote.name.clone();
        let dialled = link.dialled.is_some();
        link.stage = Stage::Up(remote);
        link.pinged_us = now.mono_us;
        self.peers.up.insert(conn);
        if dialled {
            self.begin_round(conn, now);
        }
        self.peers.tell(LinkNews { node: name, lost: None });
    }
}
