//! Why the log refused something.

use std::io;

use thiserror::Error;

use crate::batch::{BatchError, BuildError, RecordError};
use crate::log::Offset;
use crate::producers::ProducerError;
use crate::segment::scan::ScanError;

/// The log, or a part of it, cannot be opened, written or made durable.
#[derive(Debug, Error)]
pub enum LogError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An earlier write or fsync failed and left the files in an unknown state; only a new open finds out what is there.
    #[error("the log has failed and must be opened anew")]
    Failed,
    /// Bytes that recovery must not repair away (an older format), or that a later reading could not make sense of.
    #[error("at byte {at} of a segment: {source}")]
    Unreadable { at: u64, source: BatchError },
    /// Found only where a segment is read through: the one that holds the recovery point, and those whose indexes are missing.
    /// There headers are checked, not CRCs. Files that end too early are no damage: the log ends there.
    #[error("damaged at byte {at} of segment {segment}, in what was durable; nothing was cut: {source}")]
    Damaged { segment: Offset, at: u64, source: BatchError },
    #[error("offset {offset} is outside of the log, {start} to {end}")]
    OutOfRange { offset: Offset, start: Offset, end: Offset },
}

/// An append was refused; the log is as before.
#[derive(Debug, Error)]
pub enum AppendError {
    #[error("{bytes} bytes do not fit into a segment of {limit}")]
    TooLarge { bytes: u64, limit: u64 },
    /// A follower was given batches that do not continue its log.
    #[error("batch begins at offset {offset}, the log ends at {end}")]
    NotNext { offset: Offset, end: Offset },
    #[error(transparent)]
    Malformed(#[from] BatchError),
    #[error(transparent)]
    Producer(#[from] ProducerError),
    #[error(transparent)]
    Build(#[from] BuildError),
    /// No offset is left in 64 bits.
    #[error("offsets are exhausted")]
    Exhausted,
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<ScanError> for LogError {
    fn from(error: ScanError) -> LogError {
        match error {
            ScanError::Io(e) => LogError::Io(e),
            ScanError::Broken { at, source } => LogError::Unreadable { at, source },
        }
    }
}

impl From<ScanError> for AppendError {
    fn from(error: ScanError) -> AppendError {
        AppendError::Log(error.into())
    }
}

/// A read found nothing to give.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not in memory, and may not be waited for.
    #[error("reading would have to wait for a device")]
    WouldWait,
    /// Below the log start or beyond the log end.
    #[error("offset {offset} is outside of the log, {start} to {end}")]
    OutOfRange { offset: Offset, start: Offset, end: Offset },
    #[error(transparent)]
    Malformed(#[from] BatchError),
    #[error(transparent)]
    Records(#[from] RecordError),
    #[error(transparent)]
    Io(#[from] io::Error),
}
