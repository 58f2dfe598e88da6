//! Appending as the leader.

use super::{Inner, Replica};
use crate::partition::flusher;
use crate::partition::progress::{Mark, Progress};
use crate::types::{ErrorCode, LeaderEpoch, Now, Offset, Wall};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use std::sync::Arc;
use storage::batch::{Prepared, TimestampType};
use storage::log::{Append as LogAppend, AppendError, Appended as Placed};
use storage::producers::Origin;
use storage::validate::{Invalid, validate};

/// Whose acknowledgement a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    None,
    Leader,
    All,
}

/// One produced record set.
#[derive(Clone, Debug)]
pub struct Append {
    pub records: Bytes,
    pub acks: Acks,
}

/// Where an append landed, and what is left to wait for.
pub struct Appended {
    pub base_offset: Offset,
    /// Set where the topic stamps records itself.
    pub log_append_time: Option<Wall>,
    pub log_start: Offset,
    /// Resolves once the promise asked for holds, or fails with the reason why it may not.
    pub pending: Option<BoxFuture<'static, Result<(), ErrorCode>>>,
    progress: Arc<Progress>,
}

/// Why an append was refused; the log is as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRefused {
    pub code: ErrorCode,
    pub message: Option<String>,
    /// Index in the batch of each record that is to blame, and why.
    pub records: Vec<(i32, String)>,
}

impl Appended {
    /// What a producer is told that has waited for as long as it wanted.
    pub fn timed_out(&self) -> ErrorCode {
        match self.progress.marks().is_in_sync {
            true => ErrorCode::RequestTimedOut,
            false => ErrorCode::NotEnoughReplicasAfterAppend,
        }
    }
}

impl Acks {
    /// Produce's `acks` field.
    pub fn from_wire(acks: i16) -> Option<Acks> {
        match acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }
}

impl From<ErrorCode> for AppendRefused {
    fn from(code: ErrorCode) -> AppendRefused {
        AppendRefused { code, message: None, records: vec![] }
    }
}

impl Replica {
    /// Checks and appends what a client produced, if this broker leads.
    pub fn append(self: &Arc<Self>, append: Append, now: Now) -> Result<Appended, AppendRefused> {
        self.check_dir()?;
        let settings = self.settings.load();
        let prepared = validate(&append.records, &settings.rules, now.wall).map_err(AppendRefused::from)?;
        drop(append.records);
        let (placed, epoch) = self.place(prepared, None, append.acks, now)?;
        // As the log has it: a repetition has the time of the first.
        let stamped = Some(Wall(placed.max_timestamp))
            .filter(|_| settings.rules.timestamp_type == TimestampType::LogAppendTime);
        Ok(Appended {
            base_offset: placed.base_offset,
            log_append_time: stamped,
            log_start: placed.log_start_offset,
            pending: self.pending(append.acks, placed.last_offset + 1, epoch),
            progress: self.progress.clone(),
        })
    }

    /// Appends what a coordinator of this broker decided under `epoch`. Returns the log end after it.
    pub fn append_own(
        self: &Arc<Self>,
        batch: Prepared,
        epoch: LeaderEpoch,
        now: Now,
    ) -> Result<Offset, ErrorCode> {
        self.check_dir()?;
        let placed = self.place(batch, Some(epoch), Acks::All, now).map_err(|refused| refused.code)?;
        Ok(placed.0.last_offset + 1)
    }

    /// The critical section: role, sequence, one write, and what follows from it.
    fn place(
        self: &Arc<Self>,
        mut batch: Prepared,
        under: Option<LeaderEpoch>,
        acks: Acks,
        now: Now,
    ) -> Result<(Placed, LeaderEpoch), AppendRefused> {
        let mut inner = self.inner.lock();
        inner.state.check_leader(-1)?;
        let epoch = inner.state.assignment().leader_epoch;
        if under.is_some_and(|under| under != epoch) {
            return Err(ErrorCode::NotLeaderOrFollower.into());
        }
        if acks == Acks::All {
            inner.state.check_in_sync()?;
        }
        let placed = match inner.log.append(&mut batch, Origin::Client, epoch, now) {
            Ok(LogAppend::Done(placed)) => placed,
            Ok(LogAppend::Duplicate(placed)) => {
                // It waits for the same sync as the first time, which may have come to nothing.
                self.flush_if_due(&inner);
                return Ok((placed, epoch));
            }
            Err(error) => return Err(self.refusal(&mut inner, error)),
        };
        inner.note_unsynced(placed.bytes, now);
        self.settle(&mut inner);
        self.flush_if_due(&inner);
        Ok((placed, epoch))
    }

    pub(super) fn flush_if_due(self: &Arc<Self>, inner: &Inner) {
        let flush_messages = self.settings.load().flush_messages;
        let unsynced = inner.log.log_end_offset() - inner.log.synced_end_offset();
        if unsynced >= flush_messages && self.ask_flush() {
            flusher::flush_soon(self.clone());
        }
    }

    /// What is left to wait for until `end` is promised: nothing, if it is already, or if nobody waits.
    fn pending(
        &self,
        acks: Acks,
        end: Offset,
        epoch: LeaderEpoch,
    ) -> Option<BoxFuture<'static, Result<(), ErrorCode>>> {
        let mark = match acks {
            Acks::None => return None,
            Acks::Leader => Mark::PromisedEnd,
            Acks::All => Mark::HighWatermark,
        };
        let marks = self.marks();
        let is_settled = marks.leads && marks.leader_epoch == epoch && marks.of(mark) >= end;
        (!is_settled).then(|| self.progress.clone().reached(mark, end, epoch).boxed())
    }

    pub(super) fn refusal(&self, inner: &mut Inner, error: AppendError) -> AppendRefused {
        let code = match &error {
            AppendError::TooLarge { .. } => ErrorCode::RecordListTooLarge,
            AppendError::Producer(error) => producer_error(error),
            AppendError::Malformed(_) => ErrorCode::CorruptMessage,
            AppendError::NotNext { .. } | AppendError::Exhausted | AppendError::Build(_) => {
                ErrorCode::UnknownServerError
            }
            AppendError::Log(error) => self.storage_error(inner, error),
        };
        AppendRefused { code, message: Some(error.to_string()), records: vec![] }
    }
}

fn producer_error(error: &storage::producers::ProducerError) -> ErrorCode {
    use storage::producers::ProducerError;
    match error {
        ProducerError::Epoch { .. } => ErrorCode::InvalidProducerEpoch,
        ProducerError::Sequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        ProducerError::NotTransactional { .. } => ErrorCode::InvalidTxnState,
        ProducerError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
    }
}

impl From<Invalid> for AppendRefused {
    fn from(invalid: Invalid) -> AppendRefused {
        let code = match &invalid {
            Invalid::BatchCount | Invalid::Magic(_) | Invalid::Header(_) | Invalid::Records(_) => {
                ErrorCode::InvalidRecord
            }
            Invalid::NoKeys { .. } => ErrorCode::InvalidRecord,
            Invalid::Corrupt(_) => ErrorCode::CorruptMessage,
            Invalid::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Invalid::Timestamps { .. } => ErrorCode::InvalidTimestamp,
        };
        let message = invalid.to_string();
        let records = match invalid {
            Invalid::Timestamps { at } => blame(at, "its timestamp is out of range"),
            Invalid::NoKeys { at } => blame(at, "it has no key"),
            _ => vec![],
        };
        AppendRefused { code, message: Some(message), records }
    }
}

fn blame(records: Vec<i32>, why: &str) -> Vec<(i32, String)> {
    records.into_iter().map(|index| (index, why.to_owned())).collect()
}
