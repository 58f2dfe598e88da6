//! DescribeCluster and DescribeTopicPartitions: what Metadata tells, for administrators.

use super::context::Context;
use super::controllers::{ControllerApi, Desk};
use super::fetch::session::TopicKey;
use super::metadata::{broker_ids, controller, is_internal, leader_of, offline, topic_name};
use super::{Api, Reply, operations};
use crate::cluster::Image;
use crate::cluster::controller::name_fault;
use crate::cluster::image::{Broker, PartitionImage, TopicImage};
use crate::types::ErrorCode;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_topic_partitions_response::*;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;

/// What the `endpoint_type` of a request may mean.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
/// The most partitions that one DescribeTopicPartitions reply holds (`max.request.partition.size.limit` may say less).
const FEWEST_PER_REPLY: i32 = 1;

impl Api for DescribeClusterRequest {
    async fn handle(self, cx: Context) -> Reply<DescribeClusterResponse> {
        if self.endpoint_type != BROKERS && cx.version() >= 1 {
            let message = "this listener answers for brokers: endpoint type 1";
            return Reply::Now(wrong_type(self.endpoint_type, CONTROLLERS, message));
        }
        let image = cx.image();
        let shown = |broker: &&std::sync::Arc<Broker>| !broker.fenced || self.include_fenced_brokers;
        let brokers = image.brokers.iter().filter(shown).filter_map(|broker| cluster_broker(&cx, broker));
        let operations =
            operations::if_asked(self.include_cluster_authorized_operations, operations::CLUSTER);
        Reply::Now(
            DescribeClusterResponse::default()
                .with_cluster_id(StrBytes::from_string(image.cluster_id.clone().unwrap_or_default()))
                .with_controller_id(BrokerId(controller(&image)))
                .with_brokers(brokers.collect())
                .with_cluster_authorized_operations(operations),
        )
    }

    fn refuse(code: ErrorCode) -> DescribeClusterResponse {
        DescribeClusterResponse::default().with_error_code(code.code())
    }
}

/// `other` is the type that another listener would answer for.
fn wrong_type(asked: i8, other: i8, message: &'static str) -> DescribeClusterResponse {
    let code = match asked == other {
        true => ErrorCode::MismatchedEndpointType,
        false => ErrorCode::UnsupportedEndpointType,
    };
    DescribeClusterRequest::refuse(code).with_error_message(Some(StrBytes::from_static_str(message)))
}

/// In version 0 only brokers can be meant.
impl ControllerApi for DescribeClusterRequest {
    async fn answer(self, desk: &Desk, version: i16) -> DescribeClusterResponse {
        let message = "this listener answers for controllers: endpoint type 2";
        match self.endpoint_type {
            _ if version < 1 => {
                let message = Some(StrBytes::from_static_str(message));
                return Self::refuse(ErrorCode::InvalidRequest).with_error_message(message);
            }
            CONTROLLERS => {}
            other => return wrong_type(other, BROKERS, message),
        }
        let (controllers, leader) = desk.controllers();
        let controllers = controllers.into_values().map(|address| {
            DescribeClusterBroker::default()
                .with_broker_id(BrokerId(address.node))
                .with_host(StrBytes::from_string(address.at.host))
                .with_port(address.at.port.into())
        });
        let cluster_id = desk.metadata.image().cluster_id.clone().unwrap_or_default();
        DescribeClusterResponse::default()
            .with_endpoint_type(CONTROLLERS)
            .with_cluster_id(StrBytes::from_string(cluster_id))
            .with_controller_id(BrokerId(leader))
            .with_brokers(controllers.collect())
            .with_cluster_authorized_operations(operations::if_asked(
                self.include_cluster_authorized_operations,
                operations::CLUSTER,
            ))
    }
}

fn cluster_broker(cx: &Context, broker: &Broker) -> Option<DescribeClusterBroker> {
    let listener = broker.listener(&cx.peer.listener)?;
    Some(
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(broker.id))
            .with_host(StrBytes::from_string(listener.host.clone()))
            .with_port(listener.port.into())
            .with_rack(broker.rack.clone().map(StrBytes::from_string))
            .with_is_fenced(cx.version() >= 2 && broker.fenced),
    )
}

impl Api for DescribeTopicPartitionsRequest {
    /// Topics by name, paged by partitions: the cursor names the first one that did not fit.
    async fn handle(self, cx: Context) -> Reply<DescribeTopicPartitionsResponse> {
        if !self.begins_within() {
            return Reply::Now(refused(&self.topics, ErrorCode::InvalidRequest));
        }
        let image = cx.image();
        let most = self.response_partition_limit.min(cx.node.config.max_request_partition_size_limit);
        let mut page = Page { left: most.max(FEWEST_PER_REPLY) as usize, topics: vec![], next: None };
        let start =
            self.cursor.as_ref().map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
        let first = start.as_ref().map_or("", |(name, _)| name.as_str());
        for name in self.names(&image, first) {
            let from =
                start.as_ref().filter(|(topic, _)| *topic == name).map_or(0, |(_, partition)| *partition);
            if !page.add(&cx, &image, &name, from) {
                break;
            }
        }
        Reply::Now(
            DescribeTopicPartitionsResponse::default().with_topics(page.topics).with_next_cursor(page.next),
        )
    }
}

/// An answer that refuses every topic asked for: there is no error of the whole.
fn refused(
    topics: &[describe_topic_partitions_request::TopicRequest],
    code: ErrorCode,
) -> DescribeTopicPartitionsResponse {
    let refuse = |topic: &describe_topic_partitions_request::TopicRequest| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(code.code())
            .with_name(Some(topic.name.clone()))
    };
    DescribeTopicPartitionsResponse::default().with_topics(topics.iter().map(refuse).collect())
}

trait Named {
    fn begins_within(&self) -> bool;
    fn names(&self, image: &Image, first: &str) -> Vec<String>;
}

impl Named for DescribeTopicPartitionsRequest {
    /// Whether the cursor, if there is one, may be what an earlier page of the same request ended with.
    fn begins_within(&self) -> bool {
        let Some(cursor) = &self.cursor else { return true };
        let is_asked = self.topics.is_empty() || self.topics.iter().any(|one| one.name == cursor.topic_name);
        is_asked && cursor.partition_index >= 0
    }

    /// The asked names (all, if none) in order, from `first` on.
    fn names(&self, image: &Image, first: &str) -> Vec<String> {
        if self.topics.is_empty() {
            return image.topics.from_name(first).map(|topic| topic.name.clone()).collect();
        }
        let asked: BTreeSet<String> = self.topics.iter().map(|topic| topic.name.to_string()).collect();
        asked.into_iter().filter(|name| name.as_str() >= first).collect()
    }
}

/// A reply being filled.
struct Page {
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next: Option<Cursor>,
}

impl Page {
    /// Adds a topic's partitions from `from` on; false if the page is full and the cursor set.
    fn add(&mut self, cx: &Context, image: &Image, name: &str, from: i32) -> bool {
        if self.left == 0 {
            self.next = Some(cursor(name, from));
            return false;
        }
        let operations = operations::TOPIC;
        let answer = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic_name(name)))
            .with_is_internal(is_internal(name))
            .with_topic_authorized_operations(operations);
        match cx.topic(image, &TopicKey::Name(topic_name(name))) {
            Err(code) => self.topics.push(answer.with_error_code(unknown(name, code).code())),
            Ok(topic) => {
                let shown = self.partitions(image, topic, from);
                self.topics.push(answer.with_topic_id(topic.id).with_partitions(shown));
            }
        }
        self.next.is_none()
    }

    fn partitions(
        &mut self,
        image: &Image,
        topic: &TopicImage,
        from: i32,
    ) -> Vec<DescribeTopicPartitionsResponsePartition> {
        let left = topic.partitions().skip(from.max(0) as usize);
        let shown: Vec<_> = left.take(self.left).map(|partition| described(image, partition)).collect();
        self.left -= shown.len();
        let next = from.max(0) + shown.len() as i32;
        if next < topic.partition_count() {
            self.next = Some(cursor(&topic.name, next));
        }
        shown
    }
}

fn unknown(name: &str, code: ErrorCode) -> ErrorCode {
    if name_fault(name).is_none() { code } else { ErrorCode::InvalidTopicException }
}

fn cursor(name: &str, partition: i32) -> Cursor {
    Cursor::default().with_topic_name(topic_name(name)).with_partition_index(partition)
}

fn described(image: &Image, partition: &PartitionImage) -> DescribeTopicPartitionsResponsePartition {
    let (leader, error) = leader_of(image, partition);
    let last_known = partition.last_known_leader.filter(|_| partition.leader.is_none());
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(partition.index)
        .with_leader_id(leader)
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(broker_ids(partition.replica_brokers()))
        .with_isr_nodes(broker_ids(partition.isr.iter().copied()))
        .with_eligible_leader_replicas(Some(broker_ids(partition.elr.iter().copied())))
        .with_last_known_elr(Some(broker_ids(last_known.into_iter())))
        .with_offline_replicas(broker_ids(offline(image, partition)))
}
