//! What only the command line needs: one file, one command. Each returns its exit code.

pub mod list;
pub mod mutants;
pub mod parse;
pub mod plan;
pub mod replay;
pub mod run;
pub mod source;
pub mod swarm;
