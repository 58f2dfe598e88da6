//! What Kafka refuses a client, refused with its code and without effect.

mod support;

use bytes::Bytes;
use drave::types::ErrorCode;
use kafka_protocol::messages::*;
use std::io::Result;
use storage::batch::{BatchBuilder, ProducerFields};
use storage::compress::Compression;
use support::broker::Broker;
use support::wire::{Wire, batch, bytes_of, text};

const OFFSETS: &str = "__consumer_offsets";

/// The code of an answer to Produce.
fn produced(answer: &ProduceResponse) -> i16 {
    answer.responses[0].partition_responses[0].error_code
}

fn produce(topic: &str, records: Bytes) -> ProduceRequest {
    use produce_request::{PartitionProduceData, TopicProduceData};
    let data = PartitionProduceData::default().with_records(Some(records));
    let data = TopicProduceData::default().with_name(TopicName(text(topic))).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data])
}

fn metadata(topic: &str) -> MetadataRequest {
    let named = metadata_request::MetadataRequestTopic::default().with_name(Some(TopicName(text(topic))));
    MetadataRequest::default().with_topics(Some(vec![named])).with_allow_auto_topic_creation(true)
}

#[test]
fn asking_for_a_reserved_topic_does_not_make_it() -> Result<()> {
    let mut broker = Broker::start(&[]);
    let mut wire = Wire::connect(&broker.address());
    for topic in ["__cluster_metadata", "__transaction_state", "__share_group_state"] {
        let answer = wire.try_call(9, &metadata(topic))?;
        assert_eq!(answer.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code(), "{topic}");
    }
    assert_eq!(wire.try_call(9, &metadata("plain"))?.topics[0].error_code, 0);
    broker.restart();
    Ok(())
}

#[test]
fn the_groups_own_topic_is_not_for_clients() -> Result<()> {
    let broker = Broker::start(&[]);
    let mut wire = Wire::connect(&broker.address());
    wire.try_call(9, &metadata(OFFSETS))?;
    let refused = ErrorCode::InvalidTopicException.code();
    assert_eq!(produced(&wire.try_call(9, &produce(OFFSETS, batch()))?), refused);
    let partition = delete_records_request::DeleteRecordsPartition::default().with_offset(-1);
    let delete = delete_records_request::DeleteRecordsTopic::default()
        .with_name(TopicName(text(OFFSETS)))
        .with_partitions(vec![partition]);
    let answer = wire.try_call(1, &DeleteRecordsRequest::default().with_topics(vec![delete]))?;
    assert_eq!(answer.topics[0].partitions[0].error_code, refused);
    let mut tool = Wire::named(&broker.address(), "__admin_client");
    assert_eq!(produced(&tool.try_call(9, &produce(OFFSETS, batch()))?), 0);
    Ok(())
}

#[test]
fn a_transactional_batch_without_a_transaction_hides_nothing() -> Result<()> {
    let broker = Broker::start(&[]);
    let mut wire = Wire::connect(&broker.address());
    wire.create_topic("t", 1);
    let open = ProducerFields { id: 77, epoch: 0, base_sequence: 0 };
    let mut records = BatchBuilder::new(Compression::NONE).producer(open).transactional();
    records.push(1_000, Some(b"key"), Some(b"value"), &[]);
    let records = bytes_of(&records.finish().unwrap());
    let refused = ErrorCode::TransactionalIdAuthorizationFailed.code();
    assert_eq!(produced(&wire.try_call(9, &produce("t", records))?), refused);
    assert_eq!(wire.produce("t", 0, batch())?, 0);
    let partition = list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1);
    let stable = list_offsets_request::ListOffsetsTopic::default()
        .with_name(TopicName(text("t")))
        .with_partitions(vec![partition]);
    let stable = ListOffsetsRequest::default().with_isolation_level(1).with_topics(vec![stable]);
    assert_eq!(wire.try_call(2, &stable)?.topics[0].partitions[0].offset, 1);
    Ok(())
}

/// Each request that names the leader's epoch, as a client that has heard of a later one.
#[test]
fn an_epoch_that_is_not_there_yet_is_said_to_be_unknown() -> Result<()> {
    use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    use offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let broker = Broker::start(&[]);
    let mut wire = Wire::connect(&broker.address());
    wire.create_topic("t", 1);
    for (epoch, expected) in [(-1, None), (0, None), (7, Some(ErrorCode::UnknownLeaderEpoch))] {
        let expected = expected.map_or(0, |code| code.code());
        let asked = ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(epoch);
        let asked = ListOffsetsTopic::default().with_name(TopicName(text("t"))).with_partitions(vec![asked]);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
        let answer = wire.try_call(4, &request)?;
        assert_eq!(answer.topics[0].partitions[0].error_code, expected, "ListOffsets, epoch {epoch}");
        let asked = OffsetForLeaderPartition::default().with_current_leader_epoch(epoch);
        let asked =
            OffsetForLeaderTopic::default().with_topic(TopicName(text("t"))).with_partitions(vec![asked]);
        let answer = wire.try_call(4, &OffsetForLeaderEpochRequest::default().with_topics(vec![asked]))?;
        assert_eq!(answer.topics[0].partitions[0].error_code, expected, "epochs' ends, epoch {epoch}");
    }
    Ok(())
}
