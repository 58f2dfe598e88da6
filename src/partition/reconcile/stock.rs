//! What the log directories held when the process started.

use crate::partition::replica::Marked;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use storage::checkpoint::{CheckpointError, OffsetFile, Offsets};
use storage::dirs::{DirHandle, DirKind, LogDirs, PartitionDir, PartitionName};
use uuid::Uuid;

/// A partition directory found at the start.
pub(super) struct Found {
    pub dir: Arc<DirHandle>,
    pub path: PathBuf,
    pub name: PartitionName,
    pub kind: DirKind,
}

impl Found {
    fn new(dir: &Arc<DirHandle>, found: PartitionDir) -> Found {
        let PartitionDir { path, partition, kind } = found;
        Found { dir: dir.clone(), path, name: partition, kind }
    }
}

/// What the checkpoints say of one partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stocked {
    pub marked: Marked,
    pub clean: bool,
}

#[derive(Default)]
struct Checkpoints {
    clean: bool,
    recovery_points: Offsets,
    high_watermarks: Offsets,
    log_starts: Offsets,
}

impl Checkpoints {
    fn all(&self) -> [&Offsets; 3] {
        [&self.recovery_points, &self.high_watermarks, &self.log_starts]
    }
}

/// All directories, as found.
pub(super) struct Stock {
    checkpoints: HashMap<Uuid, Checkpoints>,
    found: Vec<Found>,
}

impl Stock {
    /// Reads the checkpoints and the names. A clean-shutdown mark is gone from here on.
    pub fn take(dirs: &LogDirs) -> io::Result<Stock> {
        let mut stock = Stock { checkpoints: HashMap::new(), found: vec![] };
        for dir in dirs.all() {
            stock.checkpoints.insert(dir.id(), checkpoints(dir));
            match dir.partitions() {
                Ok(partitions) => stock.found.extend(partitions.into_iter().map(|one| Found::new(dir, one))),
                // A directory that broke is offline: the others go on without it.
                Err(_) if !dir.is_online() && dirs.any_online() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(stock)
    }

    /// Whether every directory was marked as cleanly stopped.
    pub fn is_clean(&self) -> bool {
        self.checkpoints.values().all(|checkpoints| checkpoints.clean)
    }

    pub fn of(&self, dir: &DirHandle, name: &PartitionName) -> Stocked {
        let Some(checkpoints) = self.checkpoints.get(&dir.id()) else { return Stocked::default() };
        let offset = |offsets: &Offsets| offsets.get(name).copied().unwrap_or(0);
        let marked = Marked {
            recovery_point: offset(&checkpoints.recovery_points),
            high_watermark: offset(&checkpoints.high_watermarks),
            log_start: offset(&checkpoints.log_starts),
        };
        Stocked { marked, clean: checkpoints.clean }
    }

    /// The directories, handed out once.
    pub fn take_found(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.found)
    }

    /// The names that checkpoints have a row of, but none of the directories `found`.
    pub fn without_log(&self, found: &[Found]) -> Vec<(Uuid, PartitionName)> {
        let current = found.iter().filter(|found| found.kind == DirKind::Current);
        let current: HashSet<(Uuid, &PartitionName)> =
            current.map(|found| (found.dir.id(), &found.name)).collect();
        let rows = self.checkpoints.iter().flat_map(|(dir, checkpoints)| {
            checkpoints.all().into_iter().flat_map(|offsets| offsets.keys().map(|name| (*dir, name)))
        });
        rows.filter(|row| !current.contains(row)).map(|(dir, name)| (dir, name.clone())).collect()
    }

    /// What the checkpoints say of `name` was of a directory that is no longer its.
    pub fn strike(&mut self, dir: Uuid, name: &PartitionName) {
        if let Some(checkpoints) = self.checkpoints.get_mut(&dir) {
            let Checkpoints { recovery_points, high_watermarks, log_starts, .. } = checkpoints;
            for offsets in [recovery_points, high_watermarks, log_starts] {
                offsets.remove(name);
            }
        }
    }

    /// What is opened from now on is new: the checkpoints of the start say nothing of it.
    pub fn forget(&mut self) {
        self.checkpoints.clear();
    }
}

/// A checkpoint that cannot be read counts as empty: everything is checked, nothing is lost by it.
fn checkpoints(dir: &DirHandle) -> Checkpoints {
    let offsets = |file: OffsetFile| unless_broken(dir, dir.read_offsets(file));
    Checkpoints {
        recovery_points: offsets(OffsetFile::RecoveryPoint),
        high_watermarks: offsets(OffsetFile::HighWatermark),
        log_starts: offsets(OffsetFile::LogStart),
        clean: unless_broken(dir, dir.take_clean_shutdown()).is_some(),
    }
}

fn unless_broken<T: Default>(dir: &DirHandle, read: Result<T, CheckpointError>) -> T {
    read.unwrap_or_else(|error| {
        tracing::warn!(dir = %dir.path().display(), %error, "a checkpoint cannot be read; its logs are recovered without it");
        T::default()
    })
}
