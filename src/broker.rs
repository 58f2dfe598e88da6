//! The composition root: what a broker is made of, and in which order it starts and stops.
//!
//! ```text
//!  start  directories locked ─► listeners bound ─► metadata quorum ─► registered (fenced) ─► logs open ─► unfenced ─► serving
//!  stop   listeners closed, replies finished ─► groups closed ─► fenced ─► logs closed and marked clean ─► quorum stopped
//! ```

mod front;
mod metadata_lane;
mod metadata_thread;
mod parts;

use crate::api::{self, Node};
use crate::cluster::controller::{
    BeginShutdown, DirectoriesFailed, FenceBroker, RegisterBroker, UnfenceBroker,
};
use crate::cluster::{Image, Metadata, image};
use crate::config::Loaded;
use crate::net::{BindError, Server};
use crate::partition::keeper::{self, Keeper};
use crate::partition::reconcile::{Reconciler, RoleChange};
use crate::partition::table::Table;
use crate::partition::{driver, reconcile};
use crate::peer::{Heart, Wish};
use crate::replica::Proposals;
use crate::seam;
use crate::types::{ErrorCode, Uuid};
use front::Front;
use metadata_lane::{LaneError, MetadataLane};
use parts::Parts;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use storage::dirs::{DirsError, LogDirs};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How long a stop waits for replies that are under way.
const GRACE: Duration = Duration::from_secs(5);
/// How long a stop waits for the controller to fence this broker.
const FENCING: Duration = Duration::from_secs(1);

/// How long a start waits until the controller has fenced the process before it, which had other directories.
const REGISTRATION: Duration = Duration::from_secs(30);
/// Between two attempts to register.
const AGAIN: Duration = Duration::from_millis(200);

/// Why a broker did not start, or had to stop: one line for the operator.
#[derive(Debug, Error)]
pub enum BrokerError {
    #[error(transparent)]
    Dirs(#[from] DirsError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Metadata(#[from] LaneError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the controller refused to register this broker: {0}")]
    Refused(ErrorCode),
    #[error("another process has registered as node {0}: two nodes must not have the same node.id")]
    Replaced(i32),
    #[error("all log directories have failed")]
    AllDirsFailed,
}

/// A running node.
pub struct Broker {
    parts: Parts,
    lane: MetadataLane,
    server: Server,
    /// Absent in a node that is a controller only.
    serving: Option<Serving>,
}

/// The state of a broker that runs, for a simulation to check.
#[cfg(feature = "simulation")]
#[derive(Clone)]
pub struct View {
    pub metadata: Metadata,
    pub replicas: Arc<Table>,
}

/// What a broker is, beside being a member of the quorum.
struct Serving {
    node: Arc<Node>,
    incarnation: Uuid,
    epoch: i64,
    /// What writes to the directories in the background; finished before they are closed.
    chores: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    /// What the heartbeat says of this broker.
    wish: watch::Sender<Wish>,
}

impl Broker {
    /// Starts everything; when this returns, clients are served.
    pub async fn start(loaded: Loaded) -> Result<Broker, BrokerError> {
        let config = Arc::new(loaded.config);
        let parts = Parts::open(config.clone())?;
        let server = Server::new(parts::server_settings(&config));
        let listeners = parts::bind(&config)?;
        let advertised = parts::advertised(&config, &listeners)?;
        let lane = MetadataLane::start(&parts, loaded.cluster_id).await?;
        // A controller is reached by its own listener.
        let for_nodes = if config.roles.controller { "" } else { &*config.inter_broker_listener_name };
        let front = Arc::new(Front::new(lane.running().service.clone(), for_nodes));
        for listener in listeners {
            let listener = if listener.name() == for_nodes { listener.for_peers() } else { listener };
            let front = front.clone();
            server.serve(listener, move |peer, frame| front.clone().call(peer, frame));
        }
        let serving = tokio::select! {
            serving = Serving::join(&parts, &lane, advertised, &front) => serving?,
            failed = lane.failure() => return Err(failed.into()),
        };
        Ok(Broker { parts, lane, server, serving })
    }

    /// What a simulation looks at.
    #[cfg(feature = "simulation")]
    pub fn view(&self) -> View {
        View { metadata: self.lane.metadata(), replicas: self.parts.table.clone() }
    }

    /// Waits for what ends a broker from within.
    pub async fn failure(&self) -> BrokerError {
        tokio::select! {
            failed = self.lane.failure() => failed.into(),
            () = self.parts.all_dirs_failed() => BrokerError::AllDirsFailed,
            id = self.replaced() => BrokerError::Replaced(id),
        }
    }

    /// Returns once the cluster takes another process for this node.
    async fn replaced(&self) -> i32 {
        let Some(serving) = &self.serving else { return std::future::pending().await };
        let id = serving.node.id;
        let is_other = |image: &Arc<Image>| {
            image.brokers.get(id).is_some_and(|broker| broker.incarnation != serving.incarnation)
        };
        if self.lane.metadata().watch().wait_for(is_other).await.is_err() {
            std::future::pending::<()>().await;
        }
        id
    }

    /// Stops in order: others lead before this node is silent, and the next start need not recover anything.
    pub async fn stop(self) {
        if let Some(serving) = &self.serving {
            serving.hand_over(&self.lane).await;
        }
        self.lane.hand_over().await;
        self.server.stop(GRACE).await;
        if let Some(serving) = self.serving {
            serving.stop(&self.parts, &self.lane).await;
        }
        self.lane.stop().await;
    }
}

impl Serving {
    /// Waits for the cluster, and serves in it if this node is a broker.
    async fn join(
        parts: &Parts,
        lane: &MetadataLane,
        advertised: Advertised,
        front: &Front,
    ) -> Result<Option<Serving>, BrokerError> {
        lane.join(parts).await?;
        match parts.config.roles.broker {
            true => Serving::start(parts, lane, advertised, front).await.map(Some),
            false => Ok(None),
        }
    }

    async fn start(
        parts: &Parts,
        lane: &MetadataLane,
        advertised: Advertised,
        front: &Front,
    ) -> Result<Serving, BrokerError> {
        let (reconciler, inboxes) = reconciler(parts)?;
        let incarnation = Uuid::new_v4();
        let is_clean = parts.same_boot || reconciler.found_clean();
        let epoch = register(parts, lane, advertised, incarnation, is_clean).await?;
        parts.note_boot();
        let (isr, wanted) = Proposals::channel();
        let node = parts::node(parts, lane.metadata(), lane.running().service.admin.clone(), isr);
        let (stop, stopping) = watch::channel(false);
        let fetchers = parts::fetchers(parts, lane.metadata(), epoch);
        tokio::spawn(parts::isr_keeper(parts, lane.metadata(), epoch, wanted).run());
        let chores = run_chores(parts, &node, reconciler, inboxes, fetchers, incarnation, &stopping);
        let failures = (parts.dirs.clone(), parts.failures());
        tokio::spawn(tell_of_failed_dirs(failures, lane.metadata(), (node.id, epoch)));
        tokio::spawn(follow_topics(node.clone()));
        let (wish, wished) = watch::channel(Wish::Serve);
        let serving = Serving { node, incarnation, epoch, chores, stop, wish };
        serving.unfence(lane).await?;
        front.open(serving.node.clone());
        // From here on a fence is a mistake, which the heart mends.
        lane.running().runtime.spawn(heart(parts, lane, epoch, incarnation).run(wished));
        Ok(serving)
    }

    /// Says that this broker is ready, once its partitions are as the metadata says.
    async fn unfence(&self, lane: &MetadataLane) -> Result<(), BrokerError> {
        let metadata = lane.metadata();
        self.node.replicas.caught_up(metadata.image().applied.index).await;
        let unfence = UnfenceBroker { id: self.node.id, epoch: self.epoch };
        // It is idempotent.
        while let Err(code) = metadata.submit(unfence.clone()).await {
            match code {
                ErrorCode::NotController | ErrorCode::RequestTimedOut => sleep(AGAIN).await,
                code => return Err(BrokerError::Refused(code)),
            }
        }
        self.node.replicas.caught_up(metadata.image().applied.index).await;
        Ok(())
    }

    /// Lets others lead what they can. Without a controller the broker is fenced by its silence.
    async fn hand_over(&self, lane: &MetadataLane) {
        // Else it would say that it is ready again, should it be fenced too early.
        self.wish.send_replace(Wish::Leave);
        let shutdown = BeginShutdown { id: self.node.id, epoch: self.epoch };
        let _ = timeout(FENCING, lane.metadata().submit(shutdown)).await;
    }

    async fn stop(self, parts: &Parts, lane: &MetadataLane) {
        self.node.groups.close();
        self.wish.send_replace(Wish::Still);
        let id = self.node.id;
        let metadata = lane.metadata();
        // Without a controller the broker is fenced by its silence.
        let _ = timeout(FENCING, metadata.tell(FenceBroker { id, epoch: self.epoch })).await;
        self.stop.send_replace(true);
        for chore in self.chores {
            // One that panicked has ended too.
            let _ = chore.await;
        }
        let (table, dirs) = (parts.table.clone(), parts.dirs.clone());
        let epoch = self.epoch;
        let closed = seam::blocking(move || keeper::close_all(&table, &dirs, epoch)).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the logs were not closed; they are recovered at the next start");
        }
    }
}

/// Registers this process with the controller, fenced. Returns the broker's epoch.
async fn register(
    parts: &Parts,
    lane: &MetadataLane,
    listeners: Advertised,
    incarnation: Uuid,
    clean_start: bool,
) -> Result<i64, BrokerError> {
    let registration = RegisterBroker {
        id: parts.config.node_id,
        incarnation,
        listeners,
        rack: parts.config.rack.clone(),
        directories: parts.dirs.all().iter().map(|dir| dir.id()).collect(),
        features: parts::features(),
        boot_id: parts.boot_id.clone(),
        clean_start,
    };
    let patience = Instant::now() + REGISTRATION;
    loop {
        match lane.metadata().submit(registration.clone()).await {
            Err(ErrorCode::DuplicateBrokerRegistration) if lane.is_alone() => {
                fence_predecessor(parts, lane).await?;
            }
            // The process before it is not fenced yet: it ended a moment ago.
            Err(ErrorCode::DuplicateBrokerRegistration) if Instant::now() < patience => {
                sleep(AGAIN).await;
            }
            // It is idempotent.
            Err(ErrorCode::NotController | ErrorCode::RequestTimedOut) => {
                tracing::info!("no controller takes the registration yet");
                sleep(AGAIN).await;
            }
            registered => return registered.map_err(BrokerError::Refused),
        }
    }
}

/// Fences the process before this one. Nobody else would, where this node is the only voter; and it is gone, as this
/// one holds the lock of the quorum's only log.
async fn fence_predecessor(parts: &Parts, lane: &MetadataLane) -> Result<(), BrokerError> {
    let (metadata, id) = (lane.metadata(), parts.config.node_id);
    let Some(epoch) = metadata.image().brokers.get(id).map(|before| before.epoch) else { return Ok(()) };
    metadata.submit(FenceBroker { id, epoch }).await.map_err(BrokerError::Refused)
}

/// What says to the controller that this broker lives.
fn heart(parts: &Parts, lane: &MetadataLane, epoch: i64, incarnation: Uuid) -> Heart {
    let running = lane.running();
    Heart {
        broker: parts.config.node_id,
        epoch,
        incarnation,
        metadata: running.metadata.clone(),
        members: running.members.clone(),
        news: running.news.clone(),
        interval: Duration::from_millis(parts.config.broker_heartbeat_interval_ms.max(1) as u64),
    }
}

/// Where the reconciler's news arrive.
struct Inboxes {
    news: mpsc::UnboundedSender<RoleChange>,
    roles: mpsc::UnboundedReceiver<RoleChange>,
    to_unlink: mpsc::UnboundedReceiver<reconcile::Doomed>,
}

fn reconciler(parts: &Parts) -> Result<(Reconciler, Inboxes), BrokerError> {
    let (news, roles) = mpsc::unbounded_channel();
    let (doomed, to_unlink) = mpsc::unbounded_channel();
    let reconciler = Reconciler::new(reconcile::Parts {
        me: parts.config.node_id,
        env: parts.env.clone(),
        dirs: parts.dirs.clone(),
        table: parts.table.clone(),
        config: parts.config.clone(),
        roles: news.clone(),
        doomed,
    })?;
    Ok((reconciler, Inboxes { news, roles, to_unlink }))
}

/// Starts what keeps the partitions as the metadata says, and their coordinators.
fn run_chores(
    parts: &Parts,
    node: &Arc<Node>,
    reconciler: Reconciler,
    inboxes: Inboxes,
    fetchers: parts::PeerFetchers,
    incarnation: Uuid,
    stopping: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let (table, dirs, config) = (parts.table.clone(), parts.dirs.clone(), parts.config.clone());
    let keeper = Keeper::new(table.clone(), dirs, config, parts.clock, inboxes.to_unlink);
    let metadata = node.metadata.clone();
    tokio::spawn(take_roles(node.clone(), fetchers, inboxes.roles));
    tokio::spawn(step_down_with_dirs(table, inboxes.news, parts.failures()));
    vec![
        tokio::spawn(driver::run(reconciler, metadata, node.id, incarnation, parts.clock, stopping.clone())),
        tokio::spawn(keeper.run(stopping.clone())),
    ]
}

/// Ends the leaderships in directories that fail.
async fn step_down_with_dirs(
    table: Arc<Table>,
    news: mpsc::UnboundedSender<RoleChange>,
    mut failures: watch::Receiver<usize>,
) {
    while failures.changed().await.is_ok() {
        reconcile::step_down_offline(&table, &news);
    }
}

/// Tells the controller of directories that fail, until it has heard it: only then do other brokers lead what was in them.
async fn tell_of_failed_dirs(
    (dirs, mut failures): (Arc<LogDirs>, watch::Receiver<usize>),
    metadata: Metadata,
    (id, epoch): (i32, i64),
) {
    while failures.changed().await.is_ok() {
        let failed = dirs.all().iter().filter(|dir| !dir.is_online());
        let failure = DirectoriesFailed { id, epoch, directories: failed.map(|dir| dir.id()).collect() };
        loop {
            match metadata.submit(failure.clone()).await {
                // Another process has taken this broker's place.
                Ok(()) | Err(ErrorCode::StaleBrokerEpoch) => break,
                Err(code) => tracing::warn!(%code, "the controller was not told of a failed log directory"),
            }
            sleep(AGAIN).await;
        }
    }
}

/// Has each partition follow its leader, and gives those of `__consumer_offsets` that are led here their coordinators.
async fn take_roles(
    node: Arc<Node>,
    mut fetchers: parts::PeerFetchers,
    mut roles: mpsc::UnboundedReceiver<RoleChange>,
) {
    while let Some(change) = roles.recv().await {
        fetchers.role_changed(&change);
        api::role_changed(&node, &change);
    }
}

/// Has the groups follow what becomes of topics.
async fn follow_topics(node: Arc<Node>) {
    let mut images = node.metadata.watch();
    let mut seen = images.borrow_and_update().clone();
    while images.changed().await.is_ok() {
        let image = images.borrow_and_update().clone();
        api::topics_changed(&node, &seen, &image);
        seen = image;
    }
}

/// Listeners as registrations hold them.
type Advertised = Vec<image::Listener>;
