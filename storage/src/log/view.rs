//! What readers see of a log: immutable, published after each change.

use std::sync::Arc;

use crate::epochs::EpochCache;
use crate::log::Offset;
use crate::segment::Segment;

/// The log as it was after some change. Making one costs a small allocation, whatever the length of the log.
#[derive(Clone, Debug)]
pub struct LogView {
    /// The first offset that may be read.
    pub log_start_offset: Offset,
    /// The offset that the next record gets.
    pub log_end_offset: Offset,
    /// Everything below survives a power cut: the recovery point.
    pub synced_end_offset: Offset,
    /// Where the first transaction begins that is open, or decided but not yet below the high watermark.
    pub first_unstable_offset: Option<Offset>,
    /// Where each leader epoch began.
    pub epochs: Arc<EpochCache>,
    /// By base offset; the last one is being written. Never empty.
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    /// Bytes of the last segment that this view covers.
    pub(crate) active_len: u64,
    /// How often files have been taken away or cut so far.
    pub(crate) surgeries: u64,
}

impl LogView {
    /// The first offset kept on this disk: what lies between the log start and it is elsewhere or not at all.
    pub fn local_log_start_offset(&self) -> Offset {
        self.segments.first().map_or(self.log_start_offset, |s| s.base_offset().max(self.log_start_offset))
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        (0..self.segments.len()).map(|nth| self.len_of(nth)).sum()
    }

    /// The epoch and end offset to answer an OffsetsForLeaderEpoch with; `None` is "unknown".
    pub fn end_offset_for_epoch(&self, epoch: i32) -> Option<(i32, Offset)> {
        self.epochs.end_offset_for(epoch, self.log_end_offset)
    }

    /// Bytes of the nth segment that this view covers.
    pub(crate) fn len_of(&self, nth: usize) -> u64 {
        if nth + 1 == self.segments.len() { self.active_len } else { self.segments[nth].len() }
    }

    /// The segment in which `offset` lies, or would; the first one for what lies before it.
    pub(crate) fn segment_of(&self, offset: Offset) -> usize {
        self.segments.partition_point(|s| s.base_offset() <= offset).saturating_sub(1)
    }

    /// The offset behind the nth segment.
    pub(crate) fn end_offset_of(&self, nth: usize) -> Offset {
        self.segments.get(nth + 1).map_or(self.log_end_offset, |next| next.base_offset())
    }
}
