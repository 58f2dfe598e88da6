//! Which partitions follow which leader.

use super::contact::Contact;
use super::fetcher::{Fetcher, Leaders, Order};
use crate::config::BrokerConfig;
use crate::partition::reconcile::{Role, RoleChange};
use crate::partition::table::Table;
use crate::seam::Clock;
use crate::types::{BrokerId, TopicPartition};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The keys named `replica.fetch.`.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Fetchers per leader.
    pub fetchers: usize,
    pub max_wait: Duration,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub partition_max_bytes: i32,
    pub longest_pause: Duration,
}

/// Where fetchers work.
pub struct Site<L> {
    pub me: BrokerId,
    /// Under which this process is registered.
    pub broker_epoch: i64,
    pub leaders: L,
    pub contact: Arc<Contact>,
    pub table: Arc<Table>,
    pub clock: Clock,
    pub settings: Settings,
}

/// The fetchers of this broker; they end with it.
pub struct Fetchers<L> {
    site: Arc<Site<L>>,
    orders: HashMap<Lane, mpsc::UnboundedSender<Order>>,
    following: HashMap<TopicPartition, Lane>,
}

/// A leader, and which of the fetchers for it.
type Lane = (BrokerId, usize);

impl Settings {
    pub fn of(config: &BrokerConfig) -> Settings {
        let ms = |ms: i32| Duration::from_millis(ms.max(0) as u64);
        Settings {
            fetchers: config.num_replica_fetchers.max(1) as usize,
            max_wait: ms(config.replica_fetch_wait_max_ms),
            min_bytes: config.replica_fetch_min_bytes,
            max_bytes: config.replica_fetch_response_max_bytes,
            partition_max_bytes: config.replica_fetch_max_bytes,
            longest_pause: ms(config.replica_fetch_backoff_ms),
        }
    }
}

impl<L: Leaders> Fetchers<L> {
    pub fn new(site: Site<L>) -> Fetchers<L> {
        Fetchers { site: Arc::new(site), orders: HashMap::new(), following: HashMap::new() }
    }

    /// Has a partition follow its leader, or nobody. To be told of each change, in order.
    pub fn role_changed(&mut self, change: &RoleChange) {
        let RoleChange { id, epoch, role, .. } = change;
        let follows = match role {
            Role::Follows { replica, leader: Some(leader) } => {
                Some((replica.clone(), self.lane(*leader, *id)))
            }
            _ => None,
        };
        let before = self.following.remove(id);
        if let Some(lane) = before.filter(|lane| follows.as_ref().is_none_or(|(_, next)| next != lane)) {
            self.order(lane, Order::Leave(*id));
        }
        if let Some((replica, lane)) = follows {
            self.following.insert(*id, lane);
            self.order(lane, Order::Follow { replica, epoch: *epoch });
        }
    }

    fn lane(&self, leader: BrokerId, id: TopicPartition) -> Lane {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        (leader, hasher.finish() as usize % self.site.settings.fetchers)
    }

    fn order(&mut self, lane: Lane, order: Order) {
        let start = || {
            let (sender, orders) = mpsc::unbounded_channel();
            tokio::spawn(Fetcher::new(self.site.clone(), lane.0, orders).run());
            sender
        };
        // A fetcher ends when its orders do.
        let _ = self.orders.entry(lane).or_insert_with(start).send(order);
    }
}
