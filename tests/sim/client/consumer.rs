//! A consumer: reads a partition from its beginning, and again and again what comes. It says which leader it means, so
//! that one that was replaced does not take it for one that has read too far.

use super::wire::{Wire, text};
use super::{Act, Client, PAUSE};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, TopicName};
use std::io;
use storage::batch::{batches, records};
use tokio::time::sleep;

/// The last version that names topics.
const FETCH: i16 = 12;
const LIST: i16 = 6;
/// The timestamp of the latest offset.
const LATEST: i64 = -1;
/// Of so many fetches one comes after a question for the latest offset.
const RARELY: usize = 4;
/// How long a broker may wait for records, ms.
const WAIT: i32 = 500;
/// Bytes of one answer.
const BYTES: i32 = 16 << 10;
/// What a batch may decompress to, bytes.
const LIMIT: usize = 1 << 20;

#[derive(Clone, Copy, Default)]
struct Place {
    position: i64,
    /// Of the newest leader that was heard of.
    epoch: i32,
}

/// Reads until the story ends, and at its end everything once more.
pub async fn run(client: Client, topic: String, partition: i32) {
    let mut place = Place::default();
    while client.act() != Act::Look {
        // Whatever failed: it goes on where it was.
        if let Err(error) = read_some(&client, &topic, partition, &mut place).await {
            tracing::debug!(topic, partition, place.position, %error, "a consumer looks for the leader");
        }
        sleep(PAUSE).await;
    }
    let mut wanted = None;
    place.position = 0;
    // The watermark of a leader that was just elected may lie behind for a moment.
    let end = client.history.known_end(&topic, partition);
    while wanted.is_none_or(|wanted| place.position < end.max(wanted)) {
        if let Ok(seen) = read_some(&client, &topic, partition, &mut place).await {
            wanted = Some(seen);
        }
    }
    client.history.looked(&topic, partition, place.position);
}

/// Over one connection, until something fails, or the act ends. Returns the high watermark.
async fn read_some(client: &Client, topic: &str, partition: i32, place: &mut Place) -> io::Result<i64> {
    let (mut wire, epoch) = client.leader(topic, partition).await?;
    if epoch < place.epoch {
        return Err(io::Error::other("this broker knows an older leader"));
    }
    place.epoch = epoch;
    let act = client.act();
    loop {
        if client.below(RARELY) == 0 {
            list(client, &mut wire, (topic, partition), epoch).await?;
        }
        let (records, watermark) = fetch(client, &mut wire, (topic, partition), *place).await?;
        client.history.fetched(topic, partition, epoch, watermark);
        take(client, (topic, partition), &records, &mut place.position);
        if client.act() != act || act == Act::Look && place.position >= watermark {
            return Ok(watermark);
        }
    }
}

/// Asks for the latest offset, which a leader that was just elected may not know.
async fn list(
    client: &Client,
    wire: &mut Wire,
    (topic, partition): (&str, i32),
    epoch: i32,
) -> io::Result<()> {
    let wanted = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(epoch)
        .with_timestamp(LATEST);
    let wanted = ListOffsetsTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![wanted]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![wanted]);
    let mut answer = wire.call(LIST, &request).await?;
    let part = answer.topics.pop().and_then(|mut topic| topic.partitions.pop());
    let part = part.ok_or(io::ErrorKind::InvalidData)?;
    match ResponseError::try_from_code(part.error_code) {
        None => client.history.listed(topic, partition, epoch, part.offset),
        Some(ResponseError::OffsetNotAvailable) => {}
        Some(error) => return Err(io::Error::other(error)),
    }
    Ok(())
}

async fn fetch(
    client: &Client,
    wire: &mut Wire,
    (topic, partition): (&str, i32),
    Place { position, epoch }: Place,
) -> io::Result<(Bytes, i64)> {
    let wanted = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(position)
        .with_current_leader_epoch(epoch)
        .with_partition_max_bytes(BYTES);
    let wanted = FetchTopic::default().with_topic(TopicName(text(topic))).with_partitions(vec![wanted]);
    let request = FetchRequest::default()
        .with_max_wait_ms(WAIT)
        .with_min_bytes(1)
        .with_max_bytes(BYTES)
        .with_session_epoch(-1)
        .with_topics(vec![wanted]);
    let mut answer = wire.call(FETCH, &request).await?;
    let part = answer.responses.pop().and_then(|mut topic| topic.partitions.pop());
    let part = part.ok_or(io::ErrorKind::InvalidData)?;
    match ResponseError::try_from_code(part.error_code) {
        None => Ok((part.records.unwrap_or_default(), part.high_watermark)),
        Some(error) => {
            if error == ResponseError::OffsetOutOfRange {
                client.history.violated(format!("{topic}-{partition}: offset {position} is out of range"));
            }
            Err(io::Error::other(error))
        }
    }
}

fn take(client: &Client, (topic, partition): (&str, i32), bytes: &Bytes, position: &mut i64) {
    for batch in batches(bytes) {
        // The last one may be cut off.
        let Ok(batch) = batch else { return };
        if batch.check_crc().is_err() {
            client.history.violated(format!(
                "{topic}-{partition}: a batch at {} was changed",
                batch.header.base_offset
            ));
            return;
        }
        let records = records(&batch, LIMIT).expect("a whole batch");
        for record in &records {
            let record = record.expect("a whole record");
            if record.offset >= *position {
                let value = record.key.and_then(|key| key.try_into().ok()).map(u64::from_be_bytes);
                client.history.shown(topic, partition, record.offset, value);
                *position = record.offset + 1;
            }
        }
        *position = (*position).max(batch.header.next_offset());
    }
}
