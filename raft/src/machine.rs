//! What the quorum orders commands for.

use std::io;

use bytes::Bytes;

/// A place in the quorum's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    pub term: u64,
    pub index: u64,
}

/// A frozen view of a machine, to be written down later and elsewhere.
pub type Frozen = Box<dyn FnOnce(&mut dyn io::Write) -> io::Result<()> + Send>;

/// A deterministic state machine: the same commands at the same places give the same state and answers on every
/// node and in every release.
///
/// Indexes rise from call to call but have gaps: the quorum keeps entries of its own in the same log.
pub trait Machine: Send + 'static {
    /// Applies a committed command; the answer goes to whoever proposed it on this node.
    fn apply(&mut self, at: At, command: &[u8]) -> Bytes;

    /// A view of the state as of the last `apply`. Must be cheap (shared structure): it is taken between two
    /// commands, then serialised on another thread.
    fn freeze(&self) -> Frozen;

    /// Replaces the whole state by what a frozen view wrote, whose last command stood at or below `at`.
    fn restore(&mut self, at: At, snapshot: &[u8]) -> Result<(), RestoreError>;
}

/// A snapshot that this release cannot read. The node stops.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RestoreError(pub String);
