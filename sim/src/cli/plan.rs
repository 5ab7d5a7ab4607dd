//! `sim plan`: what a seed expands to.

use clap::Args;
use sim::plan::Plan;

/// The plan of a seed, as text.
#[derive(Debug, Args)]
pub struct Print {
    /// The seed.
    #[arg(long)]
    seed: u64,
}

impl Print {
    /// Prints it.
    pub fn run(&self) -> u8 {
        print!("{}", Plan::draw(self.seed));
        0
    }
}
