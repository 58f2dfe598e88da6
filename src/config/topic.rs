//! A topic's effective configuration.

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

/// A topic's settings: its own where set, else the broker's. Durations are milliseconds, sizes bytes, as in Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy` has `delete`: retention applies.
    pub delete: bool,
    /// `cleanup.policy` has `compact`: records need keys.
    pub compact: bool,
    pub compression: Compression,
    pub delete_retention_ms: i64,
    /// Time between the removal of a segment from the log and that of its files.
    pub file_delete_delay_ms: i64,
    /// Records after which an fsync is due; `i64::MAX` for never, 1 for before every acknowledgement.
    pub flush_messages: i64,
    /// `i64::MAX` for never.
    pub flush_ms: i64,
    pub index_interval_bytes: i32,
    pub max_compaction_lag_ms: i64,
    /// Largest batch accepted, after compression.
    pub max_message_bytes: i32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: TimestampType,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    pub preallocate: bool,
    /// Per partition; -1 for no limit.
    pub retention_bytes: i64,
    /// -1 for no limit.
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    /// Random part taken off `segment_ms`, so that segments do not all roll at once.
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    pub unclean_leader_election: bool,
}
