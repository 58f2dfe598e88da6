//! Single answers, over a socket, where Kafka's are known and a wrong one misleads a client.

mod support;

use bytes::BytesMut;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable};
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::port::Port;
use support::wire::{Wire, batch, batch_of, text};

const TOPIC: &str = "answered";

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
const NOT_COORDINATOR: i16 = 16;
const INVALID_REQUIRED_ACKS: i16 = 21;
const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const MISMATCHED_ENDPOINT_TYPE: i16 = 114;
const UNSUPPORTED_ENDPOINT_TYPE: i16 = 115;

fn begin(overrides: &[(&str, &str)]) -> (Broker, Wire, uuid::Uuid) {
    let broker = Broker::start(overrides);
    let mut wire = Wire::connect(&broker.address());
    let id = wire.create_topic(TOPIC, 1);
    (broker, wire, id)
}

fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

#[test]
fn metadata_before_version_12_asks_by_name() {
    let (_broker, mut wire, id) = begin(&[]);
    let named = MetadataRequestTopic::default().with_name(Some(name(TOPIC)));
    let nameless = MetadataRequestTopic::default().with_name(None);
    for version in [10, 11] {
        for odd in [named.clone().with_topic_id(id), nameless.clone(), nameless.clone().with_topic_id(id)] {
            let request = MetadataRequest::default().with_topics(Some(vec![named.clone(), odd]));
            let answer = wire.call(version, &request);
            let codes: Vec<i16> = answer.topics.iter().map(|topic| topic.error_code).collect();
            assert_eq!((codes, answer.brokers.len()), (vec![INVALID_REQUEST; 2], 0));
        }
    }
    let by_id = MetadataRequest::default().with_topics(Some(vec![nameless.with_topic_id(id)]));
    assert_eq!(wire.call(12, &by_id).topics[0].error_code, 0);
}

#[test]
fn an_unknown_version_of_metadata_is_told_so() {
    let (_broker, mut wire, _) = begin(&[]);
    let mut frame = BytesMut::new();
    let header = RequestHeader::default().with_request_api_key(3).with_request_api_version(99);
    header.encode(&mut frame, 2).unwrap();
    wire.frame(&frame).unwrap();
    let mut answer = wire.receive().unwrap();
    ResponseHeader::decode(&mut answer, 1).unwrap();
    assert_eq!(MetadataResponse::decode(&mut answer, 13).unwrap().error_code, UNSUPPORTED_VERSION);
}

#[test]
fn a_cursor_that_no_page_ended_with_is_refused() {
    let (_broker, mut wire, _) = begin(&[]);
    let mut ask = |topic: &str, partition| {
        let cursor = Cursor::default().with_topic_name(name(topic)).with_partition_index(partition);
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(vec![TopicRequest::default().with_name(name(TOPIC))])
            .with_response_partition_limit(10)
            .with_cursor(Some(cursor));
        let answer = wire.call(0, &request);
        answer.topics.iter().map(|topic| topic.error_code).collect::<Vec<_>>()
    };
    assert_eq!(ask(TOPIC, 0), [0]);
    assert_eq!(ask(TOPIC, -1), [INVALID_REQUEST]);
    assert_eq!(ask("another", 0), [INVALID_REQUEST]);
}

#[test]
fn groups_and_subscriptions_are_configured_by_name() {
    let (_broker, mut wire, _) = begin(&[]);
    for kind in [16, 32] {
        let asked = DescribeConfigsResource::default().with_resource_type(kind).with_configuration_keys(None);
        let answer = wire.call(4, &DescribeConfigsRequest::default().with_resources(vec![asked]));
        assert_eq!(answer.results[0].error_code, INVALID_REQUEST, "type {kind}");
    }
    let all = wire.call(1, &ListConfigResourcesRequest::default());
    let mut kinds: Vec<i8> = all.config_resources.iter().map(|resource| resource.resource_type).collect();
    kinds.sort();
    assert_eq!(kinds, [2, 4, 8], "topic, broker, broker logger");
}

#[test]
fn an_endpoint_type_is_wrong_or_unknown() {
    let (_broker, mut wire, _) = begin(&[]);
    let cases = [
        (0, UNSUPPORTED_ENDPOINT_TYPE),
        (1, 0),
        (2, MISMATCHED_ENDPOINT_TYPE),
        (3, UNSUPPORTED_ENDPOINT_TYPE),
    ];
    for (endpoint, expected) in cases {
        let answer = wire.call(1, &DescribeClusterRequest::default().with_endpoint_type(endpoint));
        assert_eq!(answer.error_code, expected, "type {endpoint}");
    }
}

#[test]
fn a_producer_id_comes_with_its_epoch() {
    let (_broker, mut wire, _) = begin(&[]);
    for (id, epoch, expected) in [(-1, -1, 0), (5, -1, INVALID_REQUEST), (-1, 5, INVALID_REQUEST), (5, 5, 0)]
    {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch);
        assert_eq!(wire.call(4, &request).error_code, expected, "id {id}, epoch {epoch}");
    }
}

#[test]
fn what_is_not_known_of_offsets_is_minus_one() {
    let (_broker, mut wire, _) = begin(&[]);
    (0..2).for_each(|offset| assert_eq!(wire.produce(TOPIC, 0, batch()).unwrap(), offset));
    let partition = delete_records_request::DeleteRecordsPartition::default().with_offset(1);
    let asked = delete_records_request::DeleteRecordsTopic::default()
        .with_name(name(TOPIC))
        .with_partitions(vec![partition]);
    wire.call(2, &DeleteRecordsRequest::default().with_topics(vec![asked]));

    let partition = OffsetForLeaderPartition::default().with_current_leader_epoch(-1).with_leader_epoch(-1);
    let asked = OffsetForLeaderTopic::default().with_topic(name(TOPIC)).with_partitions(vec![partition]);
    let answer = wire.call(4, &OffsetForLeaderEpochRequest::default().with_topics(vec![asked]));
    let end = &answer.topics[0].partitions[0];
    assert_eq!((end.error_code, end.leader_epoch, end.end_offset), (0, -1, -1));

    let last_tiered = ListOffsetsPartition::default().with_timestamp(-5);
    let asked = ListOffsetsTopic::default().with_name(name(TOPIC)).with_partitions(vec![last_tiered]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
    let answer = wire.call(9, &request);
    let found = &answer.topics[0].partitions[0];
    assert_eq!((found.error_code, found.offset, found.leader_epoch), (0, -1, -1));
}

#[test]
fn acks_that_do_not_exist_are_told_for_topics_that_do() {
    let (_broker, mut wire, _) = begin(&[]);
    for (topic, partition, expected) in [
        (TOPIC, 0, INVALID_REQUIRED_ACKS),
        (TOPIC, 7, UNKNOWN_TOPIC_OR_PARTITION),
        ("missing", 0, UNKNOWN_TOPIC_OR_PARTITION),
    ] {
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch()));
        let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let answer = wire.call(9, &ProduceRequest::default().with_acks(2).with_topic_data(vec![data]));
        let code = answer.responses[0].partition_responses[0].error_code;
        assert_eq!(code, expected, "{topic}/{partition}");
    }
}

#[test]
fn a_sync_names_the_protocol_it_belongs_to() {
    let (_broker, mut wire, _) = begin(&[]);
    let request = SyncGroupRequest::default().with_group_id(GroupId(text("g"))).with_member_id(text("m"));
    for half in [
        request.clone(),
        request.clone().with_protocol_type(Some(text("consumer"))),
        request.clone().with_protocol_name(Some(text("range"))),
    ] {
        assert_eq!(wire.call(5, &half).error_code, INCONSISTENT_GROUP_PROTOCOL);
    }
}

#[test]
fn a_topic_that_is_only_validated_is_told_with_the_values_asked_for() {
    let (_broker, mut wire, _) = begin(&[]);
    let value =
        CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(Some(text("123456")));
    let wanted = CreatableTopic::default()
        .with_name(name("not-made"))
        .with_num_partitions(3)
        .with_replication_factor(1)
        .with_configs(vec![value]);
    let request = CreateTopicsRequest::default().with_topics(vec![wanted]).with_validate_only(true);
    let answer = wire.call(7, &request);
    let topic = &answer.topics[0];
    assert_eq!((topic.error_code, topic.num_partitions), (0, 3));
    let configs = topic.configs.as_ref().unwrap();
    let told = configs.iter().find(|config| config.name.as_str() == "retention.ms").unwrap();
    assert_eq!((told.value.as_deref(), told.config_source), (Some("123456"), 1));
}

/// Waits for as long as there are bytes to wait for: for more than can come, it would wait until the test gives up.
#[test]
fn a_fetch_does_not_wait_for_what_cannot_come() {
    let (_broker, mut wire, _) = begin(&[("log.segment.bytes", "1048576")]);
    let value = vec![7; 300_000];
    (0..5).for_each(|offset| assert_eq!(wire.produce(TOPIC, 0, batch_of(&value)).unwrap(), offset));
    let mut fetch = |offset, min_bytes, max_bytes| {
        let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 30);
        let asked = FetchTopic::default().with_topic(name(TOPIC)).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_max_wait_ms(i32::MAX)
            .with_min_bytes(min_bytes)
            .with_max_bytes(max_bytes)
            .with_topics(vec![asked]);
        let answer = wire.call(11, &request);
        answer.responses[0].partitions[0].records.as_ref().map_or(0, |records| records.len())
    };
    let (whole, in_segment) = (1 << 30, 3 * 300_000..4 * 300_000);
    assert!(in_segment.contains(&fetch(0, whole, whole)), "up to the end of the first segment");
    assert!((300_000..2 * 300_000).contains(&fetch(3, whole, 350_000)), "an answer that is full");
}

#[test]
fn a_follower_is_heard_by_the_listener_of_brokers_alone() {
    let port = Port::reserve();
    let own = Port::reserve();
    let (clients, brokers) = (format!("127.0.0.1:{}", port.number()), format!("127.0.0.1:{}", own.number()));
    let mut broker = Broker::prepare(
        port,
        vec![
            format!("listeners=CLIENTS://{clients},BROKERS://{brokers}"),
            "listener.security.protocol.map=CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT".into(),
            "inter.broker.listener.name=BROKERS".into(),
        ],
    );
    broker.restart();
    let id = Wire::connect(&clients).create_topic(TOPIC, 1);
    let partition = FetchPartition::default().with_current_leader_epoch(0).with_log_start_offset(0);
    let topic = FetchTopic::default().with_topic_id(id).with_partitions(vec![partition]);
    let state = ReplicaState::default().with_replica_id(BrokerId(2)).with_replica_epoch(1);
    let request = FetchRequest::default().with_replica_state(state).with_topics(vec![topic]);
    for (address, code) in [(&clients, TOPIC_AUTHORIZATION_FAILED), (&brokers, NOT_LEADER_OR_FOLLOWER)] {
        let answer = Wire::connect(address).call(17, &request);
        assert_eq!(answer.responses[0].partitions[0].error_code, code, "{address}");
    }
}

#[test]
fn a_join_is_refused_at_once_where_there_are_no_groups_yet() {
    let (_broker, mut wire, _) = begin(&[]);
    let begun = Instant::now();
    let join = JoinGroupRequest::default().with_group_id(GroupId(text("g"))).with_session_timeout_ms(10_000);
    assert_eq!(wire.call(0, &join).error_code, NOT_COORDINATOR);
    // Who waits for an election does so for a second.
    assert!(begun.elapsed() < Duration::from_secs(1));
}
