//! Requests that are well-formed, small, and meant to cost much: each is answered within bounded memory, and nobody else notices.

mod support;

use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;
use std::io::Result;
use support::broker::Broker;
use support::wire::{Wire, batch, text};

const MIB: usize = 1 << 20;
/// More than a process that has just begun, and the largest request decoded.
const PEAK: usize = 160 * MIB;
/// As many as fit, and then some: repeated, or with little between them.
const MANY: i32 = 100_000;
const TOPIC: &str = "t";
const PARTITIONS: i32 = 300;

struct Scene {
    broker: Broker,
    wire: Wire,
}

impl Scene {
    fn begin() -> Scene {
        let broker = Broker::start(&[
            ("queued.max.request.bytes", "33554432"),
            ("socket.request.max.bytes", "33554432"),
        ]);
        let mut wire = Wire::connect(&broker.address());
        wire.create_topic(TOPIC, PARTITIONS);
        Scene { broker, wire }
    }

    /// The answer's size in bytes; the broker is there and took no more memory than it may.
    fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<usize> {
        self.wire.send(version, request)?;
        let len = self.wire.receive()?.len();
        let peak = self.peak();
        println!("API {} v{version}: {len} bytes, peak of resident memory {} MiB", R::KEY, peak / MIB);
        assert!(peak < PEAK, "API {} v{version}: {} MiB were resident", R::KEY, peak / MIB);
        Ok(len)
    }

    fn peak(&self) -> usize {
        let path = format!("/proc/{}/status", self.broker.pid().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A name of a megabyte, which no topic can have.
fn long() -> TopicName {
    topic(&"n".repeat(MIB))
}

fn repeated<T: Clone>(item: T) -> Vec<T> {
    vec![item; MANY as usize]
}

#[test]
fn what_is_named_again_and_again_is_answered_once() -> Result<()> {
    let mut scene = Scene::begin();
    let named = metadata_request::MetadataRequestTopic::default().with_name(Some(topic(TOPIC)));
    let metadata = MetadataRequest::default().with_topics(Some(repeated(named)));
    assert!(scene.ask(9, &metadata)? < MIB);
    let resource = describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(TOPIC))
        .with_configuration_keys(None);
    let configs = DescribeConfigsRequest::default()
        .with_resources(repeated(resource))
        .with_include_synonyms(true)
        .with_include_documentation(true);
    assert!(scene.ask(3, &configs)? < MIB);
    let types = ListConfigResourcesRequest::default().with_resource_types(repeated(2));
    assert!(scene.ask(1, &types)? < MIB);
    let groups = DescribeGroupsRequest::default().with_groups(repeated(GroupId(text("g"))));
    assert!(scene.ask(5, &groups)? < MIB);
    let keys = FindCoordinatorRequest::default().with_coordinator_keys(repeated(text("g")));
    assert!(scene.ask(4, &keys)? < MIB);
    let producers = describe_producers_request::TopicRequest::default()
        .with_name(topic(TOPIC))
        .with_partition_indexes(repeated(0));
    let producers = DescribeProducersRequest::default().with_topics(vec![producers]);
    assert!(scene.ask(0, &producers)? < MIB);
    let offsets = offset_fetch_request::OffsetFetchRequestTopics::default()
        .with_name(topic(TOPIC))
        .with_partition_indexes(repeated(0));
    let group = offset_fetch_request::OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(text("g")))
        .with_topics(Some(vec![offsets]));
    let offsets = OffsetFetchRequest::default().with_groups(vec![group]);
    assert!(scene.ask(8, &offsets)? < MIB);
    Ok(())
}

#[test]
fn names_of_nothing_are_not_described_at_length() -> Result<()> {
    let mut scene = Scene::begin();
    let resource = |group: i32| {
        describe_configs_request::DescribeConfigsResource::default()
            .with_resource_type(32)
            .with_resource_name(text(&group.to_string()))
            .with_configuration_keys(None)
    };
    let configs = DescribeConfigsRequest::default()
        .with_resources((0..MANY).map(resource).collect())
        .with_include_synonyms(true)
        .with_include_documentation(true);
    assert!(scene.ask(3, &configs)? < 32 * MIB);
    Ok(())
}

#[test]
fn a_long_name_is_not_kept_for_each_partition() -> Result<()> {
    let mut scene = Scene::begin();
    let partitions = (0..MANY / 2)
        .map(|index| list_offsets_request::ListOffsetsPartition::default().with_partition_index(index))
        .collect();
    let asked =
        list_offsets_request::ListOffsetsTopic::default().with_name(long()).with_partitions(partitions);
    scene.ask(6, &ListOffsetsRequest::default().with_topics(vec![asked]))?;
    let partitions = (0..MANY / 2).map(|index| {
        offset_commit_request::OffsetCommitRequestPartition::default().with_partition_index(index)
    });
    let asked = offset_commit_request::OffsetCommitRequestTopic::default()
        .with_name(long())
        .with_partitions(partitions.collect());
    let commit = OffsetCommitRequest::default().with_group_id(GroupId(text("g"))).with_topics(vec![asked]);
    scene.ask(8, &commit)?;
    let asked = describe_log_dirs_request::DescribableLogDirTopic::default()
        .with_topic(long())
        .with_partitions((0..2 * MANY).collect());
    scene.ask(4, &DescribeLogDirsRequest::default().with_topics(Some(vec![asked])))?;
    let partitions =
        (0..MANY / 4).map(|index| fetch_request::FetchPartition::default().with_partition(index));
    let asked = fetch_request::FetchTopic::default().with_topic(long()).with_partitions(partitions.collect());
    scene.ask(12, &FetchRequest::default().with_session_epoch(0).with_topics(vec![asked]))?;
    let partitions = (0..MANY)
        .map(|index| produce_request::PartitionProduceData::default().with_index(index).with_records(None))
        .collect();
    let asked =
        produce_request::TopicProduceData::default().with_name(long()).with_partition_data(partitions);
    scene.ask(9, &ProduceRequest::default().with_acks(-1).with_topic_data(vec![asked]))?;
    Ok(())
}

/// Every client waits for a record that does not come, and names what it waits for as often as fits.
#[test]
fn parked_fetches_keep_little() -> Result<()> {
    let scene = Scene::begin();
    let partition = fetch_request::FetchPartition::default().with_partition_max_bytes(1);
    let asked =
        fetch_request::FetchTopic::default()
            .with_topic(topic(TOPIC))
            .with_partitions(vec![partition; MANY as usize / 4]);
    let fetch = FetchRequest::default()
        .with_session_epoch(-1)
        .with_max_wait_ms(i32::MAX)
        .with_min_bytes(1)
        .with_max_bytes(1)
        .with_topics(vec![asked]);
    let mut waiting = vec![];
    for _ in 0..10 {
        let mut wire = Wire::connect(&scene.broker.address());
        (0..3).try_for_each(|_| wire.send(11, &fetch))?;
        waiting.push(wire);
    }
    let mut bystander = Wire::connect(&scene.broker.address());
    bystander.produce(TOPIC, 0, batch())?;
    for wire in &mut waiting {
        (0..3).try_for_each(|_| wire.receive().map(drop))?;
    }
    let peak = scene.peak();
    assert!(peak < PEAK, "{} MiB were resident", peak / MIB);
    Ok(())
}
