//! Opening a log: what the files hold, and how much of it may be believed.
//!
//! ```text
//!             recovery point
//!   ───────────────┼──────────────┐
//!   trusted by size│ read through:│ cut at the first byte that is not a sound batch
//!   and index      │ CRC, offsets │
//! ```
//! What is read above the point is written again, so that the next sync really brings it to the disk; damage found below it
//! is not repaired but refused ([`LogError::Damaged`]).
//! A segment that the recovery point falls into is read from its beginning, by headers up to the point. After a clean
//! shutdown all is trusted, and only what lies behind the last index entry is looked at.

mod listing;
mod replay;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;

use crate::checkpoint::{CheckpointError, read_epochs};
use crate::disk::{File, Open};
use crate::epochs::{EpochCache, EpochEntry};
use crate::segment::Segment;
use crate::segment::directory::{Directory, if_exists};
use crate::segment::names::{SNAPSHOT, file_name};
use crate::time::Now;

use super::active::Active;
use super::error::LogError;
use super::flush::Pending;
use super::roll::new_segment;
use super::view::LogView;
use super::writer::LogWriter;
use super::{LogConfig, LogEnv, Offset};
use listing::Listing;
pub(super) use replay::replay;
pub(super) use walk::{Bounds, Walked, rebuild, resume};

/// What the broker's checkpoints say of a log that is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// All below was durable. The checkpoint must be lowered to `offset` before `truncate_to(offset)`, and to the log's
    /// synced end after it and after an open, before anything is appended.
    pub recovery_point: Offset,
    /// Records below were deleted, whether or not files still hold them.
    pub log_start_offset: Offset,
    /// The broker closed its logs, and nothing can have happened to the files since.
    pub clean: bool,
}

impl LogWriter {
    /// Opens the log in `dir`, made if missing; repairs what a crash left. Where the files end, the log ends.
    pub fn open(
        env: LogEnv,
        dir: PathBuf,
        config: LogConfig,
        start: Start,
        now: Now,
    ) -> Result<LogWriter, LogError> {
        let dir = Directory::open(env, dir)?;
        let mut listing = Listing::tidied(&dir)?;
        listing.mark(&dir)?;
        let mut load = Load::new(dir, config, start, &listing)?;
        load.segments()?;
        load.finish(now)
    }
}

/// A log being opened.
struct Load<'a> {
    dir: Arc<Directory>,
    config: LogConfig,
    start: Start,
    listing: &'a Listing,
    /// The stored epochs are unreadable: every batch must be asked for its own.
    distrust: bool,
    epochs: EpochCache,
    segments: Vec<Arc<Segment>>,
    log_end_offset: Offset,
    /// Of the last segment, see [`Walked`].
    pace: u64,
    /// Base offset of the first segment whose indexes were made anew.
    first_rebuilt: Option<Offset>,
    pending: Pending,
}

impl Load<'_> {
    fn new(
        dir: Arc<Directory>,
        config: LogConfig,
        start: Start,
        listing: &Listing,
    ) -> Result<Load<'_>, LogError> {
        let epochs = stored_epochs(&dir)?;
        let (segments, pending) = (Vec::new(), Pending::default());
        let log_end_offset = start.log_start_offset;
        let (distrust, epochs) = (epochs.is_none(), epochs.unwrap_or_default());
        let (pace, first_rebuilt) = (0, None);
        Ok(Load {
            dir,
            config,
            start,
            listing,
            distrust,
            epochs,
            segments,
            log_end_offset,
            pace,
            first_rebuilt,
            pending,
        })
    }

    fn segments(&mut self) -> Result<(), LogError> {
        let found = self.listing.segments();
        for (nth, &(base, len)) in found.iter().enumerate() {
            if len == 0 && self.is_left_over(base, found.get(nth + 1).map(|(next, _)| *next)) {
                self.remove_segments(&found[nth..=nth])?;
                continue;
            }
            if self.is_behind_a_hole(base) {
                return self.remove_segments(&found[nth..]);
            }
            let next = found[nth + 1..].iter().find(|(_, len)| *len > 0).map(|(base, _)| *base);
            if self.look_into_next(base, len, next)?.is_some_and(|walked| walked.broken.is_some()) {
                return self.remove_segments(&found[nth + 1..]);
            }
        }
        Ok(())
    }

    /// Whether an empty segment was left by a roll that failed: the one before it went on, and may be deleted by now.
    fn is_left_over(&self, base: Offset, next: Option<Offset>) -> bool {
        let durable = next.is_some_and(|next| self.start.clean || next <= self.start.recovery_point);
        durable || (base < self.log_end_offset && !self.segments.is_empty())
    }

    fn look_into_next(
        &mut self,
        base: Offset,
        len: u64,
        next: Option<Offset>,
    ) -> Result<Option<Walked>, LogError> {
        let segment = Arc::new(Segment::new(self.dir.clone(), base, len));
        self.segments.push(segment.clone());
        self.log_end_offset = next.unwrap_or(base);
        self.look_into(&segment, next)
    }

    /// Above the recovery point each segment begins where the one before it ends (compaction stays below, a roll leaves no
    /// gap). Otherwise a power cut took what lay between: records behind a hole would be offered as if it were not there.
    /// Kafka compacts above its recovery point; of a log that began there and has none nothing can be told.
    fn is_behind_a_hole(&self, base: Offset) -> bool {
        let point = self.start.recovery_point;
        let ours = !self.config.compact || point > 0 || self.listing.is_marked();
        let in_doubt = !self.start.clean && base > point && !self.segments.is_empty();
        in_doubt && ours && base != self.log_end_offset
    }

    /// Reads as much of the segment as must be read: nothing of one that is closed and trusted.
    fn look_into(&mut self, segment: &Segment, next: Option<Offset>) -> Result<Option<Walked>, LogError> {
        // A segment that ends at the point may have been closed after the sync: its batches are durable, its indexes not.
        let durable = next.is_some_and(|next| next < self.start.recovery_point);
        let believed = (self.start.clean || durable) && !self.distrust;
        let trusted = believed && self.listing.has_indexes(segment.base_offset());
        if trusted && next.is_some() {
            return Ok(None);
        }
        let resumed = if trusted { self.try_resume(segment)? } else { None };
        let walked = match resumed {
            Some(walked) => walked,
            None => self.rebuild(segment, next, !believed || next.is_none())?,
        };
        self.log_end_offset = walked.end_offset;
        self.pace = walked.pace;
        Ok(Some(walked))
    }

    fn try_resume(&self, segment: &Segment) -> Result<Option<Walked>, LogError> {
        if segment.load_indexes(self.config.segment_index_bytes as usize)? {
            resume(segment, &self.config)
        } else {
            Ok(None)
        }
    }

    /// `to_the_end`: all segments behind this one are read as well, so that all epochs from here on are seen.
    fn rebuild(
        &mut self,
        segment: &Segment,
        next: Option<Offset>,
        to_the_end: bool,
    ) -> Result<Walked, LogError> {
        let len = segment.len();
        let (recovery_point, below) = (self.start.recovery_point, next.unwrap_or(Offset::MAX));
        let walked = rebuild(segment, Bounds { recovery_point, below }, &self.config)?;
        self.first_rebuilt.get_or_insert(segment.base_offset());
        if let Some((at, source)) = &walked.broken
            && (walked.end_offset < recovery_point || !to_the_end)
        {
            // What follows is durable, too: cutting here would lose it, going on behind it would hide the loss.
            let (segment, at, source) = (segment.base_offset(), *at, source.clone());
            return Err(LogError::Damaged { segment, at, source });
        }
        if segment.len() < len {
            self.cut(segment, len, &walked)?;
        }
        if to_the_end {
            self.replace_epochs(segment.base_offset(), &walked.epochs);
        }
        if walked.end_offset > recovery_point {
            self.sync_soon(segment.open(Open::Write)?, next.is_none())?;
        }
        Ok(walked)
    }

    /// Of closed segments there may be more than descriptors: none of their files is held until the next sync.
    fn sync_soon(&mut self, file: Arc<dyn File>, is_last: bool) -> Result<(), LogError> {
        if !is_last {
            return Ok(file.sync()?);
        }
        self.pending.file(file);
        Ok(())
    }

    /// Durable at once: batches that are appended next must not find the cut ones behind them after a power cut.
    fn cut(&self, segment: &Segment, len: u64, walked: &Walked) -> Result<(), LogError> {
        let (kept, end_offset) = (segment.len(), walked.end_offset);
        tracing::warn!(dir = %self.dir.path().display(), segment = segment.base_offset(), len, kept, end_offset,
            recovery_point = self.start.recovery_point, why = ?walked.broken, "cut the log behind its last sound batch");
        let file = segment.open(Open::Write)?;
        file.set_len(kept)?;
        Ok(file.sync()?)
    }

    /// What the checkpoint says from `base` on gives way to what the batches say.
    fn replace_epochs(&mut self, base: Offset, runs: &[EpochEntry]) {
        self.epochs.truncate_from_end(base);
        runs.iter().for_each(|run| self.epochs.assign(run.epoch, run.start_offset));
        self.pending.epochs_changed();
    }

    fn remove_segments(&mut self, found: &[(Offset, u64)]) -> Result<(), LogError> {
        if found.is_empty() {
            return Ok(());
        }
        for (base, len) in found {
            tracing::warn!(dir = %self.dir.path().display(), base, len, "removed a segment behind lost or damaged batches");
            for name in Segment::new(self.dir.clone(), *base, *len).file_names() {
                if_exists(self.dir.remove_file(&name))?;
            }
        }
        Ok(self.dir.sync()?)
    }

    fn finish(mut self, now: Now) -> Result<LogWriter, LogError> {
        self.begin_anew_if_empty()?;
        let log_start_offset = self.start.log_start_offset.max(self.segments[0].base_offset());
        self.epochs.truncate_from_end(self.log_end_offset);
        self.epochs.truncate_from_start(log_start_offset);
        let snapshots = self.remove_stray_snapshots()?;
        let newest = self.first_rebuilt.unwrap_or(self.log_end_offset);
        let producers = replay(&self.dir, &snapshots, &self.segments, newest, self.log_end_offset)?;
        self.close_segments()?;
        if !self.start.clean {
            // A process that was killed may have left names that only the next sync makes durable.
            self.pending.names_changed();
        }
        let synced = if self.start.clean { self.log_end_offset } else { self.start.recovery_point };
        let active = Active::new(self.segments[self.segments.len() - 1].clone(), self.pace, now.wall);
        let view = LogView {
            log_start_offset,
            log_end_offset: self.log_end_offset,
            synced_end_offset: synced.min(self.log_end_offset),
            first_unstable_offset: producers.first_unstable(),
            epochs: Arc::new(self.epochs),
            segments: Arc::new(self.segments),
            active_len: active.len(),
            surgeries: 0,
        };
        let snapshot_at = snapshots.last().copied();
        Ok(LogWriter::new(self.dir, self.config, view, active, producers, self.pending, snapshot_at))
    }

    /// A log without segments, or one that ends below its start, begins with an empty segment at the log start.
    fn begin_anew_if_empty(&mut self) -> Result<(), LogError> {
        let start = self.start.log_start_offset;
        if !self.segments.is_empty() && self.log_end_offset >= start {
            return Ok(());
        }
        self.segments.clear();
        self.remove_segments(&self.listing.segments())?;
        self.segments.push(new_segment(&self.dir, start, &self.config)?);
        self.pending.names_changed();
        (self.log_end_offset, self.pace) = (start, 0);
        // What was read is gone: any snapshot up to the new start may be used, as it will be the next time.
        self.first_rebuilt = None;
        Ok(())
    }

    /// Removes those above the log end, which speak of batches that are gone, and those between segments: only the newest
    /// of them, which an orderly stop left, is worth anything. What is left.
    fn remove_stray_snapshots(&self) -> Result<Vec<Offset>, LogError> {
        let end = self.log_end_offset;
        let (mut kept, late): (Vec<Offset>, Vec<Offset>) =
            self.listing.snapshots().into_iter().partition(|offset| *offset <= end);
        let newest = kept.last().copied();
        let is_base =
            |offset: &Offset| self.segments.binary_search_by_key(offset, |s| s.base_offset()).is_ok();
        let strays = kept.extract_if(.., |offset| Some(*offset) != newest && !is_base(offset));
        for stray in strays.chain(late) {
            if_exists(self.dir.remove_file(&file_name(stray, SNAPSHOT)))?;
        }
        Ok(kept)
    }

    /// Writes the indexes that were made anew; those of the last segment stay in memory.
    fn close_segments(&mut self) -> Result<(), LogError> {
        let Some((_, closed)) = self.segments.split_last() else { return Ok(()) };
        for segment in closed {
            for file in segment.write_indexes(true)? {
                file.sync()?;
            }
            segment.seal();
        }
        Ok(())
    }
}

/// What the checkpoint says; `None` if it makes no sense, because the batches say it again.
fn stored_epochs(dir: &Directory) -> Result<Option<EpochCache>, LogError> {
    let entries = match read_epochs(dir.disk(), &dir.path()) {
        Ok(entries) => entries,
        Err(CheckpointError::Io(e)) => return Err(e.into()),
        Err(why) => {
            tracing::warn!(%why, "reading all batches for their leader epochs");
            return Ok(None);
        }
    };
    Ok(EpochCache::from_entries(entries).ok())
}
