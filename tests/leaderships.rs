//! Leaderships go back to who is preferred for them: by Kafka's tool, and by themselves.

mod support;

use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use std::time::Duration;
use support::cluster::Cluster;
use support::kafka::kafka_home;
use support::process::poll;
use support::tool_server::shared_tool;
use support::wire::{Wire, batch};

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(120_000);
const TOPIC: &str = "orders";
const PARTITIONS: i32 = 6;

#[test]
fn kafkas_tool_gives_leaderships_back() {
    if kafka_home().is_none() {
        return;
    }
    let mut cluster = Cluster::start(3, &[("auto.leader.rebalance.enable", "false")]);
    let lost = loses_leaderships(&mut cluster);
    cluster.until_whole();
    cluster.until_all(1, "who came back leads nothing", |all| all.iter().all(|one| one.leader_id.0 != lost));
    let servers = cluster.bootstrap();
    let elect = |which: &[&str]| {
        let args = ["--bootstrap-server", &servers, "--election-type", "preferred"];
        shared_tool("kafka-leader-election", &[&args, which].concat(), "").ok()
    };
    let one = cluster.until(1, TOPIC, "one of its partitions", |metadata| {
        let partitions = &metadata.topics.first()?.partitions;
        partitions.iter().find(|one| !is_led_as_preferred(one)).map(|one| one.partition_index.to_string())
    });
    let said = elect(&["--topic", TOPIC, "--partition", &one]);
    assert!(
        said.contains(&format!(
            "Successfully completed leader election (PREFERRED) for partitions {TOPIC}-{one}"
        )),
        "{said}"
    );
    cluster.until_all(1, "one is led as preferred", |all| led_by(all, lost) == 1);
    elect(&["--all-topic-partitions"]);
    are_given_back(&mut cluster);
}

#[test]
fn leaderships_go_back_by_themselves() {
    let mut cluster = Cluster::start(3, &[("leader.imbalance.check.interval.seconds", "1")]);
    loses_leaderships(&mut cluster);
    are_given_back(&mut cluster);
}

/// A node dies, which others notice, and is started again. Each partition gets a record meanwhile.
fn loses_leaderships(cluster: &mut Cluster) -> i32 {
    Wire::connect(&cluster.node(1).address()).create_topic(TOPIC, PARTITIONS);
    let lost = cluster.until(1, TOPIC, "a leader", |metadata| {
        Some(metadata.topics.first()?.partitions.first()?.leader_id.0).filter(|leader| *leader > 0)
    });
    let witness = lost % 3 + 1;
    cluster.node(lost).kill9();
    cluster.until_all(witness, "others lead", |all| {
        all.iter().all(|one| one.leader_id.0 > 0) && led_by(all, lost) == 0
    });
    (0..PARTITIONS).for_each(|partition| produces(cluster, witness, partition, 0));
    cluster.node(lost).restart();
    lost
}

/// All are led as preferred, and by who has what was written under the leaders in between.
fn are_given_back(cluster: &mut Cluster) {
    for node in 1..=3 {
        cluster.until_all(node, "all are led as preferred", |all| {
            all.iter().all(|one| is_led_as_preferred(one))
        });
    }
    (0..PARTITIONS).for_each(|partition| produces(cluster, 1, partition, 1));
}

fn is_led_as_preferred(partition: &MetadataResponsePartition) -> bool {
    partition.replica_nodes.first() == Some(&partition.leader_id)
}

fn led_by(partitions: &[&MetadataResponsePartition], node: i32) -> usize {
    partitions.iter().filter(|one| one.leader_id.0 == node).count()
}

/// A record is acknowledged by the partition's leader, at this offset.
fn produces(cluster: &mut Cluster, ask: i32, partition: i32, offset: i64) {
    let leads = cluster.until(ask, TOPIC, "a leader", |metadata| {
        let partitions = &metadata.topics.first()?.partitions;
        partitions.iter().find(|one| one.partition_index == partition).map(|one| one.leader_id.0)
    });
    let mut wire = Wire::connect(&cluster.node(leads).address());
    // It may hear of its election a moment after others do.
    let taken = poll(LIMIT, || wire.produce(TOPIC, partition, batch()).ok());
    assert_eq!(taken, Some(offset), "partition {partition}");
}
