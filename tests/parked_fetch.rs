//! A Fetch that waits, while its topic or its records go away under it.
//!
//! It waits without end, so that only what happens can answer it. Requests of one connection take effect in order:
//! what is sent behind a Fetch finds it waiting.

mod support;

use bytes::Bytes;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Request};
use std::time::Duration;
use storage::batch::batches;
use support::broker::Broker;
use support::process::poll;
use support::wire::{Wire, batch, text};

const TOPIC: &str = "watched";
const PATIENCE: Duration = Duration::from_millis(30_000);
const BY_NAME: i16 = 12;
const BY_ID: i16 = 18;

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNKNOWN_TOPIC_ID: i16 = 100;

/// A broker with a topic of two records, a connection on which Fetches wait, and one for the rest.
struct Scene {
    _broker: Broker,
    fetching: Wire,
    other: Wire,
    id: uuid::Uuid,
}

impl Scene {
    fn begin() -> Scene {
        // Only what is synced expires.
        let broker = Broker::start(&[
            ("log.retention.check.interval.ms", "20"),
            ("log.retention.ms", "-1"),
            ("log.flush.interval.messages", "1"),
        ]);
        let (fetching, mut other) = (Wire::connect(&broker.address()), Wire::connect(&broker.address()));
        let id = other.create_topic(TOPIC, 1);
        (0..2).for_each(|offset| assert_eq!(other.produce(TOPIC, 0, batch()).unwrap(), offset));
        Scene { _broker: broker, fetching, other, id }
    }

    /// Sends a Fetch that finds less than it wants.
    fn park(&mut self, version: i16, offset: i64, min_bytes: i32) {
        let partition =
            FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(i32::MAX);
        let asked = FetchTopic::default().with_partitions(vec![partition]);
        let asked = match version >= BY_ID {
            true => asked.with_topic_id(self.id),
            false => asked.with_topic(TopicName(text(TOPIC))),
        };
        let request = FetchRequest::default()
            .with_max_wait_ms(i32::MAX)
            .with_min_bytes(min_bytes)
            .with_max_bytes(i32::MAX)
            .with_topics(vec![asked]);
        self.fetching.send(version, &request).unwrap();
    }

    /// Sends what takes effect while the Fetches before it wait.
    fn behind<R: Request>(&mut self, version: i16, request: &R) {
        self.fetching.send(version, request).unwrap();
    }

    /// The answer to the first Fetch that has not been answered yet.
    fn answer(&mut self, version: i16) -> PartitionData {
        let mut frame = self.fetching.receive().expect("the Fetch is answered");
        ResponseHeader::decode(&mut frame, 1).unwrap();
        let answer = FetchResponse::decode(&mut frame, version).unwrap();
        answer.responses[0].partitions[0].clone()
    }

    /// The records that were there are gone, and a third comes: the Fetches begin anew or go on.
    fn go_on(&mut self) {
        let gone = poll(PATIENCE, || (self.earliest() == 2).then_some(()));
        assert!(gone.is_some(), "the records stay");
        assert_eq!(self.other.produce(TOPIC, 0, batch()).unwrap(), 2);
        assert_eq!(self.answer(BY_NAME).error_code, OFFSET_OUT_OF_RANGE);
        let late = self.answer(BY_NAME);
        assert_eq!((late.error_code, late.log_start_offset, first_offset(&late)), (0, 2, Some(2)));
    }

    fn earliest(&mut self) -> i64 {
        let partition = ListOffsetsPartition::default().with_timestamp(-2);
        let asked =
            ListOffsetsTopic::default().with_name(TopicName(text(TOPIC))).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
        self.other.call(1, &request).topics[0].partitions[0].offset
    }
}

fn first_offset(partition: &PartitionData) -> Option<i64> {
    let records: Bytes = partition.records.clone()?;
    batches(&records).next().map(|batch| batch.unwrap().header.base_offset)
}

#[test]
fn its_topic_is_deleted() {
    for (version, expected) in [(BY_NAME, UNKNOWN_TOPIC_OR_PARTITION), (BY_ID, UNKNOWN_TOPIC_ID)] {
        let mut scene = Scene::begin();
        scene.park(version, 2, 1);
        let topic = DeleteTopicState::default().with_name(Some(TopicName(text(TOPIC))));
        scene.behind(6, &DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000));
        let partition = scene.answer(version);
        assert_eq!((partition.error_code, first_offset(&partition)), (expected, None), "version {version}");
    }
}

#[test]
fn its_records_are_deleted() {
    let mut scene = Scene::begin();
    scene.park(BY_NAME, 0, 1 << 30);
    scene.park(BY_NAME, 2, 1);
    let partition = DeleteRecordsPartition::default().with_offset(2);
    let asked =
        DeleteRecordsTopic::default().with_name(TopicName(text(TOPIC))).with_partitions(vec![partition]);
    scene.behind(2, &DeleteRecordsRequest::default().with_topics(vec![asked]).with_timeout_ms(30_000));
    scene.go_on();
}

/// They are older than any retention allows.
#[test]
fn its_records_expire() {
    let mut scene = Scene::begin();
    scene.park(BY_NAME, 0, 1 << 30);
    scene.park(BY_NAME, 2, 1);
    let value = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("1")));
    let asked = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(TOPIC))
        .with_configs(vec![value]);
    scene.behind(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![asked]));
    scene.go_on();
}
