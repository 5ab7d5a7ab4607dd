//! The other nodes: whom to dial, heartbeats, one link to each.
//!
//! Dialled are the addresses that the node was told to join at, until it is a member, and those of the other members from then on.
//! Two nodes that know each other dial each other; of two links to one node the one dialled by the smaller id stays.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::env::{ConnId, Limits, Mutant, NodeId, Now, PeerId, SeededRng};
use crate::machine::{Dial, Output};
use crate::node::LinkNews;
use crate::node::Node;
use crate::node::link::{Link, Remote};
use crate::session::Shows;
use crate::wire::cluster::Word;
use crate::wire::peer;

/// News that are kept for whoever may ask.
const NEWS: usize = 64;

/// The addresses to dial and the links to whoever is a peer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Peers {
    list: Vec<Peer>,
    links: BTreeMap<ConnId, Link>,
    /// What happened to them, until somebody asks: outside of any step, and nothing is decided by it.
    #[serde(skip)]
    news: Vec<LinkNews>,
    /// Why the next link that is lost is lost. It goes into the news and nowhere else.
    #[serde(skip)]
    reason: Option<String>,
    /// What the other side calls itself there, where the link does not know it.
    #[serde(skip)]
    called: Option<String>,
    /// Those that lose frames and whose handshake is not done.
    unheard: BTreeSet<ConnId>,
    /// Those whose handshake is done. Strangers who never finish one cost nothing but their entry above.
    up: BTreeSet<ConnId>,
    /// The same by node: there is one link to each.
    nodes: BTreeMap<NodeId, ConnId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Peer {
    addr: String,
    /// Whether it is still to be dialled.
    wanted: bool,
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
    /// From now on these addresses are dialled, and no others.
    pub fn aim(&mut self, addrs: &[&str]) {
        for peer in &mut self.list {
            peer.wanted = addrs.contains(&peer.addr.as_str());
        }
        for addr in addrs {
            if self.list.iter().any(|peer| peer.addr == *addr) {
                continue;
            }
            let peer = Peer {
                addr: (*addr).into(),
                wanted: true,
                state: PeerState::Idle { dial_us: 0 },
                wait_ms: 0,
                known: None,
                missed: 0,
            };
            // The place of an address that nobody dials any more is free, so that the list is no longer than it has to be.
            let free = |peer: &Peer| !peer.wanted && matches!(peer.state, PeerState::Idle { .. });
            match self.list.iter().position(free) {
                Some(at) => self.list[at] = peer,
                None => self.list.push(peer),
            }
        }
    }

    /// The link to a node.
    pub fn to(&self, node: NodeId) -> Option<ConnId> {
        self.nodes.get(&node).copied()
    }

    /// The nodes that there are links with, ascending.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, ConnId)> {
        self.nodes.iter().map(|(node, conn)| (*node, *conn))
    }

    /// Who is at the other end of a link.
    pub fn node_at(&self, conn: ConnId) -> Option<NodeId> {
        self.links.get(&conn)?.remote().map(|remote| remote.id)
    }

    /// One link.
    pub fn link(&mut self, conn: ConnId) -> Option<&mut Link> {
        self.links.get_mut(&conn)
    }

    /// A link, to look at.
    pub fn link_of(&self, conn: ConnId) -> Option<&Link> {
        self.links.get(&conn)
    }

    /// The links whose handshake is done.
    pub fn up(&self) -> Vec<ConnId> {
        self.up.iter().copied().collect()
    }

    /// Who is at the other ends of the links.
    pub fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.up_links().filter_map(|(_, link)| link.remote())
    }

    fn up_links(&self) -> impl Iterator<Item = (ConnId, &Link)> {
        self.up.iter().filter_map(|conn| Some((*conn, self.links.get(conn)?)))
    }

    /// Those of which a hello or a proof is awaited that may have been lost.
    fn unheard(&self) -> impl Iterator<Item = (ConnId, &Link)> {
        self.unheard
            .iter()
            .filter_map(|conn| Some((*conn, self.links.get(conn)?)))
    }

    /// Whether there is a link to a node, but for one.
    pub(super) fn other_link_to(&self, id: NodeId, but: Option<ConnId>) -> Option<(ConnId, &Link)> {
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
            .filter(move |peer| peer.wanted && !peer.known.as_ref().is_some_and(|(id, _)| linked(*id)));
        away.map(|peer| {
            let name = peer.known.as_ref().map_or(&peer.addr, |(_, name)| name);
            (name.as_str(), peer.missed)
        })
    }

    /// How many are to be dialled.
    pub fn len(&self) -> usize {
        self.list.iter().filter(|peer| peer.wanted).count()
    }

    /// A handshake begins.
    pub(super) fn begin(&mut self, conn: ConnId, link: Link) {
        if !link.ordered {
            self.unheard.insert(conn);
        }
        self.links.insert(conn, link);
    }

    /// A handshake is done.
    pub(super) fn is_up(&mut self, conn: ConnId, node: NodeId) {
        self.up.insert(conn);
        self.unheard.remove(&conn);
        self.nodes.insert(node, conn);
    }

    /// Who answers at the address that this connection was dialled at.
    pub(super) fn answers(&mut self, dialled: Option<PeerId>, node: NodeId, name: &str) {
        if let Some(peer) = dialled.and_then(|peer| self.list.get_mut(peer.0 as usize)) {
            peer.known = Some((node, name.into()));
        }
    }

    /// Whoever answers there is not to be dialled again soon.
    pub(super) fn put_off(&mut self, dialled: Option<PeerId>, wait_ms: u64) {
        if let Some(peer) = dialled.and_then(|peer| self.list.get_mut(peer.0 as usize)) {
            peer.wait_ms = wait_ms;
        }
    }

    /// Why the next link that is lost is lost, unless it is known better.
    pub(super) fn because_at_least(&mut self, reason: &str) {
        self.reason.get_or_insert_with(|| reason.into());
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
        let (reason, called) = (self.reason.take(), self.called.take());
        self.up.remove(&conn);
        self.unheard.remove(&conn);
        self.nodes.retain(|_, link| *link != conn);
        if let Some(link) = self.links.remove(&conn) {
            let node = called.unwrap_or_else(|| link.stage.name().into());
            let lost = Some(reason.unwrap_or_else(|| "this node closed it".into()));
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
    pub fn because(&mut self, reason: impl Into<String>) {
        self.reason = Some(reason.into());
    }

    /// What the other side of the next connection that is lost calls itself, for people.
    pub fn called(&mut self, name: &str) {
        self.called = Some(name.into());
    }

    pub(super) fn tell(&mut self, news: LinkNews) {
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
        self.list.iter().filter(|peer| peer.wanted).map(row).collect()
    }

    /// When a timer here is due.
    pub fn wake_us(&self, limits: &Limits) -> Option<u64> {
        let dials = self.list.iter().filter_map(|peer| match peer.state {
            PeerState::Idle { dial_us } if peer.wanted => Some(dial_us),
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
        let begun = self
            .unheard()
            .map(|(_, link)| link.pinged_us + limits.heartbeat_ms * 1_000);
        dials.chain(links).chain(begun).min()
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
            if !peer.wanted {
                continue;
            }
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
        let due = |link: &Link| link.pinged_us + self.config.limits.heartbeat_ms * 1_000 <= now.mono_us;
        let unheard = self.peers.unheard().filter(|(_, link)| due(link));
        for conn in unheard.map(|(conn, _)| conn).collect::<Vec<_>>() {
            if let Some(link) = self.peers.link(conn) {
                link.pinged_us = now.mono_us;
            }
            self.outbox.push(conn, peer::again(), Shows::Nothing);
        }
    }

    fn link_timers(&mut self, conn: ConnId, now: Now) {
        let ping = peer::ping(self.heartbeat(now));
        let mut pinged = false;
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
            self.outbox.push(conn, ping, Shows::Heartbeat);
            pinged = true;
        }
        let drained = self
            .conns
            .get(conn)
            .is_some_and(|c| c.unsent_bytes <= limits.unsent_bytes / 2);
        if link.round_due_us.is_some_and(|due| due <= now.mono_us) || (link.behind && drained) {
            self.begin_round(conn, now);
        }
        self.give_what_waits(conn);
        self.repair_timers(conn, now);
        if pinged {
            if self.has_left() {
                self.outbox.push(conn, Word::Emptied.to_frame(), Shows::State);
            }
            self.tell_upto(conn);
        }
    }
}
