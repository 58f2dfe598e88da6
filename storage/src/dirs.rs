//! Log directories: whose they are, what is in them, and whether they still work.
//!
//! Nothing in a directory is changed before all have been looked at, so that a start that is refused leaves no trace.

mod handle;
mod name;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use crate::checkpoint::{CheckpointError, MetaProperties};
use crate::disk::{Disk, Verdict, create_dir_durably, verdict};

pub use handle::{DirHandle, OnFailure, PartitionDir};
pub use name::{DirKind, PartitionName};

/// The metadata log of an Apache Kafka node.
const KAFKA_METADATA: &str = "__cluster_metadata-0";
const LOCK: &str = ".lock";

/// Why the log directories cannot be used.
#[derive(Debug, Error)]
pub enum DirsError {
    #[error("{}: another process is using this log directory", .0.display())]
    InUse(PathBuf),
    #[error("{}: the log directory is configured twice", .0.display())]
    Twice(PathBuf),
    #[error("{}: holds a whole Apache Kafka node ({KAFKA_METADATA}), which cannot be taken over yet; nothing was changed", .0.display())]
    KafkaNode(PathBuf),
    #[error("{}: holds partitions but no meta.properties; it will not be formatted", .0.display())]
    Unformatted(PathBuf),
    #[error("{}: formatted for node.id {found}, configured is node.id {configured}", path.display())]
    NodeId { path: PathBuf, found: i32, configured: i32 },
    #[error("{}: belongs to cluster {found}, not to cluster {expected}", path.display())]
    ClusterId { path: PathBuf, found: String, expected: String },
    #[error("{} and {}: both have directory.id {id}; one is a copy of the other", first.display(), second.display())]
    SameId { first: PathBuf, second: PathBuf, id: String },
    #[error("no log directory is usable: {0}")]
    AllBroken(String),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl DirsError {
    /// Whether it concerns one directory that does not work, so that the others can go on without it.
    fn is_broken(&self) -> bool {
        match self {
            DirsError::Io(e) | DirsError::Checkpoint(CheckpointError::Io(e)) => verdict(e) == Verdict::Broken,
            _ => false,
        }
    }
}

/// The log directories of this node, each locked for as long as its handle lives.
#[derive(Debug)]
pub struct LogDirs {
    dirs: Vec<Arc<DirHandle>>,
    broken: Vec<(PathBuf, String)>,
}

/// A directory that is locked and looked at, but not changed otherwise.
struct Claimed {
    path: PathBuf,
    lock: Box<dyn Send + Sync>,
    /// `None`: to be formatted.
    meta: Option<MetaProperties>,
}

impl LogDirs {
    /// Opens `paths` for `node_id`; empty ones are formatted, with directory ids from `mint`. A path that does not
    /// work is left out as long as another does. `on_failure` hears once of each directory that breaks later.
    pub fn open(
        disk: &Arc<dyn Disk>,
        paths: &[PathBuf],
        node_id: i32,
        mint: &mut dyn FnMut() -> Uuid,
        on_failure: OnFailure,
    ) -> Result<LogDirs, DirsError> {
        refuse_early(&**disk, paths)?;
        let mut broken = Vec::new();
        let mut claimed = sound(paths.iter().map(|path| (path.clone(), claim(&**disk, path))), &mut broken)?;
        let cluster_id = verify(&claimed, node_id)?;
        let opened = claimed.drain(..).map(|Claimed { path, lock, meta }| {
            let meta = format(&**disk, &path, meta, node_id, cluster_id.clone(), mint);
            let open =
                |meta| Arc::new(DirHandle::new(disk.clone(), path.clone(), meta, lock, on_failure.clone()));
            (path.clone(), meta.map(open))
        });
        let dirs = sound(opened, &mut broken)?;
        if dirs.is_empty() {
            let reasons: Vec<String> = broken.into_iter().map(|(_, why)| why).collect();
            return Err(DirsError::AllBroken(reasons.join("; ")));
        }
        Ok(LogDirs { dirs, broken })
    }

    /// The directories that worked at the start, in the order configured.
    pub fn all(&self) -> &[Arc<DirHandle>] {
        &self.dirs
    }

    /// The paths that did not work at the start, and why.
    pub fn broken_at_start(&self) -> &[(PathBuf, String)] {
        &self.broken
    }

    /// Whether one is left that works.
    pub fn any_online(&self) -> bool {
        self.dirs.iter().any(|dir| dir.is_online())
    }

    pub fn by_id(&self, id: Uuid) -> Option<&Arc<DirHandle>> {
        self.dirs.iter().find(|dir| dir.id() == id)
    }

    /// The cluster that the directories belong to, if that is known yet.
    pub fn cluster_id(&self) -> Option<String> {
        self.dirs.iter().find_map(|dir| dir.cluster_id())
    }

    /// Writes the cluster's id into each directory that has none; refuses another. A directory that breaks thereby
    /// goes offline, as at any other time.
    pub fn set_cluster_id(&self, id: &str) -> Result<(), DirsError> {
        let set = |dir: &Arc<DirHandle>| match dir.set_cluster_id(id) {
            Err(e) if e.is_broken() => Ok(()),
            other => other,
        };
        self.dirs.iter().filter(|dir| dir.is_online()).try_for_each(set)
    }
}

/// Keeps what worked; directories that do not work are noted, any other error ends the start.
fn sound<T>(
    results: impl Iterator<Item = (PathBuf, Result<T, DirsError>)>,
    broken: &mut Vec<(PathBuf, String)>,
) -> Result<Vec<T>, DirsError> {
    let mut good = Vec::new();
    for (path, result) in results {
        match result {
            Err(e) if e.is_broken() => {
                tracing::error!(dir = %path.display(), error = %e, "log directory does not work and stays offline");
                broken.push((path, e.to_string()));
            }
            other => good.push(other?),
        }
    }
    Ok(good)
}

/// What can be refused without touching anything.
fn refuse_early(disk: &dyn Disk, paths: &[PathBuf]) -> Result<(), DirsError> {
    for (i, path) in paths.iter().enumerate() {
        if paths[..i].contains(path) {
            return Err(DirsError::Twice(path.clone()));
        }
        let entries = disk.list(path).unwrap_or_default();
        if entries.iter().any(|entry| entry.name == KAFKA_METADATA) {
            return Err(DirsError::KafkaNode(path.clone()));
        }
    }
    Ok(())
}

fn claim(disk: &dyn Disk, path: &Path) -> Result<Claimed, DirsError> {
    create_dir_durably(disk, path)?;
    // A killed process may have left partitions whose names are not durable yet; nobody else will sync them.
    disk.sync_dir(path)?;
    let lock = disk.lock(&path.join(LOCK)).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => DirsError::InUse(path.to_owned()),
        _ => e.into(),
    })?;
    let meta = MetaProperties::read(disk, path)?;
    let used =
        disk.list(path)?.iter().any(|entry| entry.is_dir && PartitionName::parse(&entry.name).is_some());
    if used && meta.is_none() {
        return Err(DirsError::Unformatted(path.to_owned()));
    }
    Ok(Claimed { path: path.to_owned(), lock, meta })
}

/// All directories must be this node's, of one cluster, and none a copy of another. Returns the cluster's id.
fn verify(claimed: &[Claimed], node_id: i32) -> Result<Option<String>, DirsError> {
    let mut cluster_id: Option<&String> = None;
    let mut ids = BTreeMap::new();
    for (path, meta) in claimed.iter().filter_map(|dir| Some((&dir.path, dir.meta.as_ref()?))) {
        if meta.node_id != node_id {
            return Err(DirsError::NodeId { path: path.clone(), found: meta.node_id, configured: node_id });
        }
        if let Some(first) = meta.directory_id.and_then(|id| ids.insert(id, path)) {
            let id = meta.directory_id.map(crate::kafka_uuid::encode).unwrap_or_default();
            return Err(DirsError::SameId { first: first.clone(), second: path.clone(), id });
        }
        if let Some(found) = &meta.cluster_id {
            let expected = cluster_id.get_or_insert(found);
            same_cluster(path, found, expected)?;
        }
    }
    Ok(cluster_id.cloned())
}

fn same_cluster(path: &Path, found: &str, expected: &str) -> Result<(), DirsError> {
    let error = || DirsError::ClusterId { path: path.into(), found: found.into(), expected: expected.into() };
    if found == expected { Ok(()) } else { Err(error()) }
}

/// Completes a directory's identity; what was there stays.
fn format(
    disk: &dyn Disk,
    path: &Path,
    found: Option<MetaProperties>,
    node_id: i32,
    cluster_id: Option<String>,
    mint: &mut dyn FnMut() -> Uuid,
) -> Result<MetaProperties, DirsError> {
    let old = found.clone().unwrap_or(MetaProperties { node_id, directory_id: None, cluster_id: None });
    let directory_id = Some(old.directory_id.unwrap_or_else(mint));
    let meta = MetaProperties { node_id, directory_id, cluster_id: old.cluster_id.or(cluster_id) };
    if found.as_ref() != Some(&meta) {
        meta.write(disk, path)?;
    }
    Ok(meta)
}
