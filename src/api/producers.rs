//! DescribeProducers: who writes to a partition.

use super::context::{Context, Found};
use super::merged::merged;
use super::topics::by_name;
use super::{Api, Reply};
use crate::types::ErrorCode;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::*;
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};

impl Api for DescribeProducersRequest {
    async fn handle(self, cx: Context) -> Reply<DescribeProducersResponse> {
        let image = cx.image();
        let indexes =
            |topic: TopicRequest| (topic.name, topic.partition_indexes.into_iter().map(|index| (index, ())));
        let asked = merged(self.topics.into_iter().map(indexes));
        let topics = asked.into_iter().map(|(name, partitions)| {
            let topic = cx.topic(&image, &by_name(&name));
            let answers = partitions.into_keys().map(|index| answer(&cx, &topic, index));
            let answers = answers.collect();
            TopicResponse::default().with_name(name).with_partitions(answers)
        });
        let topics = topics.collect();
        Reply::Now(DescribeProducersResponse::default().with_topics(topics))
    }
}

fn answer(cx: &Context, topic: &Found<'_>, index: i32) -> PartitionResponse {
    let answer = PartitionResponse::default().with_partition_index(index);
    match active(cx, topic, index) {
        Ok(producers) => answer.with_active_producers(producers),
        Err(code) => answer.with_error_code(code.code()),
    }
}

fn active(cx: &Context, topic: &Found<'_>, partition: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    let replica = cx.replica((*topic)?, partition)?;
    replica.check_leader(-1)?;
    Ok(replica.producers().iter().map(described).collect())
}

fn described((id, producer): &(i64, storage::producers::ProducerState)) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(*id))
        .with_producer_epoch(producer.epoch.into())
        .with_last_sequence(producer.last_sequence())
        .with_last_timestamp(producer.last_timestamp)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.txn_first_offset.unwrap_or(-1))
}
