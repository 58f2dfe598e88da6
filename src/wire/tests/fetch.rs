//! The hand-written Fetch response against the crate's own.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch,
    NodeEndpoint, PartitionData, SnapshotId,
};
use kafka_protocol::messages::{BrokerId, ProducerId, TopicName};
use kafka_protocol::protocol::StrBytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::round_trip::only;
use crate::types::Uuid;
use crate::wire::codec::encode_response;
use crate::wire::fetch_response::{Endpoint, FetchReply, PartitionReply, TopicReply};
use crate::wire::outgoing::{Chunk, Chunks};

fn partition() -> impl Strategy<Value = PartitionReply> {
    let offsets = (any::<i64>(), any::<i64>(), any::<i64>());
    // Default values of these are not sent by the crate.
    let tags =
        (option::of((0..9, any::<i64>())), option::of((0..9, 0..9)), option::of((0..9_i64, any::<i32>())));
    let aborted = option::of(vec((any::<i64>(), any::<i64>()), 0..4));
    let records = vec(vec(any::<u8>(), 0..300), 0..3);
    (any::<i32>(), any::<i16>(), offsets, tags, aborted, any::<i32>(), records).prop_map(
        |(index, error, offsets, tags, aborted, preferred, records)| PartitionReply {
            index,
            error,
            high_watermark: offsets.0,
            last_stable_offset: offsets.1,
            log_start_offset: offsets.2,
            diverging_epoch: tags.0,
            current_leader: tags.1,
            snapshot_id: tags.2,
            aborted,
            preferred_read_replica: preferred,
            records: records.into_iter().map(|bytes| Chunk::Bytes(bytes.into())).collect(),
        },
    )
}

fn reply() -> impl Strategy<Value = FetchReply> {
    let topic = ("[a-z]{0,200}", any::<u128>(), vec(partition(), 0..4)).prop_map(|(name, id, partitions)| {
        TopicReply { name: StrBytes::from_string(name), id: Uuid::from_u128(id), partitions }
    });
    let endpoint = (any::<i32>(), "[a-z.]{0,20}", any::<i32>(), option::of("[a-z]{0,9}")).prop_map(
        |(node, host, port, rack)| Endpoint {
            node,
            host: StrBytes::from_string(host),
            port,
            rack: rack.map(StrBytes::from_string),
        },
    );
    (any::<i32>(), any::<i16>(), any::<i32>(), vec(topic, 0..4), vec(endpoint, 0..9)).prop_map(
        |(throttle_time_ms, error, session_id, topics, endpoints)| FetchReply {
            throttle_time_ms,
            error,
            session_id,
            topics,
            endpoints,
        },
    )
}

/// The same in the crate's structs, without what `version` cannot say.
fn as_message(reply: &FetchReply, version: i16) -> FetchResponse {
    let mut message = FetchResponse::default()
        .with_throttle_time_ms(reply.throttle_time_ms)
        .with_responses(reply.topics.iter().map(|topic| topic_message(topic, version)).collect());
    if version >= 7 {
        message = message.with_error_code(reply.error).with_session_id(reply.session_id);
    }
    if version >= 16 {
        message.node_endpoints = reply.endpoints.iter().map(endpoint_message).collect();
    }
    message
}

fn topic_message(topic: &TopicReply, version: i16) -> FetchableTopicResponse {
    let partitions = topic.partitions.iter().map(|partition| partition_message(partition, version)).collect();
    let message = FetchableTopicResponse::default().with_partitions(partitions);
    if version >= 13 {
        message.with_topic_id(topic.id)
    } else {
        message.with_topic(TopicName(topic.name.clone()))
    }
}

fn partition_message(partition: &PartitionReply, version: i16) -> PartitionData {
    let aborted = partition.aborted.as_ref().map(|all| {
        all.iter()
            .map(|(id, first)| {
                AbortedTransaction::default().with_producer_id(ProducerId(*id)).with_first_offset(*first)
            })
            .collect()
    });
    let mut message = PartitionData::default()
        .with_partition_index(partition.index)
        .with_error_code(partition.error)
        .with_high_watermark(partition.high_watermark)
        .with_last_stable_offset(partition.last_stable_offset)
        .with_aborted_transactions(aborted)
        .with_records(Some(joined(&partition.records)));
    if version >= 5 {
        message.log_start_offset = partition.log_start_offset;
    }
    if version >= 11 {
        message.preferred_read_replica = BrokerId(partition.preferred_read_replica);
    }
    if version >= 12 { with_tags(message, partition) } else { message }
}

fn with_tags(mut message: PartitionData, partition: &PartitionReply) -> PartitionData {
    if let Some((epoch, end)) = partition.diverging_epoch {
        message.diverging_epoch = EpochEndOffset::default().with_epoch(epoch).with_end_offset(end);
    }
    if let Some((id, epoch)) = partition.current_leader {
        message.current_leader =
            LeaderIdAndEpoch::default().with_leader_id(BrokerId(id)).with_leader_epoch(epoch);
    }
    if let Some((end, epoch)) = partition.snapshot_id {
        message.snapshot_id = SnapshotId::default().with_end_offset(end).with_epoch(epoch);
    }
    message
}

fn endpoint_message(endpoint: &Endpoint) -> NodeEndpoint {
    NodeEndpoint::default()
        .with_node_id(BrokerId(endpoint.node))
        .with_host(endpoint.host.clone())
        .with_port(endpoint.port)
        .with_rack(endpoint.rack.clone())
}

fn joined(chunks: &[Chunk]) -> Bytes {
    let mut all = BytesMut::new();
    for chunk in chunks {
        match chunk {
            Chunk::Bytes(bytes) => all.extend_from_slice(bytes),
            Chunk::File(slice) => all.extend_from_slice(&slice.read().unwrap()),
        }
    }
    all.freeze()
}

/// The addresses of all records, to see that none is copied.
fn record_addresses(reply: &FetchReply) -> Vec<*const u8> {
    let partitions = reply.topics.iter().flat_map(|topic| &topic.partitions);
    let chunks = partitions.flat_map(|partition| &partition.records).filter(|chunk| !chunk.is_empty());
    chunks.map(address).collect()
}

fn address(chunk: &Chunk) -> *const u8 {
    match chunk {
        Chunk::Bytes(bytes) => bytes.as_ptr(),
        Chunk::File(_) => std::ptr::null(),
    }
}

proptest! {
    #[test]
    fn bytes_are_those_of_the_schema_and_records_are_not_copied(reply in reply(), version in 4_i16..=18) {
        let expected = only(encode_response(42, version, &as_message(&reply, version)).unwrap());
        let records = record_addresses(&reply);
        let Chunks(chunks) = reply.encode(42, version);
        prop_assert_eq!(joined(&chunks), expected);
        let sent: Vec<_> = chunks.iter().map(address).collect();
        prop_assert!(records.iter().all(|record| sent.contains(record)));
    }
}
