//! What only the command line needs: one file, one command. Each returns its exit code.

pub mod diff;
pub mod keep;
pub mod list;
pub mod mutants;
pub mod parse;
pub mod plan;
pub mod replay;
pub mod revision;
pub mod run;
pub mod shrink;
pub mod source;
pub mod swarm;
pub mod sweep;
pub mod tally;
pub mod view;
