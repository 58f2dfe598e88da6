//! Looking up offsets: by mark, by time, by epoch.

use super::Replica;
use super::read::Isolation;
use crate::types::{ErrorCode, LeaderEpoch, Offset};

/// An offset that was looked up; -1 stands for "no timestamp" and "no epoch".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    pub offset: Offset,
    pub timestamp: i64,
    pub leader_epoch: LeaderEpoch,
}

/// DeleteRecords: "up to the high watermark".
const HIGH_WATERMARK: Offset = -1;

impl Replica {
    /// The first offset that a consumer can read.
    pub fn earliest(&self) -> Located {
        let start = self.marks().log_start;
        let leader_epoch = self.reader.view().epochs.epoch_at(start).unwrap_or(-1);
        Located { offset: start, timestamp: -1, leader_epoch }
    }

    /// The offset behind the last one that a consumer can read. OFFSET_NOT_AVAILABLE until this leader's watermark has
    /// reached the start of its epoch: before that it may lie below what an earlier leader has shown.
    pub fn latest(&self, isolation: Isolation) -> Result<Located, ErrorCode> {
        let marks = self.marks();
        self.check_shown(marks.high_watermark)?;
        let offset = match isolation {
            Isolation::ReadUncommitted => marks.high_watermark,
            Isolation::ReadCommitted => marks.last_stable,
        };
        Ok(Located { offset, timestamp: -1, leader_epoch: marks.leader_epoch })
    }

    /// The first record at or after `timestamp` that a consumer can read.
    pub fn at_time(&self, timestamp: i64, isolation: Isolation) -> Result<Option<Located>, ErrorCode> {
        let below = self.latest(isolation)?.offset;
        let found =
            self.reader.offset_for_timestamp(timestamp, below).map_err(|error| self.read_error(&error))?;
        Ok(found.map(located))
    }

    /// The first record with the largest timestamp, of those that a consumer can read.
    pub fn at_max_timestamp(&self, isolation: Isolation) -> Result<Option<Located>, ErrorCode> {
        let below = self.latest(isolation)?.offset;
        let found = self.reader.offset_of_max_timestamp(below).map_err(|error| self.read_error(&error))?;
        Ok(found.map(located))
    }

    /// The largest epoch at or below `epoch`, and the offset behind it.
    pub fn epoch_end(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.reader.view().end_offset_for_epoch(epoch)
    }

    /// Moves the log start up to `before`. Returns the new start.
    pub fn delete_records(&self, before: Offset) -> Result<Offset, ErrorCode> {
        self.check_dir()?;
        if !self.settings.load().may_delete {
            return Err(ErrorCode::PolicyViolation);
        }
        let mut inner = self.inner.lock();
        inner.state.check_leader(-1)?;
        let high_watermark = inner.state.high_watermark();
        let before = if before == HIGH_WATERMARK { high_watermark } else { before };
        if before < 0 || before > high_watermark {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let advanced = inner.log.advance_log_start(before);
        advanced.map_err(|error| self.storage_error(&mut inner, &error))?;
        self.settle(&mut inner);
        Ok(inner.log.log_start_offset())
    }

    fn check_shown(&self, high_watermark: Offset) -> Result<(), ErrorCode> {
        let epoch_start = self.reader.view().epochs.latest().map_or(0, |latest| latest.start_offset);
        if high_watermark < epoch_start { Err(ErrorCode::OffsetNotAvailable) } else { Ok(()) }
    }
}

fn located(found: storage::log::TimestampedOffset) -> Located {
    Located { offset: found.offset, timestamp: found.timestamp, leader_epoch: found.leader_epoch }
}
