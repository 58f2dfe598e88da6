//! A quorum that orders opaque commands. It knows neither Kafka nor what a command means.
//!
//! ```text
//!            propose                      apply, in order, the same everywhere
//!               |                              ^
//!               v                              |
//!   Quorum -> openraft ---- committed ----> Machine ---- freeze ----> snapshot file
//!               |   ^                          ^                          |
//!        append |   | durable                  +-------- restore ---------+
//!               v   |
//!             Store: one log of segment files, one writer, one fdatasync for all that waits
//!               |
//!         storage::disk::Disk
//! ```
//!
//! No type of openraft appears in what is public here. Its histograms are patched: `raft/histogram` says why.

mod answer;
mod applier;
mod codec;
#[cfg(test)]
mod golden;
mod keeper;
mod machine;
mod message;
mod network;
mod quorum;
mod settings;
mod snapshot;
mod status;
mod store;
mod transport;
mod types;
mod voters;

pub use machine::{At, Frozen, Machine, RestoreError};
pub use quorum::{Committed, InitializeError, MAX_COMMAND, ProposeError, Quorum, StartError};
pub use settings::{Lane, Pace, Settings};
pub use status::{State, Status};
pub use transport::{Alone, Peer, Transport, Unreachable};
pub use voters::{Follower, Progress, VotersError};
