//! The parts below the metadata: disk, directories, sockets, and what is shared by all.

use super::{Advertised, BrokerError};
use crate::api::Node;
use crate::api::fetch::session::Sessions;
use crate::cluster::Metadata;
use crate::cluster::controller::{AlterPartition, IsrProposal};
use crate::cluster::image::{self, Feature};
use crate::config::BrokerConfig;
use crate::coordinator::group::config::GroupConfig;
use crate::coordinator::group::groups::Groups;
use crate::net::{BindError, Listener, Settings, budget};
use crate::partition::state::IsrChange;
use crate::partition::table::Table;
use crate::peer::{self, QuorumAdmin};
use crate::replica::{
    AlterIsr, Answered, Contact, Fetchers, Inbox, IsrKeeper, Proposals, Settings as FetchSettings, Site,
};
use crate::seam::{self, Clock};
use crate::types::{BrokerId, ErrorCode, TopicPartition};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use storage::dirs::LogDirs;
use storage::files::FileCache;
use storage::kafka_uuid;
use storage::log::LogEnv;
use tokio::sync::watch;

/// Descriptors left for sockets and everything else when files take theirs.
const FILE_SHARE: usize = 2;

/// What exists before the node knows its cluster.
pub struct Parts {
    pub config: Arc<BrokerConfig>,
    pub clock: Clock,
    pub env: LogEnv,
    pub dirs: Arc<LogDirs>,
    pub table: Arc<Table>,
    pub contact: Arc<Contact>,
    pub boot_id: String,
    /// The directories were last used in this boot of the machine: its page cache lost nothing.
    pub same_boot: bool,
    failures: watch::Receiver<usize>,
}

impl Parts {
    /// Locks and looks at the directories; formats those that are empty.
    pub fn open(config: Arc<BrokerConfig>) -> Result<Parts, BrokerError> {
        let descriptors = raise_descriptor_limit();
        let disk = seam::disk();
        let files = Arc::new(FileCache::new(disk.clone(), descriptors / FILE_SHARE));
        let (failed, failures) = watch::channel(0);
        let on_failure = Arc::new(move |_: &_| failed.send_modify(|count| *count += 1));
        let dirs =
            LogDirs::open(&disk, &config.log_dirs, config.node_id, &mut kafka_uuid::fresh, on_failure)?;
        let boot_id = seam::boot_id();
        let same_boot = was_in_boot(&dirs, &boot_id)?;
        Ok(Parts {
            clock: Clock::start(),
            env: LogEnv { disk, files },
            dirs: Arc::new(dirs),
            table: Arc::default(),
            contact: Arc::default(),
            boot_id,
            same_boot,
            failures,
            config,
        })
    }

    /// Notes the boot in the directories, once the controller knows what an earlier one may have lost. Where that
    /// fails, the next start counts as one in another boot.
    pub fn note_boot(&self) {
        for dir in self.dirs.all() {
            if let Err(error) = dir.note_boot(&self.boot_id) {
                tracing::warn!(dir = %dir.path().display(), %error, "the machine's boot was not noted");
            }
        }
    }

    /// Counts the directories that failed since the start.
    pub fn failures(&self) -> watch::Receiver<usize> {
        self.failures.clone()
    }

    /// Returns once no directory is left that works.
    pub async fn all_dirs_failed(&self) {
        let all = self.dirs.all().len();
        if self.failures.clone().wait_for(|failed| *failed >= all).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// True if every directory was last used in this boot of the machine: its page cache lost nothing. A directory that
/// breaks while it is asked was not; the start goes on with the others.
fn was_in_boot(dirs: &LogDirs, boot_id: &str) -> io::Result<bool> {
    let mut same = dirs.broken_at_start().is_empty();
    for dir in dirs.all() {
        match dir.was_in_boot(boot_id) {
            Ok(one) => same &= one,
            // A directory that broke is offline: the others go on without it.
            Err(_) if !dir.is_online() && dirs.any_online() => same = false,
            Err(error) => return Err(error),
        }
    }
    Ok(same)
}

/// Raises the soft limit of open files to the hard one. Returns what is allowed then.
fn raise_descriptor_limit() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    const UNLIMITED: usize = 1 << 20;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    getrlimit(Resource::Nofile).current.map_or(UNLIMITED, |current| current as usize)
}

/// Binds every listener; none accepts yet. The controller's has nobody to serve on a single node.
pub fn bind(config: &BrokerConfig) -> Result<Vec<Listener>, BindError> {
    let for_clients =
        config.listeners.iter().filter(|one| !config.controller_listener_names.contains(&one.name));
    let backlog = config.socket_listen_backlog;
    for_clients.map(|one| Listener::bind(&one.name, &one.address.host, one.address.port, backlog)).collect()
}

/// What clients are told, with the ports that were really bound.
pub fn advertised(config: &BrokerConfig, bound: &[Listener]) -> Result<Advertised, BrokerError> {
    let mut listeners = vec![];
    for one in &config.advertised_listeners {
        let mut port = one.address.port;
        if port == 0
            && let Some(bound) = bound.iter().find(|bound| bound.name() == one.name.as_str())
        {
            port = bound.local_addr()?.port();
        }
        let (name, host) = (one.name.clone(), one.address.host.clone());
        listeners.push(image::Listener { name, host, port, protocol: one.protocol as i16 });
    }
    // A controller that is no broker may not know which is for nodes: the first.
    listeners.sort_by_key(|listener| listener.name != config.inter_broker_listener_name);
    Ok(listeners)
}

/// Features, with the levels that this release understands; a new cluster gets the highest. Groups are classic and
/// transactions absent: their features are at level 0, which is not named.
const FEATURES: &[(&str, i16, i16)] = &[
    // Tools take from it what the cluster can do: 7 is 3.3-IV3, 29 is 4.2-IV1.
    ("metadata.version", 7, 29),
    // The encodings of the metadata log: 1 is all that the first release reads.
    ("drave.version", 1, 1),
];

pub fn features() -> Vec<Feature> {
    FEATURES.iter().map(|(name, min, max)| Feature { name: (*name).into(), min: *min, max: *max }).collect()
}

/// The levels that a new cluster gets.
pub fn finalised() -> Vec<(String, i16)> {
    FEATURES.iter().map(|(name, _, max)| ((*name).into(), *max)).collect()
}

/// Longer than any broker runs, and no overflow when added to a clock.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub fn server_settings(config: &BrokerConfig) -> Settings {
    let bytes = match usize::try_from(config.queued_max_request_bytes) {
        Ok(bytes) if bytes > 0 => bytes,
        _ => budget::bytes_at_hand(),
    };
    Settings {
        max_request_bytes: config.socket_request_max_bytes.max(0) as usize,
        max_idle: u64::try_from(config.connections_max_idle_ms).map_or(NEVER, Duration::from_millis),
        max_connections: config.max_connections.max(0) as usize,
        max_connections_per_ip: config.max_connections_per_ip.max(0) as usize,
        per_ip_overrides: per_ip_overrides(config),
        send_buffer: usize::try_from(config.socket_send_buffer_bytes).ok(),
        receive_buffer: usize::try_from(config.socket_receive_buffer_bytes).ok(),
        queued_max_request_bytes: bytes,
    }
}

/// Host names mean all addresses that they have now.
fn per_ip_overrides(config: &BrokerConfig) -> HashMap<IpAddr, usize> {
    let mut limits = HashMap::new();
    for (host, limit) in &config.max_connections_per_ip_overrides {
        match (host.as_str(), 0).to_socket_addrs() {
            Ok(found) => limits.extend(found.map(|address| (address.ip(), (*limit).max(0) as usize))),
            Err(error) => {
                tracing::warn!(%host, %error, "max.connections.per.ip.overrides: the host has no address")
            }
        }
    }
    limits
}

/// More than any cluster has fetchers that follow one broker.
const FOLLOWER_SESSIONS: usize = 10_000;

/// Fetchers that reach leaders by the listener for brokers.
pub type PeerFetchers = Fetchers<Arc<peer::Brokers>>;

/// What follows other brokers, as the broker registered under `broker_epoch`.
pub fn fetchers(parts: &Parts, metadata: Metadata, broker_epoch: i64) -> PeerFetchers {
    let listener = parts.config.inter_broker_listener_name.clone();
    Fetchers::new(Site {
        me: parts.config.node_id,
        broker_epoch,
        leaders: Arc::new(peer::Brokers::new(metadata, listener)),
        contact: parts.contact.clone(),
        table: parts.table.clone(),
        clock: parts.clock,
        settings: FetchSettings::of(&parts.config),
    })
}

/// The controller, as the leaders on this broker ask it about ISRs.
pub struct IsrController {
    metadata: Metadata,
    broker: BrokerId,
    epoch: i64,
}

impl AlterIsr for IsrController {
    async fn alter(&self, changes: Vec<(TopicPartition, IsrChange)>) -> Result<Answered, ErrorCode> {
        let proposal = |(at, change): (TopicPartition, IsrChange)| IsrProposal {
            topic: at.topic,
            partition: at.partition,
            leader_epoch: change.leader_epoch,
            partition_epoch: change.partition_epoch,
            isr: change.isr,
        };
        let partitions = changes.into_iter().map(proposal).collect();
        let command = AlterPartition { broker: self.broker, epoch: self.epoch, partitions };
        let answers = self.metadata.submit(command).await?;
        let answers = answers.into_iter().map(|answer| answer.map_err(|code| code.0)).collect();
        Ok(Answered { answers, as_of: self.metadata.image().applied.index })
    }
}

/// What proposes the ISRs that leaders on this broker want.
pub fn isr_keeper(parts: &Parts, metadata: Metadata, epoch: i64, wanted: Inbox) -> IsrKeeper<IsrController> {
    let controller = IsrController { metadata, broker: parts.config.node_id, epoch };
    let lag_max = Duration::from_millis(parts.config.replica_lag_time_max_ms.max(1) as u64);
    IsrKeeper::new(controller, wanted, parts.table.clone(), parts.clock, lag_max)
}

/// What request handlers work on.
pub fn node(parts: &Parts, metadata: Metadata, quorum: QuorumAdmin, isr: Proposals) -> Arc<Node> {
    let config = parts.config.clone();
    let known = metadata.clone();
    let topics = move || known.image().topics.clone();
    Arc::new(Node {
        id: config.node_id,
        clock: parts.clock,
        metadata,
        quorum,
        replicas: parts.table.clone(),
        contact: parts.contact.clone(),
        groups: Arc::new(Groups::new(GroupConfig::from(&*config), parts.clock, topics)),
        dirs: parts.dirs.clone(),
        fetch_sessions: Sessions::new(config.max_incremental_fetch_session_cache_slots.max(0) as usize),
        follower_sessions: Sessions::new(FOLLOWER_SESSIONS),
        isr,
        producer_ids: Default::default(),
        config,
    })
}
