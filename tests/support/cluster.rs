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
pub const BROKER: &str = "broker";
pub const CONTROLLER: &str = "controller";

/// Nodes 1, 2, ...: the first of them brokers and controllers, unless their roles are given.
pub struct Cluster {
    nodes: Vec<Broker>,
    /// The nodes that serve clients.
    brokers: Vec<i32>,
    controllers: Vec<Port>,
    /// Of the first controllers: where others ask them.
    servers: String,
    overrides: Vec<String>,
}

impl Cluster {
    /// Starts so many nodes with these keys, in whose values `{id}` is the node's; returns when all answer.
    pub fn start(count: usize, own: &[(&str, &str)]) -> Cluster {
        Cluster::of(&vec![BOTH; count], own)
    }

    /// Starts a node for each of these roles.
    pub fn of(roles: &[&str], own: &[(&str, &str)]) -> Cluster {
        let controllers: Vec<Port> = roles.iter().map(|_| Port::reserve()).collect();
        let at = roles.iter().zip(&controllers).zip(1..).filter(|((roles, _), _)| **roles != BROKER);
        let at: Vec<_> = at.map(|((_, port), id)| (id, format!("127.0.0.1:{}", port.number()))).collect();
        let voters: Vec<_> = at.iter().map(|(id, at)| format!("{id}@{at}")).collect();
        let servers: Vec<_> = at.into_iter().map(|(_, at)| at).collect();
        let count = roles.iter().filter(|roles| **roles != CONTROLLER).count();
        let mut overrides = vec![
            format!("default.replication.factor={count}"),
            format!("offsets.topic.replication.factor={count}"),
            format!("min.insync.replicas={}", count / 2 + 1),
        ];
        overrides.extend(own.iter().map(|(key, value)| format!("{key}={value}")));
        let (nodes, brokers, servers) = (vec![], vec![], servers.join(","));
        let mut cluster = Cluster { nodes, brokers, controllers, servers, overrides };
        roles.iter().for_each(|roles| {
            let voters = format!("controller.quorum.voters={}", voters.join(","));
            cluster.prepare(roles, voters);
        });
        cluster.nodes.iter_mut().for_each(Broker::begin);
        cluster.nodes.iter_mut().for_each(Broker::await_ready);
        cluster
    }

    /// Starts the next node, which the others do not know; returns its id when it answers.
    pub fn join(&mut self, roles: &str) -> i32 {
        self.controllers.push(Port::reserve());
        let id = self.prepare(roles, format!("controller.quorum.bootstrap.servers={}", self.servers));
        self.node(id).restart();
        id
    }

    /// The next node, not started yet; returns its id.
    fn prepare(&mut self, roles: &str, quorum: String) -> i32 {
        let id = self.nodes.len() as i32 + 1;
        let (port, keys) = self.keys(id, roles, quorum);
        self.nodes.push(Broker::prepare(port, keys));
        if roles != CONTROLLER {
            self.brokers.push(id);
        }
        id
    }

    /// The keys of a node, and the port at which it is asked: that for clients, if it has one.
    fn keys(&self, id: i32, roles: &str, quorum: String) -> (Port, Vec<String>) {
        let controller = &self.controllers[id as usize - 1];
        let port = if roles == CONTROLLER { controller.clone() } else { Port::reserve() };
        let at = |name, port: &Port| format!("{name}://127.0.0.1:{}", port.number());
        let for_clients = (roles != CONTROLLER).then(|| at("PLAINTEXT", &port));
        let for_nodes = (roles != BROKER).then(|| at("CONTROLLER", controller));
        let listeners: Vec<_> = for_clients.into_iter().chain(for_nodes).collect();
        let overrides = self.overrides.iter().map(|key| key.replace("{id}", &id.to_string()));
        let own = [
            format!("node.id={id}"),
            format!("process.roles={roles}"),
            quorum,
            "controller.listener.names=CONTROLLER".to_owned(),
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
            format!("listeners={}", listeners.join(",")),
        ];
        (port, own.into_iter().chain(overrides).collect())
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
        let at = self.brokers.iter().map(|id| self.nodes[*id as usize - 1].address());
        at.collect::<Vec<_>>().join(",")
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

    /// Waits until every broker sees all copies of all partitions in sync.
    pub fn until_whole(&self) {
        for node in &self.brokers {
            self.until_all(*node, "all in sync", |partitions| {
                partitions.iter().all(|one| one.isr_nodes.len() == one.replica_nodes.len())
            });
        }
    }
}
