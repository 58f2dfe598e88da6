//! Several brokers of this build that are one cluster.

use super::broker::Broker;
use super::port::Port;
use super::process::poll;
use super::wire::{Wire, text};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use std::time::Duration;

/// Long enough for a machine that does much else.
const PATIENCE: Duration = Duration::from_millis(60_000);
const METADATA: i16 = 12;

/// Nodes 1, 2, ...: all of them brokers and controllers.
pub struct Cluster {
    nodes: Vec<Broker>,
    _controllers: Vec<Port>,
}

impl Cluster {
    /// Starts so many nodes with these keys, in whose values `{id}` is the node's; returns when all answer.
    pub fn start(count: usize, overrides: &[(&str, &str)]) -> Cluster {
        let controllers: Vec<Port> = (0..count).map(|_| Port::reserve()).collect();
        let at = controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{}", port.number()));
        let voters = at.collect::<Vec<_>>().join(",");
        let prepare = |(controller, id): (&Port, i32)| {
            let port = Port::reserve();
            let (client, controller) = (port.number(), controller.number());
            let mut keys = vec![
                format!("node.id={id}"),
                format!("controller.quorum.voters={voters}"),
                "controller.listener.names=CONTROLLER".to_owned(),
                "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
                format!("listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}"),
                format!("default.replication.factor={count}"),
                format!("offsets.topic.replication.factor={count}"),
                format!("min.insync.replicas={}", count / 2 + 1),
            ];
            let own = |value: &str| value.replace("{id}", &id.to_string());
            keys.extend(overrides.iter().map(|(key, value)| format!("{key}={}", own(value))));
            Broker::prepare(port, keys)
        };
        let nodes = controllers.iter().zip(1..).map(prepare).collect();
        let mut cluster = Cluster { nodes, _controllers: controllers };
        cluster.nodes.iter_mut().for_each(Broker::begin);
        cluster.nodes.iter_mut().for_each(Broker::await_ready);
        cluster
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
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        let request = request.with_allow_auto_topic_creation(false);
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
}
