//! `sim list`: what there is.

use kernel::env::Mutant;

/// Prints the promises, the faults and the mutants.
pub fn run() -> u8 {
    println!("promises:");
    for invariant in sim::invariant::all(&kernel::env::Limits::default()) {
        println!("  {}", invariant.name());
    }
    println!("faults:\n  {}", sim::plan::FAULTS.join("\n  "));
    println!("mutants:");
    for mutant in Mutant::ALL {
        println!("  {}", mutant.name());
    }
    0
}
