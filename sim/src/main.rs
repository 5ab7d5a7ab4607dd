//! The simulator on a command line: one run, a swarm of them, the plan of a seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kernel::env::Mutant;
use sim::plan::Plan;
use sim::run::{Options, Report, run};
use sim::seeds::{Seeds, code_of, describe, first_to_find};
use sim::trace::Step;
use sim::world::Hook;

use cli::swarm::Swarm;

mod cli {
    //! What only the command line needs.
    pub mod swarm;
}

/// Runs whole clusters from a seed, faults included. The same seed gives the same run.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Execute one plan, and say how it ended. The last line is the hash of every step.
    Run {
        /// The seed to draw the plan from.
        #[arg(long, required_unless_present = "plan", conflicts_with = "plan")]
        seed: Option<u64>,
        /// A file that holds the plan.
        #[arg(long)]
        plan: Option<PathBuf>,
        /// Break every node in this way: see `list`.
        #[arg(long, value_parser = mutant)]
        mutant: Option<Mutant>,
        /// Print every step.
        #[arg(long)]
        steps: bool,
    },
    /// Print the plan of a seed.
    Plan {
        /// The seed.
        #[arg(long)]
        seed: u64,
    },
    /// Execute the plans of many seeds, until one fails.
    Swarm {
        /// From the first up to the last, which is not one of them: `0..1000`.
        #[arg(long, value_parser = Seeds::parse)]
        seeds: Seeds,
        /// How many at a time. The outcome is the same whatever it is.
        #[arg(long, default_value_t = 1)]
        jobs: usize,
        /// Begin no more seeds after so long: `90s`, `10m`.
        #[arg(long, value_parser = duration)]
        time: Option<std::time::Duration>,
        /// Break every node in this way.
        #[arg(long, value_parser = mutant)]
        mutant: Option<Mutant>,
        /// Go on after a failure, and report all.
        #[arg(long)]
        keep_going: bool,
    },
    /// For each mutant, the first seed that finds it, and by which promise.
    Mutants {
        /// Among which seeds.
        #[arg(long, value_parser = Seeds::parse, default_value = "0..1000")]
        seeds: Seeds,
    },
    /// What there is: promises, faults, mutants.
    List,
}

fn mutant(name: &str) -> Result<Mutant, String> {
    let known = Mutant::ALL.into_iter().find(|mutant| mutant.name() == name);
    known.ok_or_else(|| format!("no mutant is called `{name}`"))
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("`{text}` is no duration: write `90s` or `10m`");
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(std::time::Duration::from_millis(number)),
        "s" => Ok(std::time::Duration::from_secs(number)),
        "m" => Ok(std::time::Duration::from_secs(60 * number)),
        "h" => Ok(std::time::Duration::from_secs(3_600 * number)),
        _ => Err(wrong()),
    }
}

fn main() -> ExitCode {
    let code = match Arguments::parse().command {
        Command::Run {
            seed,
            plan,
            mutant,
            steps,
        } => run_one(seed, plan, mutant, steps),
        Command::Plan { seed } => {
            print!("{}", Plan::draw(seed));
            0
        }
        Command::Swarm {
            seeds,
            jobs,
            time,
            mutant,
            keep_going,
        } => Swarm {
            seeds,
            jobs,
            time,
            mutant,
            keep_going,
        }
        .run(),
        Command::Mutants { seeds } => mutants(&seeds),
        Command::List => {
            list();
            0
        }
    };
    ExitCode::from(code)
}

fn run_one(seed: Option<u64>, file: Option<PathBuf>, mutant: Option<Mutant>, steps: bool) -> u8 {
    let plan = match (seed, &file) {
        (Some(seed), _) => Ok(Plan::draw(seed)),
        (None, Some(file)) => read_plan(file),
        (None, None) => Err("neither a seed nor a plan".to_string()),
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(wrong) => {
            eprintln!("{wrong}");
            return 2;
        }
    };
    let hook = steps.then(print_steps);
    let report = catch_unwind(AssertUnwindSafe(|| {
        run(
            &plan,
            Options {
                mutant,
                hook,
                ..Options::default()
            },
        )
    }));
    let Ok(report) = report else {
        println!("crash: the code under test panicked");
        println!("replay: {}", replay(seed, &file, mutant));
        return 3;
    };
    let Report {
        acknowledged,
        refused,
        read,
        steps,
        at_us,
        ..
    } = &report;
    println!(
        "{steps} steps in {} ms: {acknowledged} writes acknowledged, {refused} refused, {read} reads",
        at_us / 1_000
    );
    let code = code_of(&report.end);
    if code != 0 {
        println!("{}", describe(&report));
        println!("replay: {}", replay(seed, &file, mutant));
    }
    println!("hash {:032x}", report.hash);
    code
}

fn print_steps() -> Hook {
    Box::new(|step: &Step<'_>| {
        println!("{} n{} {:?} -> {:?}", step.at_us, step.node, step.input, step.output);
    })
}

fn read_plan(file: &std::path::Path) -> Result<Plan, String> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    text.parse().map_err(|bad| format!("{name}: {bad}"))
}

fn replay(seed: Option<u64>, file: &Option<PathBuf>, mutant: Option<Mutant>) -> String {
    let which = match (seed, file) {
        (Some(seed), _) => format!("--seed {seed}"),
        (None, file) => format!("--plan {}", file.as_deref().unwrap_or("".as_ref()).display()),
    };
    let mutant = mutant.map_or(String::new(), |mutant| format!(" --mutant {}", mutant.name()));
    format!("cargo run --release -p sim -- run {which}{mutant}")
}

fn mutants(seeds: &Seeds) -> u8 {
    // A mutant may well make the code under test panic: that is one way of being found.
    std::panic::set_hook(Box::new(|_| {}));
    let mut code = 0;
    for mutant in Mutant::ALL {
        match first_to_find(mutant, seeds.clone()) {
            Some((seed, how)) => println!("{:<22} seed {seed:<6} {how}", mutant.name()),
            None => {
                println!("{:<22} not found in {seeds}", mutant.name());
                code = 1;
            }
        }
    }
    code
}

fn list() {
    println!("promises:");
    for invariant in sim::invariant::all() {
        println!("  {}", invariant.name());
    }
    println!("faults:\n  {}", sim::plan::FAULTS.join("\n  "));
    println!("mutants:");
    for mutant in Mutant::ALL {
        println!("  {}", mutant.name());
    }
}
