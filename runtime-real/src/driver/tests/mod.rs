//! The driver on a network, a clock and a disk that do nothing until a test lets them.

mod connections;
mod order;
mod world;
