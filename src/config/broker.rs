//! The broker's effective configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{HostPort, Listener};

/// Values set at run time, by key: a topic's own, a broker's, or the default of all brokers.
pub type Overrides = BTreeMap<String, String>;

/// `process.roles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub broker: bool,
    pub controller: bool,
}

/// One of `controller.quorum.voters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub id: i32,
    pub address: HostPort,
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

/// The broker's settings. Durations are milliseconds, sizes bytes, as in Kafka; -1 means no limit unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerConfig {
    pub node_id: i32,
    pub roles: Roles,
    pub rack: Option<String>,

    /// All listeners to bind, the controller's included.
    pub listeners: Vec<Listener>,
    /// What Metadata tells clients, by listener name.
    pub advertised_listeners: Vec<Listener>,
    pub controller_listener_names: Vec<String>,
    pub inter_broker_listener_name: String,
    /// Empty if none was configured: this node alone.
    pub controller_quorum_voters: Vec<Voter>,
    pub controller_quorum_bootstrap_servers: Vec<HostPort>,

    /// Data directories, absolute, never empty.
    pub log_dirs: Vec<PathBuf>,
    pub metadata_log_dir: PathBuf,

    pub num_partitions: i32,
    pub default_replication_factor: i32,
    pub auto_create_topics: bool,
    pub delete_topic: bool,
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
    pub network_threads: i32,
    pub io_threads: i32,
    pub background_threads: i32,
    pub recovery_threads_per_data_dir: i32,

    pub max_incremental_fetch_session_cache_slots: i32,
    pub fetch_max_bytes: i32,
    pub max_request_partition_size_limit: i32,

    pub log_retention_check_interval_ms: i64,
    pub log_flush_scheduler_interval_ms: i64,
    pub log_flush_offset_checkpoint_interval_ms: i32,
    pub log_flush_start_offset_checkpoint_interval_ms: i32,
    pub replica_high_watermark_checkpoint_interval_ms: i64,
    pub producer_id_expiration_ms: i32,
    pub producer_id_expiration_check_interval_ms: i32,

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
