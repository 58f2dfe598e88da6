//! Giving up the end of the log (a follower whose leader has other batches) or its beginning (deleted records).
//!
//! ```text
//!            cut
//!   ┌────────┼─────┐ ┌──────┐          ┌────────┐ ┌─ ─ ─
//!   │ a      │     │ │ b    │    ►     │ a      │ │ new     b is removed, a closed
//!   └────────┼─────┘ └──────┘          └────────┘ └─ ─ ─
//! ```
//! What is appended afterwards goes to a new file: a reader of the old one may find it short, never different.

use std::sync::Arc;

use crate::disk::Open;
use crate::index::TimeEntry;
use crate::segment::directory::if_exists;
use crate::segment::names::{SNAPSHOT, file_name, parse_name};
use crate::segment::scan::Scan;
use crate::segment::{Place, Segment};
use crate::time::Now;

use super::active::Active;
use super::error::LogError;
use super::recover::{Bounds, rebuild, replay, resume};
use super::roll::new_segment;
use super::writer::LogWriter;
use super::{LogConfig, Offset};

impl LogWriter {
    /// Drops `offset` and all above, durably. Batches go whole: the log ends behind the last one that is all below.
    /// Answers where that is.
    pub fn truncate_to(&mut self, offset: Offset, now: Now) -> Result<Offset, LogError> {
        self.check_alive()?;
        if offset < self.log_start_offset {
            self.truncate_fully_and_start_at(offset, now)?;
        } else if offset < self.log_end_offset {
            self.surgery(|log| log.cut(offset, now))?;
        }
        Ok(self.log_end_offset)
    }

    /// Drops everything, durably; the log goes on at `offset`.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset, now: Now) -> Result<(), LogError> {
        self.surgery(|log| {
            log.log_start_offset = offset;
            log.begin_at(offset, 0, now)
        })
    }

    /// Raises the log start: records below are deleted, their files with the next retention. Never lowers it.
    pub fn advance_log_start(&mut self, offset: Offset) -> Result<(), LogError> {
        self.check_alive()?;
        let (start, end) = (self.log_start_offset, self.log_end_offset);
        if offset > end {
            return Err(LogError::OutOfRange { offset, start, end });
        }
        self.raise_log_start(offset);
        self.publish();
        Ok(())
    }

    pub(super) fn raise_log_start(&mut self, offset: Offset) {
        if offset > self.log_start_offset {
            self.log_start_offset = offset;
            self.forget_epochs(|epochs| epochs.truncate_from_start(offset));
        }
    }

    fn cut(&mut self, offset: Offset, now: Now) -> Result<(), LogError> {
        let nth = self.segments.partition_point(|s| s.base_offset() < offset).saturating_sub(1);
        let segment = self.segments[nth].clone();
        let Place { end_offset, kept } = segment.place_before(offset)?;
        if end_offset < self.log_start_offset {
            // The log start lies within the batch that goes: nothing is left.
            return self.begin_at(self.log_start_offset, 0, now);
        }
        if kept == 0 {
            return self.begin_at(end_offset, nth, now);
        }
        if kept < segment.len() {
            let closed = cut_segment(&segment, kept, end_offset, &self.config)?;
            for file in closed.write_indexes(true)? {
                self.pending.file(file);
            }
            closed.seal();
            Arc::make_mut(&mut self.segments)[nth] = closed;
        }
        self.begin_at(end_offset, nth + 1, now)
    }

    /// Gives an empty log a file that begins at `base`, below its end: for a batch that the log start lies within.
    pub(super) fn restart_below(&mut self, base: Offset, now: Now) -> Result<(), LogError> {
        self.surgery(|log| {
            let end_offset = log.log_end_offset;
            log.begin_at(base, 0, now)?;
            log.log_end_offset = end_offset;
            Ok(())
        })
    }

    /// Removes the segments from the nth on and begins an empty one at `offset`, where the log ends now.
    pub(super) fn begin_at(&mut self, offset: Offset, nth: usize, now: Now) -> Result<(), LogError> {
        let removed = Arc::make_mut(&mut self.segments).split_off(nth);
        for segment in removed.iter().rev() {
            self.remove_files(segment, now)?;
        }
        let fresh = new_segment(&self.shared.dir, offset, &self.config)?;
        Arc::make_mut(&mut self.segments).push(fresh.clone());
        self.active = Active::new(fresh, 0, now.wall);
        self.log_end_offset = offset;
        self.synced_end_offset = self.synced_end_offset.min(offset);
        self.pending.disregard_running();
        self.forget_epochs(|epochs| epochs.truncate_from_end(offset));
        self.return_producers_to(offset)?;
        self.shared.dir.sync()?;
        self.pending.names_changed();
        Ok(())
    }

    pub(super) fn forget_epochs(&mut self, forget: impl FnOnce(&mut crate::epochs::EpochCache)) {
        forget(Arc::make_mut(&mut self.epochs));
        self.pending.epochs_changed();
    }

    /// Snapshots above `offset` speak of batches that are gone.
    fn return_producers_to(&mut self, offset: Offset) -> Result<(), LogError> {
        let (late, snapshots): (Vec<Offset>, Vec<Offset>) =
            self.snapshots()?.into_iter().partition(|at| *at > offset);
        self.drop_snapshots(late)?;
        self.snapshot_at = snapshots.last().copied();
        self.producers = replay(&self.shared.dir, &snapshots, &self.segments, offset, offset)?;
        Ok(())
    }

    /// The offsets of the snapshots, ascending.
    pub(super) fn snapshots(&self) -> Result<Vec<Offset>, LogError> {
        let entries = self.shared.dir.list()?;
        let found = entries.iter().filter_map(|entry| parse_name(&entry.name));
        let mut found: Vec<Offset> = found.filter(|(_, kind)| *kind == SNAPSHOT).map(|(at, _)| at).collect();
        found.sort_unstable();
        Ok(found)
    }

    pub(super) fn drop_snapshots(
        &mut self,
        snapshots: impl IntoIterator<Item = Offset>,
    ) -> Result<(), LogError> {
        for at in snapshots {
            if_exists(self.shared.dir.remove_file(&file_name(at, SNAPSHOT)))?;
            self.pending.names_changed();
        }
        Ok(())
    }
}

/// The first `kept` bytes of `segment`, up to `offset`, as a segment of its own; durable. Its indexes are in memory.
fn cut_segment(
    segment: &Segment,
    kept: u64,
    offset: Offset,
    config: &LogConfig,
) -> Result<Arc<Segment>, LogError> {
    segment.write_indexes(false)?;
    let closed = Segment::new(segment.dir().clone(), segment.base_offset(), kept);
    let sound = closed.load_indexes(config.segment_index_bytes as usize)?;
    let full = closed.index_is_full();
    closed.truncate_indexes(offset);
    if !sound || resume(&closed, config)?.is_none() {
        rebuild(&closed, Bounds { recovery_point: Offset::MAX, below: offset }, config)?;
    }
    if full {
        see_timestamps(&closed)?;
    }
    let file = segment.open(Open::Write)?;
    file.set_len(kept)?;
    file.sync()?;
    Ok(Arc::new(closed))
}

/// A full time index has left entries out: what a cut leaves of it may not know the latest timestamp that stays.
fn see_timestamps(segment: &Segment) -> Result<(), LogError> {
    for found in Scan::new(segment.file()?, 0, segment.len()) {
        let header = found?.header;
        segment.saw_timestamp(TimeEntry { timestamp: header.max_timestamp, offset: header.last_offset() });
    }
    Ok(())
}
