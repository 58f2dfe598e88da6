//! The one owner of a log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::out_of_descriptors;
use crate::epochs::EpochCache;
use crate::producers::Producers;
use crate::segment::Segment;
use crate::segment::directory::Directory;
use crate::sync::{ArcSwap, AtomicBool, Mutex, RwLock};

use super::active::Active;
use super::error::LogError;
use super::flush::Pending;
use super::reader::LogReader;
use super::removed::Removed;
use super::view::LogView;
use super::{LogConfig, Offset};

/// What the owner shares with readers and with syncs under way.
#[derive(Debug)]
pub(super) struct Shared {
    pub dir: Arc<Directory>,
    pub view: ArcSwap<LogView>,
    /// A write or sync left files in an unknown state.
    failed: AtomicBool,
    /// Held by the owner while files shrink, vanish or change names, and the view is not yet the one to that.
    pub surgery: RwLock<()>,
    /// Held during each sync. The flush round of the epochs that the checkpoint file holds.
    syncing: Mutex<u64>,
}

impl Shared {
    pub fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// What was to be synced may be lost, and a second try would not tell. What could not be opened has lost nothing.
    pub fn sync_failed(&self, error: &io::Error) {
        if !out_of_descriptors(error) {
            self.fail();
        }
    }

    /// Does `sync` alone, and not after one that failed: the kernel tells of lost bytes once, then calls them clean. It is
    /// given the flush round of the stored epochs.
    pub fn sync_alone(&self, sync: impl FnOnce(&mut u64) -> io::Result<()>) -> Result<(), LogError> {
        let mut stored_epochs = self.syncing.lock();
        if self.has_failed() {
            return Err(LogError::Failed);
        }
        Ok(sync(&mut stored_epochs).inspect_err(|error| self.sync_failed(error))?)
    }
}

/// Appends, truncates and removes; what it did shows in the views it publishes.
#[derive(Debug)]
pub struct LogWriter {
    pub(super) shared: Arc<Shared>,
    pub(super) config: LogConfig,
    /// By base offset; the last is `active.segment`.
    pub(super) segments: Arc<Vec<Arc<Segment>>>,
    pub(super) active: Active,
    pub(super) log_start_offset: Offset,
    pub(super) log_end_offset: Offset,
    /// All below is durable: the recovery point.
    pub(super) synced_end_offset: Offset,
    pub(super) epochs: Arc<EpochCache>,
    pub(super) producers: Producers,
    pub(super) pending: Pending,
    pub(super) removed: Vec<Removed>,
    pub(super) surgeries: u64,
    /// The newest snapshot of producer state.
    pub(super) snapshot_at: Option<Offset>,
}

impl LogWriter {
    /// The owner of a log that looks like `view`, which it publishes.
    pub(super) fn new(
        dir: Arc<Directory>,
        config: LogConfig,
        view: LogView,
        active: Active,
        producers: Producers,
        pending: Pending,
        snapshot_at: Option<Offset>,
    ) -> LogWriter {
        LogWriter {
            config,
            segments: view.segments.clone(),
            active,
            log_start_offset: view.log_start_offset,
            log_end_offset: view.log_end_offset,
            synced_end_offset: view.synced_end_offset,
            epochs: view.epochs.clone(),
            producers,
            pending,
            removed: Vec::new(),
            surgeries: view.surgeries,
            snapshot_at,
            shared: Arc::new(Shared {
                dir,
                view: ArcSwap::from_pointee(view),
                failed: AtomicBool::new(false),
                surgery: RwLock::new(()),
                syncing: Mutex::new(0),
            }),
        }
    }

    /// For any thread; stays valid as long as someone holds it.
    pub fn reader(&self) -> LogReader {
        LogReader::new(self.shared.clone())
    }

    /// The log as readers see it.
    pub fn view(&self) -> Arc<LogView> {
        self.shared.view.load_full()
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// In force from the next append, roll or retention on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    pub fn dir(&self) -> PathBuf {
        self.shared.dir.path()
    }

    /// Gives the directory another name in the same parent, durably; open readers go on. Waits for a sync under way: its
    /// files must not change their names under it.
    pub fn rename_dir(&mut self, to: &Path) -> Result<(), LogError> {
        let _between_syncs = self.shared.syncing.lock();
        Ok(self.shared.dir.rename(to)?)
    }

    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// The recovery point: all below is durable.
    pub fn synced_end_offset(&self) -> Offset {
        self.synced_end_offset
    }

    /// What is known of each producer.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// Where each leader epoch began.
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// Notes that this broker leads (or follows) in `epoch` from the log end on, before it appends anything.
    pub fn begin_epoch(&mut self, epoch: i32) {
        self.note_epoch(epoch, self.log_end_offset);
        self.publish();
    }

    /// Forgets an epoch in which nothing was written: whoever follows has no records of it, and the next may be of an older one.
    pub fn forget_unwritten_epoch(&mut self) {
        let log_end = self.log_end_offset;
        if self.epochs.latest().is_some_and(|latest| latest.start_offset >= log_end) {
            self.forget_epochs(|epochs| epochs.truncate_from_end(log_end));
            self.publish();
        }
    }

    /// Transactions decided below the high watermark no longer hold the last stable offset back.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        let before = self.producers.first_unstable();
        self.producers.on_high_watermark(high_watermark);
        if self.producers.first_unstable() != before {
            self.publish();
        }
    }

    /// An earlier write or sync failed: only reading goes on.
    pub fn has_failed(&self) -> bool {
        self.shared.has_failed()
    }

    pub(super) fn check_alive(&self) -> Result<(), LogError> {
        if self.has_failed() { Err(LogError::Failed) } else { Ok(()) }
    }

    pub(super) fn note_epoch(&mut self, epoch: i32, start_offset: Offset) {
        if self.epochs.latest().is_none_or(|latest| latest.epoch != epoch) {
            Arc::make_mut(&mut self.epochs).assign(epoch, start_offset);
            self.pending.epochs_changed();
        }
    }

    /// Runs `change`, which takes files away from under older views, and publishes what it leaves. If it fails half-way
    /// nobody knows what is there.
    pub(super) fn surgery(
        &mut self,
        change: impl FnOnce(&mut LogWriter) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        self.check_alive()?;
        let shared = self.shared.clone();
        let _until_published = shared.surgery.write();
        self.surgeries += 1;
        let done = change(self);
        if done.is_err() {
            shared.fail();
        }
        self.publish();
        done
    }

    /// Shows readers what the owner has. Everything in it must have been written.
    pub(super) fn publish(&self) {
        self.shared.view.store(Arc::new(self.current_view()));
    }

    fn current_view(&self) -> LogView {
        LogView {
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
            synced_end_offset: self.synced_end_offset,
            first_unstable_offset: self.producers.first_unstable(),
            epochs: self.epochs.clone(),
            segments: self.segments.clone(),
            active_len: self.active.len(),
            surgeries: self.surgeries,
        }
    }
}
