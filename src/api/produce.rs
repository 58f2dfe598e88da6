//! Produce: appends at once, in the order of arrival; waits afterwards for what `acks` asks for.

use super::context::{Context, Found};
use super::fetch::session::TopicKey;
use super::leaders::Leaders;
use super::metadata::is_internal;
use super::{Api, Reply};
use crate::cluster::Image;
use crate::partition::replica::{Acks, Append, AppendRefused, Appended};
use crate::seam;
use crate::types::{ErrorCode, LeaderEpoch, Now, Uuid};
use crate::wire::fetch_response::Endpoint;
use futures_util::future::BoxFuture;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::*;
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;
use storage::batch::BatchHeader;
use storage::compress::Codec;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// From here on topics are named by id.
const BY_ID: i16 = 13;
/// From here on the log start is told, then why single records were refused, then who leads instead (KIP-951).
const TELLS_LOG_START: i16 = 5;
const TELLS_RECORD_ERRORS: i16 = 8;
const TELLS_LEADER: i16 = 10;
/// A parked reply is outside of the budget: one that keeps more is waited for with its request still charged.
const PARKED_BYTES: usize = 256 << 10;
/// What a partition keeps, with the future that waits for it.
const PARTITION_BYTES: usize = 300;
/// After so long others get their turn on the thread.
const TURN: Duration = Duration::from_millis(5);
/// A compressed batch of this size is checked on a thread of its own; the way there costs little beside unpacking it.
const DEAR_BYTES: usize = 256 << 10;
/// So many of those threads at most: syncs need some too.
static DEAR_AT_ONCE: Semaphore = Semaphore::const_new(8);
/// From here on zstd may be produced (KIP-110): who speaks less could not read it back.
const KNOWS_ZSTD: i16 = 7;

impl Api for ProduceRequest {
    /// librdkafka turns compression off where it does not see 0 here (KAFKA-18659).
    const ADVERTISED_MIN: i16 = 0;

    async fn handle(self, cx: Context) -> Reply<ProduceResponse> {
        let acks = match is_transactional(&self) {
            true => Err(ErrorCode::TransactionalIdAuthorizationFailed),
            false => Ok(Acks::from_wire(self.acks)),
        };
        let now = cx.now();
        let image = cx.image();
        let mut topics = Vec::with_capacity(self.topic_data.len());
        let mut turn = Turn::begin();
        for topic in self.topic_data {
            topics.push(append_topic(&cx, &image, topic, acks, now, &mut turn).await);
        }
        if acks == Ok(Some(Acks::None)) {
            return silent(&topics);
        }
        if topics.iter().all(TopicOutcome::is_settled) {
            return Reply::Now(respond(&cx, topics));
        }
        let patience = Duration::from_millis(self.timeout_ms.max(0) as u64);
        let kept: usize = topics.iter().map(TopicOutcome::kept).sum();
        let topics = topics.into_iter().map(TopicOutcome::without_frame).collect();
        let answer = wait(cx.parked(), topics, patience);
        if kept > PARKED_BYTES {
            return Reply::Now(answer.await);
        }
        Reply::Later(answer)
    }
}

/// Nothing ends a transaction here yet, and an open one hides all that follows it from those who read only committed
/// records: neither a transactional id nor a transactional batch is taken.
fn is_transactional(request: &ProduceRequest) -> bool {
    let mut partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let says_so = |header: BatchHeader| header.attributes.is_transactional();
    request.transactional_id.is_some()
        || partitions.any(|one| one.records.as_deref().and_then(first_header).is_some_and(says_so))
}

/// With acks=0 there is no reply to put an error into: the connection closes, and the client looks around anew.
fn silent(topics: &[TopicOutcome]) -> Reply<ProduceResponse> {
    let refused = topics.iter().flat_map(|topic| &topic.partitions).any(|(_, outcome)| outcome.is_err());
    if refused { Reply::Close("an append with acks=0 was refused") } else { Reply::Nothing }
}

/// What became of the partitions of one topic.
struct TopicOutcome {
    name: TopicName,
    id: Uuid,
    partitions: Vec<(i32, Result<Appended, AppendRefused>)>,
}

impl TopicOutcome {
    fn is_settled(&self) -> bool {
        self.partitions
            .iter()
            .all(|(_, outcome)| !matches!(outcome, Ok(appended) if appended.pending.is_some()))
    }

    /// Bytes, roughly, that it takes while it is parked.
    fn kept(&self) -> usize {
        self.name.len() + PARTITION_BYTES * self.partitions.len()
    }

    /// Lets go of the request's bytes: a parked reply must not keep the records in memory.
    fn without_frame(self) -> TopicOutcome {
        TopicOutcome { name: TopicName(StrBytes::from_string(self.name.to_string())), ..self }
    }

    fn key(&self) -> TopicKey {
        if self.id.is_nil() { TopicKey::Name(self.name.clone()) } else { TopicKey::Id(self.id) }
    }
}

/// How long a request has had its thread to itself. Batches are checked record by record, and one may unpack to a thousand
/// times its size.
struct Turn(Instant);

impl Turn {
    fn begin() -> Turn {
        Turn(Instant::now())
    }

    /// Lets others have the thread if that was long.
    async fn yield_if_long(&mut self) {
        if self.0.elapsed() >= TURN {
            tokio::task::yield_now().await;
            *self = Turn::begin();
        }
    }
}

async fn append_topic(
    cx: &Context,
    image: &Image,
    topic: TopicProduceData,
    acks: Result<Option<Acks>, ErrorCode>,
    now: Now,
    turn: &mut Turn,
) -> TopicOutcome {
    let mut outcome = TopicOutcome { name: topic.name, id: topic.topic_id, partitions: vec![] };
    let key =
        if cx.version() >= BY_ID { TopicKey::Id(outcome.id) } else { TopicKey::Name(outcome.name.clone()) };
    let found = writable(cx, image, &key);
    for partition in topic.partition_data {
        let index = partition.index;
        let appended = match acks {
            Ok(acks) => append(cx, &found, partition, acks, now).await,
            Err(code) => Err(code.into()),
        };
        outcome.partitions.push((index, appended));
        turn.yield_if_long().await;
    }
    outcome
}

/// As in Kafka only a tool that names itself so may write to internal topics.
fn writable<'a>(cx: &Context, image: &'a Image, key: &TopicKey) -> Found<'a> {
    let topic = cx.topic(image, key)?;
    match is_internal(&topic.name) && cx.header.client_id.as_deref() != Some("__admin_client") {
        true => Err(ErrorCode::InvalidTopicException),
        false => Ok(topic),
    }
}

async fn append(
    cx: &Context,
    topic: &Found<'_>,
    partition: PartitionProduceData,
    acks: Option<Acks>,
    now: Now,
) -> Result<Appended, AppendRefused> {
    let topic = (*topic)?;
    topic.partition(partition.index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let acks = acks.ok_or(ErrorCode::InvalidRequiredAcks)?;
    let replica = cx.replica(topic, partition.index)?;
    let records = partition.records.unwrap_or_default();
    if cx.version() < KNOWS_ZSTD && is_zstd(&records) {
        return Err(ErrorCode::UnsupportedCompressionType.into());
    }
    if !is_dear(&records) {
        return replica.append(Append { records, acks }, now);
    }
    // The semaphore is never closed.
    let _permit = DEAR_AT_ONCE.acquire().await;
    let appending = seam::blocking(move || replica.append(Append { records, acks }, now));
    // It only fails if the process is ending.
    appending.await.unwrap_or_else(|_| Err(ErrorCode::UnknownServerError.into()))
}

/// Whether unpacking it takes so long that it must not keep a thread that serves others.
fn is_dear(records: &[u8]) -> bool {
    let is_packed = |header: BatchHeader| header.attributes.codec() != Some(Codec::None);
    records.len() >= DEAR_BYTES && first_header(records).is_some_and(is_packed)
}

fn is_zstd(records: &[u8]) -> bool {
    first_header(records).is_some_and(|header| header.attributes.codec() == Some(Codec::Zstd))
}

/// `None` where there is too little to say anything; that is refused later.
fn first_header(records: &[u8]) -> Option<BatchHeader> {
    BatchHeader::parse(records).ok()
}

/// Waits for every partition that has something left to wait for, all within `patience`.
fn wait(
    cx: Context,
    mut topics: Vec<TopicOutcome>,
    patience: Duration,
) -> BoxFuture<'static, ProduceResponse> {
    Box::pin(async move {
        let deadline = Instant::now() + patience;
        for (_, outcome) in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            let Ok(appended) = outcome else { continue };
            let Some(pending) = appended.pending.take() else { continue };
            let waited = tokio::time::timeout_at(deadline, pending).await;
            if let Err(code) = waited.unwrap_or_else(|_| Err(appended.timed_out())) {
                *outcome = Err(code.into());
            }
        }
        respond(&cx, topics)
    })
}

fn respond(cx: &Context, topics: Vec<TopicOutcome>) -> ProduceResponse {
    let image = cx.image();
    let mut leaders = Leaders::default();
    let topics = topics.into_iter().map(|topic| {
        let key = topic.key();
        let partitions = topic.partitions.into_iter().map(|(index, outcome)| {
            let leader = match tells_leader(cx.version(), &outcome) {
                true => leaders.hint(cx, &image, &key, index),
                false => None,
            };
            answer(cx.version(), index, outcome, leader)
        });
        let partitions = partitions.collect();
        let answer = TopicProduceResponse::default().with_partition_responses(partitions);
        if cx.version() >= BY_ID { answer.with_topic_id(topic.id) } else { answer.with_name(topic.name) }
    });
    let topics = topics.collect();
    let endpoints = leaders.endpoints.into_iter().map(endpoint).collect();
    ProduceResponse::default().with_responses(topics).with_node_endpoints(endpoints)
}

fn tells_leader(version: i16, outcome: &Result<Appended, AppendRefused>) -> bool {
    let elsewhere = outcome.as_ref().is_err_and(|refused| refused.code == ErrorCode::NotLeaderOrFollower);
    elsewhere && version >= TELLS_LEADER
}

fn endpoint(leader: Endpoint) -> NodeEndpoint {
    NodeEndpoint::default()
        .with_node_id(BrokerId(leader.node))
        .with_host(leader.host)
        .with_port(leader.port)
        .with_rack(leader.rack)
}

fn answer(
    version: i16,
    index: i32,
    outcome: Result<Appended, AppendRefused>,
    leader: Option<(i32, LeaderEpoch)>,
) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index);
    let answer = match outcome {
        Ok(appended) => {
            let start = if version >= TELLS_LOG_START { appended.log_start } else { -1 };
            answer
                .with_base_offset(appended.base_offset)
                .with_log_append_time_ms(appended.log_append_time.map_or(-1, |time| time.0))
                .with_log_start_offset(start)
        }
        Err(refused) => refusal(answer.with_base_offset(-1), version, refused),
    };
    match leader {
        Some((id, epoch)) => answer.with_current_leader(
            LeaderIdAndEpoch::default().with_leader_id(BrokerId(id)).with_leader_epoch(epoch),
        ),
        None => answer,
    }
}

fn refusal(
    answer: PartitionProduceResponse,
    version: i16,
    refused: AppendRefused,
) -> PartitionProduceResponse {
    let answer = answer.with_error_code(refused.code.code());
    if version < TELLS_RECORD_ERRORS {
        return answer;
    }
    let why = |(index, message): (i32, String)| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(index)
            .with_batch_index_error_message(Some(StrBytes::from_string(message)))
    };
    answer
        .with_record_errors(refused.records.into_iter().map(why).collect())
        .with_error_message(refused.message.map(StrBytes::from_string))
}
