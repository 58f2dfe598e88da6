//! Several brokers of this build that are one cluster.

use super::broker::Broker;
use super::port::Port;
use super::process::poll;
use super::wire::{Wire, text};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use std::time::Duration;

/// Long enough for a machine that does much else.
const PATIENCE: Duration = Duration::from_millis(60_000);
const METADATA: i16 = 12;
/// The roles of a node that is both.
pub const BOTH: &str = "broker,controller";

/// Nodes 1, 2, ...: the first of them brokers and controllers.
pub struct Cluster {
    nodes: Vec<Broker>,
    controllers: Vec<Port>,
    /// Of the first controllers: where others ask them.
    servers: String,
    overrides: Vec<String>,
}

impl Cluster {
    /// Starts so many nodes with these keys, in whose values `{id}` is the node's; returns when all answer.
    pub fn start(count: usize, own: &[(&str, &str)]) -> Cluster {
        let controllers: Vec<Port> = (0..count).map(|_| Port::reserve()).collect();
        let at = controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{}", port.number()));
        let voters = at.collect::<Vec<_>>().join(",");
        let at = controllers.iter().map(|port| format!("127.0.0.1:{}", port.number()));
        let servers = at.collect::<Vec<_>>().join(",");
        let mut overrides = vec![
            format!("default.replication.factor={count}"),
            format!("offsets.topic.replication.factor={count}"),
            format!("min.insync.replicas={}", count / 2 + 1),
        ];
        overrides.extend(own.iter().map(|(key, value)| format!("{key}={value}")));
        let mut cluster = Cluster { nodes: vec![], controllers, servers, overrides };
        for id in 1..=count {
            let (port, keys) = cluster.keys(id, BOTH, format!("controller.quorum.voters={voters}"));
            cluster.nodes.push(Broker::prepare(port, keys));
        }
        cluster.nodes.iter_mut().for_each(Broker::begin);
        cluster.nodes.iter_mut().for_each(Broker::await_ready);
        cluster
    }

    /// Starts the next node, which the others do not know; returns its id when it answers.
    pub fn join(&mut self, roles: &str) -> i32 {
        self.controllers.push(Port::reserve());
        let servers = format!("controller.quorum.bootstrap.servers={}", self.servers);
        let (port, keys) = self.keys(self.controllers.len(), roles, servers);
        let mut node = Broker::prepare(port, keys);
        node.restart();
        self.nodes.push(node);
        self.nodes.len() as i32
    }

    /// The keys of a node, and its port for clients.
    fn keys(&self, id: usize, roles: &str, quorum: String) -> (Port, Vec<String>) {
        let (client, controller) = (Port::reserve(), self.controllers[id - 1].number());
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{}", client.number());
        if roles != "broker" {
            listeners += &format!(",CONTROLLER://127.0.0.1:{controller}");
        }
        let overrides = self.overrides.iter().map(|key| key.replace("{id}", &id.to_string()));
        let own = [
            format!("node.id={id}"),
            format!("process.roles={roles}"),
            quorum,
            "controller.listener.names=CONTROLLER".to_owned(),
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
            format!("listeners={listeners}"),
        ];
        (client, own.into_iter().chain(overrides).collect())
    }

    /// Has a node, which is down, listen for others at another port from its next start on.
    pub fn move_controller(&mut self, id: i32) {
        let port = Port::reserve();
        let old = std::mem::replace(&mut self.controllers[id as usize - 1], port);
        let (old, new) = (format!(":{}", old.number()), self.controller(id));
        let new = new.trim_start_matches("127.0.0.1");
        self.node(id).replace(&old, new);
    }

    /// The configuration of a node as a file, for tools that ask for it.
    pub fn properties(&self, id: i32) -> String {
        let node = &self.nodes[id as usize - 1];
        let file = node.scratch().join("node.properties");
        std::fs::write(&file, node.keys().join("\n")).unwrap();
        file.display().to_string()
    }

    /// For `--bootstrap-controller`.
    pub fn controller(&self, id: i32) -> String {
        format!("127.0.0.1:{}", self.controllers[id as usize - 1].number())
    }

    pub fn node(&mut self, id: i32) -> &mut Broker {
        &mut self.nodes[id as usize - 1]
    }

    /// For `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Broker::address).collect::<Vec<_>>().join(",")
    }

    /// What `node` says of the cluster and of one topic.
    pub fn metadata(&self, node: i32, topic: &str) -> MetadataResponse {
        let topic = MetadataRequestTopic::default().with_name(Some(TopicName(text(topic))));
        self.metadata_of(node, Some(vec![topic]))
    }

    /// What `node` says of these topics, or of all.
    fn metadata_of(&self, node: i32, topics: Option<Vec<MetadataRequestTopic>>) -> MetadataResponse {
        let request = MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false);
        let mut wire = Wire::connect(&self.nodes[node as usize - 1].address());
        wire.call(METADATA, &request)
    }

    /// Waits until `node` sees the cluster as `wanted` has it; returns what that found.
    pub fn until<T>(
        &self,
        node: i32,
        topic: &str,
        what: &str,
        wanted: impl Fn(&MetadataResponse) -> Option<T>,
    ) -> T {
        let found = poll(PATIENCE, || wanted(&self.metadata(node, topic)));
        found.unwrap_or_else(|| panic!("node {node}: {what}: {:?}", self.metadata(node, topic)))
    }

    /// Waits until `node` sees the partitions of all topics as `wanted` has them.
    pub fn until_all(&self, node: i32, what: &str, wanted: impl Fn(&[&MetadataResponsePartition]) -> bool) {
        let seen = poll(PATIENCE, || {
            let seen = self.metadata_of(node, None);
            wanted(&seen.topics.iter().flat_map(|topic| &topic.partitions).collect::<Vec<_>>()).then_some(())
        });
        assert!(seen.is_some(), "node {node}: {what}: {:?}", self.metadata_of(node, None));
    }

    /// Waits until every node sees all copies of all partitions in sync.
    pub fn until_whole(&self) {
        for node in 1..=self.nodes.len() as i32 {
            self.until_all(node, "all in sync", |partitions| {
                partitions.iter().all(|one| one.isr_nodes.len() == one.replica_nodes.len())
            });
        }
    }
}
