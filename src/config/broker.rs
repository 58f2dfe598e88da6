//! The broker's effective configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::check::Invalid;
use super::layers::{Layers, Overrides};
use super::network::Network;
use super::read::{Reader, Voter};
use super::{HostPort, Listener, rules};

/// Kafka's names for what `replica.selector.class` can choose by.
pub(in crate::config) const LEADER_SELECTOR: &str = "org.apache.kafka.common.replica.LeaderSelector";
pub(in crate::config) const RACK_AWARE_SELECTOR: &str =
    "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/// `process.roles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub broker: bool,
    pub controller: bool,
}

/// How many replicas an internal topic gets. Unless set, no more than there are brokers: a single node works as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationFactor {
    pub wanted: i16,
    pub explicit: bool,
}

/// How an internal topic (`__consumer_offsets`) is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    pub partitions: i32,
    pub replication_factor: ReplicationFactor,
    pub segment_bytes: i32,
}

/// Bounds on what is replicated of throttled replicas, in bytes each second; `i64::MAX` for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottledRates {
    pub leader: i64,
    pub follower: i64,
}

/// What the machine adds to the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Advertised for a listener on all interfaces.
    pub host_name: String,
    /// Where relative data directories start.
    pub working_dir: PathBuf,
}

/// The broker's settings. Durations are milliseconds, sizes bytes, as in Kafka; -1 means no limit unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerConfig {
    pub(super) layers: Layers,
    surroundings: Surroundings,

    pub node_id: i32,
    pub roles: Roles,
    pub rack: Option<String>,
    /// Consumers are sent to a replica in their rack (KIP-392).
    pub sends_to_nearest: bool,

    /// All listeners to bind, the controller's included.
    pub listeners: Vec<Listener>,
    /// What Metadata tells clients, by listener name; a port 0 stands for the one that was bound.
    pub advertised_listeners: Vec<Listener>,
    /// Where other nodes reach this controller, if `advertised.listeners` say so.
    pub advertised_controller: Option<HostPort>,
    pub controller_listener_names: Vec<String>,
    pub inter_broker_listener_name: String,
    /// Empty if none was configured: this node alone.
    pub controller_quorum_voters: Vec<Voter>,
    pub controller_quorum_bootstrap_servers: Vec<HostPort>,
    pub broker_heartbeat_interval_ms: i32,
    pub broker_session_timeout_ms: i32,

    /// Data directories, absolute, never empty.
    pub log_dirs: Vec<PathBuf>,
    pub metadata_log_dir: PathBuf,

    pub num_partitions: i32,
    pub default_replication_factor: i32,
    pub auto_create_topics: bool,
    pub delete_topic: bool,
    pub auto_leader_rebalance: bool,
    pub leader_imbalance_check_interval_seconds: i64,
    pub offsets_topic: InternalTopic,

    pub socket_request_max_bytes: i32,
    /// -1 leaves the kernel's choice.
    pub socket_send_buffer_bytes: i32,
    /// -1 leaves the kernel's choice.
    pub socket_receive_buffer_bytes: i32,
    pub socket_listen_backlog: i32,
    pub connections_max_idle_ms: i64,
    pub max_connections: i32,
    pub max_connections_per_ip: i32,
    /// Address or host name → limit.
    pub max_connections_per_ip_overrides: BTreeMap<String, i32>,
    /// -1 for a bound chosen from the memory at hand.
    pub queued_max_request_bytes: i64,
    pub recovery_threads_per_data_dir: i32,

    pub max_incremental_fetch_session_cache_slots: i32,
    pub fetch_max_bytes: i32,
    pub max_request_partition_size_limit: i32,

    pub num_replica_fetchers: i32,
    pub replica_lag_time_max_ms: i64,
    pub replica_fetch_max_bytes: i32,
    pub replica_fetch_min_bytes: i32,
    pub replica_fetch_wait_max_ms: i32,
    pub replica_fetch_response_max_bytes: i32,
    pub replica_fetch_backoff_ms: i32,
    pub replication_throttled_rates: ThrottledRates,

    pub log_retention_check_interval_ms: i64,
    pub log_flush_offset_checkpoint_interval_ms: i32,
    pub log_flush_start_offset_checkpoint_interval_ms: i32,
    pub replica_high_watermark_checkpoint_interval_ms: i64,
    pub producer_id_expiration_ms: i32,

    pub group_initial_rebalance_delay_ms: i32,
    pub group_min_session_timeout_ms: i32,
    pub group_max_session_timeout_ms: i32,
    pub group_max_size: i32,
    pub offset_metadata_max_bytes: i32,
    pub offsets_commit_timeout_ms: i32,
    pub offsets_retention_minutes: i32,
    pub offsets_retention_check_interval_ms: i64,
}

impl ReplicationFactor {
    /// The factor to create with while `brokers` (registered, or voters if more) are known.
    pub fn with_brokers(self, brokers: usize) -> i16 {
        match self.explicit {
            true => self.wanted,
            false => self.wanted.min(i16::try_from(brokers).unwrap_or(i16::MAX)).max(1),
        }
    }
}

impl Default for BrokerConfig {
    /// Nothing configured: one node on `localhost:9092`.
    fn default() -> BrokerConfig {
        BrokerConfig::new(Layers::default(), Surroundings::default())
            .unwrap_or_else(|why| unreachable!("the table's defaults fit each other: {why}"))
    }
}

impl BrokerConfig {
    /// The settings that `layers` amount to. Values were checked one by one before; here they must fit together.
    pub fn new(layers: Layers, surroundings: Surroundings) -> Result<BrokerConfig, Invalid> {
        let read = Reader { layers: &layers };
        rules::check(&read)?;
        let network = Network::read(&read, &surroundings.host_name)?;
        let log_dirs = read.log_dirs(&surroundings.working_dir)?;
        let config = BrokerConfig::read(&read, network, log_dirs, &surroundings)?;
        Ok(BrokerConfig { layers, ..config })
    }

    /// The name of the machine.
    pub fn host_name(&self) -> &str {
        &self.surroundings.host_name
    }

    /// These settings with other dynamic ones: `default` for all brokers, `own` for this one.
    pub fn with_dynamic(&self, default: &Overrides, own: &Overrides) -> Result<BrokerConfig, Invalid> {
        let layers = Layers { fixed: self.layers.fixed.clone(), default: default.clone(), own: own.clone() };
        BrokerConfig::new(layers, self.surroundings.clone())
    }

    fn read(
        read: &Reader<'_>,
        network: Network,
        log_dirs: Vec<PathBuf>,
        surroundings: &Surroundings,
    ) -> Result<BrokerConfig, Invalid> {
        let own_dir = read.optional_text("metadata.log.dir").map(|dir| surroundings.working_dir.join(dir));
        Ok(BrokerConfig {
            layers: Layers::default(),
            surroundings: surroundings.clone(),
            node_id: read.node_id()?,
            roles: read.roles()?,
            rack: read.optional_text("broker.rack"),
            sends_to_nearest: read.sends_to_nearest(),
            listeners: network.listeners,
            advertised_listeners: network.advertised,
            advertised_controller: network.advertised_controller,
            controller_listener_names: network.controller_names,
            inter_broker_listener_name: network.inter_broker_name,
            controller_quorum_voters: read.voters()?,
            controller_quorum_bootstrap_servers: read.bootstrap_servers()?,
            broker_heartbeat_interval_ms: read.int("broker.heartbeat.interval.ms"),
            broker_session_timeout_ms: read.int("broker.session.timeout.ms"),
            metadata_log_dir: own_dir.or_else(|| log_dirs.first().cloned()).unwrap_or_default(),
            log_dirs,
            num_partitions: read.int("num.partitions"),
            default_replication_factor: read.int("default.replication.factor"),
            auto_create_topics: read.flag("auto.create.topics.enable"),
            delete_topic: read.flag("delete.topic.enable"),
            auto_leader_rebalance: read.flag("auto.leader.rebalance.enable"),
            leader_imbalance_check_interval_seconds: read.long("leader.imbalance.check.interval.seconds"),
            offsets_topic: read.offsets_topic(),
            socket_request_max_bytes: read.int("socket.request.max.bytes"),
            socket_send_buffer_bytes: read.int("socket.send.buffer.bytes"),
            socket_receive_buffer_bytes: read.int("socket.receive.buffer.bytes"),
            socket_listen_backlog: read.int("socket.listen.backlog.size"),
            connections_max_idle_ms: read.long("connections.max.idle.ms"),
            max_connections: read.int("max.connections"),
            max_connections_per_ip: read.int("max.connections.per.ip"),
            max_connections_per_ip_overrides: read.per_ip_overrides()?,
            queued_max_request_bytes: read.long("queued.max.request.bytes"),
            recovery_threads_per_data_dir: read.int("num.recovery.threads.per.data.dir"),
            max_incremental_fetch_session_cache_slots: read.int("max.incremental.fetch.session.cache.slots"),
            fetch_max_bytes: read.int("fetch.max.bytes"),
            max_request_partition_size_limit: read.int("max.request.partition.size.limit"),
            num_replica_fetchers: read.int("num.replica.fetchers"),
            replica_lag_time_max_ms: read.long("replica.lag.time.max.ms"),
            replica_fetch_max_bytes: read.int("replica.fetch.max.bytes"),
            replica_fetch_min_bytes: read.int("replica.fetch.min.bytes"),
            replica_fetch_wait_max_ms: read.int("replica.fetch.wait.max.ms"),
            replica_fetch_response_max_bytes: read.int("replica.fetch.response.max.bytes"),
            replica_fetch_backoff_ms: read.int("replica.fetch.backoff.ms"),
            replication_throttled_rates: read.throttled_rates(),
            log_retention_check_interval_ms: read.long("log.retention.check.interval.ms"),
            log_flush_offset_checkpoint_interval_ms: read.int("log.flush.offset.checkpoint.interval.ms"),
            log_flush_start_offset_checkpoint_interval_ms: read
                .int("log.flush.start.offset.checkpoint.interval.ms"),
            replica_high_watermark_checkpoint_interval_ms: read
                .long("replica.high.watermark.checkpoint.interval.ms"),
            producer_id_expiration_ms: read.int("producer.id.expiration.ms"),
            group_initial_rebalance_delay_ms: read.int("group.initial.rebalance.delay.ms"),
            group_min_session_timeout_ms: read.int("group.min.session.timeout.ms"),
            group_max_session_timeout_ms: read.int("group.max.session.timeout.ms"),
            group_max_size: read.int("group.max.size"),
            offset_metadata_max_bytes: read.int("offset.metadata.max.bytes"),
            offsets_commit_timeout_ms: read.int("offsets.commit.timeout.ms"),
            offsets_retention_minutes: read.int("offsets.retention.minutes"),
            offsets_retention_check_interval_ms: read.long("offsets.retention.check.interval.ms"),
        })
    }
}
