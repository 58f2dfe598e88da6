//! Who makes topics and takes them away.

use super::wire::text;
use super::{Client, PAUSE};
use crate::setup::REPLICAS;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, CreateTopicsRequest, DeleteTopicsRequest,
    ElectLeadersRequest, TopicName,
};
use std::io;
use tokio::time::sleep;

const CREATE: i16 = 6;
const DELETE: i16 = 5;
const ELECT: i16 = 2;
const REASSIGN: i16 = 0;

/// Makes a topic, or finds that it is there.
pub async fn create(client: &Client, topic: &str, partitions: i32, replicas: i16, configs: &[(&str, &str)]) {
    client.until_done(|| try_create(client, topic, partitions, replicas, configs)).await;
}

async fn try_create(
    client: &Client,
    topic: &str,
    partitions: i32,
    replicas: i16,
    configs: &[(&str, &str)],
) -> io::Result<()> {
    let config = |(key, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
    };
    let wanted = CreatableTopic::default()
        .with_name(TopicName(text(topic)))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
        .with_configs(configs.iter().map(config).collect());
    let request = CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(3_000);
    let answer = client.any_broker().await?.call(CREATE, &request).await?;
    match ResponseError::try_from_code(answer.topics[0].error_code) {
        None | Some(ResponseError::TopicAlreadyExists) => Ok(()),
        Some(error) => Err(io::Error::other(error)),
    }
}

async fn try_delete(client: &Client, topic: &str) -> io::Result<()> {
    let names = vec![TopicName(text(topic))];
    let request = DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(3_000);
    let answer = client.any_broker().await?.call(DELETE, &request).await?;
    match ResponseError::try_from_code(answer.responses[0].error_code) {
        None | Some(ResponseError::UnknownTopicOrPartition) => Ok(()),
        Some(error) => Err(io::Error::other(error)),
    }
}

/// Makes topics that come and go, for as long as clients work.
pub async fn come_and_go(client: Client) {
    let mut made = 0;
    while client.act() == super::Act::Work {
        client.pause(4_000).await;
        made += 1;
        let topic = format!("passing-{}", made % 3);
        create(&client, &topic, 2, 2, &[]).await;
        client.pause(2_000).await;
        client.until_done(|| try_delete(&client, &topic)).await;
    }
}

/// Moves leaders back to where they are preferred, now and then.
pub async fn elect(client: Client) {
    while client.act() == super::Act::Work {
        client.pause(8_000).await;
        let request = ElectLeadersRequest::default().with_timeout_ms(3_000).with_topic_partitions(None);
        if let Ok(mut broker) = client.any_broker().await {
            // It may be refused, or nobody may answer.
            let _ = broker.call(ELECT, &request).await;
        }
        sleep(PAUSE).await;
    }
}

/// Moves partitions to other brokers, or prefers other leaders, now and then.
pub async fn reassign(client: Client, partitions: Vec<(String, i32)>) {
    while client.act() == super::Act::Work {
        client.pause(8_000).await;
        let (topic, partition) = &partitions[client.below(partitions.len())];
        let mut left = client.brokers.clone();
        let brokers: Vec<_> = (0..REPLICAS).map(|_| left.remove(client.below(left.len()))).collect();
        let wanted = ReassignablePartition::default()
            .with_partition_index(*partition)
            .with_replicas(Some(brokers.into_iter().map(|broker| BrokerId(broker.into())).collect()));
        let wanted =
            ReassignableTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![wanted]);
        let request =
            AlterPartitionReassignmentsRequest::default().with_timeout_ms(3_000).with_topics(vec![wanted]);
        if let Ok(mut broker) = client.any_broker().await {
            // It may be refused, or nobody may answer.
            let _ = broker.call(REASSIGN, &request).await;
        }
    }
}
