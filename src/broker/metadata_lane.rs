//! The metadata quorum, on a thread and a runtime of its own: what proves liveness never waits for data.

use super::metadata_thread::{self, Running};
use super::parts::{self, Parts};
use crate::cluster::controller::{FormCluster, Policy};
use crate::cluster::{Metadata, Seat};
use crate::config::{BrokerConfig, HostPort};
use crate::net::{self, BindError};
use crate::peer::{Address, FirstStart, FirstStartError, Me};
use crate::seam::{self, Thread};
use crate::types::{BrokerId, ErrorCode, Uuid};
use raft::{StartError, State};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::checkpoint::MetaProperties;
use storage::dirs::{DirKind, DirsError, LogDirs, PartitionDir};
use storage::disk::{Disk, Open, create_dir_durably, replace_file};
use storage::kafka_uuid;
use thiserror::Error;
use tokio::sync::{Mutex, oneshot};
use tokio::time::sleep;

/// The directory of the metadata log, within `metadata.log.dir`.
const DIRECTORY: &str = "drave-metadata";
/// Holds this node's id in the quorum: minted once per formatted directory, never used again by another.
const NODE_ID: &str = "raft-node.id";
const LOCK: &str = ".lock";
/// Between two attempts to form the cluster.
const AGAIN: Duration = Duration::from_millis(200);
/// How long one voter may take to take over.
const HAND_OVER: Duration = Duration::from_millis(300);
/// How long a stop waits for the disk. Whatever was answered is on it already.
const GRACE: Duration = Duration::from_secs(5);
/// After so long without a controller an operator wants to hear of it, again and again.
const PATIENCE: Duration = Duration::from_secs(10);
/// The quorum's leader says so often that it is there; who hears nothing for the longer times stands for election. Long
/// enough that two busy cores cause no election, short enough that a leader which is cut off is replaced within a second.
const HEARTBEAT: Duration = Duration::from_millis(100);
const ELECTION_MIN: Duration = Duration::from_millis(500);
const ELECTION_MAX: Duration = Duration::from_millis(800);

/// Partitions that one request may add: as many as Kafka allows.
const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

#[derive(Debug, Error)]
pub enum LaneError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    FirstStart(#[from] FirstStartError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Dirs(#[from] DirsError),
    #[error("{}: another process is using this metadata log", .0.display())]
    InUse(PathBuf),
    #[error("the metadata log cannot be used: {0}")]
    Failed(String),
    #[error(
        "CLUSTER_ID is {asked}, but these directories belong to cluster {found}; correct it or choose other directories"
    )]
    ClusterId { asked: String, found: String },
    #[error("{}: this metadata directory belongs to node {other}; correct node.id or metadata.log.dir", dir.display())]
    OtherNode { dir: PathBuf, other: BrokerId },
    #[error("the cluster could not be formed: {0}")]
    Form(ErrorCode),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The running quorum.
pub struct MetadataLane {
    running: Running,
    /// Told why this node can be part of no cluster.
    no_cluster: Mutex<oneshot::Receiver<LaneError>>,
    first: FirstStart,
    asked_id: Option<String>,
    /// Stops the thread.
    stop: oneshot::Sender<()>,
    thread: Thread,
}

impl MetadataLane {
    /// Starts the quorum on its thread.
    pub async fn start(parts: &Parts, asked_id: Option<String>) -> Result<MetadataLane, LaneError> {
        let (tell, started) = oneshot::channel();
        let (lost, no_cluster) = oneshot::channel();
        let dir = parts.config.metadata_log_dir.join(DIRECTORY);
        let lock = claim(&*parts.env.disk, &dir)?;
        let setup = Setup::of(parts, dir, asked_id.clone())?;
        let first = setup.first.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = Thread::spawn("metadata", metadata_thread::run(setup, tell, lost, stopped), lock)?;
        let died = || LaneError::Failed("its thread ended".into());
        let running = started.await.map_err(|_| died())??;
        Ok(MetadataLane { running, no_cluster: Mutex::new(no_cluster), first, asked_id, stop, thread })
    }

    /// Waits for the cluster or forms it, and checks that it is the right one.
    pub async fn join(&self, parts: &Parts) -> Result<(), LaneError> {
        let mut no_cluster = self.no_cluster.lock().await;
        tokio::select! {
            formed = self.form(parts, self.asked_id.clone()) => formed,
            Ok(lost) = &mut *no_cluster => Err(lost),
        }
    }

    /// What runs on the thread.
    pub fn running(&self) -> &Running {
        &self.running
    }

    pub fn metadata(&self) -> Metadata {
        self.running.metadata.clone()
    }

    /// Whether this node is the only voter.
    pub fn is_alone(&self) -> bool {
        let status = self.running.metadata.status().borrow().clone();
        status.voters.keys().eq([&status.node_id])
    }

    /// Returns once the quorum has stopped by itself.
    pub async fn failure(&self) -> LaneError {
        let (mut status, mut failure) = (self.metadata().status(), self.metadata().failure());
        let failed = |status: &raft::Status| matches!(status.state, State::Failed(_));
        tokio::select! {
            Ok(status) = status.wait_for(failed) => match &status.state {
                State::Failed(why) => LaneError::Failed(why.clone()),
                _ => LaneError::Failed("it stopped".into()),
            },
            Ok(why) = failure.wait_for(|failure| failure.is_some()) => LaneError::Failed(why.clone().unwrap_or_default()),
        }
    }

    /// Has another voter lead, if this node does, and there is one that takes over soon.
    pub async fn hand_over(&self) {
        let mut status = self.running.metadata.status();
        let now = status.borrow().clone();
        let others = now.voters.keys().filter(|id| **id != now.node_id);
        for other in others {
            if !status.borrow().is_leader() {
                return;
            }
            self.running.quorum.transfer(*other).await;
            let taken = |status: &raft::Status| status.leader.is_some_and(|leader| leader != status.node_id);
            // One that lags does not take over.
            let _ = tokio::time::timeout(HAND_OVER, status.wait_for(taken)).await;
        }
    }

    /// Stops the quorum after what it accepted is on disk, unless the disk does not answer.
    pub async fn stop(self) {
        // An end that is gone means that the thread has ended, which is what is wanted.
        let _ = self.stop.send(());
        ended(self.thread).await;
    }

    async fn form(&self, parts: &Parts, asked_id: Option<String>) -> Result<(), LaneError> {
        self.ready().await?;
        if self.is_alone() {
            self.first.check_alone(&self.running.members).await?;
        }
        let known = parts.dirs.cluster_id().or(identity(parts)?.and_then(|known| known.cluster_id));
        let wanted = known.or(asked_id.clone()).unwrap_or_else(|| kafka_uuid::encode(kafka_uuid::fresh()));
        let form = FormCluster { cluster_id: wanted, features: parts::finalised() };
        let found = loop {
            match self.running.metadata.submit(form.clone()).await {
                // It changes nothing the second time.
                Err(ErrorCode::NotController | ErrorCode::RequestTimedOut) => {
                    tracing::info!("no controller decides yet: a majority of the voters must be up");
                    sleep(AGAIN).await;
                }
                formed => break formed.map_err(LaneError::Form)?,
            }
        };
        if let Some(asked) = asked_id.filter(|asked| *asked != found) {
            return Err(LaneError::ClusterId { asked, found });
        }
        parts.dirs.set_cluster_id(&found)?;
        note_cluster_id(parts, &found)
    }

    /// Waits until someone may decide.
    async fn ready(&self) -> Result<(), LaneError> {
        let mut status = self.running.metadata.status();
        let settled =
            |status: &raft::Status| status.leader.is_some() || matches!(status.state, State::Failed(_));
        loop {
            match tokio::time::timeout(PATIENCE, status.wait_for(settled)).await {
                Err(_) => tracing::info!("there is no controller yet: a majority of the voters must be up"),
                Ok(Err(_)) => return Err(LaneError::Failed("it stopped".into())),
                Ok(Ok(status)) => match &status.state {
                    State::Failed(why) => return Err(LaneError::Failed(why.clone())),
                    _ => return Ok(()),
                },
            }
        }
    }
}

async fn ended(thread: Thread) {
    match tokio::time::timeout(GRACE, thread.join()).await {
        Ok(true) => {}
        Ok(false) => tracing::error!("the metadata thread panicked while stopping"),
        Err(_) => tracing::error!("the metadata log does not stop: its disk does not answer"),
    }
}

/// What the thread needs.
pub struct Setup {
    pub settings: raft::Settings,
    pub disk: Arc<dyn Disk>,
    pub seat: Seat,
    pub first: FirstStart,
    /// Where other nodes are answered: name and address to bind.
    pub listeners: Vec<(String, HostPort)>,
    pub backlog: i32,
    pub server: net::Settings,
    /// The listener by which brokers reach each other.
    pub broker_listener: String,
    /// How long a broker may be silent.
    pub session: Duration,
    /// How often leaderships are moved back to preferred leaders, if they are.
    pub balance: Option<Duration>,
}

impl Setup {
    fn of(parts: &Parts, dir: PathBuf, asked_id: Option<String>) -> Result<Setup, LaneError> {
        let (disk, config) = (parts.env.disk.clone(), &parts.config);
        let node_id = raft_node_id(&*disk, &dir)?;
        let seat = Seat {
            node: config.node_id,
            policy: Policy {
                config: BrokerConfig::clone(config),
                max_partitions_per_request: MAX_PARTITIONS_PER_REQUEST,
            },
            clock: parts.clock,
            fresh_id: Box::new(kafka_uuid::fresh),
        };
        let settings = raft::Settings {
            lane: seam::disk_lane(),
            heartbeat: HEARTBEAT,
            election_min: ELECTION_MIN,
            election_max: ELECTION_MAX,
            ..raft::Settings::new(node_id, dir.clone())
        };
        let listeners =
            config.listeners.iter().filter(|one| config.controller_listener_names.contains(&one.name));
        Ok(Setup {
            first: FirstStart {
                data: partitions_of_a_cluster(&parts.dirs)?.map(|path| (dir.clone(), path)),
                ..first_start(config, (node_id, directory_id(parts)?), known_id(parts, asked_id)?)
            },
            settings,
            disk,
            seat,
            listeners: listeners.map(|one| (one.name.clone(), one.address.clone())).collect(),
            backlog: config.socket_listen_backlog,
            server: parts::server_settings(config),
            broker_listener: config.inter_broker_listener_name.clone(),
            session: Duration::from_millis(config.broker_session_timeout_ms.max(1) as u64),
            balance: config
                .auto_leader_rebalance
                .then(|| Duration::from_secs(config.leader_imbalance_check_interval_seconds.max(1) as u64)),
        })
    }
}

fn first_start(
    config: &BrokerConfig,
    (member, directory): (u64, Uuid),
    cluster_id: Option<String>,
) -> FirstStart {
    let named = config.controller_quorum_voters.iter().map(|voter| (Some(voter.id), voter.address.clone()));
    let mut voters: Vec<_> = named.collect();
    if voters.is_empty() {
        voters.extend(config.controller_quorum_bootstrap_servers.iter().map(|at| (None, at.clone())));
    }
    let own = voters.iter().find(|(id, _)| *id == Some(config.node_id)).map(|(_, at)| at.clone());
    // A sole voter need not be reached by anybody.
    voters.retain(|(id, _)| *id != Some(config.node_id) || config.controller_quorum_voters.len() > 1);
    let at = own.unwrap_or_else(|| for_nodes(config));
    let (node, is_controller) = (config.node_id, config.roles.controller);
    let me = Me { member, address: Address { node, at, directory, is_controller } };
    FirstStart { me, cluster_id, data: None, voters }
}

/// The cluster that this node is meant for, if that is known.
fn known_id(parts: &Parts, asked_id: Option<String>) -> Result<Option<String>, LaneError> {
    let noted = identity(parts)?.and_then(|known| known.cluster_id);
    Ok(parts.dirs.cluster_id().or(noted).or(asked_id))
}

/// What stands in the metadata directory's own `meta.properties`, as in Kafka's; `None` if it is a log directory, or has
/// none yet.
fn identity(parts: &Parts) -> Result<Option<MetaProperties>, LaneError> {
    let (disk, dir) = (&*parts.env.disk, &*parts.config.metadata_log_dir);
    if parts.dirs.all().iter().any(|log_dir| log_dir.path() == dir) {
        return Ok(None);
    }
    MetaProperties::read(disk, dir).map_err(|error| LaneError::Failed(error.to_string()))
}

/// The id of the metadata directory; minted if it is none of the log directories and has none.
fn directory_id(parts: &Parts) -> Result<Uuid, LaneError> {
    let (disk, dir) = (&*parts.env.disk, &*parts.config.metadata_log_dir);
    if let Some(log_dir) = parts.dirs.all().iter().find(|log_dir| log_dir.path() == dir) {
        return Ok(log_dir.id());
    }
    let found = identity(parts)?;
    if let Some(other) =
        found.as_ref().map(|found| found.node_id).filter(|node| *node != parts.config.node_id)
    {
        return Err(LaneError::OtherNode { dir: dir.to_owned(), other });
    }
    if let Some(id) = found.as_ref().and_then(|found| found.directory_id) {
        return Ok(id);
    }
    let (node_id, id) = (parts.config.node_id, kafka_uuid::fresh());
    let cluster_id = found.and_then(|found| found.cluster_id);
    MetaProperties { node_id, directory_id: Some(id), cluster_id }.write(disk, dir)?;
    Ok(id)
}

/// Has the metadata directory name its cluster: Kafka's tools want to read it there.
fn note_cluster_id(parts: &Parts, cluster_id: &str) -> Result<(), LaneError> {
    match identity(parts)? {
        Some(known) if known.cluster_id.is_none() => {
            let cluster_id = Some(cluster_id.to_owned());
            let (disk, dir) = (&*parts.env.disk, &*parts.config.metadata_log_dir);
            Ok(MetaProperties { cluster_id, ..known }.write(disk, dir)?)
        }
        _ => Ok(()),
    }
}

/// Where other nodes reach this one: by its controller's listener, or that for brokers if it is none.
fn for_nodes(config: &BrokerConfig) -> HostPort {
    if let Some(told) = &config.advertised_controller {
        return told.clone();
    }
    let bound = config.listeners.iter().find(|one| config.controller_listener_names.contains(&one.name));
    let told = &config.advertised_listeners;
    let told = told.iter().find(|one| one.name == config.inter_broker_listener_name);
    let found = bound.or(told).map(|one| one.address.clone());
    let at = found.unwrap_or(HostPort { host: String::new(), port: 0 });
    // All interfaces of this machine have its name.
    let is_any = ["", "0.0.0.0", "::"].contains(&at.host.as_str());
    let host = if is_any { config.host_name().to_owned() } else { at.host };
    HostPort { host, port: at.port }
}

/// A partition of a cluster among the data: an empty metadata log beside it would put it aside.
fn partitions_of_a_cluster(dirs: &LogDirs) -> io::Result<Option<PathBuf>> {
    if dirs.cluster_id().is_none() {
        return Ok(None);
    }
    for data in dirs.all() {
        let found = match data.partitions() {
            Err(_) if !data.is_online() => continue,
            found => found?,
        };
        let in_use = |found: &PartitionDir| matches!(found.kind, DirKind::Current | DirKind::Future);
        if let Some(partition) = found.into_iter().find(in_use) {
            return Ok(Some(partition.path));
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

#[cfg(test)]
mod tests {
    use super::*;
    use storage::disk::fault::{Errno, Fault, FaultDisk, Op, When};

    const DIR: &str = "/meta/drave-metadata";

    #[tokio::test(start_paused = true)]
    async fn a_stop_does_not_wait_for_a_disk_without_end() {
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let thread = Thread::spawn("stuck", async move { _ = stuck.recv() }, ()).unwrap();
        ended(thread).await;
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
