//! ListOffsets: offsets by time, and the marks of a partition.

use super::context::{Context, Found};
use super::topics::by_name;
use super::{Api, Reply};
use crate::partition::replica::{Isolation, Located};
use crate::seam;
use crate::types::ErrorCode;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::*;
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};
use std::collections::{HashMap, HashSet};

/// Timestamps that mean a mark instead of a time, with the first version that knows them.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: (i64, i16) = (-3, 7);
const EARLIEST_LOCAL: (i64, i16) = (-4, 8);
const LATEST_TIERED: (i64, i16) = (-5, 9);
/// From here on OFFSET_NOT_AVAILABLE is understood.
const KNOWS_NOT_AVAILABLE: i16 = 5;
/// From here on the leader epoch of the offset is told.
const TELLS_EPOCH: i16 = 4;

impl Api for ListOffsetsRequest {
    async fn handle(self, cx: Context) -> Reply<ListOffsetsResponse> {
        let located = seam::reading((self, cx), |(asked, cx)| answers(asked, cx)).await;
        match located {
            Ok((_, topics)) => Reply::Now(ListOffsetsResponse::default().with_topics(topics)),
            Err(_) => Reply::Close("the node ends"),
        }
    }
}

fn answers(asked: &ListOffsetsRequest, cx: &Context) -> Vec<ListOffsetsTopicResponse> {
    let isolation = Isolation::from_wire(asked.isolation_level);
    let twice = named_twice(&asked.topics);
    asked.topics.iter().map(|topic| answer(cx, topic, isolation, &twice)).collect()
}

/// Partitions that a request names more than once: it cannot be meant, and is refused for them.
fn named_twice(topics: &[ListOffsetsTopic]) -> HashMap<TopicName, HashSet<i32>> {
    let mut seen: HashMap<TopicName, HashSet<i32>> = HashMap::new();
    let mut twice = seen.clone();
    for topic in topics {
        let seen = seen.entry(topic.name.clone()).or_default();
        let again = topic.partitions.iter().map(|one| one.partition_index).filter(|at| !seen.insert(*at));
        twice.entry(topic.name.clone()).or_default().extend(again);
    }
    twice
}

fn answer(
    cx: &Context,
    topic: &ListOffsetsTopic,
    isolation: Isolation,
    twice: &HashMap<TopicName, HashSet<i32>>,
) -> ListOffsetsTopicResponse {
    let image = cx.image();
    let found = cx.topic(&image, &by_name(&topic.name));
    let twice = twice.get(&topic.name);
    let partition = |asked: &ListOffsetsPartition| {
        let answer = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
        let outcome = match twice.is_some_and(|twice| twice.contains(&asked.partition_index)) {
            true => Err(ErrorCode::InvalidRequest),
            false => locate(cx, &found, asked, isolation),
        };
        match outcome {
            Err(code) => answer.with_error_code(known_to(cx.version(), code).code()),
            Ok(None) => answer,
            Ok(Some(found)) => {
                let answer = answer.with_offset(found.offset).with_timestamp(found.timestamp);
                if cx.version() >= TELLS_EPOCH {
                    answer.with_leader_epoch(found.leader_epoch)
                } else {
                    answer
                }
            }
        }
    };
    let partitions = topic.partitions.iter().map(partition).collect();
    ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
}

fn locate(
    cx: &Context,
    topic: &Found<'_>,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<Option<Located>, ErrorCode> {
    let replica = cx.replica((*topic)?, asked.partition_index)?;
    replica.check_leader(asked.current_leader_epoch)?;
    let knows = |(_, since): (i64, i16)| cx.version() >= since;
    match asked.timestamp {
        LATEST => replica.latest(isolation).map(Some),
        EARLIEST => Ok(Some(replica.earliest())),
        t if t == EARLIEST_LOCAL.0 && knows(EARLIEST_LOCAL) => Ok(Some(replica.earliest())),
        t if t == MAX_TIMESTAMP.0 && knows(MAX_TIMESTAMP) => replica.at_max_timestamp(isolation),
        t if t == LATEST_TIERED.0 && knows(LATEST_TIERED) => Ok(Some(NOTHING_TIERED)),
        t if t < 0 => Err(ErrorCode::UnsupportedVersion),
        t => replica.at_time(t, isolation),
    }
}

/// Without tiered storage no offset was ever moved there.
const NOTHING_TIERED: Located = Located { offset: -1, timestamp: -1, leader_epoch: -1 };

fn known_to(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::OffsetNotAvailable if version < KNOWS_NOT_AVAILABLE => ErrorCode::LeaderNotAvailable,
        code => code,
    }
}
