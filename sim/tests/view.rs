//! The page of a run: it shows what was there, in a real browser too, and looking changes nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

use kernel::env::Mutant;
use kernel::value::Value;
use kernel::wire::Consistency;
use sim::endpoint::Endpoint;
use sim::invariant::{Invariant, Seen};
use sim::model::{State, state_of};
use sim::outcome::{Outcome, attempt};
use sim::plan::{Event, FaultKind, On, Plan};
use sim::run::{Options, run};
use sim::seeds::{Seeds, first_to_find, try_seed};
use sim::view::{Heading, Recorder};

#[path = "view/browser.rs"]
mod browser;

use browser::{Told, Wanted, click_through};

/// A key that would like to be more than text.
const WILD: &str = "</script><img/src=x/onerror=document.title='taken'>\u{2028}\"'&amp;";

fn put(client: usize, map: &str, key: &str, value: u64) -> Event {
    Event::Put {
        client,
        map: map.into(),
        key: key.into(),
        value,
        ttl_ms: None,
        level: Consistency::default(),
    }
}

/// Writes all the time. The last node is wiped, then there is a split, and a crash after it.
fn eventful(nodes: usize, clients: usize, writes: u64, every_us: u64) -> Plan {
    let mut plan = Plan::quiet(7, nodes, clients);
    let last_us = 200_000 + writes * every_us;
    plan.header.heal_us = last_us + 500_000;
    plan.header.anti_entropy_ms = 500;
    let third_us = last_us / 3;
    for write in 0..writes {
        let key = match write % 25 {
            24 => WILD.to_string(),
            _ => format!("k{}", write * 7 % 40),
        };
        let client = (write % clients as u64) as usize;
        let map = if write % 3 == 0 { "users" } else { "orders" };
        plan = plan.at(200_000 + write * every_us, put(client, map, &key, write + 1));
    }
    for (from, to) in (1..nodes).flat_map(|other| [(0, other), (other, 0)]) {
        let link = On::Link(Endpoint::Node(from), Endpoint::Node(to));
        let block = FaultKind::Block.on(link).for_us(third_us / 2);
        plan = plan.at(third_us, Event::Fault(block));
    }
    let wipe = FaultKind::Wipe.on_node(nodes - 1).for_us(third_us / 8);
    plan = plan.at(third_us / 2, Event::Fault(wipe));
    let crash = FaultKind::Crash.on_node(1).for_us(third_us / 2);
    plan.at(2 * third_us, Event::Fault(crash))
}

/// Sees what the recorder sees, and what the disk of one node held at one time by a way of its own.
struct Witness {
    recorder: Box<dyn Invariant>,
    node: usize,
    until_us: u64,
    held: Rc<RefCell<State>>,
}

impl Invariant for Witness {
    fn name(&self) -> &'static str {
        "witness"
    }

    fn see(&mut self, at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Stepped { step, disk } = seen
            && step.node == self.node
            && at_us <= self.until_us
        {
            *self.held.borrow_mut() = state_of(disk)?;
        }
        self.recorder.see(at_us, seen)
    }
}

fn heading() -> Heading {
    Heading {
        title: "a <b>bold</b> title".into(),
        replay: "sim run --plan here".into(),
    }
}

fn page_of(plan: &Plan) -> (String, Outcome) {
    let recorder = Recorder::new(plan);
    let observer = Some(recorder.observer());
    let outcome = attempt(
        plan,
        Options {
            observer,
            ..Options::default()
        },
    );
    (recorder.page(&heading(), &outcome), outcome)
}

/// A record as the page shows it.
fn shown(key: &[u8], value: Option<&[u8]>) -> String {
    let key = String::from_utf8_lossy(key).replace('\0', "/");
    let Some(value) = value else {
        return format!("{key} is deleted");
    };
    let value = Value::decode(value, 4).expect("a value");
    let Some(Value::Int(number)) = value.field("n") else {
        panic!("a number: {value:?}");
    };
    // The script makes one space of any white space.
    format!("{} is {{n: {number}}}", key.replace('\u{2028}', " "))
}

#[test]
fn whoever_watches_a_run_changes_nothing_and_the_page_is_the_same_each_time() {
    let plan = Plan::draw(5);
    let (page, outcome) = page_of(&plan);
    assert_eq!(outcome, Outcome::Ended(run(&plan, Options::default())));
    assert!(page == page_of(&plan).0, "two pages of one run differ");
}

#[test]
fn a_page_is_one_file_and_holds_no_markup_of_the_run() {
    let (page, _) = page_of(&eventful(3, 3, 60, 20_000));
    for outside in ["http:", "https:", "src=\"", "@import", "url(", "<link"] {
        assert!(!page.contains(outside), "the page reaches out by {outside}");
    }
    // Exactly its own elements, whatever keys and titles hold.
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<img") && !page.contains("<b>"));
    assert!(page.contains("<title>a &lt;b&gt;bold&lt;/b&gt; title</title>"));
}

#[test]
fn a_run_that_panics_leaves_a_page_of_what_was_before() {
    /// Panics when its time has come.
    struct Bomb(Box<dyn Invariant>);

    impl Invariant for Bomb {
        fn name(&self) -> &'static str {
            "bomb"
        }

        fn see(&mut self, at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
            assert!(at_us < 700_000, "the time has come");
            self.0.see(at_us, seen)
        }
    }

    let plan = eventful(3, 3, 60, 20_000);
    let recorder = Recorder::new(&plan);
    let observer: Option<Box<dyn Invariant>> = Some(Box::new(Bomb(recorder.observer())));
    let options = Options {
        observer,
        ..Options::default()
    };
    let outcome = attempt(&plan, options);
    assert_eq!(outcome.code(), 3);
    let page = recorder.page(&heading(), &outcome);
    assert!(page.contains("\"how\":\"crashed\"") && page.contains("the time has come"));
    let at_us = page
        .split_once("\"at_us\":")
        .map(|(_, rest)| rest.split(',').next().unwrap_or_default());
    let at_us: u64 = at_us
        .and_then(|at| at.trim_end_matches('}').parse().ok())
        .expect("a time");
    assert!((500_000..700_000).contains(&at_us), "{at_us}");
    assert!(page.contains("CLIENT_OP orders/k7 = {n: 2}"));
}

/// What was found on the page of a plan by clicking through it, and what is to be found of the records wanted.
fn looked_at(name: &str, plan: &Plan, wanted: &Wanted<'_>) -> Option<(Told, State)> {
    let recorder = Recorder::new(plan);
    let held = Rc::new(RefCell::new(State::new()));
    let witness = Witness {
        recorder: recorder.observer(),
        node: wanted.node,
        until_us: wanted.at_us,
        held: held.clone(),
    };
    let observer: Option<Box<dyn Invariant>> = Some(Box::new(witness));
    let options = Options {
        observer,
        ..Options::default()
    };
    let outcome = attempt(plan, options);
    let told = click_through(name, &recorder.page(&heading(), &outcome), wanted)?;
    Some((told, held.take()))
}

#[test]
fn a_person_can_click_through_it() {
    let plan = eventful(3, 3, 150, 20_000);
    let wanted = Wanted {
        key: "orders/k7",
        node: 2,
        at_us: 1_500_000,
    };
    let Some((told, held)) = looked_at("clicks", &plan, &wanted) else {
        return;
    };
    assert!(told.all("error").is_empty(), "{told:#?}");
    assert_eq!(told.one("title"), "a <b>bold</b> title");
    assert_eq!(told.one("end"), "held");
    assert!(told.one("counts").starts_with("3 nodes · 3 clients · "), "{told:#?}");
    assert_eq!(told.one("pictures"), "0", "a key became markup");
    assert_eq!(told.one("title of the window"), "a <b>bold</b> title");
    assert!(told.number("colours") > 1_000, "something was drawn: {told:#?}");

    assert!(told.one("found").starts_with("1 key, "), "{told:#?}");
    let (all, filtered) = (told.number("unfiltered"), told.number("filtered"));
    assert!(0 < filtered && filtered < all / 4, "{filtered} of {all}");
    assert_eq!(told.one("strays"), "0");
    assert_eq!(told.number("unfiltered again"), all);

    assert_eq!(told.one("now"), "1.500 000 s");
    assert_eq!(told.one("lane"), "Node n2 at 1.500 s");
    assert!(told.one("phase").starts_with("ready"), "{told:#?}");
    records_are(&told, &held);

    assert_eq!(told.one("zoomed"), "true");
    let chosen = told.one("chosen");
    assert!(chosen.starts_with("Message c") && chosen.contains(" → n"), "{chosen}");
    let says = told.one("says");
    assert!(says.starts_with("CLIENT_OP ") && says.contains(" = {n: "), "{says}");
    assert_eq!(told.all("kind"), ["writes"]);
    for (what, expected) in [
        ("its colour is there", "true"),
        ("pulled later", "true"),
        ("next is later", "true"),
        ("back is earlier", "true"),
        ("the step chosen is current", "1"),
        ("heartbeats off", "true"),
        ("heartbeats left", "0"),
        ("heartbeats on", "true"),
        ("fault", "wipe n2"),
        ("faults", "wipe n2, split n0 | n1 n2, crash n1"),
        ("at the end", "true"),
    ] {
        assert_eq!(told.one(what), expected, "{what}: {told:#?}");
    }
    assert!(told.one("tip").starts_with("wipe n2"), "{told:#?}");
}

fn records_are(told: &Told, held: &State) {
    let expected = held.iter().map(|(key, version)| shown(key, version.value.as_deref()));
    let expected: BTreeSet<String> = expected.collect();
    assert!(expected.len() > 20, "{expected:?}");
    let records: BTreeSet<String> = told.all("record").iter().cloned().collect();
    assert_eq!(records, expected);
}

#[test]
fn fifty_thousand_events_of_five_nodes_are_as_good_as_few() {
    let plan = eventful(5, 5, 1_400, 11_000);
    let wanted = Wanted {
        key: "users/k21",
        node: 4,
        at_us: 4_000_000,
    };
    let Some((told, held)) = looked_at("many", &plan, &wanted) else {
        return;
    };
    assert!(told.all("error").is_empty(), "{told:#?}");
    let counts: String = told.one("counts").chars().filter(|c| *c != ',').collect();
    let number = |what: &str| -> u64 {
        let part = counts
            .split(" · ")
            .find_map(|part| part.strip_suffix(what))
            .expect(what);
        part.trim().parse().expect(what)
    };
    assert!(number("messages") + number("happenings") >= 50_000, "{counts}");
    assert_eq!(told.number("unfiltered"), number("messages"));
    records_are(&told, &held);
    assert_eq!(told.one("strays"), "0");
    assert_eq!(told.one("at the end"), "true");
}

#[test]
fn the_command_says_where_the_page_is_and_how_the_run_ended() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("command");
    std::fs::create_dir_all(&dir).unwrap();
    let sim = |arguments: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_sim"))
            .current_dir(&dir)
            .arg("view")
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code(), text(&out.stdout), text(&out.stderr))
    };
    let holds = |seed: &u64| try_seed(*seed, None).code() == 0;
    let seed = (0..100).find(holds).expect("a seed whose run holds");
    let (code, out, _) = sim(&["--seed", &seed.to_string()]);
    assert_eq!(code, Some(0), "{out}");
    let file = format!("view-seed-{seed}.html");
    assert_eq!(out, format!("all held\nwritten to {file}\n"));
    let page = std::fs::read_to_string(dir.join(file)).unwrap();
    assert!(page.contains(&format!("\"title\":\"seed {seed}\"")) && page.contains("\"how\":\"held\""));

    let mutant = Mutant::TicketsOutOfOrder;
    let (seed, promise) = first_to_find(mutant, Seeds(0..200)).expect("a seed that finds it");
    let (seed, name) = (seed.to_string(), mutant.name());
    let (code, out, _) = sim(&["--seed", &seed, "--mutant", name, "--out", "broken.html"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.starts_with(&format!("broken: {promise} ")), "{out}");
    assert!(out.ends_with("\nwritten to broken.html\n"), "{out}");
    let page = std::fs::read_to_string(dir.join("broken.html")).unwrap();
    assert!(
        page.contains(&format!("\"promise\":\"{promise}\"")),
        "the broken promise is named"
    );

    std::fs::write(dir.join("bad.plan"), "nodes 3\nexplode now\n").unwrap();
    let (code, _, wrong) = sim(&["--plan", "bad.plan"]);
    assert_eq!(
        (code, wrong.as_str()),
        (Some(2), "bad.plan: line 2: there is no `explode`\n")
    );
    let (code, _, wrong) = sim(&["--seed", "6", "--out", "no/such/folder.html"]);
    assert_eq!(code, Some(2));
    assert!(wrong.starts_with("no/such/folder.html: "), "{wrong}");
}
