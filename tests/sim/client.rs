//! What clients of the cluster do.

pub mod admin;
pub mod committer;
pub mod consumer;
pub mod member;
pub mod producer;
pub mod voters;
pub mod wire;

use crate::history::History;
use crate::net::{Machine, address};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, TopicName};
use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use storage::disk::fault::Rng;
use tokio::sync::watch;
use tokio::time::sleep;
use wire::{Wire, text};

/// Where brokers serve clients.
pub const PORT: u16 = 9092;
/// Between two attempts.
pub const PAUSE: Duration = Duration::from_millis(100);
/// The last version that names topics.
const METADATA: i16 = 9;

/// What all clients share; clones are the same.
#[derive(Clone)]
pub struct Client {
    pub brokers: Vec<Machine>,
    pub history: History,
    pub rng: Arc<Mutex<Rng>>,
    /// How far the story has come.
    pub act: watch::Receiver<Act>,
}

/// What clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    Work,
    /// Finish what was begun, begin nothing.
    Finish,
    /// All is as it was before anything went wrong.
    Rest,
    /// Look at everything once more.
    Look,
}

impl Client {
    pub fn below(&self, bound: usize) -> usize {
        self.rng.lock().below(bound)
    }

    /// Whether all replicas are in sync again.
    pub fn is_whole(&self) -> bool {
        self.act() >= Act::Rest
    }

    pub fn act(&self) -> Act {
        *self.act.borrow()
    }

    /// A pause of up to `longest` ms.
    pub async fn pause(&self, longest: usize) {
        let taken = self.below(longest + 1) as u64;
        sleep(Duration::from_millis(taken)).await;
    }

    pub async fn any_broker(&self) -> io::Result<Wire> {
        let broker = self.brokers[self.below(self.brokers.len())];
        Wire::connect(address(broker, PORT)).await
    }

    /// A connection to the leader of a partition, and its epoch, as some broker knows it.
    pub async fn leader(&self, topic: &str, partition: i32) -> io::Result<(Wire, i32)> {
        let mut broker = self.any_broker().await?;
        let topics = vec![MetadataRequestTopic::default().with_name(Some(TopicName(text(topic))))];
        let request = MetadataRequest::default().with_topics(Some(topics));
        let answer = broker.call(METADATA, &request).await?;
        let mut found = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let known = found.find(|one| one.partition_index == partition).ok_or(io::ErrorKind::NotFound)?;
        let (leader, epoch) = (known.leader_id, known.leader_epoch);
        let leads = |broker: &&kafka_protocol::messages::metadata_response::MetadataResponseBroker| {
            broker.node_id == leader
        };
        let found = answer.brokers.iter().find(leads).ok_or(io::ErrorKind::NotFound)?;
        let at = SocketAddr::new(found.host.parse().map_err(io::Error::other)?, found.port as u16);
        Ok((Wire::connect(at).await?, epoch))
    }

    /// Does `attempt` again until it succeeds.
    pub async fn until_done<T, F: Future<Output = io::Result<T>>>(&self, attempt: impl Fn() -> F) -> T {
        loop {
            match attempt().await {
                Ok(done) => return done,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}
