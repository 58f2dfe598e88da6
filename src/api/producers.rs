//! DescribeProducers: who writes to a partition.

use super::context::Context;
use super::topics::by_name;
use super::{Api, Reply};
use crate::types::ErrorCode;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::*;
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};

impl Api for DescribeProducersRequest {
    async fn handle(self, cx: Context) -> Reply<DescribeProducersResponse> {
        let topics = self.topics.iter().map(|topic| answer(&cx, topic)).collect();
        Reply::Now(DescribeProducersResponse::default().with_topics(topics))
    }
}

fn answer(cx: &Context, asked: &TopicRequest) -> TopicResponse {
    let partition = |index: &i32| {
        let answer = PartitionResponse::default().with_partition_index(*index);
        match active(cx, asked, *index) {
            Ok(producers) => answer.with_active_producers(producers),
            Err(code) => answer.with_error_code(code.code()),
        }
    };
    TopicResponse::default()
        .with_name(asked.name.clone())
        .with_partitions(asked.partition_indexes.iter().map(partition).collect())
}

fn active(cx: &Context, asked: &TopicRequest, partition: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    let image = cx.image();
    let topic = cx.topic(&image, &by_name(&asked.name))?;
    let replica = cx.replica(topic, partition)?;
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
