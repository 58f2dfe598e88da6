//! What the broker tells its coordinators between requests.

use super::context::Node;
use super::metadata::OFFSETS_TOPIC;
use crate::cluster::Image;
use crate::coordinator::group::command::TopicsDeleted;
use crate::coordinator::replica_log::ReplicaLog;
use crate::partition::reconcile::{Role, RoleChange};
use std::sync::Arc;

/// A partition began or ended to be led here: its coordinator, if it has one, comes or goes with it.
pub fn role_changed(node: &Node, news: &RoleChange) {
    if *news.topic != *OFFSETS_TOPIC {
        return;
    }
    // Before the first group can be asked for.
    count_partitions(node, &node.metadata.image());
    let partition = news.id.partition;
    match &news.role {
        Role::Leads(replica) => {
            node.groups.elected(partition, news.epoch, Arc::new(ReplicaLog(replica.clone())))
        }
        Role::Follows { .. } | Role::Gone => node.groups.resigned(partition, news.epoch),
    }
}

/// Has the groups live on as many partitions as `newer` says, and forget what was committed for topics that it has no more.
pub fn topics_changed(node: &Node, older: &Image, newer: &Image) {
    count_partitions(node, newer);
    let gone = newer.topics.delta_since(&older.topics).gone;
    let named = |id| Some((older.topics.by_id(id)?.name.clone(), id));
    let topics: Vec<_> = gone.into_iter().filter_map(named).collect();
    if !topics.is_empty() {
        node.groups.topics_deleted(TopicsDeleted { topics });
    }
}

fn count_partitions(node: &Node, image: &Image) {
    if let Some(topic) = image.topics.by_name(OFFSETS_TOPIC) {
        node.groups.set_partitions(topic.partition_count());
    }
}
