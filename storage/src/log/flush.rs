//! Durability, off the hot path: what is unsynced is taken under the owner's lock, synced outside of it, then noted.
//!
//! ```text
//! owner:   unsynced() ─┐                    ┌─ synced(..): the recovery point moves
//! I/O thread:          └─ Unsynced::sync() ─┘  or fails: the log has failed for good
//! ```

use std::io;
use std::sync::Arc;

use crate::checkpoint::write_epochs;
use crate::disk::File;
use crate::epochs::EpochCache;

use super::Offset;
use super::error::LogError;
use super::writer::{LogWriter, Shared};

/// What must be synced before the recovery point may move, besides the active segment's log.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Counts what was handed out to be synced: everything noted since then bears a higher number than it.
    round: u64,
    files: Vec<(u64, Arc<dyn File>)>,
    names: Option<u64>,
    /// The epochs differ from those in the checkpoint file.
    epochs: Option<u64>,
    /// Syncs begun before this round say nothing of the log as it is after a truncation.
    valid_from: u64,
}

impl Pending {
    pub fn file(&mut self, file: Arc<dyn File>) {
        self.files.push((self.round, file));
    }

    /// A file was made, renamed or removed.
    pub fn names_changed(&mut self) {
        self.names = Some(self.round);
    }

    pub fn has_names(&self) -> bool {
        self.names.is_some()
    }

    /// The epochs go to their file with the next sync, not earlier: a change of leader costs no fsync of its own.
    pub fn epochs_changed(&mut self) {
        self.epochs = Some(self.round);
    }

    /// The log has been cut: what is being synced now may be gone.
    pub fn disregard_running(&mut self) {
        self.round += 1;
        self.valid_from = self.round;
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.has_names()
    }

    /// Whether the sync of `round` is of the log as it is.
    fn done(&mut self, round: u64) -> bool {
        self.files.retain(|(at, _)| *at > round);
        self.names = self.names.filter(|at| *at > round);
        self.epochs = self.epochs.filter(|at| *at > round);
        round >= self.valid_from
    }
}

/// Bytes and names that a power cut would take, and how far the log is durable once they are synced.
#[derive(Debug)]
#[must_use = "only `sync` makes anything durable"]
pub struct Unsynced {
    shared: Arc<Shared>,
    files: Vec<Arc<dyn File>>,
    names: bool,
    epochs: Option<Arc<EpochCache>>,
    up_to: Offset,
    round: u64,
}

/// Proof that an [`Unsynced`] reached the disk.
#[derive(Debug)]
#[must_use = "the log learns of it through `LogWriter::synced`"]
pub struct Synced {
    up_to: Offset,
    round: u64,
}

impl Unsynced {
    /// The log end at which it was taken.
    pub fn up_to(&self) -> Offset {
        self.up_to
    }

    /// Blocks until all is durable. On an error the log has failed: nothing is retried, the directory goes offline. Only out
    /// of descriptors nothing was lost, and what was to be synced is still to be.
    pub fn sync(self) -> Result<Synced, LogError> {
        self.shared.sync_alone(|stored_epochs| self.try_sync(stored_epochs))?;
        Ok(Synced { up_to: self.up_to, round: self.round })
    }

    fn try_sync(&self, stored_epochs: &mut u64) -> io::Result<()> {
        for file in &self.files {
            file.sync()?;
        }
        if self.names {
            self.shared.dir.sync()?;
        }
        self.store_epochs(stored_epochs)
    }

    /// Of two syncs, the later one's epochs stay.
    fn store_epochs(&self, stored: &mut u64) -> io::Result<()> {
        let Some(epochs) = &self.epochs else { return Ok(()) };
        if self.round >= *stored {
            let dir = &self.shared.dir;
            dir.files().making_room(|| write_epochs(dir.disk(), &dir.path(), epochs.entries()))?;
            *stored = self.round;
        }
        Ok(())
    }
}

impl LogWriter {
    /// What to sync so that everything appended so far is durable; `None` if it is.
    pub fn unsynced(&mut self) -> Result<Option<Unsynced>, LogError> {
        self.check_alive()?;
        if self.synced_end_offset >= self.log_end_offset && self.pending.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.take_unsynced()))
    }

    fn take_unsynced(&mut self) -> Unsynced {
        let round = self.pending.round;
        self.pending.round += 1;
        let sealed = self.pending.files.iter().map(|(_, file)| file.clone());
        Unsynced {
            shared: self.shared.clone(),
            files: sealed.chain(self.active.unsynced_file()).collect(),
            names: self.pending.has_names(),
            epochs: self.pending.epochs.map(|_| self.epochs.clone()),
            up_to: self.log_end_offset,
            round,
        }
    }

    /// Makes all durable and leaves the files so that the next open need not look into them. Blocks.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.check_alive()?;
        let unchanged = self.synced_end_offset >= self.log_end_offset && self.pending.is_empty();
        if unchanged && self.pending.epochs.is_none() && self.snapshot_at == Some(self.log_end_offset) {
            return Ok(());
        }
        self.close_active()?;
        let done = self.take_unsynced().sync()?;
        self.synced(done);
        Ok(())
    }

    /// Moves the recovery point, and shows it.
    pub fn synced(&mut self, done: Synced) {
        if self.pending.done(done.round) && done.up_to > self.synced_end_offset {
            self.synced_end_offset = done.up_to;
            self.publish();
        }
        if self.synced_end_offset == self.log_end_offset {
            self.active.release_file();
        }
    }
}
