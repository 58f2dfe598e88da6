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
