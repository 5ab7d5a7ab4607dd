//! Two nodes and everything that can befall them, in an order that a fuzzer chooses.

use arbitrary::{Result, Unstructured};
use kernel::env::{ConnId, Limits, Mutant, Mutants};
use kernel::machine::{Command, ConnKind, Input, Role, StorageError};
use kernel::node::NodeConfig;
use kernel::session::Secret;

use super::frames::{self, SECRET};
use super::guest::Guest;

/// Most things that happen in one run: what takes longer finds no more.
const TURNS: usize = 600;

/// Reads `data` as a sequence of inputs that a host which keeps its rules could give to two nodes: frames good and bad,
/// answers of storage in order, failures, crashes, time. After each step what the nodes ask for is held against the rules
/// of [`kernel::machine`]; after each recovery everything that was acknowledged must be there.
///
/// # Panics
/// If the kernel does, or breaks a rule.
pub fn node_step(data: &[u8]) {
    play(data, Mutants::default());
}

/// [`node_step`] with both nodes broken on purpose: somewhere it has to panic, or it sees nothing.
///
/// # Panics
/// That is what it is for.
pub fn node_step_broken(data: &[u8], mutant: Mutant) {
    play(data, Mutants::only(mutant));
}

fn play(data: &[u8], mutants: Mutants) {
    let mut u = Unstructured::new(data);
    // Out of bytes: the run ends.
    let Ok(mut scene) = Scene::new(&mut u, mutants) else {
        return;
    };
    for _ in 0..TURNS {
        if u.is_empty() || scene.turn(&mut u).is_err() {
            break;
        }
    }
    scene.end();
}

/// A connection between the nodes, by its number at each.
type Link = [ConnId; 2];

struct Scene {
    guests: [Guest; 2],
    links: Vec<Link>,
    next_id: u64,
}

/// Limits so small that they are met.
fn small() -> Limits {
    Limits {
        frame_bytes: 16_384,
        unauthenticated_frame_bytes: 600,
        value_bytes: 400,
        batch_ops: 6,
        connections: 9,
        unsent_bytes: 12_000,
        commit_bytes_in_flight: 9_000,
        apply_bytes: 300,
        chunk_bytes: 100,
        subscriptions: 2,
        query_rows: 4,
        query_bytes: 900,
        predicate_nodes: 8,
        ..Limits::default()
    }
}

impl Scene {
    fn new(u: &mut Unstructured<'_>, mutants: Mutants) -> Result<Self> {
        let limits = if u.arbitrary()? { small() } else { Limits::default() };
        let secret = u.ratio(1, 3)?.then(|| Secret::new(SECRET.as_bytes()));
        let guest = |name: &str, other: &str| {
            Guest::new(NodeConfig {
                // The first begins a cluster, and the other joins it.
                join: if name == "n0" { vec![] } else { vec![other.into()] },
                secret: secret.clone(),
                limits: limits.clone(),
                mutants,
                ..NodeConfig::new(name)
            })
        };
        let mut guests = [guest("n0", "n1"), guest("n1", "n0")];
        for guest in &mut guests {
            guest.boot(u.arbitrary()?);
            guest.rest();
        }
        Ok(Self {
            guests,
            links: Vec::new(),
            next_id: 1,
        })
    }

    fn turn(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let at = usize::from(u.arbitrary::<bool>()?);
        let guest = &mut self.guests[at];
        match u.int_in_range(0..=24_u8)? {
            0..=4 => self.client_frame(at, u)?,
            5 => self.any_bytes(at, u)?,
            6 => self.peer_frame(at, u)?,
            7..=9 => self.carry(u)?,
            10 | 11 => (0..u.int_in_range(1..=4)?).for_each(|_| guest.settle(None, 0)),
            12 => {
                let error = *u.choose(&[StorageError::Io, StorageError::Full])?;
                guest.settle(Some(error), u.int_in_range(0..=3)?);
            }
            13 => guest.applied(failure(u)?),
            14 => guest.fetched(failure(u)?),
            15 => self.open(at, u)?,
            16 => {
                let conn = pick(guest, u, |_| true)?;
                self.close(at, conn);
            }
            17 => {
                let conn = pick(guest, u, |_| true)?;
                let most = *u.choose(&[1, 500, u64::MAX])?;
                conn.into_iter().for_each(|conn| guest.drain_bytes(conn, most));
            }
            18 => guest.advance(*u.choose(&[1, 1_000, 100_000, 1_100_000, 6_000_000, 40_000_000])?),
            19 => {
                guest.now.wall_ms = match u.int_in_range(0..=3)? {
                    0 => u.arbitrary()?,
                    1 => 0,
                    _ => 1_000_000 + u.int_in_range(0..=200_000)?,
                }
            }
            20 => self.crash(at, u)?,
            21 => self.dial(at, u)?,
            22 => guest.stores.room = *u.choose(&[0, 200, 1 << 20])?,
            23 if u.ratio(1, 8)? => guest.step(Input::Command(Command::Drain)),
            _ => guest.rest(),
        }
        self.forget_dead_links();
        Ok(())
    }

    fn client_frame(&mut self, at: usize, u: &mut Unstructured<'_>) -> Result<()> {
        if u.ratio(1, 12)? {
            self.open(at, u)?;
        }
        let guest = &mut self.guests[at];
        let wall_ms = guest.now.wall_ms;
        let built = frames::from_client(u, wall_ms, &mut self.next_id)?;
        let Some(conn) = pick(guest, u, |role| role == Role::Client)? else {
            return self.open(at, u);
        };
        if u.ratio(1, 6)? {
            let mut frame = built.frame;
            frames::mutate(u, &mut frame)?;
            guest.hear_damaged(conn, &frame);
        } else {
            guest.hear(conn, &built.frame, built.asked, built.opens);
        }
        Ok(())
    }

    fn any_bytes(&mut self, at: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let guest = &mut self.guests[at];
        if let Some(conn) = pick(guest, u, |_| true)? {
            let len = u.int_in_range(0..=40)?;
            let frame = u.bytes(len)?;
            guest.hear_damaged(conn, frame);
        }
        Ok(())
    }

    fn peer_frame(&mut self, at: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let guest = &mut self.guests[at];
        let mut frame = frames::from_peer(u)?;
        if u.ratio(1, 4)? {
            frames::mutate(u, &mut frame)?;
        }
        if let Some(conn) = pick(guest, u, |role| role == Role::Peer)? {
            guest.hear_damaged(conn, &frame);
        }
        Ok(())
    }

    /// Some frames get from one node to the other.
    fn carry(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.links.is_empty() {
            return self.dial(usize::from(u.arbitrary::<bool>()?), u);
        }
        for _ in 0..u.int_in_range(1..=12)? {
            let link = *u.choose(&self.links)?;
            let from = usize::from(u.arbitrary::<bool>()?);
            let Some(end) = self.guests[from].conns.get_mut(&link[from]) else {
                return Ok(());
            };
            if end.outgoing.is_empty() {
                continue;
            }
            let ordered = end.kind.ordered;
            let place = if ordered {
                0
            } else {
                u.int_in_range(0..=end.outgoing.len() - 1)?
            };
            let twice = !ordered && u.ratio(1, 8)?;
            let frame = if twice {
                end.outgoing.get(place).cloned()
            } else {
                end.outgoing.remove(place)
            };
            if let Some(frame) = frame {
                self.guests[from].drain_bytes(link[from], frame.len() as u64);
                self.guests[1 - from].hear_damaged(link[1 - from], &frame);
                self.forget_dead_links();
            }
            if self.links.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn open(&mut self, at: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let guest = &mut self.guests[at];
        if guest.is_up() {
            let kind = ConnKind {
                role: if u.ratio(1, 6)? { Role::Peer } else { Role::Client },
                push: u.ratio(3, 4)?,
                ordered: u.ratio(3, 4)?,
                frame_bytes: *u.choose(&[17 << 20, 4_096])?,
            };
            guest.open(kind, None, false);
        }
        Ok(())
    }

    /// Answers a dial: the other node takes it, or it comes to nothing.
    fn dial(&mut self, at: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(peer) = self.guests[at].dials.pop_front() else {
            return Ok(());
        };
        if !self.guests[1 - at].is_up() || u.ratio(1, 8)? {
            self.guests[at].step(Input::DialFailed {
                peer,
                reason: "nobody is there",
            });
            return Ok(());
        }
        let kind = ConnKind {
            role: Role::Peer,
            push: true,
            ordered: u.ratio(3, 4)?,
            frame_bytes: 17 << 20,
        };
        let mut link = [ConnId(0); 2];
        link[1 - at] = self.guests[1 - at].open(kind, None, true);
        link[at] = self.guests[at].open(kind, Some(peer), true);
        self.links.push(link);
        Ok(())
    }

    fn close(&mut self, at: usize, conn: Option<ConnId>) {
        if let Some(conn) = conn {
            self.guests[at].close(conn);
        }
    }

    fn crash(&mut self, at: usize, u: &mut Unstructured<'_>) -> Result<()> {
        if u.ratio(1, 2)? {
            self.guests[at].crash(u.int_in_range(0..=3)?, u.arbitrary()?);
            self.forget_dead_links();
        }
        self.guests[at].boot(u.arbitrary()?);
        if u.ratio(3, 4)? {
            self.guests[at].rest();
        }
        Ok(())
    }

    /// A link of which one end is gone: the other hears of it sooner or later, as of any connection.
    fn forget_dead_links(&mut self) {
        let guests = &mut self.guests;
        self.links.retain(|link| {
            let alive = (0..2).all(|at| guests[at].conns.contains_key(&link[at]));
            for at in 0..2 {
                if let Some(end) = guests[at].conns.get_mut(&link[at]).filter(|_| !alive) {
                    end.linked = false;
                    end.outgoing.clear();
                }
            }
            alive
        });
    }

    /// Both come to rest, crash, and come back with all that they acknowledged.
    fn end(&mut self) {
        for guest in &mut self.guests {
            guest.rest();
            guest.crash(0, false);
            guest.boot(0);
            guest.rest();
            assert!(guest.has_recovered(), "a healthy disk can be recovered from");
        }
    }
}

/// One of the open connections.
fn pick(guest: &Guest, u: &mut Unstructured<'_>, of: impl Fn(Role) -> bool) -> Result<Option<ConnId>> {
    let conns: Vec<ConnId> = guest
        .conns
        .iter()
        .filter(|(_, conn)| of(conn.kind.role))
        .map(|(id, _)| *id)
        .collect();
    match conns.as_slice() {
        [] => Ok(None),
        some => u.choose(some).copied().map(Some),
    }
}

fn failure(u: &mut Unstructured<'_>) -> Result<Option<StorageError>> {
    Ok(if u.ratio(1, 5)? { Some(StorageError::Io) } else { None })
}
