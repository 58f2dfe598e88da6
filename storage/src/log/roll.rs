//! Closing the active segment and beginning the next one.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::disk::Open;
use crate::segment::Segment;
use crate::segment::directory::{Directory, if_exists};
use crate::segment::names::{LOG, SNAPSHOT, file_name};
use crate::time::Now;

use super::active::{Active, Addition};
use super::error::{AppendError, LogError};
use super::writer::LogWriter;
use super::{LogConfig, Offset};

impl LogWriter {
    /// Begins a new segment if `more`, from offset `base` on, does not belong into the active one.
    pub(super) fn make_room(&mut self, more: Addition, base: Offset, now: Now) -> Result<(), AppendError> {
        let jitter_ms = self.jitter_ms();
        if self.active.is_done(more, &self.config, jitter_ms, now.wall)? {
            self.roll(now)?;
        }
        if self.active.is_too_far(more.last_offset) {
            // A gap of more than 31 bits: not even the new, empty segment reaches across.
            let last = self.segments.len() - 1;
            self.surgery(|log| log.begin_at(base, last, now))?;
        }
        Ok(())
    }

    /// Closes the active segment; appends go to a new one that begins at the log end, even if a gap follows: recovery relies
    /// on it. On an error the log is as before, or has failed.
    pub(super) fn roll(&mut self, now: Now) -> Result<(), LogError> {
        self.close_active()?;
        if let Some(file) = self.active.unsynced_file() {
            self.pending.file(file);
        }
        if self.segments.len() == 1 && self.pending.has_names() {
            // Behind a first segment that a power cut has taken, the second would look like the whole log.
            self.shared.dir.sync().inspect_err(|error| self.shared.sync_failed(error))?;
        }
        let fresh = new_segment(&self.shared.dir, self.log_end_offset, &self.config)
            .inspect_err(|_| self.take_back_roll())?;
        self.active.segment.seal();
        Arc::make_mut(&mut self.segments).push(fresh.clone());
        self.active = Active::new(fresh, 0, now.wall);
        self.pending.names_changed();
        self.publish();
        Ok(())
    }

    /// An empty segment in the middle would look like one whose batches a power cut took.
    fn take_back_roll(&mut self) {
        let removed = if_exists(self.shared.dir.remove_file(&file_name(self.log_end_offset, LOG)));
        if removed.is_err() {
            self.shared.fail();
        }
        self.pending.names_changed();
    }

    /// Brings the active segment's indexes and the producers' state to their files, all to be synced.
    pub(super) fn close_active(&mut self) -> Result<(), LogError> {
        for file in self.active.segment.write_indexes(true)? {
            self.pending.file(file);
        }
        self.write_snapshot()
    }

    fn write_snapshot(&mut self) -> Result<(), LogError> {
        self.producers.advance_to(self.log_end_offset);
        let bytes = self.producers.encode_snapshot();
        let file = self.shared.dir.open_file(&file_name(self.log_end_offset, SNAPSHOT), Open::Create)?;
        file.write_at(&[IoSlice::new(&bytes)], 0)?;
        file.set_len(bytes.len() as u64)?;
        self.pending.file(file);
        self.pending.names_changed();
        self.snapshot_at = Some(self.log_end_offset);
        Ok(())
    }

    /// Different for each log and segment, the same whenever it is asked for.
    fn jitter_ms(&self) -> u64 {
        if self.config.segment_jitter_ms == 0 {
            return 0;
        }
        let seed = format!("{}{}", self.shared.dir.path().display(), self.active.segment.base_offset());
        u64::from(crc32c::crc32c(seed.as_bytes())) % self.config.segment_jitter_ms
    }
}

/// An empty segment, its log file made; what an earlier attempt left of that name goes.
pub(super) fn new_segment(
    dir: &Arc<Directory>,
    base: Offset,
    config: &LogConfig,
) -> io::Result<Arc<Segment>> {
    let segment = Segment::new(dir.clone(), base, 0);
    segment.open(Open::Create)?.set_len(0)?;
    segment.start_indexes(config.segment_index_bytes as usize);
    Ok(Arc::new(segment))
}
