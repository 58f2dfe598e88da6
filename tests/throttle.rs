//! A reassignment that is throttled (KIP-73), begun by Kafka's tool, and ended or cancelled by it.

mod support;

use kafka_protocol::messages::BrokerId;
use std::time::{Duration, Instant};
use support::cluster::Cluster;
use support::kafka::kafka_home;
use support::process::{poll, wait_until};
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

/// So few bytes a second that a move lasts longer than any test.
const CRAWL: usize = 10_000;

/// A partition that takes a while to move, on three of four nodes.
struct Site {
    cluster: Cluster,
    leader: i32,
    replicas: Vec<i32>,
    /// Gets the last replica, if all goes as planned.
    newcomer: i32,
    tools: Tools,
}

struct Tools {
    bootstrap: String,
    plan: String,
}

impl Site {
    fn begin() -> Site {
        let own = [("default.replication.factor", "3"), ("min.insync.replicas", "2")];
        let mut cluster = Cluster::start(4, &own);
        Wire::connect(&cluster.node(1).address()).create_topic(TOPIC, 1);
        let (leader, replicas) = cluster.until(1, TOPIC, "all in sync", |metadata| {
            let partition = metadata.topics.first()?.partitions.first()?;
            let replicas: Vec<i32> = partition.replica_nodes.iter().map(|id| id.0).collect();
            (partition.isr_nodes.len() == 3 && partition.leader_id.0 > 0)
                .then_some((partition.leader_id.0, replicas))
        });
        cluster.until(leader, TOPIC, "the topic", |metadata| {
            metadata.topics.first()?.partitions.first().map(drop)
        });
        let newcomer = (1..=4).find(|id| !replicas.contains(id)).unwrap();
        let target = replicas.iter().map(|id| if *id == replicas[2] { newcomer } else { *id });
        let target = target.map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        let plan = cluster.node(1).scratch().join("plan.json");
        let partition = format!(r#"{{"topic":"{TOPIC}","partition":0,"replicas":[{target}]}}"#);
        std::fs::write(&plan, format!(r#"{{"version":1,"partitions":[{partition}]}}"#)).unwrap();
        let tools = Tools { bootstrap: cluster.bootstrap(), plan: plan.display().to_string() };
        let mut site = Site { cluster, leader, replicas, newcomer, tools };
        let mut wire = site.wire();
        // It may hear of its election a moment after it names itself.
        for _ in 0..RECORDS {
            let taken = poll(LIMIT, || wire.produce(TOPIC, 0, batch_of(&vec![7; RECORD])).ok());
            assert!(taken.is_some(), "the leader takes no record");
        }
        site
    }

    /// A connection to the leader.
    fn wire(&mut self) -> Wire {
        Wire::connect(&self.cluster.node(self.leader).address())
    }

    /// The log of a node's replica, as far as there is one.
    fn copy(&mut self, node: i32) -> Vec<u8> {
        let log = self.cluster.node(node).data().join(format!("{TOPIC}-0/00000000000000000000.log"));
        std::fs::read(log).unwrap_or_default()
    }

    fn leaves_no_throttle_behind(&self) {
        for (kind, name) in [("topics", TOPIC.to_owned()), ("brokers", self.leader.to_string())] {
            let left = self.tools.configs(kind, &name);
            assert!(!left.contains("throttled"), "{left}");
        }
    }
}

impl Tools {
    fn reassign(&self, args: &[&str]) -> String {
        let common = ["--bootstrap-server", &self.bootstrap, "--reassignment-json-file", &self.plan];
        shared_tool("kafka-reassign-partitions", &[&common[..], args].concat(), "").ok()
    }

    fn list(&self) -> String {
        shared_tool("kafka-reassign-partitions", &["--bootstrap-server", &self.bootstrap, "--list"], "").ok()
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
    let mut site = Site::begin();
    let mut wire = site.wire();
    let begun = Instant::now();
    let begun_at = site.tools.reassign(&["--execute", "--throttle", &RATE.to_string()]);
    assert!(begun_at.contains("throttle limit was set"), "{begun_at}");
    // Who is in sync does not wait for who is not.
    for _ in 0..5 {
        wire.produce(TOPIC, 0, batch_of(b"small")).unwrap();
    }
    let early = site.tools.reassign(&["--verify", "--preserve-throttles"]);
    assert!(early.contains("still in progress"), "{early}");
    assert!(site.tools.configs("topics", TOPIC).contains("throttled.replicas"));
    let done = poll(LIMIT, || {
        let metadata = site.cluster.metadata(1, TOPIC);
        let partition = &metadata.topics[0].partitions[0];
        let has = |ids: &[BrokerId], id| ids.iter().any(|one| one.0 == id);
        let moved =
            has(&partition.isr_nodes, site.newcomer) && !has(&partition.replica_nodes, site.replicas[2]);
        moved.then(|| begun.elapsed())
    });
    let least = Duration::from_secs_f64((RECORDS * RECORD - BURST) as f64 / RATE as f64);
    let took = done.expect("the partition moves");
    assert!(took >= least, "moved in {took:?}, at its rate it takes {least:?}");
    let verified = site.tools.reassign(&["--verify"]);
    assert!(verified.contains("is completed"), "{verified}");
    site.leaves_no_throttle_behind();
}

#[test]
fn a_reassignment_that_is_cancelled_midway_leaves_all_as_it_was() {
    if kafka_home().is_none() {
        return;
    }
    let mut site = Site::begin();
    let begun = site.tools.reassign(&["--execute", "--throttle", &CRAWL.to_string()]);
    assert!(begun.contains("Successfully started partition reassignment"), "{begun}");
    wait_until("the newcomer has a part", LIMIT, || !site.copy(site.newcomer).is_empty());
    let listed = site.tools.list();
    assert!(listed.contains(&format!("adding: {}", site.newcomer)), "{listed}");
    let cancelled = site.tools.reassign(&["--cancel"]);
    assert!(cancelled.contains("Successfully cancelled"), "{cancelled}");
    for node in 1..=4 {
        site.cluster.until_all(node, "the old replicas, all in sync", |all| {
            let ids = |of: &[BrokerId]| of.iter().map(|id| id.0).collect::<Vec<_>>();
            all.iter().all(|one| ids(&one.replica_nodes) == site.replicas && one.isr_nodes.len() == 3)
        });
    }
    let listed = site.tools.list();
    assert!(listed.contains("No partition reassignments found"), "{listed}");
    site.leaves_no_throttle_behind();
    let mut wire = site.wire();
    // An acknowledgement of all in sync: from here on the copies are alike.
    assert_eq!(wire.produce(TOPIC, 0, batch_of(b"after")).unwrap(), RECORDS as i64);
    let [first, second, third] = [0, 1, 2].map(|at| site.copy(site.replicas[at]));
    assert!(first.len() > RECORDS * RECORD && first == second && second == third, "copies differ");
    let dir = site.cluster.node(site.newcomer).data().join(format!("{TOPIC}-0"));
    wait_until("the newcomer's part is deleted", LIMIT, || !dir.exists());
}
