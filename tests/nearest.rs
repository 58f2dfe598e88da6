//! Three nodes in three racks: consumers read from the replica in theirs (KIP-392).

mod support;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, TopicName};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::cluster::Cluster;
use support::kafka::skipped;
use support::process::{poll, run};
use support::survivors;
use support::wire::{Wire, batch_of, text};

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(120_000);
const TOPIC: &str = "orders";
const RECORDS: i64 = 5;
/// A follower that is not told of the watermark at once would hear of it after so many milliseconds.
const UNTOLD: &str = "200000";

/// A topic with some records that all three have, its leader, and a node that follows.
fn begin() -> (Cluster, i32, i32) {
    let selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let keys = [
        ("broker.rack", "rack-{id}"),
        ("replica.selector.class", selector),
        ("replica.fetch.wait.max.ms", UNTOLD),
    ];
    let mut cluster = Cluster::start(3, &keys);
    Wire::connect(&cluster.node(1).address()).create_topic(TOPIC, 1);
    let leader = cluster.until(1, TOPIC, "all in sync", |metadata| {
        let partition = metadata.topics.first()?.partitions.first()?;
        (partition.isr_nodes.len() == 3 && partition.leader_id.0 > 0).then_some(partition.leader_id.0)
    });
    cluster
        .until(leader, TOPIC, "the topic", |metadata| metadata.topics.first()?.partitions.first().map(drop));
    let mut wire = Wire::connect(&cluster.node(leader).address());
    // It may hear of its election a moment after it names itself.
    for _ in 0..RECORDS {
        let taken = poll(LIMIT, || wire.produce(TOPIC, 0, batch_of(b"value")).ok());
        assert!(taken.is_some(), "the leader takes no record");
    }
    (cluster, leader, leader % 3 + 1)
}

/// What `node` answers to a consumer that stands in the rack of `near`.
fn fetch(cluster: &mut Cluster, node: i32, version: i16, near: i32, offset: i64) -> PartitionData {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(TopicName(text(TOPIC))).with_partitions(vec![partition]);
    let request = FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![topic]);
    let request = match version {
        11.. => request.with_rack_id(text(&format!("rack-{near}"))),
        _ => request,
    };
    let answer = Wire::connect(&cluster.node(node).address()).call(version, &request);
    answer.responses[0].partitions[0].clone()
}

fn bytes(answer: &PartitionData) -> usize {
    answer.records.as_ref().map_or(0, |records| records.len())
}

#[test]
fn a_consumer_is_sent_to_the_follower_in_its_rack() {
    const OUT_OF_RANGE: i16 = 1;
    const NOT_LEADER: i16 = 6;
    let (mut cluster, leader, follower) = begin();
    let sent = poll(LIMIT, || {
        let answer = fetch(&mut cluster, leader, 11, follower, 0);
        (answer.preferred_read_replica.0 == follower).then_some(answer)
    });
    assert_eq!(bytes(&sent.expect("it is sent to the follower")), 0);
    let near = fetch(&mut cluster, leader, 11, leader, 0);
    assert!(near.preferred_read_replica.0 == -1 && bytes(&near) > 0, "the leader is near");
    let read = poll(LIMIT, || {
        Some(fetch(&mut cluster, follower, 11, follower, 0)).filter(|answer| answer.high_watermark == RECORDS)
    });
    assert_eq!(bytes(&read.expect("the watermark of the leader")), bytes(&near));
    assert_eq!(
        fetch(&mut cluster, follower, 10, follower, 0).error_code,
        NOT_LEADER,
        "it does not know better"
    );
    assert_eq!(fetch(&mut cluster, follower, 11, follower, RECORDS + 9).error_code, OUT_OF_RANGE);
}

#[test]
fn librdkafka_reads_from_the_follower_in_its_rack() {
    let Some(python) = survivors::python() else {
        return skipped("DRAVE_PYTHON does not name a Python with Kafka clients");
    };
    let (cluster, _, follower) = begin();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/nearest.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(script).args([&cluster.bootstrap(), TOPIC, &format!("rack-{follower}")]);
    command.arg(follower.to_string());
    let out = run(&mut command, b"", LIMIT).ok();
    assert!(out.ends_with("ok\n"), "{out}");
}
