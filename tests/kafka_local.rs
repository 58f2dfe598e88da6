//! A script that starts clusters of Apache Kafka starts clusters of this build too, where there is one.

mod support;

use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use support::kafka::{kafka_home, skipped};
use support::port::Port;
use support::process::{poll, run};
use support::wire::{Wire, batch};
use tempfile::TempDir;

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(120_000);
const NODES: u16 = 3;
/// How much higher the script has controllers.
const CONTROLLERS: u16 = 100;
const TOPIC: &str = "orders";
const METADATA: i16 = 12;

#[test]
fn a_script_for_clusters_of_kafka_takes_this_build() {
    let Some(home) = kafka_home() else { return };
    let script = home.join("bin/kafka-local.sh");
    if !script.is_file() {
        return skipped("DRAVE_KAFKA_HOME has no kafka-local.sh");
    }
    let cluster = Local::up(script);
    Wire::connect(&cluster.address(1)).create_topic(TOPIC, 1);
    let leader = cluster.until("all in sync", |one| (one.isr_nodes.len() == 3).then_some(one.leader_id.0));
    assert_eq!(cluster.produce(), 0);
    cluster.control(&["kill", &leader.to_string()]);
    cluster.until("another leader", |one| (![-1, leader].contains(&one.leader_id.0)).then_some(()));
    assert_eq!(cluster.produce(), 1);
    cluster.control(&["start", &leader.to_string()]);
    cluster.until("all in sync again", |one| (one.isr_nodes.len() == 3).then_some(()));
    assert_eq!(cluster.produce(), 2);
    cluster.control(&["down"]);
    for node in 1..=NODES {
        assert!(cluster.log(node).ends_with("stopped\n"), "node {node} stops when it is asked to");
        assert!(TcpStream::connect(cluster.address(node)).is_err(), "node {node} has ended");
    }
}

/// A cluster that the script runs. It ends with this.
struct Local {
    script: PathBuf,
    folder: TempDir,
    ports: Vec<Port>,
}

impl Local {
    fn up(script: PathBuf) -> Local {
        let distances: Vec<u16> = (0..NODES).flat_map(|node| [node, CONTROLLERS + node]).collect();
        let ports = Port::reserve_at(&distances);
        let cluster = Local { script, folder: tempfile::tempdir().unwrap(), ports };
        let first = cluster.ports[0].number().to_string();
        let bootstrap = cluster.control(&["up", &NODES.to_string(), &first]);
        let addresses: Vec<String> = (1..=NODES).map(|node| cluster.address(node)).collect();
        assert_eq!(bootstrap.trim(), addresses.join(","));
        cluster
    }

    /// What the script prints when it has done something to the cluster.
    #[track_caller]
    fn control(&self, args: &[&str]) -> String {
        let mut command = Command::new(&self.script);
        command.arg(args[0]).arg(self.folder.path()).args(&args[1..]);
        run(command.env("BROKER_BIN", env!("CARGO_BIN_EXE_drave")), b"", LIMIT).ok()
    }

    fn address(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.ports[0].number() + node - 1)
    }

    fn log(&self, node: u16) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("node{node}/out.log"))).unwrap_or_default()
    }

    /// What a node says of the partition, if it answers.
    fn partition(&self, node: u16) -> Option<MetadataResponsePartition> {
        let asked = MetadataRequest::default().with_topics(None);
        let answer: MetadataResponse =
            Wire::reach(&self.address(node)).ok()?.try_call(METADATA, &asked).ok()?;
        answer.topics.into_iter().next()?.partitions.into_iter().next()
    }

    /// Waits until the nodes that live see the partition as `wanted` has it; returns what one of them found.
    #[track_caller]
    fn until<T>(&self, what: &str, wanted: impl Fn(&MetadataResponsePartition) -> Option<T>) -> T {
        let found = poll(LIMIT, || {
            let seen: Vec<_> = (1..=NODES).filter_map(|node| self.partition(node)).collect();
            let found: Option<Vec<T>> = seen.iter().map(&wanted).collect();
            found?.pop()
        });
        found.unwrap_or_else(|| panic!("not within {LIMIT:?}: {what}: {:?}", self.partition(1)))
    }

    /// Appends one record; returns the offset that it has.
    fn produce(&self) -> i64 {
        let acknowledged = poll(LIMIT, || {
            let leader = (1..=NODES).find_map(|node| self.partition(node))?.leader_id.0;
            Wire::reach(&self.address(u16::try_from(leader).ok()?)).ok()?.produce(TOPIC, 0, batch()).ok()
        });
        acknowledged.expect("a record is acknowledged")
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let mut down = Command::new(&self.script);
        let _ = down.arg("down").arg(self.folder.path()).output();
        if std::thread::panicking() {
            (1..=NODES).for_each(|node| eprintln!("--- node {node}\n{}", self.log(node)));
        }
    }
}
