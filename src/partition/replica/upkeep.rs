//! What keeps a partition's log in order: syncing, retention, checkpoints, and its end.

use super::{Inner, Replica, UnsyncedTail};
use crate::partition::restless::By;
use crate::types::{Mono, Now, Offset};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::log::{LogError, Retained, Unsynced};
use storage::producers::ProducerState;

/// Recovery after a crash reads what is not synced. These bound it: bytes of one log, and the age of the oldest.
const UNSYNCED_BYTES: u64 = 64 << 20;
const UNSYNCED_AGE: Duration = Duration::from_secs(60);

/// States of `flush_state`.
const IDLE: u8 = 0;
const RUNNING: u8 = 1;
/// Something was appended after the running sync took its snapshot: once more.
const RUNNING_AND_ASKED: u8 = 2;

/// What a directory's checkpoints say of one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    pub recovery_point: Offset,
    pub high_watermark: Offset,
    pub log_start: Offset,
}

impl Replica {
    /// True for the caller that has to start [`Replica::flush`] on a thread that may block; others are covered by it.
    pub(in crate::partition) fn ask_flush(&self) -> bool {
        let asked = |state| Some(if state == IDLE { RUNNING } else { RUNNING_AND_ASKED });
        self.flush_state.fetch_update(Ordering::AcqRel, Ordering::Acquire, asked) == Ok(IDLE)
    }

    /// Syncs until nobody has asked meanwhile: one fsync covers everything appended before it began. Blocks.
    pub fn flush(&self) {
        loop {
            if let Err(error) = self.sync_once() {
                self.sync_failed(&error);
            }
            if self.flush_state.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
            self.flush_state.store(RUNNING, Ordering::Release);
        }
    }

    /// What was synced of a retired log harms nobody: its files may be unlinked by now. What there were no descriptors for is
    /// synced by the keeper, as soon as there are.
    pub(super) fn sync_failed(&self, error: &LogError) {
        let mut inner = self.inner.lock();
        if inner.is_retired {
            tracing::debug!(partition = %self.name(), %error, "a log could not be synced after its end");
            return;
        }
        if !inner.log.has_failed() {
            tracing::warn!(partition = %self.name(), %error, "a log could not be synced; it is tried again");
            inner.unsynced = Some(UnsyncedTail { since: Now::default(), bytes: UNSYNCED_BYTES });
            self.stir.stir(By::Keeper);
            return;
        }
        self.resign(&mut inner);
        drop(inner);
        tracing::error!(partition = %self.name(), %error, "a log could not be synced; its directory goes offline");
        if let LogError::Io(error) = error {
            self.dir.fail(error);
        }
    }

    pub(super) fn sync_once(&self) -> Result<(), LogError> {
        let (Some(unsynced), bytes) = self.take_unsynced()? else { return Ok(()) };
        let synced = unsynced.sync()?;
        let mut inner = self.inner.lock();
        inner.log.synced(synced);
        inner.synced_bytes += bytes;
        self.settle(&mut inner);
        Ok(())
    }

    /// What to sync, and how many bytes were appended of it.
    fn take_unsynced(&self) -> Result<(Option<Unsynced>, u64), LogError> {
        let mut inner = self.inner.lock();
        let bytes = inner.unsynced.take().map_or(0, |unsynced| unsynced.bytes);
        Ok((inner.log.unsynced()?, bytes))
    }

    /// Bytes synced since this was last asked.
    pub(in crate::partition) fn take_synced_bytes(&self) -> u64 {
        std::mem::take(&mut self.inner.lock().synced_bytes)
    }

    /// Whether so much, or something so old, is unsynced that it should be synced now.
    pub(in crate::partition) fn is_flush_due(&self, now: Now) -> bool {
        self.flush_due(&self.inner.lock()).is_some_and(|due| due <= now.mono)
    }

    fn flush_due(&self, inner: &Inner) -> Option<Mono> {
        let unsynced = inner.unsynced.filter(|_| !inner.log.has_failed())?;
        let limit = Duration::from_millis(self.settings.load().flush_ms.max(0) as u64).min(UNSYNCED_AGE);
        let is_much = unsynced.bytes >= UNSYNCED_BYTES;
        Some(if is_much { Mono::default() } else { unsynced.since.mono.plus(limit) })
    }

    /// When the keeper should look again, even if nothing happens until then.
    pub(in crate::partition) fn next_upkeep(&self) -> Option<Mono> {
        let inner = self.inner.lock();
        self.flush_due(&inner).into_iter().chain(inner.log.next_deletion()).min()
    }

    /// Drops segments that retention lets go, and unlinks what was dropped a while ago. Blocks.
    pub fn retain(&self, now: Now) -> Result<Retained, LogError> {
        let mut inner = self.inner.lock();
        let high_watermark = inner.state.high_watermark();
        let retained = inner.log.retain(now, high_watermark);
        match &retained {
            Ok(retained) if retained.segments == 0 => {}
            Ok(_) => self.settle(&mut inner),
            Err(error) => {
                self.storage_error(&mut inner, error);
                self.settle(&mut inner);
            }
        }
        retained
    }

    /// Unlinks files that were dropped longer ago than `file.delete.delay.ms`. Blocks.
    pub fn delete_old_files(&self, now: Now) -> io::Result<()> {
        let deleted = self.inner.lock().log.delete_old_files(now);
        deleted.inspect_err(|error| _ = self.dir.judge(error))
    }

    /// What the checkpoints of its directory shall say.
    pub fn marked(&self) -> Marked {
        let inner = self.inner.lock();
        Marked {
            recovery_point: inner.log.synced_end_offset().min(inner.vouches_below),
            high_watermark: inner.state.high_watermark(),
            log_start: inner.log.log_start_offset(),
        }
    }

    /// Known producers and their state, by id.
    pub fn producers(&self) -> Vec<(i64, ProducerState)> {
        let inner = self.inner.lock();
        inner.log.producers().iter().map(|(id, state)| (id, state.clone())).collect()
    }

    /// Ends its leadership, so that everything that waits on it fails and nothing is appended any more.
    pub fn step_down(&self) {
        self.resign(&mut self.inner.lock());
    }

    /// Syncs and closes the log for a clean stop. Blocks.
    pub fn close(&self) -> Result<(), LogError> {
        self.step_down();
        self.inner.lock().log.close()
    }

    /// Gives up the partition: its directory gets the name `to`. Readers that hold its files go on reading.
    pub fn retire(&self, to: &Path) -> Result<(), LogError> {
        self.step_down();
        let mut inner = self.inner.lock();
        if let Err(error) = inner.log.rename_dir(to) {
            self.storage_error(&mut inner, &error);
            return Err(error);
        }
        inner.is_retired = true;
        Ok(())
    }

    /// Whether its log failed in a directory that works: the process lacked something, descriptors perhaps. It may be opened
    /// again; but then it leads on without remembering whom it asked to have in the ISR, so that has to be decided first.
    pub(in crate::partition) fn is_to_be_reopened(&self) -> bool {
        self.reader.has_failed() && self.dir.is_online() && !self.inner.lock().state.is_undecided()
    }

    /// The directory its files are in.
    pub fn path(&self) -> PathBuf {
        self.inner.lock().log.dir()
    }
}
