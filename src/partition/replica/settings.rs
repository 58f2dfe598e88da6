//! What of the topic's configuration a replica acts on.

use crate::config::{Compression, CompressionType, Replicas, TimestampType, TopicConfig};
use std::time::Duration;
use storage::compress;
use storage::log::LogConfig;
use storage::validate::Rules;

/// Derived once per change of the configuration, shared by all partitions of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub log: LogConfig,
    pub rules: Rules,
    /// `flush.messages=1`: only what is synced is promised, shown and acknowledged.
    pub promises_synced: bool,
    /// `flush.messages` above 1: sync after so many records.
    pub flush_messages: i64,
    /// `flush.ms`: sync what is older than this.
    pub flush_ms: i64,
    pub min_insync: usize,
    /// `cleanup.policy` contains `delete`: DeleteRecords may cut.
    pub may_delete: bool,
    /// Whose fetches, and who as a follower, replication throttles bound.
    pub leader_throttled: Replicas,
    pub follower_throttled: Replicas,
}

impl Settings {
    /// `producer_id_expiration_ms` is the broker's: topics have no such key.
    pub fn of(topic: &TopicConfig, producer_id_expiration_ms: i32) -> Settings {
        Settings {
            log: log_config(topic, producer_id_expiration_ms),
            rules: rules(topic),
            promises_synced: topic.flush_messages == 1,
            flush_messages: topic.flush_messages,
            flush_ms: topic.flush_ms,
            min_insync: topic.min_insync_replicas.max(1) as usize,
            may_delete: topic.delete,
            leader_throttled: topic.leader_throttled_replicas.clone(),
            follower_throttled: topic.follower_throttled_replicas.clone(),
        }
    }
}

impl Settings {
    /// `file.delete.delay.ms`
    pub fn delete_delay(&self) -> Duration {
        Duration::from_millis(self.log.file_delete_delay_ms)
    }
}

fn log_config(topic: &TopicConfig, producer_id_expiration_ms: i32) -> LogConfig {
    let limit = |value: i64| u64::try_from(value).ok();
    let positive = |value: i64| value.max(0) as u64;
    LogConfig {
        segment_bytes: topic.segment_bytes.max(0) as u32,
        segment_ms: positive(topic.segment_ms),
        segment_jitter_ms: positive(topic.segment_jitter_ms),
        index_interval_bytes: topic.index_interval_bytes.max(0) as u32,
        segment_index_bytes: topic.segment_index_bytes.max(0) as u32,
        retention_ms: limit(topic.retention_ms),
        retention_bytes: limit(topic.retention_bytes),
        delete: topic.delete,
        compact: topic.compact,
        file_delete_delay_ms: positive(topic.file_delete_delay_ms),
        producer_id_expiration_ms: positive(producer_id_expiration_ms.into()),
    }
}

fn rules(topic: &TopicConfig) -> Rules {
    Rules {
        max_message_bytes: topic.max_message_bytes.max(0) as usize,
        timestamp_type: match topic.message_timestamp_type {
            TimestampType::CreateTime => storage::batch::TimestampType::CreateTime,
            TimestampType::LogAppendTime => storage::batch::TimestampType::LogAppendTime,
        },
        before_max_ms: topic.message_timestamp_before_max_ms,
        after_max_ms: topic.message_timestamp_after_max_ms,
        compacted: topic.compact,
        compression: compression(&topic.compression),
        ..Rules::default()
    }
}

/// `None`: batches stay as their producer made them.
fn compression(wanted: &Compression) -> Option<compress::Compression> {
    let with = |codec, level| Some(compress::Compression { codec, level });
    match wanted.codec {
        CompressionType::Producer => None,
        CompressionType::Uncompressed => with(compress::Codec::None, None),
        CompressionType::Gzip => with(compress::Codec::Gzip, Some(wanted.gzip_level)),
        CompressionType::Snappy => with(compress::Codec::Snappy, None),
        CompressionType::Lz4 => with(compress::Codec::Lz4, Some(wanted.lz4_level)),
        CompressionType::Zstd => with(compress::Codec::Zstd, Some(wanted.zstd_level)),
    }
}
