//! What is remembered of one producer.

use std::collections::VecDeque;

use crate::batch::{BatchHeader, EndTxn, NO_TIMESTAMP};
use crate::time::Wall;

/// As many batches as a producer may have in flight: a retry of any of them is recognised.
const KEPT: usize = 5;

/// A batch that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMark {
    pub last_sequence: i32,
    pub last_offset: i64,
    /// Records less one.
    pub offset_delta: i32,
    /// The batch's max timestamp, milliseconds since the epoch.
    pub timestamp: i64,
}

impl BatchMark {
    pub fn base_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    pub fn base_sequence(&self) -> i32 {
        ((i64::from(self.last_sequence) - i64::from(self.offset_delta)) & i64::from(i32::MAX)) as i32
    }
}

/// One producer on one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    pub epoch: i16,
    /// Of the coordinator that wrote the last marker; -1 before.
    pub coordinator_epoch: i32,
    /// Of the last batch, milliseconds since the epoch.
    pub last_timestamp: i64,
    /// Where the open transaction began.
    pub txn_first_offset: Option<i64>,
    pub(super) batches: VecDeque<BatchMark>,
}

impl Default for ProducerState {
    fn default() -> Self {
        Self {
            epoch: -1,
            coordinator_epoch: -1,
            last_timestamp: NO_TIMESTAMP,
            txn_first_offset: None,
            batches: VecDeque::new(),
        }
    }
}

impl ProducerState {
    /// The last batch of the current epoch.
    pub fn last_batch(&self) -> Option<&BatchMark> {
        self.batches.back()
    }

    /// -1 if the current epoch has written no data.
    pub fn last_sequence(&self) -> i32 {
        self.last_batch().map_or(-1, |mark| mark.last_sequence)
    }

    /// The batch that `header` repeats.
    pub(super) fn duplicate(&self, header: &BatchHeader) -> Option<&BatchMark> {
        let same = |mark: &&BatchMark| {
            mark.base_sequence() == header.base_sequence && mark.last_sequence == header.last_sequence()
        };
        if header.producer_epoch == self.epoch { self.batches.iter().find(same) } else { None }
    }

    pub(super) fn note_batch(&mut self, header: &BatchHeader) {
        self.enter_epoch(header.producer_epoch);
        if self.batches.len() == KEPT {
            self.batches.pop_front();
        }
        self.batches.push_back(BatchMark {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        self.last_timestamp = header.max_timestamp;
    }

    /// Ends the transaction; answers where it began.
    pub(super) fn note_marker(&mut self, header: &BatchHeader, marker: EndTxn) -> Option<i64> {
        self.enter_epoch(header.producer_epoch);
        self.coordinator_epoch = marker.coordinator_epoch;
        self.last_timestamp = header.max_timestamp;
        self.txn_first_offset.take()
    }

    fn enter_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }

    pub(super) fn expired(&self, now: Wall, after_ms: i64) -> bool {
        self.txn_first_offset.is_none() && now.0.saturating_sub(self.last_timestamp) >= after_ms
    }
}
