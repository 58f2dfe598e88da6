//! What the cluster does next: decisions over a scratch image. Pure: no I/O, no clock, no randomness, no tokio.
//!
//! A command becomes changes and an answer, or is refused as a whole. What fails for one item of a command (one
//! topic, one resource) is refused in that item's place in the answer and leaves the others alone.

mod alter_partition;
mod brokers;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod draft;
mod elect_leaders;
mod leadership;
mod names;
mod placement;
mod producer_ids;
#[cfg(test)]
mod properties;
mod reassignments;
mod releases;
mod replicas;
mod rules;
#[cfg(test)]
mod scenarios;

pub use alter_partition::{AlterPartition, IsrProposal};
pub use brokers::{
    BeginShutdown, DirectoriesFailed, FenceBroker, FormCluster, RegisterBroker, UnfenceBroker,
    UnregisterBroker,
};
pub use configs::{
    AlterConfigs, ConfigOperation, KeyChange, ReplaceConfigs, ResourceChanges, ResourceValues,
};
pub use create_partitions::{CreatePartitions, NewPartitions};
pub use create_topics::{CreateTopics, CreatedTopic, NewTopic};
pub use delete_topics::{ConfirmDeletions, DeleteTopics, DeletedTopic, TopicRef};
pub use elect_leaders::{ElectLeaders, RebalanceLeaders};
pub use names::{is_reserved, name_fault};
pub use producer_ids::{AllocateProducerIds, ProducerIds};
pub use reassignments::{AlterReassignments, Reassignment};
pub use releases::{ConfirmReleases, Released};

use super::forward::Numbered;
use super::{Change, Image};
use crate::config::BrokerConfig;
use crate::types::{ErrorCode, Now, Uuid, error_code};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Something asked of the controller, by this node or by another one (`forward` knows its number).
pub trait Command: Numbered + Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// The changes that `image` needs to satisfy this, and what to tell whoever asked once they are committed.
    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<Self::Answer>;
}

/// Changes to commit (none: the answer is given at once), or a refusal of the whole command.
pub type Decision<A> = Result<(Vec<Change>, A), ErrorCode>;

/// What a decision needs from outside.
pub struct Inputs<'a> {
    pub now: Now,
    /// The lowest index that the entry with the changes can get: above that of all that took effect before.
    pub index: u64,
    /// Chooses among equals: where placement starts.
    pub seed: u64,
    /// Ids that were never used before.
    pub fresh_id: &'a mut dyn FnMut() -> Uuid,
    pub policy: &'a Policy,
}

/// The controller's own settings.
#[derive(Clone, Debug)]
pub struct Policy {
    /// As configured where the controller runs; dynamic values are in the image.
    pub config: BrokerConfig,
    /// Partitions that one request may add.
    pub max_partitions_per_request: usize,
}

/// Why one item was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    #[serde(with = "error_code")]
    pub code: ErrorCode,
    pub message: String,
}

/// The outcome for one item of a command.
pub type Outcome<T> = Result<T, Refusal>;

/// The same where the code says it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code(#[serde(with = "error_code")] pub ErrorCode);

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into() }
    }
}
