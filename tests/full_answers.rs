//! Answers with all that they can tell, at every version: each says what its version has room for, and no more.
//!
//! A field that a version does not know makes an answer that cannot be encoded: the connection closes, and the test fails.

mod support;

use bytes::Bytes;
use drave::api::ROUTES;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use std::ops::RangeInclusive;
use storage::batch::BatchBuilder;
use storage::compress::Compression;
use support::broker::Broker;
use support::wire::{Wire, batch, bytes_of, text};

const TOPIC: &str = "told";
const COMPACTED: &str = "compacted";
const RACK: &str = "rack-1";
const GROUP: &str = "tellers";
const INSTANCE: &str = "instance-1";

const INVALID_RECORD: i16 = 87;
const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNKNOWN_MEMBER_ID: i16 = 25;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_CONFIG: i16 = 40;
const GROUP_ID_NOT_FOUND: i16 = 69;

fn versions<R: Request>() -> RangeInclusive<i16> {
    let route = ROUTES.iter().find(|route| route.key == R::KEY).unwrap();
    route.min..=route.max
}

fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

/// What a version that knows the field says, and what is read of one that does not.
fn since<T>(version: i16, first: i16, told: T, untold: T) -> T {
    if version >= first { told } else { untold }
}

fn begin() -> (Broker, Wire) {
    let broker = Broker::start(&[("broker.rack", RACK), ("auto.create.topics.enable", "false")]);
    let mut wire = Wire::connect(&broker.address());
    wire.create_topic(TOPIC, 2);
    (broker, wire)
}

#[test]
fn metadata() {
    use metadata_request::MetadataRequestTopic;
    let (_broker, mut wire) = begin();
    let asked =
        ["missing", TOPIC, "a b"].map(|one| MetadataRequestTopic::default().with_name(Some(name(one))));
    for version in versions::<MetadataRequest>() {
        let request = MetadataRequest::default()
            .with_topics(Some(asked.to_vec()))
            .with_include_topic_authorized_operations(version >= 8)
            .with_include_cluster_authorized_operations((8..=10).contains(&version));
        let answer = wire.call(version, &request);
        let codes: Vec<i16> = answer.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [UNKNOWN_TOPIC_OR_PARTITION, 0, 17], "version {version}");
        let rack = answer.brokers[0].rack.as_deref().unwrap_or_default();
        assert_eq!(rack, since(version, 1, RACK, ""), "version {version}");
        assert_eq!(answer.cluster_id.is_some(), version >= 2, "version {version}");
        let told = &answer.topics[1];
        assert_eq!(told.topic_id.is_nil(), version < 10, "version {version}");
        assert_eq!(told.partitions[0].leader_epoch, since(version, 7, 0, -1), "version {version}");
        assert_eq!(told.topic_authorized_operations > 0, version >= 8, "version {version}");
        assert_eq!(answer.cluster_authorized_operations > 0, (8..=10).contains(&version));
    }
}

#[test]
fn describe_cluster() {
    let (_broker, mut wire) = begin();
    for version in versions::<DescribeClusterRequest>() {
        let request = DescribeClusterRequest::default()
            .with_include_cluster_authorized_operations(true)
            .with_include_fenced_brokers(version >= 2);
        let answer = wire.call(version, &request);
        assert_eq!(answer.brokers[0].rack.as_deref(), Some(RACK));
        assert!(answer.cluster_authorized_operations > 0);
    }
}

#[test]
fn topics_that_are_made_grown_and_deleted_or_not() {
    use create_partitions_request::CreatePartitionsTopic;
    use create_topics_request::{CreatableTopic, CreatableTopicConfig};
    use delete_topics_request::DeleteTopicState;
    let (_broker, mut wire) = begin();
    let wanted = |one: &str, retention: &str| {
        let config = CreatableTopicConfig::default().with_name(text("retention.ms"));
        CreatableTopic::default()
            .with_name(name(one))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(vec![config.with_value(Some(text(retention)))])
    };
    for version in versions::<CreateTopicsRequest>() {
        let new = format!("new-{version}");
        let topics = vec![wanted(&new, "5000"), wanted(TOPIC, "5000"), wanted("odd", "never")];
        let answer = wire.call(version, &CreateTopicsRequest::default().with_topics(topics));
        let code = |one: &str| answer.topics.iter().find(|topic| *topic.name == *one).unwrap();
        let (made, there, odd) = (code(&new), code(TOPIC), code("odd"));
        assert_eq!([made, there, odd].map(|one| one.error_code), [0, TOPIC_ALREADY_EXISTS, INVALID_CONFIG]);
        assert!(odd.error_message.as_ref().is_some_and(|message| message.contains("never")));
        assert_eq!(made.num_partitions, since(version, 5, 1, -1), "version {version}");
        assert_eq!(made.topic_id.is_nil(), version < 7, "version {version}");
    }
    for version in versions::<CreatePartitionsRequest>() {
        let fewer =
            CreatePartitionsTopic::default().with_name(name(TOPIC)).with_count(1).with_assignments(None);
        let answer = wire.call(version, &CreatePartitionsRequest::default().with_topics(vec![fewer]));
        assert_eq!(answer.results[0].error_code, INVALID_PARTITIONS);
        assert!(answer.results[0].error_message.is_some());
    }
    for version in versions::<DeleteTopicsRequest>() {
        let missing = name("missing");
        let request = match version {
            6.. => {
                let topic = DeleteTopicState::default().with_name(Some(missing));
                DeleteTopicsRequest::default().with_topics(vec![topic])
            }
            _ => DeleteTopicsRequest::default().with_topic_names(vec![missing]),
        };
        let answer = wire.call(version, &request);
        assert_eq!(answer.responses[0].error_code, UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(answer.responses[0].error_message.is_some(), version >= 5, "version {version}");
    }
}

#[test]
fn records_that_are_refused() {
    use create_topics_request::{CreatableTopic, CreatableTopicConfig};
    use produce_request::{PartitionProduceData, TopicProduceData};
    let (_broker, mut wire) = begin();
    let compact =
        CreatableTopicConfig::default().with_name(text("cleanup.policy")).with_value(Some(text("compact")));
    let topic = CreatableTopic::default()
        .with_name(name(COMPACTED))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![compact]);
    let id = wire.call(7, &CreateTopicsRequest::default().with_topics(vec![topic])).topics[0].topic_id;
    let mut keyless = BatchBuilder::new(Compression::NONE);
    keyless.push(1_000, Some(b"key"), None, &[]);
    keyless.push(1_000, None, Some(b"value"), &[]);
    let records = bytes_of(&keyless.finish().unwrap());
    for version in versions::<ProduceRequest>() {
        let data = PartitionProduceData::default().with_records(Some(records.clone()));
        let data = TopicProduceData::default().with_partition_data(vec![data]);
        let data = if version >= 13 { data.with_topic_id(id) } else { data.with_name(name(COMPACTED)) };
        let answer = wire.call(version, &ProduceRequest::default().with_acks(-1).with_topic_data(vec![data]));
        let refused = &answer.responses[0].partition_responses[0];
        assert_eq!((refused.error_code, refused.base_offset), (INVALID_RECORD, -1));
        let blamed: Vec<i32> = refused.record_errors.iter().map(|one| one.batch_index).collect();
        assert_eq!(blamed, since(version, 8, vec![1], vec![]), "version {version}");
        assert_eq!(refused.error_message.is_some(), version >= 8, "version {version}");
    }
}

#[test]
fn offsets_out_of_range() {
    use fetch_request::{FetchPartition, FetchTopic};
    use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    let (_broker, mut wire) = begin();
    wire.produce(TOPIC, 0, batch()).unwrap();
    let id = wire.call(12, &MetadataRequest::default().with_topics(None)).topics[0].topic_id;
    for version in versions::<FetchRequest>() {
        let partitions = [0, 99].map(|offset| {
            let partition =
                FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1000);
            partition.with_partition(i32::from(offset > 0))
        });
        let asked = FetchTopic::default().with_partitions(partitions.to_vec());
        let asked = if version >= 13 { asked.with_topic_id(id) } else { asked.with_topic(name(TOPIC)) };
        let request = FetchRequest::default().with_max_bytes(1000).with_isolation_level(1);
        let answer = wire.call(version, &request.with_topics(vec![asked]));
        let [there, beyond] = &answer.responses[0].partitions[..] else { panic!("{answer:?}") };
        assert_eq!((there.error_code, there.high_watermark, there.last_stable_offset), (0, 1, 1));
        assert_eq!(there.log_start_offset, since(version, 5, 0, -1), "version {version}");
        assert_eq!(there.aborted_transactions, Some(vec![]));
        assert_eq!((beyond.error_code, beyond.high_watermark), (OFFSET_OUT_OF_RANGE, -1));
    }
    for version in versions::<ListOffsetsRequest>() {
        let partitions = [0, 7]
            .map(|index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(1_000));
        let asked = ListOffsetsTopic::default().with_name(name(TOPIC)).with_partitions(partitions.to_vec());
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
        let answer = wire.call(version, &request);
        let [found, missing] = &answer.topics[0].partitions[..] else { panic!("{answer:?}") };
        assert_eq!((found.error_code, found.offset, found.timestamp), (0, 0, 1_000));
        assert_eq!(found.leader_epoch, since(version, 4, 0, -1), "version {version}");
        assert_eq!((missing.error_code, missing.offset), (UNKNOWN_TOPIC_OR_PARTITION, -1));
    }
}

#[test]
fn configurations_and_their_refusals() {
    use describe_configs_request::DescribeConfigsResource;
    let (_broker, mut wire) = begin();
    for version in versions::<DescribeConfigsRequest>() {
        let resource = |kind, of: &str| {
            let resource = DescribeConfigsResource::default().with_resource_type(kind);
            resource.with_resource_name(text(of)).with_configuration_keys(None)
        };
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource(4, "1"), resource(2, "missing"), resource(99, "x")])
            .with_include_synonyms(true)
            .with_include_documentation(version >= 3);
        let answer = wire.call(version, &request);
        let codes: Vec<i16> = answer.results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [0, UNKNOWN_TOPIC_OR_PARTITION, 42], "version {version}");
        assert!(answer.results[1].error_message.is_some());
        let rack = answer.results[0].configs.iter().find(|one| one.name.as_str() == "broker.rack").unwrap();
        assert_eq!(rack.value.as_deref(), Some(RACK));
        assert_eq!((rack.synonyms.len(), rack.config_type), (1, since(version, 3, 2, 0)));
        assert_eq!(
            rack.documentation.as_deref().is_some_and(|text| !text.is_empty()),
            version >= 3,
            "version {version}"
        );
    }
}

/// A static member: its instance, its protocol, what it said of itself.
fn join(wire: &mut Wire, version: i16, group: &str) -> JoinGroupResponse {
    wire.call(4, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]));
    let protocol = join_group_request::JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"subscription"));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(if version >= 1 { 10_000 } else { -1 })
        .with_protocol_type(text("consumer"))
        .with_group_instance_id((version >= 5).then(|| text(INSTANCE)))
        .with_protocols(vec![protocol]);
    let answer = settled(|| wire.call(version, &request));
    match answer.error_code {
        79 => wire.call(version, &request.with_member_id(answer.member_id)),
        _ => answer,
    }
}

/// Asks again while the group's partition is being made or loaded.
fn settled(mut ask: impl FnMut() -> JoinGroupResponse) -> JoinGroupResponse {
    (0..500).map(|_| ask()).find(|answer| ![14, 15, 16].contains(&answer.error_code)).expect("a coordinator")
}

fn sync(wire: &mut Wire, joined: &JoinGroupResponse, group: &str) {
    let own = sync_group_request::SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"assignment"));
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(joined.member_id.clone())
        .with_generation_id(joined.generation_id)
        .with_assignments(vec![own]);
    assert_eq!(wire.call(3, &request).error_code, 0);
}

#[test]
fn members_of_groups() {
    let (_broker, mut wire) = begin();
    for version in versions::<JoinGroupRequest>() {
        let joined = join(&mut wire, version, &format!("joined-{version}"));
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        assert_eq!(joined.protocol_type.as_deref(), since(version, 7, Some("consumer"), None));
        let instance = joined.members[0].group_instance_id.as_deref();
        assert_eq!(instance, since(version, 5, Some(INSTANCE), None), "version {version}");
        assert_eq!(&joined.members[0].metadata[..], b"subscription");
    }
    let joined = join(&mut wire, 5, GROUP);
    sync(&mut wire, &joined, GROUP);
    for version in versions::<DescribeGroupsRequest>() {
        let groups = [GROUP, "nobody"].map(|group| GroupId(text(group)));
        let request = DescribeGroupsRequest::default()
            .with_groups(groups.to_vec())
            .with_include_authorized_operations(version >= 3);
        let answer = wire.call(version, &request);
        let (stable, nobody) = (&answer.groups[0], &answer.groups[1]);
        assert_eq!((&*stable.group_state, &*stable.protocol_data), ("Stable", "range"));
        assert_eq!(stable.authorized_operations > 0, version >= 3, "version {version}");
        let member = &stable.members[0];
        let instance = member.group_instance_id.as_deref();
        assert_eq!(instance, since(version, 4, Some(INSTANCE), None), "version {version}");
        assert_eq!((&*member.client_id, &member.member_assignment[..]), ("test", &b"assignment"[..]));
        assert_eq!(nobody.error_code, since(version, 6, GROUP_ID_NOT_FOUND, 0), "version {version}");
        assert_eq!(nobody.error_message.is_some(), version >= 6, "version {version}");
    }
    for version in versions::<ListGroupsRequest>() {
        let answer = wire.call(version, &ListGroupsRequest::default());
        let listed = answer.groups.iter().find(|listed| *listed.group_id == *GROUP).unwrap();
        assert_eq!(&*listed.group_state, since(version, 4, "Stable", ""), "version {version}");
        assert_eq!(&*listed.group_type, since(version, 5, "classic", ""), "version {version}");
    }
    for version in versions::<LeaveGroupRequest>() {
        let request = LeaveGroupRequest::default().with_group_id(GroupId(text(GROUP)));
        let stranger: StrBytes = text("stranger");
        let request = match version {
            0..=2 => request.with_member_id(stranger),
            _ => {
                let member = leave_group_request::MemberIdentity::default().with_member_id(stranger);
                request.with_members(vec![member])
            }
        };
        let answer = wire.call(version, &request);
        let codes: Vec<i16> = answer.members.iter().map(|member| member.error_code).collect();
        let (whole, each) = since(version, 3, (0, vec![UNKNOWN_MEMBER_ID]), (UNKNOWN_MEMBER_ID, vec![]));
        assert_eq!((answer.error_code, codes), (whole, each), "version {version}");
    }
}

#[test]
fn committed_offsets() {
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    use offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
    let (_broker, mut wire) = begin();
    let joined = join(&mut wire, 3, GROUP);
    sync(&mut wire, &joined, GROUP);
    for version in versions::<OffsetCommitRequest>() {
        let partitions = [0, 7].map(|index| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(index)
                .with_committed_offset(5)
                .with_committed_leader_epoch(if version >= 6 { 0 } else { -1 })
                .with_committed_metadata(Some(text("note")))
        });
        let asked =
            OffsetCommitRequestTopic::default().with_name(name(TOPIC)).with_partitions(partitions.to_vec());
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_generation_id_or_member_epoch(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_topics(vec![asked]);
        let answer = wire.call(version, &request);
        let codes: Vec<i16> = answer.topics[0].partitions.iter().map(|one| one.error_code).collect();
        assert_eq!(codes, [0, UNKNOWN_TOPIC_OR_PARTITION], "version {version}");
    }
    for version in versions::<OffsetFetchRequest>() {
        let request = OffsetFetchRequest::default();
        let found = if version >= 8 {
            let asked =
                OffsetFetchRequestTopics::default().with_name(name(TOPIC)).with_partition_indexes(vec![0, 1]);
            let asked = OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(text(GROUP)))
                .with_topics(Some(vec![asked]));
            let answer = wire.call(version, &request.with_groups(vec![asked]));
            let all = answer.groups[0].topics[0].partitions.iter();
            all.map(|one| (one.committed_offset, one.committed_leader_epoch, one.metadata.clone())).collect()
        } else {
            let asked =
                OffsetFetchRequestTopic::default().with_name(name(TOPIC)).with_partition_indexes(vec![0, 1]);
            let request = request.with_group_id(GroupId(text(GROUP))).with_topics(Some(vec![asked]));
            let answer = wire.call(version, &request);
            let all = answer.topics[0].partitions.iter();
            all.map(|one| (one.committed_offset, one.committed_leader_epoch, one.metadata.clone()))
                .collect::<Vec<_>>()
        };
        let epoch = since(version, 5, 0, -1);
        assert_eq!(found, [(5, epoch, Some(text("note"))), (-1, -1, Some(text("")))], "version {version}");
    }
}
