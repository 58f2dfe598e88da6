//! Every API at every version it is advertised in, over a socket: the answer decodes and says what it should.

mod support;

use bytes::{Buf, Bytes, BytesMut};
use drave::api::ROUTES;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use support::broker::Broker;
use support::wire::{Wire, batch, text};

const TOPIC: &str = "every-version";
const GROUP: &str = "every-version-group";

fn topic() -> TopicName {
    TopicName(text(TOPIC))
}

fn group() -> GroupId {
    GroupId(text(GROUP))
}

#[test]
fn every_api_answers_at_every_version() {
    let broker = Broker::start(&[("group.initial.rebalance.delay.ms", "0")]);
    let mut wire = Wire::connect(&broker.address());
    let id = wire.create_topic(TOPIC, 2);
    for route in ROUTES {
        for version in route.min..=route.max {
            exercise(&mut wire, route.key, version, id);
        }
    }
}

#[test]
fn an_unknown_version_is_refused_and_the_connection_stays() {
    let broker = Broker::start(&[]);
    let mut wire = Wire::connect(&broker.address());
    for route in ROUTES {
        let mut frame = BytesMut::new();
        let header = RequestHeader::default().with_request_api_key(route.key).with_request_api_version(99);
        header.encode(&mut frame, 2).unwrap();
        wire.frame(&frame).unwrap();
        wire.receive().unwrap();
    }
    let answer = wire.call(0, &ApiVersionsRequest::default());
    assert_eq!(answer.api_keys.len(), ROUTES.len());
}

#[test]
fn a_newer_api_versions_request_is_answered_in_version_0_with_all_ranges() {
    let broker = Broker::start(&[]);
    let mut wire = Wire::connect(&broker.address());
    let mut frame = BytesMut::new();
    let header = RequestHeader::default().with_request_api_key(18).with_request_api_version(5);
    header.encode(&mut frame, 2).unwrap();
    wire.frame(&frame).unwrap();
    let mut answer = wire.receive().unwrap();
    answer.advance(4);
    let answer = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
    assert_eq!(answer.error_code, 35);
    let produce = answer.api_keys.iter().find(|api| api.api_key == 0).unwrap();
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
}

fn exercise(wire: &mut Wire, key: i16, version: i16, id: uuid::Uuid) {
    match ApiKey::try_from(key).unwrap() {
        ApiKey::Produce => produce(wire, version, id),
        ApiKey::Fetch => fetch(wire, version, id),
        ApiKey::ListOffsets => list_offsets(wire, version),
        ApiKey::Metadata => metadata(wire, version),
        ApiKey::OffsetCommit | ApiKey::OffsetFetch | ApiKey::OffsetDelete => offsets(wire, key, version),
        ApiKey::FindCoordinator => find_coordinator(wire, version),
        ApiKey::JoinGroup | ApiKey::SyncGroup | ApiKey::Heartbeat | ApiKey::LeaveGroup => {
            membership(wire, key, version)
        }
        ApiKey::DescribeGroups | ApiKey::ListGroups | ApiKey::DeleteGroups => group_admin(wire, key, version),
        ApiKey::ApiVersions => {
            let asked = ApiVersionsRequest::default();
            let named =
                asked.clone().with_client_software_name(text("t")).with_client_software_version(text("1"));
            let answer = wire.call(version, if version >= 3 { &named } else { &asked });
            assert_eq!((answer.error_code, answer.api_keys.len()), (0, ROUTES.len()));
        }
        ApiKey::CreateTopics | ApiKey::DeleteTopics | ApiKey::CreatePartitions => topics(wire, key, version),
        ApiKey::DeleteRecords => delete_records(wire, version),
        ApiKey::InitProducerId => {
            let answer = wire.call(version, &InitProducerIdRequest::default().with_transactional_id(None));
            assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
        }
        ApiKey::OffsetForLeaderEpoch => epochs(wire, version),
        ApiKey::DescribeConfigs | ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs => {
            configs(wire, key, version)
        }
        ApiKey::ListConfigResources => {
            let answer = wire.call(version, &ListConfigResourcesRequest::default());
            assert_eq!(answer.error_code, 0);
        }
        ApiKey::DescribeLogDirs => {
            let answer = wire.call(version, &DescribeLogDirsRequest::default().with_topics(None));
            assert!(answer.results[0].topics.iter().any(|one| one.name == topic()));
        }
        ApiKey::DescribeCluster => {
            let answer = wire.call(version, &DescribeClusterRequest::default());
            assert_eq!((answer.error_code, answer.brokers.len()), (0, 1));
        }
        ApiKey::ElectLeaders => elections(wire, version),
        ApiKey::AlterPartitionReassignments => reassignments(wire, version),
        ApiKey::ListPartitionReassignments => {
            let answer = wire.call(version, &ListPartitionReassignmentsRequest::default().with_topics(None));
            assert_eq!((answer.error_code, answer.topics.len()), (0, 0));
        }
        ApiKey::UnregisterBroker => {
            let answer = wire.call(version, &UnregisterBrokerRequest::default().with_broker_id(BrokerId(9)));
            assert_eq!(answer.error_code, 102);
        }
        ApiKey::DescribeQuorum => describe_quorum(wire, version),
        ApiKey::AddRaftVoter => {
            use add_raft_voter_request::Listener;
            let listeners = vec![Listener::default().with_name(text("PLAINTEXT")).with_port(1)];
            let mut ask = |node: i32, cluster: Option<&str>| {
                let asked = AddRaftVoterRequest::default()
                    .with_cluster_id(cluster.map(text))
                    .with_voter_id(node)
                    .with_voter_directory_id(id)
                    .with_listeners(listeners.clone());
                wire.call(version, &asked).error_code
            };
            // It has a vote; nobody follows; another cluster; no node.
            let answers = [ask(1, None), ask(2, None), ask(2, Some("other")), ask(-1, None)];
            assert_eq!(answers, [126, 7, 104, 42]);
        }
        ApiKey::RemoveRaftVoter => {
            let asked = RemoveRaftVoterRequest::default()
                .with_cluster_id(None)
                .with_voter_id(1)
                .with_voter_directory_id(id);
            assert_eq!(wire.call(version, &asked).error_code, 127);
        }
        ApiKey::DescribeProducers => describe_producers(wire, version),
        ApiKey::DescribeTopicPartitions => {
            let asked = describe_topic_partitions_request::TopicRequest::default().with_name(topic());
            let request = DescribeTopicPartitionsRequest::default().with_topics(vec![asked]);
            let answer = wire.call(version, &request.with_response_partition_limit(1));
            assert_eq!(answer.next_cursor.map(|cursor| cursor.partition_index), Some(1));
        }
        other => panic!("{other:?} is advertised and not tested"),
    }
}

fn describe_quorum(wire: &mut Wire, version: i16) {
    use describe_quorum_request::{PartitionData, TopicData};
    let mut ask = |name: &str| {
        let asked = TopicData::default().with_topic_name(TopicName(text(name)));
        let asked = asked.with_partitions(vec![PartitionData::default()]);
        wire.call(version, &DescribeQuorumRequest::default().with_topics(vec![asked]))
    };
    let answer = ask("__cluster_metadata");
    let partition = &answer.topics[0].partitions[0];
    assert_eq!((answer.error_code, partition.error_code, partition.leader_id), (0, 0, BrokerId(1)));
    let (voter, committed) = (&partition.current_voters[0], partition.high_watermark);
    assert!(committed > 0 && voter.log_end_offset >= committed, "{voter:?}");
    assert_eq!((voter.replica_id, voter.last_caught_up_timestamp > 0), (BrokerId(1), version >= 1));
    assert_eq!((!voter.replica_directory_id.is_nil(), answer.nodes.len() == 1), (version >= 2, version >= 2));
    assert_eq!(ask(TOPIC).topics[0].partitions[0].error_code, 3);
}

fn elections(wire: &mut Wire, version: i16) {
    use elect_leaders_request::TopicPartitions;
    let asked = TopicPartitions::default().with_topic(topic()).with_partitions(vec![0, 7]);
    let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![asked]));
    let answer = wire.call(version, &request);
    let results = &answer.replica_election_results[0].partition_result;
    let codes: Vec<_> = results.iter().map(|result| (result.partition_id, result.error_code)).collect();
    assert_eq!((answer.error_code, codes), (0, vec![(0, 84), (7, 3)]));
    let answer = wire.call(version, &ElectLeadersRequest::default().with_topic_partitions(None));
    assert_eq!(answer.replica_election_results.len(), 0);
}

fn reassignments(wire: &mut Wire, version: i16) {
    use alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    let partition = |index, brokers: Option<Vec<i32>>| {
        let replicas = brokers.map(|brokers| brokers.into_iter().map(BrokerId).collect());
        ReassignablePartition::default().with_partition_index(index).with_replicas(replicas)
    };
    let partitions = vec![partition(0, Some(vec![1])), partition(1, None), partition(1, Some(vec![9]))];
    let asked = ReassignableTopic::default().with_name(topic()).with_partitions(partitions);
    let answer = wire.call(version, &AlterPartitionReassignmentsRequest::default().with_topics(vec![asked]));
    let partitions = &answer.responses[0].partitions;
    let codes: Vec<_> = partitions.iter().map(|result| (result.partition_index, result.error_code)).collect();
    assert_eq!((answer.error_code, codes), (0, vec![(0, 0), (1, 85), (1, 39)]));
}

fn produce(wire: &mut Wire, version: i16, id: uuid::Uuid) {
    use produce_request::{PartitionProduceData, TopicProduceData};
    let partition = PartitionProduceData::default().with_index(0).with_records(Some(batch()));
    let data = TopicProduceData::default().with_partition_data(vec![partition]);
    let data = if version >= 13 { data.with_topic_id(id) } else { data.with_name(topic()) };
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![data]);
    let answer = wire.call(version, &request);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);

    // Nobody leads a partition that is not there: each version has its own room for that error.
    let mut missing = request;
    missing.topic_data[0].partition_data[0].index = 7;
    let answer = wire.call(version, &missing);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 3);
}

fn fetch(wire: &mut Wire, version: i16, id: uuid::Uuid) {
    use fetch_request::{FetchPartition, FetchTopic};
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default().with_partitions(vec![partition]);
    let asked = if version >= 13 { asked.with_topic_id(id) } else { asked.with_topic(topic()) };
    let request = FetchRequest::default()
        .with_replica_id(if version < 15 { BrokerId(-1) } else { BrokerId::default() })
        .with_max_wait_ms(0)
        .with_max_bytes(1 << 20)
        .with_isolation_level(1)
        .with_session_id(0)
        .with_session_epoch(if version >= 7 { 0 } else { -1 })
        .with_topics(vec![asked]);
    let request = if version < 15 { request } else { request.with_replica_id(BrokerId(-1)) };
    let answer = wire.call(version, &request);
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    assert!(partition.records.as_ref().is_some_and(|records| !records.is_empty()));
}

fn list_offsets(wire: &mut Wire, version: i16) {
    use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    for timestamp in [-1, -2, 1_000] {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
        let asked = ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![partition]);
        let answer = wire.call(
            version,
            &ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]),
        );
        assert_eq!(answer.topics[0].partitions[0].error_code, 0, "timestamp {timestamp}");
        assert!(answer.topics[0].partitions[0].offset >= 0);
    }
}

fn metadata(wire: &mut Wire, version: i16) {
    let named = metadata_request::MetadataRequestTopic::default().with_name(Some(topic()));
    let answer = wire.call(version, &MetadataRequest::default().with_topics(Some(vec![named])));
    assert_eq!((answer.brokers.len(), answer.topics.len()), (1, 1));
    assert_eq!(answer.topics[0].partitions.len(), 2);
}

fn find_coordinator(wire: &mut Wire, version: i16) {
    let request = FindCoordinatorRequest::default();
    match version {
        0..=3 => {
            let answer = wire.call(version, &request.with_key(text(GROUP)));
            assert_eq!((answer.error_code, answer.node_id), (0, BrokerId(1)));
        }
        _ => {
            let answer = wire.call(version, &request.with_coordinator_keys(vec![text(GROUP)]));
            assert_eq!((answer.coordinators[0].error_code, answer.coordinators[0].node_id), (0, BrokerId(1)));
        }
    }
}

/// Asks again while the group's partition is being made or loaded.
fn settled<T>(mut ask: impl FnMut() -> T, code: impl Fn(&T) -> i16) -> T {
    for _ in 0..500 {
        let answer = ask();
        if ![14, 15, 16].contains(&code(&answer)) {
            return answer;
        }
        std::thread::yield_now();
    }
    panic!("the coordinator did not become available");
}

fn offsets(wire: &mut Wire, key: i16, version: i16) {
    find_coordinator(wire, 4);
    match ApiKey::try_from(key).unwrap() {
        ApiKey::OffsetCommit => commit(wire, version),
        ApiKey::OffsetFetch => {
            commit(wire, 2);
            fetch_offset(wire, version);
        }
        _ => {
            commit(wire, 2);
            let partition = offset_delete_request::OffsetDeleteRequestPartition::default();
            let asked = offset_delete_request::OffsetDeleteRequestTopic::default();
            let asked = asked.with_name(topic()).with_partitions(vec![partition]);
            let answer = wire.call(
                version,
                &OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![asked]),
            );
            assert_eq!((answer.error_code, answer.topics[0].partitions[0].error_code), (0, 0));
        }
    }
}

fn commit(wire: &mut Wire, version: i16) {
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let asked = OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![asked]);
    let code = |answer: &OffsetCommitResponse| answer.topics[0].partitions[0].error_code;
    let answer = settled(|| wire.call(version, &request), code);
    assert_eq!(code(&answer), 0);
}

fn fetch_offset(wire: &mut Wire, version: i16) {
    use offset_fetch_request::*;
    let request = OffsetFetchRequest::default();
    if version >= 8 {
        let asked = OffsetFetchRequestTopics::default().with_name(topic()).with_partition_indexes(vec![0]);
        let asked = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![asked]));
        let answer = wire.call(version, &request.with_groups(vec![asked]));
        assert_eq!(answer.groups[0].topics[0].partitions[0].committed_offset, 1);
        return;
    }
    let asked = OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![0]);
    let answer = wire.call(version, &request.with_group_id(group()).with_topics(Some(vec![asked])));
    assert_eq!(answer.topics[0].partitions[0].committed_offset, 1);
}

fn membership(wire: &mut Wire, key: i16, version: i16) {
    find_coordinator(wire, 4);
    let name = GroupId(text(&format!("members-{key}-{version}")));
    let join_version = if key == ApiKey::JoinGroup as i16 { version } else { 3 };
    let (member, generation) = join(wire, join_version, &name);
    match ApiKey::try_from(key).unwrap() {
        ApiKey::JoinGroup => {}
        ApiKey::SyncGroup => {
            let own = sync_group_request::SyncGroupRequestAssignment::default()
                .with_member_id(member.clone())
                .with_assignment(Bytes::from_static(b"mine"));
            let request = SyncGroupRequest::default()
                .with_group_id(name.clone())
                .with_member_id(member.clone())
                .with_generation_id(generation)
                .with_assignments(vec![own]);
            let told = version >= 5;
            let request = request
                .with_protocol_type(told.then(|| text("consumer")))
                .with_protocol_name(told.then(|| text("range")));
            let answer = wire.call(version, &request);
            assert_eq!((answer.error_code, &*answer.assignment), (0, &b"mine"[..]));
        }
        ApiKey::Heartbeat => {
            let request =
                HeartbeatRequest::default().with_group_id(name.clone()).with_member_id(member.clone());
            assert_eq!(wire.call(version, &request.with_generation_id(generation + 1)).error_code, 22);
        }
        _ => leave(wire, version, name.clone(), member.clone()),
    }
    if key != ApiKey::LeaveGroup as i16 {
        leave(wire, 3, name, member);
    }
}

fn join(wire: &mut Wire, version: i16, name: &GroupId) -> (StrBytes, i32) {
    let protocol = join_group_request::JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"));
    let request = JoinGroupRequest::default()
        .with_group_id(name.clone())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(if version >= 1 { 10_000 } else { -1 })
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let code = |answer: &JoinGroupResponse| answer.error_code;
    let first = settled(|| wire.call(version, &request), code);
    let joined = match first.error_code {
        79 => wire.call(version, &request.with_member_id(first.member_id)),
        _ => first,
    };
    assert_eq!(joined.error_code, 0, "JoinGroup v{version}");
    assert_eq!(joined.leader, joined.member_id);
    (joined.member_id, joined.generation_id)
}

fn leave(wire: &mut Wire, version: i16, name: GroupId, member: StrBytes) {
    let request = LeaveGroupRequest::default().with_group_id(name);
    let request = match version {
        0..=2 => request.with_member_id(member),
        _ => {
            let one = leave_group_request::MemberIdentity::default().with_member_id(member);
            request.with_members(vec![one])
        }
    };
    let answer = wire.call(version, &request);
    assert_eq!(answer.error_code, 0);
    assert!(answer.members.iter().all(|member| member.error_code == 0));
}

fn group_admin(wire: &mut Wire, key: i16, version: i16) {
    find_coordinator(wire, 4);
    commit(wire, 2);
    match ApiKey::try_from(key).unwrap() {
        ApiKey::DescribeGroups => {
            let answer = wire.call(version, &DescribeGroupsRequest::default().with_groups(vec![group()]));
            assert_eq!((answer.groups[0].error_code, answer.groups[0].group_state.as_str()), (0, "Empty"));
            let nobody = GroupId(text("nobody"));
            let answer = wire.call(version, &DescribeGroupsRequest::default().with_groups(vec![nobody]));
            assert_eq!(answer.groups[0].group_state.as_str(), "Dead");
            assert_eq!(answer.groups[0].error_code, if version >= 6 { 69 } else { 0 });
        }
        ApiKey::ListGroups => {
            let answer = wire.call(version, &ListGroupsRequest::default());
            assert!(answer.groups.iter().any(|listed| listed.group_id == group()));
        }
        _ => {
            let answer = wire.call(version, &DeleteGroupsRequest::default().with_groups_names(vec![group()]));
            assert_eq!(answer.results[0].error_code, 0);
        }
    }
}

fn topics(wire: &mut Wire, key: i16, version: i16) {
    let name = TopicName(text(&format!("made-{key}-{version}")));
    let wanted = create_topics_request::CreatableTopic::default()
        .with_name(name.clone())
        .with_num_partitions(if version >= 4 { -1 } else { 1 })
        .with_replication_factor(1);
    let create = CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(5_000);
    let create_version = if key == ApiKey::CreateTopics as i16 { version } else { 5 };
    assert_eq!(wire.call(create_version, &create).topics[0].error_code, 0);
    assert_eq!(wire.call(create_version, &create).topics[0].error_code, 36);
    if key == ApiKey::CreatePartitions as i16 {
        let more = create_partitions_request::CreatePartitionsTopic::default().with_name(name.clone());
        let more = more.with_count(3).with_assignments(None);
        let answer = wire.call(version, &CreatePartitionsRequest::default().with_topics(vec![more.clone()]));
        assert_eq!(answer.results[0].error_code, 0);
        let again = wire.call(version, &CreatePartitionsRequest::default().with_topics(vec![more]));
        assert_eq!(again.results[0].error_code, 37);
    }
    let delete = DeleteTopicsRequest::default();
    let delete_version = if key == ApiKey::DeleteTopics as i16 { version } else { 5 };
    let delete = match delete_version {
        6.. => {
            delete.with_topics(vec![delete_topics_request::DeleteTopicState::default().with_name(Some(name))])
        }
        _ => delete.with_topic_names(vec![name]),
    };
    assert_eq!(wire.call(delete_version, &delete).responses[0].error_code, 0);
    assert_eq!(wire.call(delete_version, &delete).responses[0].error_code, 3);
}

fn delete_records(wire: &mut Wire, version: i16) {
    use delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let ask = |wire: &mut Wire, offset| {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let asked = DeleteRecordsTopic::default().with_name(topic()).with_partitions(vec![partition]);
        wire.call(version, &DeleteRecordsRequest::default().with_topics(vec![asked])).topics[0].partitions[0]
            .clone()
    };
    assert_eq!(ask(wire, 1).error_code, 0);
    assert_eq!(ask(wire, 1_000_000).error_code, 1);
}

fn epochs(wire: &mut Wire, version: i16) {
    use offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let partition =
        OffsetForLeaderPartition::default().with_current_leader_epoch(-1).with_leader_epoch(1_000);
    let asked = OffsetForLeaderTopic::default().with_topic(topic()).with_partitions(vec![partition]);
    let request =
        OffsetForLeaderEpochRequest::default().with_topics(vec![asked]).with_replica_id(BrokerId(-1));
    let answer = wire.call(version, &request);
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

fn configs(wire: &mut Wire, key: i16, version: i16) {
    match ApiKey::try_from(key).unwrap() {
        ApiKey::DescribeConfigs => {
            for (kind, name, known) in [(2, TOPIC, "retention.ms"), (4, "1", "log.retention.ms")] {
                let asked = describe_configs_request::DescribeConfigsResource::default()
                    .with_resource_type(kind)
                    .with_resource_name(text(name))
                    .with_configuration_keys(None);
                let request =
                    DescribeConfigsRequest::default().with_resources(vec![asked]).with_include_synonyms(true);
                let request = if version >= 3 { request.with_include_documentation(true) } else { request };
                let answer = wire.call(version, &request);
                assert_eq!(answer.results[0].error_code, 0);
                assert!(answer.results[0].configs.iter().any(|config| config.name.as_str() == known));
            }
        }
        ApiKey::AlterConfigs => {
            let value = alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("1000000")));
            let asked = alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(TOPIC))
                .with_configs(vec![value]);
            let answer = wire.call(version, &AlterConfigsRequest::default().with_resources(vec![asked]));
            assert_eq!(answer.responses[0].error_code, 0);
        }
        _ => {
            let value = incremental_alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("never")));
            let asked = incremental_alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(TOPIC))
                .with_configs(vec![value]);
            let answer =
                wire.call(version, &IncrementalAlterConfigsRequest::default().with_resources(vec![asked]));
            assert_eq!(answer.responses[0].error_code, 40);
        }
    }
}

fn describe_producers(wire: &mut Wire, version: i16) {
    let asked = describe_producers_request::TopicRequest::default()
        .with_name(topic())
        .with_partition_indexes(vec![0]);
    let answer = wire.call(version, &DescribeProducersRequest::default().with_topics(vec![asked]));
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}
