//! What the configuration makes of each topic: resolved when it changes, shared by all partitions of the topic.

use super::SharedSettings;
use crate::cluster::Image;
use crate::cluster::image::ConfigResource;
use crate::config::{BrokerConfig, Overrides, TopicConfig};
use crate::partition::replica::Settings;
use crate::partition::table::Table;
use crate::types::Mono;
use std::collections::HashMap;
use std::sync::Arc;

/// The broker's effective configuration and the topics' overrides, as of the last image.
pub(super) struct Configs {
    fixed: Arc<BrokerConfig>,
    effective: Arc<BrokerConfig>,
    image: Arc<crate::cluster::image::Configs>,
    /// Settings by topic, of topics that override something; and those of all others.
    overridden: HashMap<String, SharedSettings>,
    plain: SharedSettings,
}

impl Configs {
    pub fn new(fixed: Arc<BrokerConfig>) -> Configs {
        let plain = settings(&fixed, &Overrides::new());
        Configs { effective: fixed.clone(), fixed, image: Arc::default(), overridden: HashMap::new(), plain }
    }

    pub fn settings(&self, topic: &str) -> SharedSettings {
        self.overridden.get(topic).unwrap_or(&self.plain).clone()
    }

    /// Takes over the image's configuration, and hands each open partition what is new to it.
    pub fn update(&mut self, image: &Image, table: &Table, now: Mono) {
        if *self.image == image.configs {
            return;
        }
        self.image = Arc::new(image.configs.clone());
        let me = ConfigResource::broker(self.fixed.node_id);
        let set = |resource: &ConfigResource| {
            image.configs.of(resource).map(|set| (**set).clone()).unwrap_or_default()
        };
        match self.fixed.with_dynamic(&set(&ConfigResource::all_brokers()), &set(&me)) {
            Ok(effective) => self.effective = Arc::new(effective),
            Err(error) => tracing::warn!(%error, "the dynamic broker configuration is not acted on"),
        }
        let throttles = table.throttles();
        let rates = self.effective.replication_throttled_rates;
        throttles.leader.set_rate(rates.leader, now);
        throttles.follower.set_rate(rates.follower, now);
        self.resolve(image);
        // A topic that is gone goes as it was configured.
        for replica in table.all().into_iter().filter(|one| image.topics.by_id(one.id().topic).is_some()) {
            replica.configure(self.settings(replica.topic()));
        }
    }

    fn resolve(&mut self, image: &Image) {
        self.plain = settings(&self.effective, &Overrides::new());
        let topics = image.topics.iter();
        let overridden = topics.filter_map(|topic| {
            let set = image.configs.of(&ConfigResource::topic(&topic.name))?;
            Some((topic.name.clone(), settings(&self.effective, set)))
        });
        self.overridden = overridden.collect();
    }
}

fn settings(broker: &BrokerConfig, overrides: &Overrides) -> SharedSettings {
    let topic = TopicConfig::resolve(broker, overrides);
    Arc::new(Settings::of(&topic, broker.producer_id_expiration_ms))
}
