//! Groups and their offsets: one machine for each partition of `__consumer_offsets`.

pub mod command;
pub mod config;
pub mod groups;
pub mod hash;
pub mod machine;
