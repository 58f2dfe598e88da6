//! What a handler has at hand: the node, and the request it serves.

use crate::api::fetch::session::{Sessions, TopicKey};
use crate::api::producer_ids::ProducerIdBlock;
use crate::cluster::image::TopicImage;
use crate::cluster::{Image, Metadata};
use crate::config::BrokerConfig;
use crate::coordinator::group::groups::Groups;
use crate::partition::replica::Replica;
use crate::partition::table::Table;
use crate::peer::QuorumAdmin;
use crate::replica::{Contact, Proposals};
use crate::seam::Clock;
use crate::types::{BrokerId, ErrorCode, Now, TopicPartition};
use crate::wire::frame::Frame;
use crate::wire::header::RequestHeader;
use crate::wire::peer::Peer;
use std::sync::Arc;
use storage::dirs::LogDirs;

/// The parts of this broker that requests are served by.
pub struct Node {
    pub id: BrokerId,
    pub config: Arc<BrokerConfig>,
    pub clock: Clock,
    pub metadata: Metadata,
    pub quorum: QuorumAdmin,
    pub replicas: Arc<Table>,
    pub contact: Arc<Contact>,
    pub groups: Arc<Groups>,
    pub dirs: Arc<LogDirs>,
    pub fetch_sessions: Sessions,
    pub follower_sessions: Sessions,
    /// Takes what leaders here want of the controller.
    pub isr: Proposals,
    pub producer_ids: ProducerIdBlock,
}

/// A topic that a client means, or why there is none.
pub type Found<'a> = Result<&'a Arc<TopicImage>, ErrorCode>;

/// One request being served.
#[derive(Clone)]
pub struct Context {
    pub node: Arc<Node>,
    pub peer: Arc<Peer>,
    pub header: RequestHeader,
}

/// What is needed of a request to send its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub correlation_id: i32,
    pub version: i16,
}

impl Context {
    /// Splits a frame into its context and the body that is left to decode.
    pub fn of(node: Arc<Node>, peer: Arc<Peer>, frame: Frame) -> (Context, bytes::Bytes) {
        (Context { node, peer, header: frame.header }, frame.body)
    }

    /// For a parked reply: without the client id, which is a slice of the request's frame.
    pub fn parked(mut self) -> Context {
        self.header.client_id = None;
        self
    }

    pub fn version(&self) -> i16 {
        self.header.version
    }

    pub fn envelope(&self) -> Envelope {
        Envelope { correlation_id: self.header.correlation_id, version: self.header.version }
    }

    pub fn now(&self) -> Now {
        self.node.clock.now()
    }

    pub fn image(&self) -> Arc<Image> {
        self.node.metadata.image()
    }

    /// Whether other brokers may be at the other end: it came by the listener that they use.
    pub fn is_among_brokers(&self) -> bool {
        *self.peer.listener == self.node.config.inter_broker_listener_name
    }

    /// The topic a client means. Every handler comes by this door, once for all partitions of a topic.
    pub fn topic<'a>(&self, image: &'a Image, key: &TopicKey) -> Found<'a> {
        match key {
            TopicKey::Name(name) => image.topics.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition),
            TopicKey::Id(id) => image.topics.by_id(*id).ok_or(ErrorCode::UnknownTopicId),
        }
    }

    /// This broker's replica of a partition that the metadata knows.
    pub fn replica(&self, topic: &TopicImage, partition: i32) -> Result<Arc<Replica>, ErrorCode> {
        topic.partition(partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.node.replicas.get(TopicPartition { topic: topic.id, partition })
    }
}
