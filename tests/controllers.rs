//! Nodes that are controllers and nothing else: they decide, brokers serve, and one that goes is hardly missed.

mod support;

use kafka_protocol::messages::DescribeClusterRequest;
use std::time::Duration;
use support::cluster::{BROKER, CONTROLLER, Cluster};
use support::process::poll;
use support::quorum::until;
use support::wire::{Wire, batch_of};

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(120_000);
const ROLES: &[&str] = &[CONTROLLER, CONTROLLER, CONTROLLER, BROKER, BROKER];
const CONTROLLERS: [i32; 3] = [1, 2, 3];
const BROKERS: [i32; 2] = [4, 5];
/// The endpoint type of DescribeCluster, which has it from its second version on.
const OF_CONTROLLERS: i8 = 2;
/// What a controller says when it stands for election because the leader is gone.
const ELECTION: &str = "the controller is gone";

#[test]
fn brokers_go_on_while_controllers_stop_and_die() {
    let mut cluster = Cluster::of(ROLES, &[]);
    let shown = until(&mut cluster, 4, "who votes and who follows", |quorum| {
        let ids = |of: &[(i32, _)]| {
            let mut ids: Vec<i32> = of.iter().map(|(id, _)| *id).collect();
            ids.sort_unstable();
            ids
        };
        (quorum.observers.len() == BROKERS.len()).then(|| (ids(&quorum.voters), ids(&quorum.observers)))
    });
    assert_eq!(shown, (CONTROLLERS.to_vec(), BROKERS.to_vec()));
    serves(&mut cluster, "with-all");
    stops_without_an_election(&mut cluster);
    serves(&mut cluster, "after-a-stop");
    let (dead, _) = leader(&mut cluster, 0);
    cluster.node(dead).kill9();
    leader(&mut cluster, dead);
    serves(&mut cluster, "after-a-death");
    cluster.node(dead).restart();
}

/// Who leads the quorum instead of `not`, and in which epoch.
fn leader(cluster: &mut Cluster, not: i32) -> (i32, i32) {
    until(cluster, BROKERS[0], "a leader", |quorum| {
        (quorum.leader > 0 && quorum.leader != not).then_some((quorum.leader, quorum.epoch))
    })
}

/// The active controller is asked to stop. When it has, another leads already, because it gave way.
fn stops_without_an_election(cluster: &mut Cluster) {
    let (stopped, epoch) = leader(cluster, 0);
    assert!(cluster.node(stopped).terminate().success());
    let others: Vec<i32> = CONTROLLERS.into_iter().filter(|id| *id != stopped).collect();
    let told: Vec<i32> = others.iter().map(|id| followed_by(cluster, *id)).collect();
    assert!(told.iter().any(|leader| others.contains(leader)), "{others:?} take {told:?} for the leader");
    for other in others {
        assert!(!cluster.node(other).log().contains(ELECTION), "controller {other} held an election");
    }
    assert_eq!(leader(cluster, stopped).1, epoch + 1);
    cluster.node(stopped).restart();
}

/// Whom a controller takes for the leader, without waiting for one.
fn followed_by(cluster: &mut Cluster, controller: i32) -> i32 {
    let request = DescribeClusterRequest::default().with_endpoint_type(OF_CONTROLLERS);
    Wire::connect(&cluster.node(controller).address()).call(1, &request).controller_id.0
}

/// Makes a topic, and has what is produced fetched again, by way of brokers alone.
fn serves(cluster: &mut Cluster, topic: &str) {
    let id = Wire::connect(&cluster.node(BROKERS[0]).address()).create_topic(topic, 1);
    let leads = cluster.until(BROKERS[1], topic, "a leader", |metadata| {
        let leader = metadata.topics.first()?.partitions.first()?.leader_id;
        let mut brokers: Vec<i32> = metadata.brokers.iter().map(|broker| broker.node_id.0).collect();
        brokers.sort_unstable();
        assert_eq!(brokers, BROKERS, "clients are told of brokers alone");
        assert!(BROKERS.contains(&metadata.controller_id.0), "{} is none of them", metadata.controller_id.0);
        (leader.0 > 0).then_some(leader.0)
    });
    let mut wire = Wire::connect(&cluster.node(leads).address());
    // It may hear of its election a moment after others do.
    let acknowledged = poll(LIMIT, || wire.produce(topic, 0, batch_of(topic.as_bytes())).ok());
    assert!(acknowledged.is_some(), "nothing is acknowledged");
    let fetched = wire.fetch(id, 0, 0).unwrap();
    assert!(fetched.windows(topic.len()).any(|part| part == topic.as_bytes()), "{topic} is not shown");
}
