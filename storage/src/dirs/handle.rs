//! One log directory: its small files, its partitions, and whether it still works.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::sync::Mutex;
use uuid::Uuid;

use super::{DirKind, DirsError, PartitionName, same_cluster};
use crate::checkpoint::{CheckpointError, CleanShutdown, MetaProperties, OffsetFile, Offsets};
use crate::disk::{Disk, Open, Verdict, replace_file, verdict};

/// Called once for a directory that broke, on the thread that noticed; must not block nor use the directory.
pub type OnFailure = Arc<dyn Fn(&DirHandle) + Send + Sync>;

/// The boot of the machine in which the directory was last used, until it fails.
const BOOT: &str = "boot.id";

/// A partition directory found in a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDir {
    pub path: PathBuf,
    pub partition: PartitionName,
    pub kind: DirKind,
}

/// A locked log directory. Once it has failed it stays offline until the next start.
pub struct DirHandle {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    id: Uuid,
    /// Held while one of the small files is replaced: they have one writer at a time.
    meta: Mutex<MetaProperties>,
    failure: OnceLock<String>,
    on_failure: OnFailure,
    _lock: Box<dyn Send + Sync>,
}

impl fmt::Debug for DirHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirHandle")
            .field("path", &self.path)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl DirHandle {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        meta: MetaProperties,
        lock: Box<dyn Send + Sync>,
        on_failure: OnFailure,
    ) -> DirHandle {
        let (id, failure) = (meta.directory_id.unwrap_or_default(), OnceLock::new());
        DirHandle { disk, path, id, meta: Mutex::new(meta), failure, on_failure, _lock: lock }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `directory.id` (KIP-858).
    pub fn id(&self) -> Uuid {
        self.id
    }

    pub fn is_online(&self) -> bool {
        self.failure.get().is_none()
    }

    /// Why it is offline.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Takes the directory offline; only the first reason counts and is told.
    pub fn fail(&self, why: &io::Error) {
        if self.failure.set(why.to_string()).is_err() {
            return;
        }
        tracing::error!(dir = %self.path.display(), error = %why, "log directory goes offline");
        // If even this fails, so will the next start on this directory.
        let _ = self.disk.remove(&self.path.join(BOOT));
        (self.on_failure)(self);
    }

    /// Fails the directory if `error` says that it is broken.
    pub fn judge(&self, error: &io::Error) -> Verdict {
        let verdict = verdict(error);
        if verdict == Verdict::Broken {
            self.fail(error);
        }
        verdict
    }

    /// Does `action` unless the directory is offline, and judges its error.
    pub fn run<T>(&self, action: impl FnOnce(&dyn Disk) -> io::Result<T>) -> io::Result<T> {
        if let Some(why) = self.failure() {
            return Err(io::Error::other(format!("log directory is offline: {why}")));
        }
        action(&*self.disk).inspect_err(|e| {
            self.judge(e);
        })
    }

    /// The partition directories in it. Other names are left alone.
    pub fn partitions(&self) -> io::Result<Vec<PartitionDir>> {
        let mut entries = self.run(|disk| disk.list(&self.path))?;
        entries.retain(|entry| entry.is_dir);
        let found = entries.iter().filter_map(|entry| {
            let (partition, kind) = PartitionName::parse(&entry.name)?;
            Some(PartitionDir { path: self.path.join(&entry.name), partition, kind })
        });
        Ok(found.collect())
    }

    pub fn read_offsets(&self, file: OffsetFile) -> Result<Offsets, CheckpointError> {
        self.checked(|disk| file.read(disk, &self.path))
    }

    /// Replaces a checkpoint by `offsets`: all partitions of this directory.
    pub fn write_offsets(&self, file: OffsetFile, offsets: &Offsets) -> io::Result<()> {
        let _one_writer = self.meta.lock();
        self.run(|disk| file.write(disk, &self.path, offsets))
    }

    /// Whether the last stop was clean. The mark is gone for good when this returns: call it before a log is written to.
    pub fn take_clean_shutdown(&self) -> Result<Option<CleanShutdown>, CheckpointError> {
        let _one_writer = self.meta.lock();
        self.checked(|disk| CleanShutdown::take(disk, &self.path))
    }

    /// Marks a clean stop: all logs are synced, closed, and their recovery points written.
    pub fn mark_clean_shutdown(&self, broker_epoch: i64) -> io::Result<()> {
        let _one_writer = self.meta.lock();
        self.run(|disk| CleanShutdown { broker_epoch }.write(disk, &self.path))
    }

    /// True if the directory was last used in this boot of the machine and has not failed since: then a crash of the
    /// process lost nothing that was written. A boot without a name is like no other.
    pub fn was_in_boot(&self, boot_id: &str) -> io::Result<bool> {
        let path = self.path.join(BOOT);
        Ok(!boot_id.is_empty() && self.run(|disk| holds(disk, &path, boot_id.as_bytes()))?)
    }

    /// Notes that the directory is used in this boot of the machine. Whatever an earlier boot lost is forgotten
    /// thereby: call it once the cluster knows of that.
    pub fn note_boot(&self, boot_id: &str) -> io::Result<()> {
        let _one_writer = self.meta.lock();
        let path = self.path.join(BOOT);
        self.run(|disk| match holds(disk, &path, boot_id.as_bytes())? {
            true => Ok(()),
            false => replace_file(disk, &path, boot_id.as_bytes()),
        })
    }

    pub(super) fn cluster_id(&self) -> Option<String> {
        self.meta.lock().cluster_id.clone()
    }

    pub(super) fn set_cluster_id(&self, id: &str) -> Result<(), DirsError> {
        let mut meta = self.meta.lock();
        if let Some(found) = &meta.cluster_id {
            return same_cluster(&self.path, found, id);
        }
        let known = MetaProperties { cluster_id: Some(id.to_owned()), ..meta.clone() };
        self.run(|disk| known.write(disk, &self.path))?;
        *meta = known;
        Ok(())
    }

    fn checked<T>(
        &self,
        read: impl FnOnce(&dyn Disk) -> Result<T, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        let result = self.run(|disk| Ok(read(disk)))?;
        if let Err(CheckpointError::Io(e)) = &result {
            self.judge(e);
        }
        result
    }
}

/// Whether the file exists and holds exactly `bytes`.
fn holds(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let file = match disk.open(path, Open::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let mut found = vec![0; bytes.len()];
    Ok(file.len()? == bytes.len() as u64 && file.read_at(&mut found, 0)? == bytes.len() && found == bytes)
}
