//! `sim list`: what there is.

use kernel::env::Mutant;

/// Prints the promises, the faults and the mutants.
pub fn run() -> u8 {
    println!("promises:");
    for invariant in sim::invariant::all(&kernel::env::Limits::default()) {
        println!("  {}", invariant.name());
    }
    println!("faults:");
    for kind in sim::plan::FaultKind::ALL {
        let row = kind.row();
        println!("  {:<32} {}", row.example, row.about);
    }
    println!("rare paths:");
    for rare in kernel::env::Rare::ALL {
        println!("  {}", rare.name());
    }
    println!("mutants:");
    for mutant in Mutant::ALL {
        println!("  {}", mutant.name());
    }
    0
}
