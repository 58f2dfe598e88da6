//! Who decides, as any node tells it.

use super::cluster::Cluster;
use super::process::poll;
use super::wire::{Wire, text};
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::ReplicaState;
use kafka_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse, TopicName};
use std::time::Duration;
use uuid::Uuid;

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(120_000);
/// The version that tells directories.
const DESCRIBE: i16 = 2;

/// A node and one of its metadata directories.
pub type Identity = (i32, Uuid);

/// Who votes and who follows, as a node tells it; nothing while there is no leader.
#[derive(Debug)]
pub struct Quorum {
    pub leader: i32,
    pub epoch: i32,
    pub voters: Vec<Identity>,
    pub observers: Vec<Identity>,
    /// Where voters are reached.
    pub endpoints: Vec<String>,
}

/// What the leader says by way of `ask`.
pub fn quorum(cluster: &mut Cluster, ask: i32) -> Option<Quorum> {
    let partitions = vec![PartitionData::default()];
    let log = TopicData::default().with_topic_name(TopicName(text("__cluster_metadata")));
    let asked = DescribeQuorumRequest::default().with_topics(vec![log.with_partitions(partitions)]);
    let mut wire = Wire::connect(&cluster.node(ask).address());
    let answer: DescribeQuorumResponse = wire.call(DESCRIBE, &asked);
    let partition = answer.topics.first()?.partitions.first()?.clone();
    let identities = |replicas: Vec<ReplicaState>| {
        replicas.iter().map(|one| (one.replica_id.0, one.replica_directory_id)).collect()
    };
    let listeners = answer.nodes.iter().flat_map(|node| &node.listeners);
    let endpoints = listeners.map(|one| format!("{}:{}", one.host.as_str(), one.port));
    Some(Quorum {
        endpoints: endpoints.collect(),
        leader: partition.leader_id.0,
        epoch: partition.leader_epoch,
        voters: identities(partition.current_voters),
        observers: identities(partition.observers),
    })
}

/// Waits until a node tells of the quorum what is `wanted`.
pub fn until<T>(cluster: &mut Cluster, ask: i32, what: &str, wanted: impl Fn(&Quorum) -> Option<T>) -> T {
    let mut seen = None;
    let found = poll(LIMIT, || {
        seen = quorum(cluster, ask);
        seen.as_ref().and_then(&wanted)
    });
    found.unwrap_or_else(|| panic!("node {ask} does not show {what}, but {seen:?}"))
}

/// The directory that a node is with.
pub fn directory(of: &[Identity], node: i32) -> Option<Uuid> {
    of.iter().find(|(id, _)| *id == node).map(|(_, directory)| *directory)
}
