//! Fetch as a follower speaks it: one version, topics by id.

use crate::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::messages::fetch_request::{
    FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState,
};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::protocol::{Decodable, Encodable};

pub const KEY: i16 = ApiKey::Fetch as i16;
/// Has broker epochs, and asks for truncation advice.
pub const VERSION: i16 = 17;

/// What a follower asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub replica: BrokerId,
    pub broker_epoch: i64,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub session_id: i32,
    pub session_epoch: i32,
    pub wanted: Vec<(TopicPartition, Wanted)>,
    /// To be left out of the session from now on.
    pub forgotten: Vec<TopicPartition>,
}

/// From where, and how much, of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub leader_epoch: LeaderEpoch,
    pub offset: Offset,
    /// The epoch of the last record before `offset`, or -1.
    pub last_epoch: LeaderEpoch,
    pub log_start: Offset,
    pub max_bytes: i32,
}

/// What the leader says. Partitions without news are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Kafka's code.
    pub error: i16,
    pub session_id: i32,
    pub partitions: Vec<(TopicPartition, Part)>,
}

/// What it says of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Kafka's code.
    pub error: i16,
    pub high_watermark: Offset,
    pub log_start: Offset,
    /// Epoch and its end offset.
    pub diverging_epoch: Option<(LeaderEpoch, Offset)>,
    pub records: Bytes,
}

impl Ask {
    /// The request's body.
    pub fn encode(&self) -> Bytes {
        let state = ReplicaState::default().with_replica_id(self.replica.into());
        let request = FetchRequest::default()
            .with_replica_state(state.with_replica_epoch(self.broker_epoch))
            .with_max_wait_ms(self.max_wait_ms)
            .with_min_bytes(self.min_bytes)
            .with_max_bytes(self.max_bytes)
            .with_session_id(self.session_id)
            .with_session_epoch(self.session_epoch)
            .with_topics(self.topics())
            .with_forgotten_topics_data(self.forgotten_topics());
        let mut body = BytesMut::new();
        // All that it holds exists in this version.
        let encoded = request.encode(&mut body, VERSION);
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        body.freeze()
    }

    fn topics(&self) -> Vec<FetchTopic> {
        let mut topics: Vec<FetchTopic> = vec![];
        for (at, wanted) in &self.wanted {
            if topics.last().is_none_or(|last| last.topic_id != at.topic) {
                topics.push(FetchTopic::default().with_topic_id(at.topic));
            }
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(partition(at.partition, wanted));
            }
        }
        topics
    }

    fn forgotten_topics(&self) -> Vec<ForgottenTopic> {
        let one = |at: &TopicPartition| {
            ForgottenTopic::default().with_topic_id(at.topic).with_partitions(vec![at.partition])
        };
        self.forgotten.iter().map(one).collect()
    }
}

fn partition(index: i32, wanted: &Wanted) -> FetchPartition {
    FetchPartition::default()
        .with_partition(index)
        .with_current_leader_epoch(wanted.leader_epoch)
        .with_fetch_offset(wanted.offset)
        .with_last_fetched_epoch(wanted.last_epoch)
        .with_log_start_offset(wanted.log_start)
        .with_partition_max_bytes(wanted.max_bytes)
}

impl Answer {
    /// From a response's body; its records are slices of it. `None` if it makes no sense.
    pub fn decode(mut body: Bytes) -> Option<Answer> {
        let response = FetchResponse::decode(&mut body, VERSION).ok()?;
        let parts = response.responses.into_iter().flat_map(|topic| {
            let of = move |index| TopicPartition { topic: topic.topic_id, partition: index };
            topic.partitions.into_iter().map(move |data| (of(data.partition_index), Part::of(data)))
        });
        let partitions = parts.collect();
        Some(Answer { error: response.error_code, session_id: response.session_id, partitions })
    }
}

impl Part {
    fn of(data: PartitionData) -> Part {
        let diverging = data.diverging_epoch;
        Part {
            error: data.error_code,
            high_watermark: data.high_watermark,
            log_start: data.log_start_offset,
            diverging_epoch: (diverging.end_offset >= 0).then_some((diverging.epoch, diverging.end_offset)),
            records: data.records.unwrap_or_default(),
        }
    }
}
