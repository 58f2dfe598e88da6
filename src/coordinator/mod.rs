//! Coordinators: state machines that are a fold over a partition's log, and the runtime that drives them.
//!
//! ```text
//!   command ──► Shard ──► Machine::step ──► events ──► ShardLog::append ──► Machine::apply
//!                 ▲                          replies ─────────────────────────┐
//!                 └── deadline (timer)       wait: high watermark ≥ log end ◄─┘ ──► caller
//! ```
//! A step that the log refuses leaves the durable state as it was and fails its replies.

pub mod codec;
pub mod group;
pub mod log;
pub mod machine;
pub mod replica_log;
pub mod runtime;
mod shard;
#[cfg(test)]
mod tests;
