//! A topic's effective configuration.

use super::check::Value;
use super::describe::effective;
use super::key::Scope;
use super::layers::{Layers, Overrides};
use super::{BrokerConfig, keys};
use std::collections::BTreeSet;

/// Who compresses batches: the producer alone, or the broker to a given codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// Keep what the producer sent.
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// `compression.type` and the levels used when the broker compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    pub codec: CompressionType,
    /// -1 is the library's own choice, else 1-9.
    pub gzip_level: i32,
    /// 1-17.
    pub lz4_level: i32,
    /// -131072 to 22.
    pub zstd_level: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// Replicas of a topic, by partition and broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replicas {
    All,
    These(BTreeSet<(i32, i32)>),
}

impl Replicas {
    pub fn include(&self, partition: i32, broker: i32) -> bool {
        match self {
            Replicas::All => true,
            Replicas::These(replicas) => replicas.contains(&(partition, broker)),
        }
    }
}

/// A topic's settings: its own where set, else the broker's. Durations are milliseconds, sizes bytes, as in Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy` has `delete`: retention applies.
    pub delete: bool,
    /// `cleanup.policy` has `compact`: records need keys.
    pub compact: bool,
    pub compression: Compression,
    /// Time between the removal of a segment from the log and that of its files.
    pub file_delete_delay_ms: i64,
    /// Records after which an fsync is due; `i64::MAX` for never, 1 for before every acknowledgement.
    pub flush_messages: i64,
    /// `i64::MAX` for never.
    pub flush_ms: i64,
    /// Bounded as followers, by `follower.replication.throttled.rate`.
    pub follower_throttled_replicas: Replicas,
    pub index_interval_bytes: i32,
    /// Bounded as leaders, by `leader.replication.throttled.rate`.
    pub leader_throttled_replicas: Replicas,
    /// Largest batch accepted, after compression.
    pub max_message_bytes: i32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: TimestampType,
    pub min_insync_replicas: i32,
    /// Per partition; -1 for no limit.
    pub retention_bytes: i64,
    /// -1 for no limit.
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    /// Random part taken off `segment_ms`, so that segments do not all roll at once.
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    /// A replica that may miss acknowledged records leads rather than none.
    pub unclean_leader_election: bool,
}

impl TopicConfig {
    /// The settings of a topic that itself sets `overrides`, on a broker with the settings `broker`.
    pub fn resolve(broker: &BrokerConfig, overrides: &Overrides) -> TopicConfig {
        let read = Reader { layers: &broker.layers, overrides };
        TopicConfig {
            delete: read.cleans_by("delete"),
            compact: read.cleans_by("compact"),
            compression: read.compression(),
            file_delete_delay_ms: read.long("file.delete.delay.ms"),
            flush_messages: read.long("flush.messages"),
            flush_ms: read.long("flush.ms"),
            follower_throttled_replicas: read.replicas("follower.replication.throttled.replicas"),
            index_interval_bytes: read.int("index.interval.bytes"),
            leader_throttled_replicas: read.replicas("leader.replication.throttled.replicas"),
            max_message_bytes: read.int("max.message.bytes"),
            message_timestamp_after_max_ms: read.long("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: read.long("message.timestamp.before.max.ms"),
            message_timestamp_type: read.timestamp_type(),
            min_insync_replicas: read.int("min.insync.replicas"),
            retention_bytes: read.long("retention.bytes"),
            retention_ms: read.long("retention.ms"),
            segment_bytes: read.segment_bytes(),
            segment_index_bytes: read.int("segment.index.bytes"),
            segment_jitter_ms: read.long("segment.jitter.ms"),
            segment_ms: read.long("segment.ms"),
            unclean_leader_election: read.flag("unclean.leader.election.enable"),
        }
    }
}

/// Typed reading of topic keys. The table gives every key read here its type and a default, and the check holds each
/// value to that type: what cannot happen is marked `unreachable`, and a test reads every key.
struct Reader<'a> {
    layers: &'a Layers,
    overrides: &'a Overrides,
}

impl Reader<'_> {
    fn value(&self, name: &'static str) -> Option<Value> {
        effective(self.layers, keys::find(Scope::Topic, name)?, self.overrides)
    }

    fn long(&self, name: &'static str) -> i64 {
        match self.value(name) {
            Some(Value::Number(number)) => number,
            _ => unreachable!("{name} is a number with a default"),
        }
    }

    /// The table bounds keys of 32 bits.
    fn int(&self, name: &'static str) -> i32 {
        self.long(name) as i32
    }

    fn flag(&self, name: &'static str) -> bool {
        matches!(self.value(name), Some(Value::Bool(true)))
    }

    fn text(&self, name: &'static str) -> String {
        self.value(name).map_or(String::new(), |value| value.to_string())
    }

    /// `*`, or `partition:broker` each; the check lets nothing else through.
    fn replicas(&self, name: &'static str) -> Replicas {
        let items = match self.value(name) {
            Some(Value::List(items)) => items,
            _ => vec![],
        };
        if items.iter().any(|item| item == "*") {
            return Replicas::All;
        }
        let replica = |item: &String| {
            let (partition, broker) = item.split_once(':')?;
            Some((partition.trim().parse().ok()?, broker.trim().parse().ok()?))
        };
        Replicas::These(items.iter().filter_map(replica).collect())
    }

    fn cleans_by(&self, policy: &str) -> bool {
        matches!(self.value("cleanup.policy"), Some(Value::List(items)) if items.iter().any(|item| item == policy))
    }

    fn segment_bytes(&self) -> i32 {
        match self.value("internal.segment.bytes") {
            Some(Value::Number(number)) => number as i32,
            _ => self.int("segment.bytes"),
        }
    }

    fn timestamp_type(&self) -> TimestampType {
        match self.text("message.timestamp.type").as_str() {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        }
    }

    fn compression(&self) -> Compression {
        Compression {
            codec: match self.text("compression.type").as_str() {
                "uncompressed" => CompressionType::Uncompressed,
                "gzip" => CompressionType::Gzip,
                "snappy" => CompressionType::Snappy,
                "lz4" => CompressionType::Lz4,
                "zstd" => CompressionType::Zstd,
                _ => CompressionType::Producer,
            },
            gzip_level: self.int("compression.gzip.level"),
            lz4_level: self.int("compression.lz4.level"),
            zstd_level: self.int("compression.zstd.level"),
        }
    }
}
