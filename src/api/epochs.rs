//! OffsetForLeaderEpoch: where an epoch ended, so that a reader can tell whether its log was cut (KIP-320).

use super::context::{Context, Found};
use super::topics::by_name;
use super::{Api, Reply};
use crate::types::{ErrorCode, LeaderEpoch, Offset};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::*;
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

impl Api for OffsetForLeaderEpochRequest {
    async fn handle(self, cx: Context) -> Reply<OffsetForLeaderEpochResponse> {
        let topics = self.topics.iter().map(|topic| answer(&cx, topic)).collect();
        Reply::Now(OffsetForLeaderEpochResponse::default().with_topics(topics))
    }
}

fn answer(cx: &Context, topic: &OffsetForLeaderTopic) -> OffsetForLeaderTopicResult {
    let image = cx.image();
    let found = cx.topic(&image, &by_name(&topic.topic));
    let partition = |asked: &OffsetForLeaderPartition| {
        let answer = EpochEndOffset::default().with_partition(asked.partition);
        match end_of(cx, &found, asked) {
            Ok((epoch, end)) => answer.with_leader_epoch(epoch).with_end_offset(end),
            Err(code) => answer.with_error_code(code.code()),
        }
    };
    OffsetForLeaderTopicResult::default()
        .with_topic(topic.topic.clone())
        .with_partitions(topic.partitions.iter().map(partition).collect())
}

/// Epoch and end are both -1 where the epoch is not known.
fn end_of(
    cx: &Context,
    topic: &Found<'_>,
    asked: &OffsetForLeaderPartition,
) -> Result<(LeaderEpoch, Offset), ErrorCode> {
    let replica = cx.replica((*topic)?, asked.partition)?;
    replica.check_leader(asked.current_leader_epoch)?;
    Ok(replica.epoch_end(asked.leader_epoch).unwrap_or((-1, -1)))
}
