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
//! No type of openraft appears in what is public here.

mod machine;
mod quorum;
mod settings;
mod transport;

pub use machine::{At, Frozen, Machine, RestoreError};
pub use quorum::{Committed, InitializeError, ProposeError, Quorum, StartError, State, Status};
pub use settings::{Lane, Settings};
pub use transport::{Alone, Peer, Transport, Unreachable};
