//! What the metadata log adds up to: an immutable value whose parts are shared between versions.
//!
//! Cloning costs a few counts, a change costs the path to what it changes. Nobody locks: readers hold an
//! `Arc<Image>` for as long as one decision takes, reconcilers compare the last one they saw with the newest.

mod apply;
mod brokers;
mod configs;
mod diff;
mod snapshot;
mod topics;

pub use apply::{Inconsistent, Refused};
pub use brokers::{Broker, Brokers, Feature, Listener};
pub use configs::{ConfigResource, Configs, ResourceKind};
pub use diff::TopicsDelta;
pub use topics::{PartitionImage, Replica, TopicImage, Topics};

use crate::types::BrokerId;
use rpds::RedBlackTreeMapSync;

/// Metadata as of one position of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// The newest log position seen, whether or not it changed anything.
    pub applied: Position,
    /// Index of the last entry that took effect: what the next one must name as its predecessor.
    pub last_entry: u64,
    /// The cluster's id, once the cluster is formed.
    pub cluster_id: Option<String>,
    /// The node that decides, as of its term's first entry.
    pub controller: Option<BrokerId>,
    pub brokers: Brokers,
    pub topics: Topics,
    pub configs: Configs,
    /// The first producer id that no broker has been given.
    pub next_producer_id: i64,
    /// Finalised feature levels by name.
    pub features: RedBlackTreeMapSync<String, i16>,
}

/// A place in the metadata log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub index: u64,
    pub term: u64,
}
