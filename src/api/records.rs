//! DeleteRecords: moves the log start forward.

use super::context::Context;
use super::topics::by_name;
use super::{Api, Reply};
use crate::partition::keeper::checkpoint_log_starts;
use crate::types::{ErrorCode, Offset};
use kafka_protocol::messages::delete_records_request::DeleteRecordsTopic;
use kafka_protocol::messages::delete_records_response::*;
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, TopicName};
use std::collections::HashMap;

/// The low watermark where there is none to tell.
const NO_LOW_WATERMARK: Offset = -1;

impl Api for DeleteRecordsRequest {
    async fn handle(self, cx: Context) -> Reply<DeleteRecordsResponse> {
        let topics = self.topics.iter().map(|topic| answer(&cx, topic)).collect();
        write_down(&cx, &self.topics).await;
        Reply::Now(DeleteRecordsResponse::default().with_topics(topics))
    }
}

/// Makes the new log starts durable before they are acknowledged: deleted records must not come back after a crash.
async fn write_down(cx: &Context, topics: &[DeleteRecordsTopic]) {
    let image = cx.image();
    let named =
        topics.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one.partition_index)));
    let replica = |(topic, partition): (&DeleteRecordsTopic, i32)| {
        cx.replica(cx.topic(&image, &by_name(&topic.name)).ok()?, partition).ok()
    };
    let dirs: HashMap<_, _> =
        named.filter_map(replica).map(|one| (one.dir().id(), one.dir().clone())).collect();
    let table = cx.node.replicas.clone();
    let written = tokio::task::spawn_blocking(move || {
        for dir in dirs.values() {
            if let Err(error) = checkpoint_log_starts(&table, dir) {
                tracing::error!(dir = %dir.path().display(), %error, "log starts could not be written down");
            }
        }
    });
    // It only fails if the process is ending.
    let _ = written.await;
}

fn answer(cx: &Context, topic: &DeleteRecordsTopic) -> DeleteRecordsTopicResult {
    let partition = |asked: &kafka_protocol::messages::delete_records_request::DeleteRecordsPartition| {
        let outcome = delete(cx, &topic.name, asked.partition_index, asked.offset);
        DeleteRecordsPartitionResult::default()
            .with_partition_index(asked.partition_index)
            .with_low_watermark(*outcome.as_ref().unwrap_or(&NO_LOW_WATERMARK))
            .with_error_code(outcome.err().map_or(0, |code| code.code()))
    };
    let partitions = topic.partitions.iter().map(partition).collect();
    DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
}

/// Offset -1 means the high watermark. A topic that is only compacted keeps its records (POLICY_VIOLATION).
fn delete(cx: &Context, topic: &TopicName, partition: i32, before: Offset) -> Result<Offset, ErrorCode> {
    let image = cx.image();
    let topic = cx.topic(&image, &by_name(topic))?;
    cx.replica(topic, partition)?.delete_records(before)
}
