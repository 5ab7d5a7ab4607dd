//! Who takes part in a run: the nodes, as the header of its plan wants them made, and the clients.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use kernel::env::{Limits, Mutant, Mutants, RarePaths, SeededRng};
use kernel::node::{Node, NodeConfig};
use kernel::session::Secret;

use crate::client::{Client, ClientConfig, IMPOSTOR, SECRET, TWIN};
use crate::disk::DiskProfile;
use crate::host::Rules;
use crate::plan::Header;
use crate::streams::Streams;
use crate::world::Factory;

/// The rules that the hosts keep: one mutant is theirs.
pub(super) fn rules(mutant: Option<Mutant>) -> Rules {
    Rules {
        tickets_in_order: mutant != Some(Mutant::TicketsOutOfOrder),
        ..Rules::default()
    }
}

/// The disks: three mutants are theirs.
pub(super) fn disk(mutant: Option<Mutant>, disk: DiskProfile) -> DiskProfile {
    DiskProfile {
        forgets_failures: mutant == Some(Mutant::ForgetFailedSync),
        believes_failures: mutant == Some(Mutant::AckAfterFailedSync),
        answers_the_dead: mutant == Some(Mutant::OldIncarnation),
        ..disk
    }
}

/// Makes the nodes. Those in `older` speak the protocol before this one; those in `displaced` have lost what they had.
pub(super) fn nodes(
    header: &Header,
    limits: &Limits,
    mutant: Option<Mutant>,
    older: Rc<RefCell<BTreeSet<usize>>>,
    displaced: Rc<RefCell<BTreeSet<usize>>>,
) -> Factory<Node> {
    let (nodes, on, limits) = (header.nodes as usize, header.rare.clone(), limits.clone());
    let mutants = mutant.map_or_else(Mutants::default, Mutants::only);
    let remove_after_ms = Some(header.remove_after_ms).filter(|after_ms| *after_ms > 0);
    let secret = header.secret.then(|| Secret::new(SECRET.as_bytes()));
    let keys = Streams::new(&SeededRng::from_u64(header.seed), "rare paths");
    Box::new(move |node: usize, boots: u64| {
        // The first begins the cluster, and joins it like the others once it has lost its disk.
        let founds = node == 0 && !displaced.borrow().contains(&node);
        let others = (0..nodes).filter(|other| *other != node && !founds);
        let rare = RarePaths::new(&on, keys.at(node as u64, boots).next_u64());
        let is_older = older.borrow().contains(&node);
        Node::new(NodeConfig {
            rare: if is_older { rare.and_older() } else { rare },
            join: others.map(|other| format!("n{other}")).collect(),
            secret: secret.clone(),
            limits: limits.clone(),
            mutants,
            remove_after_ms,
            ..NodeConfig::new(&format!("n{node}"))
        })
    })
}

/// The clients.
pub(super) fn clients(header: &Header) -> Vec<Client> {
    let nodes = header.nodes as usize;
    let client = |client: usize| {
        let number = client as u64;
        let twin = number < header.twins;
        let impostor = number + header.impostors >= header.clients;
        let token = if impostor { IMPOSTOR } else { SECRET };
        let clock = if twin { 0 } else { client };
        Client::new(ClientConfig {
            name: match (twin, impostor) {
                (true, _) => TWIN.into(),
                (_, true) => format!("{IMPOSTOR}{client}"),
                _ => format!("c{client}"),
            },
            twin,
            skew_ms: header.client_skew_ms.get(clock).copied().unwrap_or(0),
            nodes,
            home: client % nodes,
            patience_us: header.patience_us,
            batch: header.client_batch as usize,
            exchange: exchanges(header, client),
            token: header.secret.then_some(token),
        })
    };
    (0..header.clients as usize).map(client).collect()
}

/// Whether a client asks by exchanges: some do, and every other impostor.
pub(super) fn exchanges(header: &Header, client: usize) -> bool {
    let number = client as u64;
    let impostor = number + header.impostors >= header.clients;
    let asked = number >= header.twins && number - header.twins < header.exchanges;
    asked || (impostor && number % 2 == 1)
}
