//! The segment that grows: its open file, and what decides when the next one begins.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::disk::{File, Open};
use crate::segment::Segment;
use crate::segment::scan::{Scan, ScanError};
use crate::time::Wall;

use super::{LogConfig, Offset};

#[derive(Debug)]
pub(super) struct Active {
    pub segment: Arc<Segment>,
    /// Open from the first write on until it has been synced: a failed write-back is told only to whoever has the file open.
    file: Option<Arc<dyn File>>,
    /// Timestamp of its first batch, milliseconds since the epoch; `None` until it has one or it is asked for.
    first_timestamp: Option<i64>,
    created: Wall,
    /// Log bytes since the last index entry.
    pace: u64,
}

/// What an append would add.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addition {
    pub bytes: u64,
    pub max_timestamp: i64,
    pub last_offset: Offset,
}

impl Active {
    /// `segment` must have its indexes in memory; `pace` as in [`Segment::take_in`].
    pub fn new(segment: Arc<Segment>, pace: u64, created: Wall) -> Active {
        Active { segment, file: None, first_timestamp: None, created, pace }
    }

    pub fn len(&self) -> u64 {
        self.segment.len()
    }

    /// Writes behind the last byte. On an error nothing is left of it; `Err(None)` if even that failed.
    pub fn write(&mut self, parts: &[IoSlice<'_>]) -> Result<(), (io::Error, CutBack)> {
        let file = self.writable().map_err(|e| (e, CutBack::Done))?;
        let at = self.len();
        file.write_at(parts, at).map_err(|error| match file.set_len(at) {
            Ok(()) => (error, CutBack::Done),
            Err(_) => (error, CutBack::Failed),
        })
    }

    /// The open file, to write to or to sync.
    pub fn writable(&mut self) -> io::Result<Arc<dyn File>> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let file = self.segment.open(Open::Write)?;
        self.file = Some(file.clone());
        Ok(file)
    }

    /// The file if it may have bytes that are not synced.
    pub fn unsynced_file(&self) -> Option<Arc<dyn File>> {
        self.file.clone()
    }

    /// All has been synced: the cache may close the file.
    pub fn release_file(&mut self) {
        self.file = None;
    }

    /// Takes in a batch just written.
    pub fn note(&mut self, header: &BatchHeader, config: &LogConfig) {
        self.first_timestamp.get_or_insert(header.max_timestamp);
        self.segment.take_in(header, self.segment.len(), &mut self.pace, config.index_interval_bytes);
    }

    /// Whether `more` belongs into a new segment. `jitter_ms` is taken off the segment's time.
    pub fn is_done(
        &mut self,
        more: Addition,
        config: &LogConfig,
        jitter_ms: u64,
        now: Wall,
    ) -> Result<bool, ScanError> {
        if self.len() == 0 {
            return Ok(false);
        }
        let too_big = self.len() + more.bytes > u64::from(config.segment_bytes);
        if too_big || self.segment.index_is_full() || self.is_too_far(more.last_offset) {
            return Ok(true);
        }
        let most_ms = config.segment_ms.saturating_sub(jitter_ms) as i64;
        Ok(self.age_ms(more.max_timestamp, now)? > most_ms)
    }

    /// By the records' clock, from the first batch to the one to come; by ours where they have none.
    fn age_ms(&mut self, timestamp: i64, now: Wall) -> Result<i64, ScanError> {
        let first = self.first_timestamp()?;
        Ok(if first >= 0 { timestamp.saturating_sub(first) } else { now.0.saturating_sub(self.created.0) })
    }

    fn first_timestamp(&mut self) -> Result<i64, ScanError> {
        if let Some(first) = self.first_timestamp {
            return Ok(first);
        }
        let batch = Scan::new(self.segment.file()?, 0, self.len()).next().transpose()?;
        let first = batch.map_or(-1, |b| b.header.max_timestamp);
        self.first_timestamp = Some(first);
        Ok(first)
    }

    /// Offsets in the indexes are 31 bits from the base.
    pub fn is_too_far(&self, offset: Offset) -> bool {
        offset - self.segment.base_offset() > i64::from(i32::MAX)
    }
}

/// What became of the bytes of a write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutBack {
    Done,
    /// The file may end in some of them.
    Failed,
}
