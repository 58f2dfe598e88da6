//! AlterPartitionReassignments and ListPartitionReassignments: partitions on their way to other brokers.

use super::context::Context;
use super::fetch::session::TopicKey;
use super::metadata::{broker_ids, topic_name};
use super::topics::settle;
use super::{Api, Reply};
use crate::cluster::controller::{AlterReassignments, Outcome, Reassignment};
use crate::cluster::image::{PartitionImage, TopicImage};
use crate::types::ErrorCode;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

/// From here on a request says whether the replication factor may change, and the answer repeats it.
const TELLS_RESIZE: i16 = 1;

impl Api for AlterPartitionReassignmentsRequest {
    async fn handle(self, cx: Context) -> Reply<AlterPartitionReassignmentsResponse> {
        let may_resize = self.allow_replication_factor_change || cx.version() < TELLS_RESIZE;
        let command = AlterReassignments {
            partitions: self.topics.iter().flat_map(asked).collect(),
            allow_replication_factor_change: may_resize,
        };
        let outcomes = match cx.node.metadata.submit(command).await {
            Ok(outcomes) => outcomes,
            Err(code) => return Reply::Now(Self::refuse(code)),
        };
        settle(&cx).await;
        let answer =
            AlterPartitionReassignmentsResponse::default().with_responses(answers(&self.topics, outcomes));
        Reply::Now(match cx.version() >= TELLS_RESIZE {
            true => answer.with_allow_replication_factor_change(may_resize),
            false => answer,
        })
    }

    fn refuse(code: ErrorCode) -> AlterPartitionReassignmentsResponse {
        let message = StrBytes::from_string(code.to_string());
        let answer = AlterPartitionReassignmentsResponse::default();
        answer.with_error_code(code.code()).with_error_message(Some(message))
    }
}

fn asked(topic: &ReassignableTopic) -> impl Iterator<Item = Reassignment> {
    topic.partitions.iter().map(|partition| Reassignment {
        topic: topic.name.to_string(),
        partition: partition.partition_index,
        target: partition.replicas.as_ref().map(|brokers| brokers.iter().map(|broker| broker.0).collect()),
    })
}

/// The outcomes, which are in the order of the request, under their topics.
fn answers(topics: &[ReassignableTopic], outcomes: Vec<Outcome<()>>) -> Vec<ReassignableTopicResponse> {
    let mut outcomes = outcomes.into_iter();
    let mut partition = |asked: &ReassignablePartition| {
        let answer = ReassignablePartitionResponse::default().with_partition_index(asked.partition_index);
        match outcomes.next() {
            Some(Err(refusal)) => answer
                .with_error_code(refusal.code.code())
                .with_error_message(Some(StrBytes::from_string(refusal.message))),
            _ => answer,
        }
    };
    let mut topic = |topic: &ReassignableTopic| {
        let partitions = topic.partitions.iter().map(&mut partition).collect();
        ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    };
    topics.iter().map(&mut topic).collect()
}

impl Api for ListPartitionReassignmentsRequest {
    /// Those under way, of the partitions asked for or of all.
    async fn handle(self, cx: Context) -> Reply<ListPartitionReassignmentsResponse> {
        let image = cx.image();
        let topics: Vec<OngoingTopicReassignment> = match &self.topics {
            None => image.topics.iter().filter_map(|topic| ongoing(topic, |_| true)).collect(),
            Some(asked) => {
                let found = |asked: &ListPartitionReassignmentsTopics| {
                    let topic = cx.topic(&image, &TopicKey::Name(asked.name.clone())).ok()?;
                    ongoing(topic, |index| asked.partition_indexes.contains(&index))
                };
                asked.iter().filter_map(found).collect()
            }
        };
        Reply::Now(ListPartitionReassignmentsResponse::default().with_topics(topics))
    }

    fn refuse(code: ErrorCode) -> ListPartitionReassignmentsResponse {
        let message = StrBytes::from_string(code.to_string());
        let answer = ListPartitionReassignmentsResponse::default();
        answer.with_error_code(code.code()).with_error_message(Some(message))
    }
}

fn ongoing(topic: &TopicImage, asked: impl Fn(i32) -> bool) -> Option<OngoingTopicReassignment> {
    let moving = topic.partitions().filter(|partition| partition.is_reassigning() && asked(partition.index));
    let partitions: Vec<_> = moving.map(|partition| described(partition)).collect();
    let found = !partitions.is_empty();
    let topic = OngoingTopicReassignment::default().with_name(topic_name(&topic.name));
    found.then(|| topic.with_partitions(partitions))
}

fn described(partition: &PartitionImage) -> OngoingPartitionReassignment {
    OngoingPartitionReassignment::default()
        .with_partition_index(partition.index)
        .with_replicas(broker_ids(partition.replica_brokers()))
        .with_adding_replicas(broker_ids(partition.adding.iter().copied()))
        .with_removing_replicas(broker_ids(partition.removing.iter().copied()))
}
