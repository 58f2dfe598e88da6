//! The process itself: it starts, stops cleanly, and comes back after a kill.

mod support;

use support::broker::Broker;

#[test]
fn a_broker_stops_when_asked_and_comes_back_after_a_kill() {
    let mut broker = Broker::start(&[]);
    assert!(broker.terminate().success());
    assert!(broker.log().contains("stopped"), "it says that it stopped");
    broker.restart();
    broker.kill9();
    broker.restart();
    assert!(broker.terminate().success());
}

#[test]
fn a_file_for_a_node_of_both_roles_starts_it() {
    let mut broker = Broker::start_with_file(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:9
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={dir}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
default.replication.factor=1
min.insync.replicas=1
group.initial.rebalance.delay.ms=0
",
    );
    assert!(broker.data().join("meta.properties").exists(), "it formats the directory that the file names");
    assert!(broker.terminate().success());
}
