//! The brokers: who is registered, where they listen, who is alive.

use crate::cluster::change::BrokerFencingChanged;
use crate::types::{BrokerId, Uuid};
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// All registered brokers, by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Brokers(RedBlackTreeMapSync<BrokerId, Arc<Broker>>);

/// One broker's registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    pub id: BrokerId,
    /// Minted by each start of the process.
    pub incarnation: Uuid,
    /// Grows with each registration in the cluster.
    pub epoch: i64,
    pub listeners: Vec<Listener>,
    pub rack: Option<String>,
    /// Ids of its usable log directories (KIP-858).
    pub directories: Vec<Uuid>,
    pub features: Vec<Feature>,
    /// A fenced broker leads nothing and is in no ISR but as its last member.
    pub fenced: bool,
    /// On its way down by its own wish: takes no new leadership.
    pub shutting_down: bool,
    /// The kernel's boot id, for whoever looks into it: what a crash cost, the broker says itself.
    pub boot_id: String,
    /// Ids of log directories that failed since it registered, and are not usable until it does again.
    pub failed: Vec<Uuid>,
}

/// An address that clients or brokers are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Kafka's number of the security protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub protocol: i16,
}

/// A range of levels of one feature that a broker understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    pub name: String,
    pub min: i16,
    pub max: i16,
}

impl Broker {
    /// Whether it may lead and be given replicas.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.shutting_down
    }

    /// Whether what is in this directory can be used. Nil: of a replica that is not placed yet.
    pub fn can_use(&self, directory: Uuid) -> bool {
        directory.is_nil() || self.directories.contains(&directory)
    }

    /// Whether it started without this directory: nothing in there was opened, and no fetch is on its way that tells what
    /// it held. Of one that failed since, a leader may still hear such a fetch, and take it for one from a new directory.
    pub fn has_lost(&self, directory: Uuid) -> bool {
        let is_known = self.directories.contains(&directory) || self.failed.contains(&directory);
        !self.directories.is_empty() && !is_known
    }

    /// The address under the listener `name`.
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.name == name)
    }
}

impl Brokers {
    pub fn get(&self, id: BrokerId) -> Option<&Arc<Broker>> {
        self.0.get(&id)
    }

    /// Every registered broker, by rising id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.0.values()
    }

    /// Those not fenced, by rising id.
    pub fn alive(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.iter().filter(|broker| !broker.fenced)
    }

    pub fn is_alive(&self, id: BrokerId) -> bool {
        self.get(id).is_some_and(|broker| !broker.fenced)
    }

    /// Whether it is there, and may lead and be given replicas.
    pub fn is_active(&self, id: BrokerId) -> bool {
        self.get(id).is_some_and(|broker| broker.is_active())
    }

    pub(super) fn put(&mut self, broker: Broker) {
        self.0.insert_mut(broker.id, Arc::new(broker));
    }

    /// False if there is no such broker.
    pub(super) fn set_fencing(&mut self, change: &BrokerFencingChanged) -> bool {
        let Some(broker) = self.0.get_mut(&change.broker).map(Arc::make_mut) else { return false };
        broker.fenced = change.fenced;
        broker.shutting_down = change.shutting_down;
        true
    }

    pub(super) fn remove(&mut self, id: BrokerId) -> bool {
        self.0.remove_mut(&id)
    }
}
