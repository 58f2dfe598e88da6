//! A consumer that reads a partition from its start, and looks at no more of it than it must.

use super::batch;
use super::wire::{Wire, accepted, frame, name};
use anyhow::{Result, ensure};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest};

/// Version of Fetch that is sent: the last whose lengths are fixed.
pub const FETCH: i16 = 11;
const MAX_BYTES: i32 = 1 << 20;

/// Where the parts of an answer about one partition are.
mod answer {
    pub const TOP_CODE: usize = 8;
    pub const TOPIC: usize = 18;
    /// After the topic's name: partitions, index.
    pub const CODE: usize = 8;
    /// After the code: high watermark, last stable offset, log start, aborted, preferred replica.
    pub const RECORDS: usize = 2 + 8 + 8 + 8 + 4 + 4;
}

pub fn request(topic: &str, partition: i32, offset: i64, max_bytes: i32) -> Vec<u8> {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(max_bytes);
    let asked = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    frame(
        FETCH,
        &FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(500)
            .with_min_bytes(1)
            .with_max_bytes(max_bytes)
            .with_session_epoch(-1)
            .with_topics(vec![asked]),
    )
}

/// Reads `bytes` of batches that are all like `one`, from offset 0; answers in how many requests.
pub fn read(leader: &str, topic: &str, partition: i32, bytes: usize, one: &[u8]) -> Result<usize> {
    let records_of_one = i64::from(u32::from_be_bytes(one[57..61].try_into()?));
    let mut wire = Wire::connect(leader)?;
    let (mut requests, mut got) = (0, 0);
    while got < bytes {
        let offset = (got / one.len()) as i64 * records_of_one;
        wire.write(&request(topic, partition, offset, MAX_BYTES))?;
        let records = records_in(wire.read()?)?;
        // The last batch may be cut off.
        let whole = records.len() / one.len() * one.len();
        ensure!(whole > 0, "no whole batch at offset {offset}: {} bytes", records.len());
        ensure!(
            records[batch::FIRST_RECORD..whole].ends_with(&one[batch::FIRST_RECORD..]),
            "other bytes than were sent"
        );
        (requests, got) = (requests + 1, got + whole);
    }
    Ok(requests)
}

/// The records of an answer about one partition.
fn records_in(answer: &[u8]) -> Result<&[u8]> {
    let number = |at: usize| i16::from_be_bytes([answer[at], answer[at + 1]]);
    accepted(number(answer::TOP_CODE), "a fetch")?;
    let code = answer::TOPIC + 2 + number(answer::TOPIC) as usize + answer::CODE;
    accepted(number(code), "a partition's fetch")?;
    Ok(&answer[code + answer::RECORDS + 4..])
}
