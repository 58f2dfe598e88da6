//! What of a topic's configuration the log itself needs.

use std::time::Duration;

/// Kafka's topic keys of the same names; `None` where Kafka writes -1 for "no limit". May change at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Size at which a segment is closed and the next begun; also the largest append.
    pub segment_bytes: u32,
    pub segment_ms: u64,
    /// Up to this much is taken off `segment_ms`, differently for each segment, so that not all roll at once.
    pub segment_jitter_ms: u64,
    /// Log bytes between two index entries.
    pub index_interval_bytes: u32,
    /// Largest size of an offset index; a full index closes its segment.
    pub segment_index_bytes: u32,
    pub retention_ms: Option<u64>,
    pub retention_bytes: Option<u64>,
    /// `cleanup.policy` contains `delete`. Without it only what lies below the log start goes.
    pub delete: bool,
    /// `cleanup.policy` contains `compact`.
    pub compact: bool,
    /// How long removed files stay for readers that have just found them.
    pub file_delete_delay_ms: u64,
    /// How long a producer without open transaction is remembered (`producer.id.expiration.ms`).
    pub producer_id_expiration_ms: u64,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> LogConfig {
        const DAY_MS: u64 = Duration::from_secs(24 * 60 * 60).as_millis() as u64;
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            delete: true,
            compact: false,
            file_delete_delay_ms: 60_000,
            producer_id_expiration_ms: DAY_MS,
        }
    }
}
