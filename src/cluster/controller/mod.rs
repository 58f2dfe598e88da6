//! What the cluster does next: decisions over a scratch image. Pure: no I/O, no clock, no randomness, no tokio.
//!
//! A command becomes changes and an answer, or is refused as a whole. What fails for one item of a command (one
//! topic, one resource) is refused in that item's place in the answer and leaves the others alone.

mod brokers;
mod configs;
mod producer_ids;
mod topics;

pub use brokers::{FenceBroker, FormCluster, RegisterBroker, UnfenceBroker, UnregisterBroker};
pub use configs::{
    AlterConfigs, ConfigOperation, KeyChange, ReplaceConfigs, ResourceChanges, ResourceValues,
};
pub use producer_ids::{AllocateProducerIds, ProducerIds};
pub use topics::{
    ConfirmDeletions, CreatePartitions, CreateTopics, CreatedTopic, DeleteTopics, DeletedTopic,
    NewPartitions, NewTopic, TopicRef,
};

use super::image::ResourceKind;
use super::{Change, Image};
use crate::types::{ErrorCode, Now, Uuid};
use std::sync::Arc;

/// Something asked of the controller.
pub trait Command: Send + 'static {
    type Answer: Send + 'static;

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
#[derive(Clone)]
pub struct Policy {
    /// `num.partitions`.
    pub default_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `delete.topic.enable`.
    pub topic_deletion: bool,
    /// `min.insync.replicas` where neither topic nor cluster says otherwise.
    pub min_insync_replicas: i32,
    /// Partitions that one request may add.
    pub max_partitions_per_request: usize,
    pub schema: Arc<dyn ConfigSchema>,
}

/// What the table of configuration keys knows.
pub trait ConfigSchema: Send + Sync {
    /// Why `value` cannot be given to `key` on this kind of resource; `Ok` if it can.
    fn check(&self, kind: ResourceKind, key: &str, value: &str) -> Result<(), String>;
    /// Whether values of `key` are lists, which APPEND and SUBTRACT need.
    fn is_list(&self, kind: ResourceKind, key: &str) -> bool;
    /// What `key` is where nothing was set on this kind of resource: the starting point of APPEND and SUBTRACT.
    fn default_of(&self, kind: ResourceKind, key: &str) -> Option<String>;
}

/// Why one item was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
}

/// The outcome for one item of a command.
pub type Outcome<T> = Result<T, Refusal>;

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into() }
    }
}
