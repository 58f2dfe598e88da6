//! Dynamic configuration: what was set over the command line's and the table's defaults.

use crate::cluster::change::{ConfigRemoved, ConfigSet};
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values by resource and key. A resource without values is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configs(RedBlackTreeMapSync<ConfigResource, Arc<BTreeMap<String, String>>>);

/// What a value is set on. An empty name of a broker or group means the cluster-wide default.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfigResource {
    pub kind: ResourceKind,
    pub name: String,
}

/// Kinds of resource that carry values. Part of the log's format: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceKind {
    Topic,
    Broker,
    Group,
    ClientMetrics,
}

impl ConfigResource {
    pub fn topic(name: impl Into<String>) -> Self {
        ConfigResource { kind: ResourceKind::Topic, name: name.into() }
    }

    /// Broker `id`'s own values.
    pub fn broker(id: i32) -> Self {
        ConfigResource { kind: ResourceKind::Broker, name: id.to_string() }
    }

    /// What holds for every broker that has no value of its own.
    pub fn all_brokers() -> Self {
        ConfigResource { kind: ResourceKind::Broker, name: String::new() }
    }

    pub fn group(name: impl Into<String>) -> Self {
        ConfigResource { kind: ResourceKind::Group, name: name.into() }
    }
}

impl Configs {
    /// All values set on `resource`, sorted by key; `None` if there are none.
    pub fn of(&self, resource: &ConfigResource) -> Option<&Arc<BTreeMap<String, String>>> {
        self.0.get(resource)
    }

    pub fn get(&self, resource: &ConfigResource, key: &str) -> Option<&str> {
        self.of(resource)?.get(key).map(String::as_str)
    }

    /// Every resource that has values.
    pub fn iter(&self) -> impl Iterator<Item = (&ConfigResource, &Arc<BTreeMap<String, String>>)> {
        self.0.iter()
    }

    pub(super) fn set(&mut self, change: &ConfigSet) {
        let (key, value) = (change.key.clone(), change.value.clone());
        match self.0.get_mut(&change.resource) {
            Some(values) => _ = Arc::make_mut(values).insert(key, value),
            None => self.0.insert_mut(change.resource.clone(), Arc::new(BTreeMap::from([(key, value)]))),
        }
    }

    pub(super) fn remove(&mut self, change: &ConfigRemoved) {
        let Some(values) = self.0.get_mut(&change.resource).map(Arc::make_mut) else { return };
        values.remove(&change.key);
        if values.is_empty() {
            self.0.remove_mut(&change.resource);
        }
    }
}
