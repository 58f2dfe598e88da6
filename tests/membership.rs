//! Controllers and brokers that come and go, in processes of their own: whoever decides, it goes on.

mod support;

use kafka_protocol::messages::{
    AddRaftVoterRequest, ApiVersionsRequest, RemoveRaftVoterRequest, add_raft_voter_request,
};
use std::time::Duration;
use support::broker::Broker;
use support::cluster::{BOTH, BROKER, Cluster};
use support::kafka::{kafka_home, skipped};
use support::process::poll;
use support::quorum::{Identity, directory, quorum, until};
use support::tool_server::shared_tool;
use support::wire::{Wire, text};

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(120_000);

/// The error code of AddRaftVoter.
fn add(cluster: &mut Cluster, ask: i32, (node, directory): Identity) -> i16 {
    let listener = add_raft_voter_request::Listener::default().with_name(text("CONTROLLER"));
    let request = AddRaftVoterRequest::default()
        .with_cluster_id(None)
        .with_voter_id(node)
        .with_voter_directory_id(directory)
        .with_timeout_ms(20_000)
        .with_listeners(vec![listener]);
    Wire::connect(&cluster.node(ask).address()).call(0, &request).error_code
}

fn remove(cluster: &mut Cluster, ask: i32, (node, directory): Identity) -> i16 {
    let request = RemoveRaftVoterRequest::default()
        .with_cluster_id(None)
        .with_voter_id(node)
        .with_voter_directory_id(directory);
    Wire::connect(&cluster.node(ask).address()).call(0, &request).error_code
}

/// Makes a topic, which only a majority of the voters can.
fn decide(cluster: &mut Cluster, ask: i32, topic: &str) {
    let made = poll(LIMIT, || {
        let address = cluster.node(ask).address();
        // While there is no leader it is refused.
        std::panic::catch_unwind(|| Wire::connect(&address).create_topic(topic, 1)).ok()
    });
    assert!(made.is_some(), "nothing is decided");
}

/// The leader of the quorum loses its disks: the worst that can happen to one node.
#[test]
fn a_wiped_controller_gets_its_vote_again_and_it_counts() {
    let mut cluster = Cluster::start(3, &[]);
    let (wiped, lost) = until(&mut cluster, 1, "a leader and three voters", |quorum| {
        let lost = directory(&quorum.voters, quorum.leader)?;
        (quorum.voters.len() == 3).then_some((quorum.leader, lost))
    });
    let (witness, other) = (wiped % 3 + 1, (wiped + 1) % 3 + 1);
    cluster.node(wiped).kill9();
    std::fs::remove_dir_all(cluster.node(wiped).data()).unwrap();
    cluster.node(wiped).restart();
    let new = until(&mut cluster, witness, "the new identity", |quorum| directory(&quorum.observers, wiped));
    assert_ne!(new, lost);
    assert_eq!(add(&mut cluster, witness, (wiped, new)), 0);
    assert_eq!(add(&mut cluster, other, (wiped, new)), 126, "it has a vote");
    assert_eq!(remove(&mut cluster, other, (wiped, lost)), 0);
    assert_eq!(remove(&mut cluster, witness, (wiped, lost)), 127, "it has none any more");
    let quorum = quorum(&mut cluster, wiped).unwrap();
    assert_eq!(
        (quorum.voters.len(), quorum.observers.len()),
        (3, 0),
        "nobody remembers the one that is gone"
    );
    assert_eq!(directory(&quorum.voters, wiped), Some(new));
    cluster.node(other).kill9();
    decide(&mut cluster, witness, "decided-by-two");
}

/// A vote is not for brokers; whoever lost it, or was away when it was forgotten, follows on.
#[test]
fn votes_are_given_to_controllers_alone() {
    let mut cluster = Cluster::start(3, &[]);
    let broker = cluster.join(BROKER);
    let broker = until(&mut cluster, 1, "the broker", |quorum| {
        directory(&quorum.observers, broker).map(|directory| (broker, directory))
    });
    assert_eq!(add(&mut cluster, 1, broker), 42);
    let away = until(&mut cluster, 1, "a follower", |quorum| {
        quorum.voters.iter().find(|(node, _)| *node != quorum.leader).copied()
    });
    let witness = away.0 % 3 + 1;
    cluster.node(away.0).kill9();
    let gone = poll(LIMIT, || (remove(&mut cluster, witness, away) == 0).then_some(()));
    assert!(gone.is_some(), "a voter that is away loses its vote");
    until(&mut cluster, witness, "two voters", |quorum| (quorum.voters.len() == 2).then_some(()));
    cluster.node(away.0).restart();
    until(&mut cluster, witness, "who was forgotten", |quorum| {
        (directory(&quorum.observers, away.0) == Some(away.1)).then_some(())
    });
    assert_eq!(add(&mut cluster, witness, away), 0);
    decide(&mut cluster, away.0, "decided-by-all");
}

/// Its vote is known to be wanted at another address: without it nothing is decided.
#[test]
fn a_controller_that_moved_is_found_again() {
    let mut cluster = Cluster::start(1, &[]);
    let moved = cluster.join(BOTH);
    let identity = until(&mut cluster, 1, "who follows", |quorum| directory(&quorum.observers, moved));
    assert_eq!(add(&mut cluster, 1, (moved, identity)), 0);
    let leads = until(&mut cluster, 1, "a leader", |quorum| Some(quorum.leader));
    cluster.node(moved).kill9();
    cluster.move_controller(moved);
    cluster.node(moved).restart();
    decide(&mut cluster, 1, "decided-by-both");
    let at = cluster.controller(moved);
    let told = until(&mut cluster, 3 - leads, "where it is now", |quorum| {
        (quorum.endpoints.contains(&at)).then_some(quorum.endpoints.len())
    });
    assert_eq!(told, 2);
}

/// What clients are told by a controllers' listener is what is served there.
#[test]
fn a_controllers_listener_serves_what_it_tells_of() {
    let cluster = Cluster::start(1, &[]);
    let mut wire = Wire::connect(&cluster.controller(1));
    let told = wire.call(0, &ApiVersionsRequest::default()).api_keys;
    let keys: Vec<i16> = told.iter().map(|api| api.api_key).collect();
    assert_eq!(keys, [18, 55, 60, 64, 80, 81]);
    let refused = wire.call(4, &ApiVersionsRequest::default());
    assert_eq!(refused.error_code, 42, "a client says what it is");
}

/// It led its own cluster alone, and was then meant for another: it would lead on alone, whatever its configuration says.
#[test]
fn a_node_of_a_cluster_of_its_own_does_not_go_on_beside_the_one_it_is_meant_for() {
    let (one, mut other) = (Cluster::start(1, &[]), Cluster::start(1, &[]));
    let voters = format!("controller.quorum.voters=1@{}", other.controller(1));
    other.node(1).terminate();
    let meant_for = format!("controller.quorum.bootstrap.servers={}", one.controller(1));
    other.node(1).exchange(&voters, meant_for);
    other.node(1).begin();
    assert!(!other.node(1).await_end().success());
    let said = other.node(1).log();
    assert!(said.contains(&format!("node 1 at {} belongs to cluster ", one.controller(1))), "{said}");
}

/// Kafka's tools read there which controller they are to add.
#[test]
fn a_metadata_directory_of_its_own_names_its_cluster() {
    let broker = Broker::start(&[("metadata.log.dir", "meta")]);
    let read = |folder: &str, key: &str| {
        let text = std::fs::read_to_string(broker.scratch().join(folder).join("meta.properties")).unwrap();
        text.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned))
    };
    let cluster = read("meta", "cluster.id=");
    assert!(cluster.is_some() && cluster == read("data", "cluster.id="), "{cluster:?}");
    assert_ne!(read("meta", "directory.id="), read("data", "directory.id="));
}

/// Kafka's own tools give and take votes, by brokers and by controllers.
#[test]
fn kafkas_tools_change_the_quorum() {
    if kafka_home().is_none() {
        return;
    }
    let mut cluster = Cluster::start(3, &[]);
    let node = cluster.join(BOTH);
    let properties = cluster.properties(node);
    let servers = cluster.bootstrap();
    let controllers = (1..=3).map(|id| cluster.controller(id)).collect::<Vec<_>>().join(",");
    let by_brokers = ["--bootstrap-server", &servers];
    let by_controllers = ["--bootstrap-controller", &controllers];
    let tool = |via: &[&str], rest: &[&str]| shared_tool("kafka-metadata-quorum", &[via, rest].concat(), "");
    for via in [by_brokers, by_controllers] {
        let config = [via.as_slice(), &["--command-config", &properties]].concat();
        let added = tool(&config, &["add-controller"]).ok();
        assert!(added.contains(&format!("Added controller {node}")), "{added}");
        let said = tool(&config, &["add-controller"]).failed();
        assert!(said.contains("DuplicateVoterException"), "{said}");
        let described = tool(&via, &["describe", "--replication"]).ok();
        assert_eq!(described.matches("Follower").count(), 3, "{described}");
        let directory = directory(&quorum(&mut cluster, 1).unwrap().voters, node).unwrap();
        let directory = storage::kafka_uuid::encode(directory);
        let gone = ["remove-controller", "-i", &node.to_string(), "-d", &directory];
        let removed = tool(&via, &gone).ok();
        assert!(removed.contains("Removed KRaft controller") || removed.contains(&directory), "{removed}");
        let said = tool(&via, &gone).failed();
        assert!(said.contains("VoterNotFoundException"), "{said}");
        let status = tool(&via, &["describe", "--status"]).ok();
        assert!(status.contains("CONTROLLER://127.0.0.1:"), "{status}");
    }
    let listed =
        shared_tool("kafka-cluster", &["list-endpoints", "--bootstrap-controller", &controllers], "").ok();
    assert_eq!(listed.matches("controller").count(), 4, "{listed}");
}

/// A broker that is added, given a partition, relieved of it, and taken away.
#[test]
fn a_broker_comes_and_goes() {
    if kafka_home().is_none() {
        return skipped("without Kafka's tools nobody moves partitions");
    }
    let mut cluster = Cluster::start(1, &[]);
    Wire::connect(&cluster.node(1).address()).create_topic("orders", 1);
    let broker = cluster.join(BROKER);
    let servers = cluster.bootstrap();
    for (replicas, leader) in [(format!("[{broker}]"), broker), ("[1]".to_owned(), 1)] {
        let plan = cluster.node(1).scratch().join("plan.json");
        let partition = format!(r#"{{"topic": "orders", "partition": 0, "replicas": {replicas}}}"#);
        std::fs::write(&plan, format!(r#"{{"version": 1, "partitions": [{partition}]}}"#)).unwrap();
        let file = plan.display().to_string();
        let args = ["--bootstrap-server", &servers, "--reassignment-json-file", &file, "--execute"];
        shared_tool("kafka-reassign-partitions", &args, "").ok();
        cluster.until(1, "orders", "the moved partition", |metadata| {
            (metadata.topics.first()?.partitions.first()?.leader_id.0 == leader).then_some(())
        });
    }
    assert!(cluster.node(broker).terminate().success());
    let controllers = cluster.controller(1);
    let id = broker.to_string();
    let args = ["unregister", "--bootstrap-controller", &controllers, "--id", &id];
    let said = shared_tool("kafka-cluster", &args, "").ok();
    assert!(said.contains(&format!("Broker {id} is no longer registered")), "{said}");
    let left = cluster.metadata(1, "orders");
    assert_eq!(left.brokers.len(), 1);
}
