//! Closing the active segment and beginning the next one.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::disk::Open;
use crate::segment::Segment;
use crate::segment::directory::Directory;
use crate::segment::names::{SNAPSHOT, file_name};
use crate::time::Now;

use super::active::{Active, Addition};
use super::error::{AppendError, LogError};
use super::writer::LogWriter;
use super::{LogConfig, Offset};

impl LogWriter {
    /// Begins a new segment if `more`, whose first offset is `base`, does not belong into the active one.
    pub(super) fn make_room(&mut self, more: Addition, base: Offset, now: Now) -> Result<(), AppendError> {
        let jitter_ms = self.jitter_ms();
        if self.active.is_done(more, &self.config, jitter_ms, now.wall)? {
            // Without need no gap: if the write fails, the log must be able to go on where it ends.
            let far = more.last_offset - self.log_end_offset > i64::from(i32::MAX);
            self.roll(if far { base } else { self.log_end_offset }, now)?;
        }
        Ok(())
    }

    /// Closes the active segment; appends go to a new one from `base` on. On an error the log is as before.
    pub(super) fn roll(&mut self, base: Offset, now: Now) -> Result<(), LogError> {
        self.close_active()?;
        let fresh = new_segment(&self.shared.dir, base, &self.config)?;
        self.active.segment.seal();
        Arc::make_mut(&mut self.segments).push(fresh.clone());
        self.active = Active::new(fresh, 0, now.wall);
        self.pending.names_changed();
        self.publish();
        Ok(())
    }

    /// Brings the active segment's indexes and the producers' state to their files, all to be synced.
    pub(super) fn close_active(&mut self) -> Result<(), LogError> {
        for file in self.active.segment.write_indexes(true)? {
            self.pending.file(file);
        }
        self.sync_active()?;
        self.write_snapshot()
    }

    /// A closed log is durable before anything follows it: offsets may have gaps, so that after a power cut nothing
    /// would tell a lost end from one that never was. What the flusher has synced before costs nothing here.
    fn sync_active(&mut self) -> Result<(), LogError> {
        if self.synced_end_offset < self.log_end_offset {
            let file = self.active.writable()?;
            self.shared.sync_alone(|_| file.sync())?;
        }
        Ok(())
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
    segment.file(Open::Create)?.set_len(0)?;
    segment.start_indexes(config.segment_index_bytes as usize);
    Ok(Arc::new(segment))
}
