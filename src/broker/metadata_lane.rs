//! The metadata quorum, on a thread and a runtime of its own: what proves liveness never waits for data.

use super::parts::{self, Parts};
use crate::cluster::controller::{FormCluster, Policy};
use crate::cluster::{Images, Metadata, MetadataMachine, Seat};
use crate::config::BrokerConfig;
use crate::types::{ErrorCode, Uuid};
use raft::{Alone, InitializeError, Quorum, StartError, State};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::dirs::{DirKind, DirsError, LogDirs, PartitionDir};
use storage::disk::{Disk, Open, create_dir_durably, replace_file};
use storage::kafka_uuid;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

/// The directory of the metadata log, within `metadata.log.dir`.
const DIRECTORY: &str = "drave-metadata";
/// Holds this node's id in the quorum: minted once per formatted directory, never used again by another.
const NODE_ID: &str = "raft-node.id";
const LOCK: &str = ".lock";
/// How long a start waits for the quorum.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a stop waits for the disk. Whatever was answered is on it already.
const GRACE: Duration = Duration::from_secs(5);

/// Partitions that one request may add: as many as Kafka allows.
const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

#[derive(Debug, Error)]
pub enum LaneError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Initialize(#[from] InitializeError),
    #[error(transparent)]
    Dirs(#[from] DirsError),
    #[error("{}: another process is using this metadata log", .0.display())]
    InUse(PathBuf),
    #[error("the metadata log cannot be used: {0}")]
    Failed(String),
    #[error("the metadata quorum was not ready within {} s", PATIENCE.as_secs())]
    NotReady,
    #[error(
        "CLUSTER_ID is {asked}, but these directories belong to cluster {found}; correct it or choose other directories"
    )]
    ClusterId { asked: String, found: String },
    #[error(
        "{}: holds no metadata, but {} is a partition of cluster {cluster}; restore that cluster's metadata.log.dir, or move its partitions away to begin a new cluster; no partition was touched", metadata.display(), partition.display()
    )]
    MetadataLost { metadata: PathBuf, partition: PathBuf, cluster: String },
    #[error("the cluster could not be formed: {0}")]
    Form(ErrorCode),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The running quorum.
pub struct MetadataLane {
    metadata: Metadata,
    status: watch::Receiver<raft::Status>,
    thread: Thread,
}

/// The quorum's thread.
struct Thread {
    stop: oneshot::Sender<()>,
    /// Its other end goes with the thread.
    ended: oneshot::Receiver<()>,
    handle: std::thread::JoinHandle<()>,
}

impl MetadataLane {
    /// Starts the quorum on its thread, forms the cluster if there is none, and checks that it is the right one.
    pub async fn start(parts: &Parts, asked_id: Option<String>) -> Result<MetadataLane, LaneError> {
        let (tell, started) = oneshot::channel();
        let dir = parts.config.metadata_log_dir.join(DIRECTORY);
        let lock = claim(&*parts.env.disk, &dir)?;
        let setup = Setup::of(parts, dir)?;
        let thread = Thread::spawn(move |stopped| {
            run(setup, tell, stopped);
            drop(lock);
        })?;
        let died = || LaneError::Failed("its thread ended".into());
        let (metadata, status) = started.await.map_err(|_| died())??;
        let lane = MetadataLane { metadata, status, thread };
        lane.form(parts, asked_id).await?;
        Ok(lane)
    }

    pub fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    /// Whether this node is the only voter.
    pub fn is_alone(&self) -> bool {
        let status = self.status.borrow();
        status.voters.keys().eq([&status.node_id])
    }

    /// Returns once the quorum has stopped by itself.
    pub async fn failure(&self) -> LaneError {
        let (mut status, mut failure) = (self.status.clone(), self.metadata.failure());
        let failed = |status: &raft::Status| matches!(status.state, State::Failed(_));
        tokio::select! {
            Ok(status) = status.wait_for(failed) => match &status.state {
                State::Failed(why) => LaneError::Failed(why.clone()),
                _ => LaneError::Failed("it stopped".into()),
            },
            Ok(why) = failure.wait_for(|failure| failure.is_some()) => LaneError::Failed(why.clone().unwrap_or_default()),
        }
    }

    /// Stops the quorum after what it accepted is on disk, unless the disk does not answer.
    pub async fn stop(self) {
        self.thread.stop().await;
    }

    async fn form(&self, parts: &Parts, asked_id: Option<String>) -> Result<(), LaneError> {
        self.ready().await?;
        let known = parts.dirs.cluster_id();
        let wanted = known.or(asked_id.clone()).unwrap_or_else(|| kafka_uuid::encode(Uuid::new_v4()));
        let form = FormCluster { cluster_id: wanted, features: parts::finalised() };
        let found = self.metadata.submit(form).await.map_err(LaneError::Form)?;
        if let Some(asked) = asked_id.filter(|asked| *asked != found) {
            return Err(LaneError::ClusterId { asked, found });
        }
        Ok(parts.dirs.set_cluster_id(&found)?)
    }

    /// Waits until this node may decide.
    async fn ready(&self) -> Result<(), LaneError> {
        let mut status = self.status.clone();
        let settled = |status: &raft::Status| status.leader_ready || matches!(status.state, State::Failed(_));
        let settled = tokio::time::timeout(PATIENCE, status.wait_for(settled)).await;
        let status = settled.map_err(|_| LaneError::NotReady)?.map_err(|_| LaneError::NotReady)?;
        match &status.state {
            State::Failed(why) => Err(LaneError::Failed(why.clone())),
            _ => Ok(()),
        }
    }
}

impl Thread {
    fn spawn(work: impl FnOnce(oneshot::Receiver<()>) + Send + 'static) -> io::Result<Thread> {
        let (stop, stopped) = oneshot::channel();
        let (alive, ended) = oneshot::channel();
        let handle = std::thread::Builder::new().name("metadata".into()).spawn(move || {
            let _alive: oneshot::Sender<()> = alive;
            work(stopped);
        })?;
        Ok(Thread { stop, ended, handle })
    }

    async fn stop(self) {
        // An end that is gone means that the thread has ended, which is what is wanted.
        let _ = self.stop.send(());
        if tokio::time::timeout(GRACE, self.ended).await.is_err() {
            tracing::error!("the metadata log does not stop: its disk does not answer");
        } else if self.handle.join().is_err() {
            tracing::error!("the metadata thread panicked while stopping");
        }
    }
}

/// What the thread needs.
struct Setup {
    settings: raft::Settings,
    disk: Arc<dyn Disk>,
    seat: Seat,
    /// Why a log that is empty must not be begun.
    lost: Option<LaneError>,
}

impl Setup {
    fn of(parts: &Parts, dir: PathBuf) -> Result<Setup, LaneError> {
        let disk = parts.env.disk.clone();
        let node_id = raft_node_id(&*disk, &dir)?;
        let seat = Seat {
            node: parts.config.node_id,
            policy: Policy {
                config: BrokerConfig::clone(&parts.config),
                max_partitions_per_request: MAX_PARTITIONS_PER_REQUEST,
            },
            clock: parts.clock,
            fresh_id: Box::new(Uuid::new_v4),
        };
        let lost = metadata_lost(&parts.dirs, &dir)?;
        Ok(Setup { settings: raft::Settings::new(node_id, dir), disk, seat, lost })
    }
}

/// What an empty log in `dir` means where there are partitions of a cluster: a new one would put them all aside.
fn metadata_lost(dirs: &LogDirs, dir: &Path) -> io::Result<Option<LaneError>> {
    let Some(cluster) = dirs.cluster_id() else { return Ok(None) };
    for data in dirs.all() {
        let found = match data.partitions() {
            Err(_) if !data.is_online() => continue,
            found => found?,
        };
        let in_use = |found: &PartitionDir| matches!(found.kind, DirKind::Current | DirKind::Future);
        if let Some(PartitionDir { path: partition, .. }) = found.into_iter().find(in_use) {
            return Ok(Some(LaneError::MetadataLost { metadata: dir.to_owned(), partition, cluster }));
        }
    }
    Ok(None)
}

/// Makes `dir` if it is missing, and keeps other processes from it until the lock is dropped. The locks of the log
/// directories do not cover it: it may lie elsewhere.
fn claim(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Send + Sync>, LaneError> {
    create_dir_durably(disk, dir)?;
    disk.lock(&dir.join(LOCK)).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => LaneError::InUse(dir.to_owned()),
        _ => error.into(),
    })
}

/// The id in `dir`, minted if there is none.
fn raft_node_id(disk: &dyn Disk, dir: &Path) -> Result<u64, LaneError> {
    let path = dir.join(NODE_ID);
    let file = match disk.open(&path, Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return mint_node_id(disk, &path),
        file => file?,
    };
    let mut text = vec![0; file.len()?.min(32) as usize];
    file.read_exact_at(&mut text, 0)?;
    let text = String::from_utf8_lossy(&text);
    let malformed = || LaneError::Failed(format!("{}: {text:?} is not a node id", path.display()));
    text.trim().parse().map_err(|_| malformed())
}

fn mint_node_id(disk: &dyn Disk, path: &Path) -> Result<u64, LaneError> {
    let id = (Uuid::new_v4().as_u128() as u64) >> 1;
    replace_file(disk, path, id.to_string().as_bytes())?;
    Ok(id)
}

type Started = Result<(Metadata, watch::Receiver<raft::Status>), LaneError>;

fn run(setup: Setup, tell: oneshot::Sender<Started>, stopped: oneshot::Receiver<()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(tell.send(Err(error.into()))),
    };
    runtime.block_on(async {
        let (machine, images) = MetadataMachine::new();
        match start(setup, machine, images).await {
            Err(error) => drop(tell.send(Err(error))),
            Ok((quorum, metadata)) => {
                // The starter is gone only if the process is ending.
                let _ = tell.send(Ok((metadata, quorum.status())));
                let _ = stopped.await;
                quorum.shutdown().await;
            }
        }
    });
}

async fn start(
    setup: Setup,
    machine: MetadataMachine,
    images: Images,
) -> Result<(Quorum, Metadata), LaneError> {
    let Setup { settings, disk, seat, lost } = setup;
    let id = settings.node_id;
    let quorum = Quorum::start(settings, disk, Box::new(machine), Alone).await?;
    if quorum.is_empty() {
        if let Some(lost) = lost {
            quorum.shutdown().await;
            return Err(lost);
        }
        quorum.initialize(BTreeMap::from([(id, String::new())])).await?;
    }
    let metadata = Metadata::start(quorum.clone(), images, seat);
    Ok((quorum, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::disk::fault::{Errno, Fault, FaultDisk, Op, When};

    const DIR: &str = "/meta/drave-metadata";

    #[tokio::test(start_paused = true)]
    async fn a_stop_does_not_wait_for_a_disk_without_end() {
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let thread = Thread::spawn(move |_| _ = stuck.recv()).unwrap();
        thread.stop().await;
        assert!(release.send(()).is_ok(), "it is stuck still");
    }

    #[test]
    fn one_process_at_a_time_has_the_directory_and_its_name_is_durable() {
        for seed in 0..20 {
            let disk = FaultDisk::new(seed);
            let lock = claim(&disk, Path::new(DIR)).unwrap();
            assert!(
                matches!(claim(&disk, Path::new(DIR)), Err(LaneError::InUse(dir)) if dir == Path::new(DIR))
            );
            drop(lock);
            assert!(claim(&disk, Path::new(DIR)).is_ok());
            let id = raft_node_id(&disk, Path::new(DIR)).unwrap();
            disk.crash();
            assert_eq!(raft_node_id(&disk, Path::new(DIR)).ok(), Some(id), "seed {seed}");
        }
    }

    #[test]
    fn the_node_id_outlasts_a_shortage_of_descriptors() {
        let disk = FaultDisk::new(1);
        disk.create_dir(Path::new(DIR)).unwrap();
        let id = raft_node_id(&disk, Path::new(DIR)).unwrap();
        disk.inject(Fault { op: Op::Open, under: DIR.into(), when: When::Nth(1), errno: Errno::MFILE });
        assert!(raft_node_id(&disk, Path::new(DIR)).is_err());
        assert_eq!(raft_node_id(&disk, Path::new(DIR)).unwrap(), id);
    }
}
