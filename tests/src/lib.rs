//! What belongs to no one crate: see `tidy.rs`.
