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

/// Keys of what is promised with an acknowledgement.
const PROMISES: [&str; 2] = ["min.insync.replicas", "log.flush.interval.messages"];

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
        if let Some(effective) = effective(&self.fixed, &set(&ConfigResource::all_brokers()), &set(&me)) {
            self.effective = Arc::new(effective);
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

/// What is set dynamically, for all brokers and for this one, as far as it agrees with the file. Nobody can check that for a
/// broker when it is set, but what acknowledgements rest on has to be what all others take it for.
fn effective(fixed: &BrokerConfig, all: &Overrides, own: &Overrides) -> Option<BrokerConfig> {
    let (all_promises, own_promises) = (promises(all), promises(own));
    for (all, own) in [(all, own), (all, &own_promises), (&all_promises, &own_promises)] {
        match fixed.with_dynamic(all, own) {
            Ok(effective) => return Some(effective),
            Err(error) => {
                tracing::warn!(%error, "some of the dynamic broker configuration is not acted on: it contradicts the rest");
            }
        }
    }
    None
}

fn promises(set: &Overrides) -> Overrides {
    let of_promises = set.iter().filter(|(key, _)| PROMISES.contains(&key.as_str()));
    of_promises.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn settings(broker: &BrokerConfig, overrides: &Overrides) -> SharedSettings {
    let topic = TopicConfig::resolve(broker, overrides);
    Arc::new(Settings::of(&topic, broker.producer_id_expiration_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_is_acted_on_whatever_else_is_set() {
        let set = |pairs: &[(&str, &str)]| -> Overrides {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let fixed = BrokerConfig::default();
        let promised = [("min.insync.replicas", "2"), ("log.flush.interval.messages", "1")];
        for (all, own) in [
            (set(&promised), set(&[("log.retention.ms", "0")])),
            (set(&[("log.retention.ms", "0"), promised[0]]), set(&[promised[1]])),
        ] {
            assert!(fixed.with_dynamic(&all, &own).is_err(), "the file allows it: the case shows nothing");
            let effective = effective(&fixed, &all, &own).expect("what is promised agrees with the file");
            let settings = settings(&effective, &Overrides::new());
            assert_eq!((settings.min_insync, settings.promises_synced), (2, true));
        }
    }
}
