//! A reassignment that is throttled (KIP-73), begun and ended by Kafka's tool.

mod support;

use std::time::{Duration, Instant};
use support::cluster::Cluster;
use support::kafka::kafka_home;
use support::process::poll;
use support::tool_server::shared_tool;
use support::wire::{Wire, batch_of};

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(180_000);
const TOPIC: &str = "orders";
const RECORD: usize = 250_000;
const RECORDS: usize = 40;
/// Bytes a second.
const RATE: usize = 1_000_000;
/// What may flow at once: what one second brings, and one fetch of a partition more than there is.
const BURST: usize = RATE + (1 << 20);

struct Tools {
    bootstrap: String,
    plan: String,
}

impl Tools {
    fn reassign(&self, args: &[&str]) -> String {
        let common = ["--bootstrap-server", &self.bootstrap, "--reassignment-json-file", &self.plan];
        shared_tool("kafka-reassign-partitions", &[&common[..], args].concat(), "").ok()
    }

    fn configs(&self, kind: &str, name: &str) -> String {
        let args = [
            "--bootstrap-server",
            &self.bootstrap,
            "--describe",
            "--entity-type",
            kind,
            "--entity-name",
            name,
        ];
        shared_tool("kafka-configs", &args, "").ok()
    }
}

#[test]
fn a_throttled_reassignment_keeps_to_its_rate_and_leaves_no_throttle_behind() {
    if kafka_home().is_none() {
        return;
    }
    let mut cluster = Cluster::start(4, &[("default.replication.factor", "3"), ("min.insync.replicas", "2")]);
    let mut wire = Wire::connect(&cluster.node(1).address());
    wire.create_topic(TOPIC, 1);
    let (leader, replicas) = cluster.until(1, TOPIC, "all in sync", |metadata| {
        let partition = metadata.topics.first()?.partitions.first()?;
        let replicas: Vec<i32> = partition.replica_nodes.iter().map(|id| id.0).collect();
        (partition.isr_nodes.len() == 3 && partition.leader_id.0 > 0)
            .then_some((partition.leader_id.0, replicas))
    });
    cluster
        .until(leader, TOPIC, "the topic", |metadata| metadata.topics.first()?.partitions.first().map(drop));
    let mut wire = Wire::connect(&cluster.node(leader).address());
    // It may hear of its election a moment after it names itself.
    for _ in 0..RECORDS {
        let taken = poll(LIMIT, || wire.produce(TOPIC, 0, batch_of(&vec![7; RECORD])).ok());
        assert!(taken.is_some(), "the leader takes no record");
    }
    let newcomer = (1..=4).find(|id| !replicas.contains(id)).unwrap();
    let target = replicas.iter().map(|id| if *id == replicas[2] { newcomer } else { *id });
    let target = target.map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let plan = cluster.node(1).scratch().join("plan.json");
    let partition = format!(r#"{{"topic":"{TOPIC}","partition":0,"replicas":[{target}]}}"#);
    std::fs::write(&plan, format!(r#"{{"version":1,"partitions":[{partition}]}}"#)).unwrap();
    let tools = Tools { bootstrap: cluster.bootstrap(), plan: plan.display().to_string() };

    let begun = Instant::now();
    let begun_at = tools.reassign(&["--execute", "--throttle", &RATE.to_string()]);
    assert!(begun_at.contains("throttle limit was set"), "{begun_at}");
    // Who is in sync does not wait for who is not.
    for _ in 0..5 {
        wire.produce(TOPIC, 0, batch_of(b"small")).unwrap();
    }
    let early = tools.reassign(&["--verify", "--preserve-throttles"]);
    assert!(early.contains("still in progress"), "{early}");
    assert!(tools.configs("topics", TOPIC).contains("throttled.replicas"));
    let done = poll(LIMIT, || {
        let metadata = cluster.metadata(1, TOPIC);
        let partition = &metadata.topics[0].partitions[0];
        let has = |ids: &[kafka_protocol::messages::BrokerId], id| ids.iter().any(|one| one.0 == id);
        let moved = has(&partition.isr_nodes, newcomer) && !has(&partition.replica_nodes, replicas[2]);
        moved.then(|| begun.elapsed())
    });
    let least = Duration::from_secs_f64((RECORDS * RECORD - BURST) as f64 / RATE as f64);
    let took = done.expect("the partition moves");
    assert!(took >= least, "moved in {took:?}, at its rate it takes {least:?}");
    let verified = tools.reassign(&["--verify"]);
    assert!(verified.contains("is completed"), "{verified}");
    for (kind, name) in [("topics", TOPIC.to_owned()), ("brokers", leader.to_string())] {
        let left = tools.configs(kind, &name);
        assert!(!left.contains("throttled"), "{left}");
    }
}
