//! What a follower does: takes over what its leader sends, and gives up what its leader does not have.
//!
//! An answer is acted on only under the epoch it was asked for in, and while the log still ends where it ended then: one that
//! comes late could cut what has been promised since, or leave a hole.

use super::{Inner, Replica};
use crate::partition::restless::By;
use crate::types::{ErrorCode, LeaderEpoch, Now, Offset};
use bytes::Bytes;
use std::sync::Arc;

/// What a leader tells along with its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderMarks {
    pub high_watermark: Offset,
    pub log_start: Offset,
}

/// From where a follower goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub offset: Offset,
    /// The epoch of its last record, or -1 without records.
    pub last_epoch: LeaderEpoch,
    /// What the leader is told: as far as it would be there after a crash, since records are gone once all have told so.
    pub log_start: Offset,
    /// Asking for `offset` promises all below it: not before this is true.
    pub is_promised: bool,
    /// The log starts there by now.
    pub is_start_written: bool,
}

/// What a leader was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub epoch: LeaderEpoch,
    pub offset: Offset,
}

/// A part of the log to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::partition) enum Cut {
    /// What lies behind where the leader's epoch ended, or this replica's end of it.
    ByEpoch { epoch: LeaderEpoch, end: Offset },
    /// Everything: the leader has no record any more that would follow.
    RestartAt(Offset),
}

impl Replica {
    /// Where to go on fetching from the leader of `epoch`.
    pub fn position(&self, epoch: LeaderEpoch) -> Result<Position, ErrorCode> {
        self.check_dir()?;
        let inner = self.inner.lock();
        inner.state.check_follower(epoch)?;
        let extent = inner.state.extent();
        let (log_start, offset) = (extent.log_start, extent.log_end);
        let last_epoch = (offset > log_start).then(|| inner.log.epochs().epoch_at(offset - 1)).flatten();
        let is_promised = extent.promised_end >= offset;
        let (written, last_epoch) = (inner.written_start, last_epoch.unwrap_or(-1));
        let is_start_written = written >= log_start;
        Ok(Position { offset, last_epoch, log_start: log_start.min(written), is_promised, is_start_written })
    }

    /// The checkpoint has its log start, as far as here.
    pub(in crate::partition) fn start_written(&self, log_start: Offset) {
        let mut inner = self.inner.lock();
        inner.written_start = inner.written_start.max(log_start);
    }

    /// Appends what the leader sent, as it is, and takes over its marks. Returns the log end.
    pub fn append_fetched(
        self: &Arc<Self>,
        asked: Asked,
        records: &Bytes,
        leader: LeaderMarks,
        now: Now,
    ) -> Result<Offset, ErrorCode> {
        self.check_dir()?;
        let mut inner = self.inner.lock();
        inner.check_asked(asked)?;
        if !records.is_empty() {
            let appended = inner.log.append_as_follower(records, now);
            // What came before an error is there: it is fetched on from its end.
            if inner.log.log_end_offset() > asked.offset {
                inner.note_unsynced(records.len() as u64, now);
            }
            self.settle(&mut inner);
            appended.map_err(|error| self.refusal(&mut inner, error).code)?;
        }
        self.take_over(&mut inner, leader)?;
        // Where each record is promised, whoever fetches syncs many logs at once, before it asks for more.
        if !self.settings.load().promises_synced {
            self.flush_if_due(&inner);
        }
        Ok(inner.log.log_end_offset())
    }

    fn take_over(&self, inner: &mut Inner, leader: LeaderMarks) -> Result<(), ErrorCode> {
        let moved = inner.state.leader_said(leader.high_watermark);
        self.show(inner, moved);
        // What was deleted up to the watermark; a start beyond it belongs to records that are not here yet.
        let log_start = leader.log_start.min(inner.state.high_watermark());
        if log_start > inner.log.log_start_offset() {
            let advanced = inner.log.advance_log_start(log_start);
            advanced.map_err(|error| self.storage_error(inner, &error))?;
            self.settle(inner);
        }
        Ok(())
    }

    /// Syncs what it has, so that fetching on promises no more than that. Blocks.
    pub fn sync(&self) -> Result<(), ErrorCode> {
        self.sync_once().map_err(|error| {
            self.sync_failed(&error);
            ErrorCode::KafkaStorageError
        })
    }

    /// Has its recovery point vouch for nothing that `cut` takes away. False if it takes nothing.
    pub(in crate::partition) fn prepare_cut(&self, asked: Asked, cut: Cut) -> Result<bool, ErrorCode> {
        self.check_dir()?;
        let mut inner = self.inner.lock();
        inner.check_asked(asked)?;
        let to = inner.cut_offset(cut);
        if to == inner.log.log_end_offset() {
            return Ok(false);
        }
        inner.vouches_below = match cut {
            Cut::ByEpoch { .. } => to,
            Cut::RestartAt(offset) => offset.min(inner.log.log_start_offset()),
        };
        Ok(true)
    }

    /// Cuts the log. Returns its end. Blocks.
    pub(in crate::partition) fn cut(&self, asked: Asked, cut: Cut, now: Now) -> Result<Offset, ErrorCode> {
        let mut inner = self.inner.lock();
        // Until it is done, nobody knows what is left of it.
        let vouches_below = std::mem::replace(&mut inner.vouches_below, Offset::MAX);
        self.stir.stir(By::Keeper);
        inner.check_asked(asked)?;
        let (to, high_watermark) = (inner.cut_offset(cut), inner.state.high_watermark());
        let done = match cut {
            Cut::ByEpoch { .. } => inner.log.truncate_to(to, now).map(drop),
            Cut::RestartAt(offset) => inner.log.truncate_fully_and_start_at(offset, now),
        };
        self.settle(&mut inner);
        if let Err(error) = done {
            inner.vouches_below = vouches_below;
            return Err(self.storage_error(&mut inner, &error));
        }
        let log_end = inner.log.log_end_offset();
        if log_end < high_watermark {
            tracing::warn!(partition = %self.name(), log_end, high_watermark, "the leader lacks records that were committed");
        }
        Ok(log_end)
    }
}

impl Inner {
    fn check_asked(&self, asked: Asked) -> Result<(), ErrorCode> {
        self.state.check_follower(asked.epoch)?;
        let is_there = self.log.log_end_offset() == asked.offset;
        if is_there { Ok(()) } else { Err(ErrorCode::OffsetOutOfRange) }
    }

    /// Where the log ends after `cut`, if a batch ends there.
    ///
    /// ```text
    ///   leader    │ epoch 3 │ epoch 5 ─ ─          asked for epoch 4, it says: 3, and its end
    ///   follower  │ epoch 3      │ epoch 4 │       keeps epoch 3 up to the lower of both ends
    /// ```
    fn cut_offset(&self, cut: Cut) -> Offset {
        let log_end = self.log.log_end_offset();
        match cut {
            Cut::ByEpoch { epoch, end } => {
                let own = self.log.view().end_offset_for_epoch(epoch).map_or(log_end, |(_, own)| own);
                own.min(end).min(log_end)
            }
            Cut::RestartAt(offset) => offset,
        }
    }
}
