//! Groups and their offsets: one machine for each partition of `__consumer_offsets`.
//!
//! Here are classic groups and those that only commit offsets. Records of the newer kinds of groups are left alone.

mod admin;
mod classic;
mod cleanup;
pub mod command;
mod committed;
pub mod config;
pub mod groups;
pub mod hash;
pub mod machine;
mod offsets;
pub mod records;
mod subscription;
mod turn;

#[cfg(test)]
mod tests;
