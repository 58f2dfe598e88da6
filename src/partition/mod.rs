//! The replicas on this broker.
//!
//! ```text
//!  images ─► driver ─► reconcile (one writer) ─► table ─► replica ─► log
//!                                                           ├─ state     decides: role, watermark
//!                                                           └─ progress  shows: marks, waiters
//!  cut: a follower gives up what its leader does not have
//!  keeper: syncs, retention, checkpoints, unlinking, once a second over what is restless
//! ```

pub mod bell;
pub mod checkpoint;
pub mod cut;
pub mod driver;
mod flusher;
pub mod keeper;
pub mod progress;
pub mod reconcile;
pub mod replica;
pub mod restless;
pub mod state;
pub mod table;

#[cfg(test)]
pub(crate) mod tests;
