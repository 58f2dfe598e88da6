//! What the configuration says about groups.

use crate::config::BrokerConfig;
use std::time::Duration;

/// What members may have one shard hold: their protocols and assignments, and the ids that they were given. A broker has
/// as many shards as it leads partitions of `__consumer_offsets`. A generation of a group has to fit into one record
/// anyway, so that this is room for dozens of groups that are as large as can be.
const HELD_MAX_BYTES: usize = 64 << 20;

/// Named after Kafka's keys.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `offsets.topic.num.partitions`
    pub partitions: i32,
    /// `group.min.session.timeout.ms`
    pub min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay: Duration,
    /// `group.max.size`: members
    pub max_size: usize,
    /// Bytes that a shard holds for the members of its groups; not a key.
    pub held_max_bytes: usize,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval: Duration,
    /// `offsets.commit.timeout.ms`: how long an answer may wait for its records to be replicated
    pub commit_timeout: Duration,
}

impl From<&BrokerConfig> for GroupConfig {
    fn from(config: &BrokerConfig) -> Self {
        let ms = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        GroupConfig {
            partitions: config.offsets_topic.partitions,
            min_session_timeout: ms(config.group_min_session_timeout_ms.into()),
            max_session_timeout: ms(config.group_max_session_timeout_ms.into()),
            initial_rebalance_delay: ms(config.group_initial_rebalance_delay_ms.into()),
            max_size: usize::try_from(config.group_max_size).unwrap_or(1),
            held_max_bytes: HELD_MAX_BYTES,
            offset_metadata_max_bytes: usize::try_from(config.offset_metadata_max_bytes).unwrap_or_default(),
            offsets_retention: ms(i64::from(config.offsets_retention_minutes) * 60_000),
            offsets_retention_check_interval: ms(config.offsets_retention_check_interval_ms),
            commit_timeout: ms(config.offsets_commit_timeout_ms.into()),
        }
    }
}
