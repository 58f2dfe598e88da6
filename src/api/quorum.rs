//! DescribeQuorum: who votes on the metadata, who follows, and how far each is.

use super::context::Context;
use super::controllers::{ControllerApi, Desk};
use super::{Api, Reply};
use crate::peer::{Described, Replica};
use crate::types::ErrorCode;
use kafka_protocol::messages::describe_quorum_request::TopicData as Asked;
use kafka_protocol::messages::describe_quorum_response::*;
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

/// What Kafka calls the metadata log. It has one partition.
const TOPIC: &str = "__cluster_metadata";
/// From here on directories are told, and where the voters are reached.
const TELLS_DIRECTORIES: i16 = 2;
/// From here on it is told when a replica was last heard of.
const TELLS_TIMES: i16 = 1;

impl Api for DescribeQuorumRequest {
    async fn handle(self, cx: Context) -> Reply<DescribeQuorumResponse> {
        Reply::Now(self.answer(&cx.node.desk(), cx.version()).await)
    }

    fn refuse(code: ErrorCode) -> DescribeQuorumResponse {
        DescribeQuorumResponse::default().with_error_code(code.code())
    }
}

impl ControllerApi for DescribeQuorumRequest {
    async fn answer(self, desk: &Desk, version: i16) -> DescribeQuorumResponse {
        let is_log = |topic: &Asked| topic.topic_name.as_str() == TOPIC && topic.partitions.len() == 1;
        if self.topics.len() != 1 || !self.topics.iter().all(is_log) {
            return unknown(version, self.topics);
        }
        match desk.quorum.describe().await {
            Ok(described) => answer(desk, version, described),
            Err(refusal) => Self::refuse(refusal.code),
        }
    }
}

/// There are other partitions, but no quorum that leads them.
fn unknown(version: i16, topics: Vec<Asked>) -> DescribeQuorumResponse {
    let code = ErrorCode::UnknownTopicOrPartition;
    let message = (version >= TELLS_DIRECTORIES).then(|| StrBytes::from_string(code.to_string()));
    let topics = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code.code())
                .with_error_message(message.clone())
        });
        TopicData::default().with_topic_name(topic.topic_name).with_partitions(partitions.collect())
    });
    DescribeQuorumResponse::default().with_topics(topics.collect())
}

fn answer(desk: &Desk, version: i16, described: Described) -> DescribeQuorumResponse {
    let states = |replicas: &[Replica]| replicas.iter().map(|one| state(version, one)).collect();
    let partition = PartitionData::default()
        .with_leader_id(BrokerId(described.leader))
        .with_leader_epoch(described.epoch)
        .with_high_watermark(described.high_watermark)
        .with_current_voters(states(&described.voters))
        .with_observers(states(&described.observers));
    let name = TopicName(StrBytes::from_static_str(TOPIC));
    let topic = TopicData::default().with_topic_name(name).with_partitions(vec![partition]);
    let answer = DescribeQuorumResponse::default().with_topics(vec![topic]);
    if version < TELLS_DIRECTORIES {
        return answer;
    }
    answer.with_nodes(nodes(desk, &described.voters))
}

fn state(version: i16, replica: &Replica) -> ReplicaState {
    let state =
        ReplicaState::default().with_replica_id(BrokerId(replica.node)).with_log_end_offset(replica.log_end);
    let state = match version {
        TELLS_DIRECTORIES.. => state.with_replica_directory_id(replica.directory),
        _ => state,
    };
    if version < TELLS_TIMES {
        return state;
    }
    state.with_last_fetch_timestamp(replica.last_fetch).with_last_caught_up_timestamp(replica.last_caught_up)
}

/// Where voters are reached. A node that votes with two directories is named once.
fn nodes(desk: &Desk, voters: &[Replica]) -> Vec<Node> {
    let mut nodes: Vec<Node> = vec![];
    let name = desk.controller_listener();
    for voter in voters {
        let listener = Listener::default()
            .with_name(StrBytes::from_string(name.to_owned()))
            .with_host(StrBytes::from_string(voter.host.clone()))
            .with_port(voter.port);
        if nodes.iter().all(|node| node.node_id.0 != voter.node) {
            nodes.push(Node::default().with_node_id(BrokerId(voter.node)).with_listeners(vec![listener]));
        }
    }
    nodes
}
