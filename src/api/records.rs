//! DeleteRecords: moves the log start forward.

use super::context::Context;
use super::metadata::is_internal;
use super::topics::by_name;
use super::{Api, Reply};
use crate::partition::checkpoint;
use crate::partition::progress::Mark;
use crate::partition::replica::Replica;
use crate::seam;
use crate::types::{ErrorCode, Offset, Uuid};
use kafka_protocol::messages::delete_records_request::DeleteRecordsTopic;
use kafka_protocol::messages::delete_records_response::*;
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, TopicName};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use storage::checkpoint::OffsetFile;
use storage::dirs::DirHandle;
use tokio::time::Instant;

/// The low watermark where there is none to tell.
const NO_LOW_WATERMARK: Offset = -1;

impl Api for DeleteRecordsRequest {
    async fn handle(self, cx: Context) -> Reply<DeleteRecordsResponse> {
        let deadline = Instant::now() + Duration::from_millis(self.timeout_ms.max(0) as u64);
        let mut topics: Vec<_> = self.topics.iter().map(|topic| answer(&cx, topic)).collect();
        let undurable = write_down(&cx, &self.topics).await;
        for topic in &mut topics {
            let name = topic.name.to_string();
            let failed = |one: &&mut DeleteRecordsPartitionResult| {
                one.error_code == 0 && undurable.contains(&(name.clone(), one.partition_index))
            };
            for one in topic.partitions.iter_mut().filter(failed) {
                one.error_code = ErrorCode::KafkaStorageError.code();
                one.low_watermark = NO_LOW_WATERMARK;
            }
        }
        Reply::of(everywhere(cx, topics, deadline)).await
    }
}

/// Waits until the records are gone from every replica that lives: the low watermark is theirs together.
async fn everywhere(
    cx: Context,
    mut topics: Vec<DeleteRecordsTopicResult>,
    deadline: Instant,
) -> DeleteRecordsResponse {
    for topic in &mut topics {
        for one in topic.partitions.iter_mut().filter(|one| one.error_code == 0) {
            let waited = gone(&cx, &topic.name, one.partition_index, one.low_watermark);
            let waited = tokio::time::timeout_at(deadline, waited).await;
            match waited.unwrap_or(Err(ErrorCode::RequestTimedOut)) {
                Ok(low_watermark) => one.low_watermark = low_watermark,
                Err(code) => (one.error_code, one.low_watermark) = (code.code(), NO_LOW_WATERMARK),
            }
        }
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

async fn gone(cx: &Context, topic: &TopicName, partition: i32, before: Offset) -> Result<Offset, ErrorCode> {
    let replica = {
        let image = cx.image();
        cx.replica(cx.topic(&image, &by_name(topic))?, partition)?
    };
    let epoch = replica.marks().leader_epoch;
    replica.progress().clone().reached(Mark::LowWatermark, before, epoch).await?;
    Ok(replica.marks().low_watermark)
}

/// Makes the new log starts durable before they are acknowledged: deleted records must not come back after a crash.
/// Returns the partitions for which that failed.
async fn write_down(cx: &Context, topics: &[DeleteRecordsTopic]) -> HashSet<(String, i32)> {
    let image = cx.image();
    let named =
        topics.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one.partition_index)));
    let replica = |(topic, partition): (&DeleteRecordsTopic, i32)| {
        cx.replica(cx.topic(&image, &by_name(&topic.name)).ok()?, partition).ok()
    };
    let replicas: Vec<Arc<Replica>> = named.filter_map(replica).collect();
    let table = cx.node.replicas.clone();
    let written = seam::blocking(move || {
        let mut broken: HashMap<Uuid, bool> = HashMap::new();
        let write = |dir: &DirHandle| checkpoint::write(&table, dir, &[OffsetFile::LogStart]);
        let mut is_broken = |dir: &DirHandle| *broken.entry(dir.id()).or_insert_with(|| write(dir).is_err());
        let undurable = replicas.iter().filter(|replica| is_broken(replica.dir()));
        undurable.map(|replica| (replica.topic().to_string(), replica.id().partition)).collect()
    });
    // It only fails if the process is ending.
    written.await.unwrap_or_default()
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
    if is_internal(&topic.name) {
        return Err(ErrorCode::InvalidTopicException);
    }
    cx.replica(topic, partition)?.delete_records(before)
}
