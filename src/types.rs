//! The nouns that everything above shares.

pub use kafka_protocol::ResponseError as ErrorCode;
pub use storage::time::{Mono, Now, Wall};
pub use uuid::Uuid;

/// A broker's (and a controller's) number in the cluster: `node.id`.
pub type BrokerId = i32;
/// Position of a record in its partition.
pub type Offset = i64;
/// Counts the leaders a partition has had; a reply that waited is only valid under the epoch it began in.
pub type LeaderEpoch = i32;
/// Counts the changes of a partition's leader, ISR and replicas (KIP-497).
pub type PartitionEpoch = i32;

/// A partition by its topic's id: survives nothing, not even a topic made again under its old name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Uuid,
    pub partition: i32,
}

/// An error code in what brokers say to each other: Kafka's number.
pub mod error_code {
    use super::ErrorCode;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(code: &ErrorCode, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i16(code.code())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ErrorCode, D::Error> {
        Ok(of(i16::deserialize(deserializer)?))
    }

    /// Zero, which is no error, cannot be meant.
    pub fn of(number: i16) -> ErrorCode {
        ErrorCode::try_from_code(number).unwrap_or(ErrorCode::UnknownServerError)
    }
}
