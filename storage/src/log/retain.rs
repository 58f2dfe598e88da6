//! What the log no longer has to keep: too old, too much, or below the log start.

use std::sync::Arc;

use crate::segment::Segment;
use crate::segment::scan::ScanError;
use crate::time::Now;

use super::Offset;
use super::error::LogError;
use super::writer::LogWriter;

/// Why segments went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Segments removed.
    pub segments: usize,
    /// Bytes of their logs.
    pub bytes: u64,
    pub log_start_offset: Offset,
}

impl LogWriter {
    /// Removes whole segments from the front, as far as all of their records are below the high watermark and durable, and
    /// raises the log start. If that is all of them, a new one is begun first. Forgets idle producers, too.
    pub fn retain(&mut self, now: Now, high_watermark: Offset) -> Result<Retained, LogError> {
        self.check_alive()?;
        self.producers.expire(now.wall, self.config.producer_id_expiration_ms as i64);
        let count = self.removable(now, high_watermark)?;
        if count == 0 {
            return Ok(Retained { log_start_offset: self.log_start_offset, ..Retained::default() });
        }
        // Listed before anything is changed: half of a removal is a log that has failed.
        let snapshots = self.snapshots()?;
        if count == self.segments.len() {
            self.roll(now)?;
        }
        let removed: Vec<Arc<Segment>> = self.segments[..count].to_vec();
        let start = self.segments[count].base_offset();
        self.surgery(|log| log.remove_front(count, start, now, &snapshots))?;
        let bytes = removed.iter().map(|s| s.len()).sum();
        Ok(Retained { segments: count, bytes, log_start_offset: self.log_start_offset })
    }

    fn remove_front(
        &mut self,
        count: usize,
        start: Offset,
        now: Now,
        snapshots: &[Offset],
    ) -> Result<(), LogError> {
        self.raise_log_start(start);
        let removed: Vec<Arc<Segment>> = Arc::make_mut(&mut self.segments).drain(..count).collect();
        for segment in &removed {
            self.remove_files(segment, now)?;
        }
        self.drop_snapshots(snapshots.iter().copied().filter(|at| *at < start))
    }

    /// How many segments at the front may go.
    fn removable(&self, now: Now, high_watermark: Offset) -> Result<usize, LogError> {
        let (mut count, mut excess) = (0, self.excess_bytes());
        for (nth, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(nth + 1).map_or(self.log_end_offset, |s| s.base_offset());
            let is_empty_last = nth + 1 == self.segments.len() && segment.is_empty();
            let too_much = excess.is_some_and(|excess| excess >= segment.len());
            if next > high_watermark || !self.is_anchored(next) || is_empty_last {
                break;
            }
            if next > self.log_start_offset && !too_much && !self.is_expired(segment, now)? {
                break;
            }
            excess = excess.map(|excess| excess.saturating_sub(segment.len()));
            count += 1;
        }
        Ok(count)
    }

    /// Whether the segment that begins at `base` survives a power cut: else that could leave what lies behind it alone. A sync
    /// up to just there may have been of a time before it was begun; beginning the second segment makes up for that.
    fn is_anchored(&self, base: Offset) -> bool {
        base < self.synced_end_offset || (base == self.synced_end_offset && base == self.log_end_offset)
    }

    /// Bytes above `retention.bytes`; `None` if that does not limit anything.
    fn excess_bytes(&self) -> Option<u64> {
        let size: u64 = self.segments.iter().map(|s| s.len()).sum();
        let limit = self.config.retention_bytes.filter(|_| self.config.delete)?;
        size.checked_sub(limit)
    }

    /// By the latest timestamp in it; records without timestamps do not age.
    fn is_expired(&self, segment: &Segment, now: Now) -> Result<bool, ScanError> {
        let Some(limit) = self.config.retention_ms.filter(|_| self.config.delete) else { return Ok(false) };
        let latest = segment.largest_timestamp()?;
        Ok(latest.is_none_or(|l| l.timestamp >= 0 && now.wall.0.saturating_sub(l.timestamp) > limit as i64))
    }
}
