//! What is produced: batches that are made once and sent again and again.

use super::wire::{frame, name};
use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use storage::batch::BatchBuilder;
use storage::compress::Compression;

/// Version of Produce that is sent: the last that names its topics.
pub const PRODUCE: i16 = 9;
/// Where a batch's records begin: what is before it, a broker may change.
pub const FIRST_RECORD: usize = 61;
/// Bytes of a record around its value, about.
const RECORD_OVERHEAD: usize = 12;

/// A batch of about `bytes`, of records of about 1 KiB, or of one record if it is smaller.
pub fn of(bytes: usize) -> Bytes {
    const RECORD: usize = 1 << 10;
    let records = (bytes / RECORD).max(1);
    let value = vec![b'x'; (bytes.saturating_sub(FIRST_RECORD) / records).saturating_sub(RECORD_OVERHEAD)];
    let mut batch = BatchBuilder::new(Compression::NONE);
    (0..records).for_each(|_| batch.push(1_700_000_000_000, None, Some(&value), &[]));
    batch.finish().expect("the batch is small enough").to_bytes()
}

/// A Produce request of one batch.
pub fn produce(topic: &str, partition: i32, acks: i16, batch: &Bytes) -> Vec<u8> {
    let partition = PartitionProduceData::default().with_index(partition).with_records(Some(batch.clone()));
    let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![partition]);
    let request =
        ProduceRequest::default().with_acks(acks).with_timeout_ms(30_000).with_topic_data(vec![data]);
    frame(PRODUCE, &request)
}

/// The error code of the answer to [`produce`]: it has one topic, whose name is shorter than 127 bytes, and one partition.
pub fn code(answer: &[u8]) -> i16 {
    const CORRELATION_TAGS_TOPICS: usize = 4 + 1 + 1;
    const PARTITIONS_INDEX: usize = 1 + 4;
    let name = answer[CORRELATION_TAGS_TOPICS] as usize;
    let at = CORRELATION_TAGS_TOPICS + name + PARTITIONS_INDEX;
    i16::from_be_bytes([answer[at], answer[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
    use kafka_protocol::messages::{ProduceResponse, ResponseHeader};
    use kafka_protocol::protocol::Encodable;

    #[test]
    fn batches_are_as_large_as_asked() {
        for bytes in [100, 1 << 10, 16 << 10, 256 << 10] {
            let size = of(bytes).len();
            assert!(size.abs_diff(bytes) <= bytes / 10, "{size} for {bytes}");
        }
    }

    #[test]
    fn the_code_is_found_in_an_answer() {
        let partition = PartitionProduceResponse::default().with_index(3).with_error_code(6);
        let topic = TopicProduceResponse::default()
            .with_name(name("a-topic"))
            .with_partition_responses(vec![partition]);
        let mut answer = BytesMut::new();
        ResponseHeader::default().with_correlation_id(7).encode(&mut answer, 1).unwrap();
        ProduceResponse::default().with_responses(vec![topic]).encode(&mut answer, PRODUCE).unwrap();
        assert_eq!(code(&answer), 6);
    }
}
