//! The records of the metadata log: results of decisions, never the commands that led to them, so that every release
//! replays them alike.
//!
//! Number and version of each kind stand in `codec`; a field added here is a new version there.

mod codec;

pub use codec::DecodeError;

use super::image::{Broker, ConfigResource, PartitionImage};
use crate::types::{BrokerId, Uuid};
use serde::{Deserialize, Serialize};

/// What one round of decisions changed. It takes effect as a whole or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The term it was decided in: it has no effect in the log of another.
    pub term: u64,
    /// Index of the last entry that had taken effect when it was decided: it has no effect upon anything else.
    pub predecessor: u64,
    pub changes: Vec<Change>,
}

/// One fact, as it holds from now on.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    ClusterFormed(ClusterFormed),
    ControllerElected(ControllerElected),
    /// A whole registration, new or replaced.
    BrokerRegistered(Broker),
    BrokerFencingChanged(BrokerFencingChanged),
    BrokerUnregistered(BrokerUnregistered),
    TopicCreated(TopicCreated),
    /// A whole partition, new or replaced.
    PartitionChanged(PartitionChanged),
    TopicDeleted(TopicDeleted),
    DeletionConfirmed(DeletionConfirmed),
    ConfigSet(ConfigSet),
    ConfigRemoved(ConfigRemoved),
    ProducerIdsAllocated(ProducerIdsAllocated),
    FeatureLevel(FeatureLevel),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterFormed {
    pub cluster_id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControllerElected {
    pub node: BrokerId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerFencingChanged {
    pub broker: BrokerId,
    pub fenced: bool,
    pub shutting_down: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerUnregistered {
    pub broker: BrokerId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicCreated {
    pub id: Uuid,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionChanged {
    pub topic: Uuid,
    pub partition: PartitionImage,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicDeleted {
    pub id: Uuid,
    /// Brokers with directories of it: the id is remembered until each has confirmed that they are gone.
    pub held_by: Vec<BrokerId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeletionConfirmed {
    pub id: Uuid,
    pub broker: BrokerId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigSet {
    pub resource: ConfigResource,
    pub key: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigRemoved {
    pub resource: ConfigResource,
    pub key: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProducerIdsAllocated {
    /// The first id that is still free.
    pub next: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureLevel {
    pub name: String,
    /// 0 removes the feature.
    pub level: i16,
}
