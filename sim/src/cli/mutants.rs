//! `sim mutants`: which seed finds which bug.

use clap::Args;
use kernel::env::Mutant;
use sim::seeds::{Seeds, first_to_find};

/// Every mutant, one after the other.
#[derive(Debug, Args)]
pub struct Mutants {
    /// Among which seeds.
    #[arg(long, value_parser = Seeds::parse, default_value = "0..1000")]
    seeds: Seeds,
}

impl Mutants {
    /// Prints for each the first seed that finds it, and returns 1 if one is not found.
    pub fn run(&self) -> u8 {
        // A mutant may well make the code under test panic: that is one way of being found.
        std::panic::set_hook(Box::new(|_| {}));
        let mut code = 0;
        for mutant in Mutant::ALL {
            match first_to_find(mutant, self.seeds.clone()) {
                Some((seed, how)) => println!("{:<22} seed {seed:<6} {how}", mutant.name()),
                None => {
                    println!("{:<22} not found in {}", mutant.name(), self.seeds);
                    code = 1;
                }
            }
        }
        code
    }
}
