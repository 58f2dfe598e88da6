//! What the configuration says about who is in sync enough, and who may lead: by the topic's own setting, else that
//! of all brokers, else this controller's.

use super::Policy;
use crate::cluster::Image;
use crate::cluster::change::{Change, ConfigSet};
use crate::cluster::image::{Brokers, ConfigResource};
use crate::config::{Overrides, TopicConfig};

pub(super) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
const UNCLEAN_ELECTION: &str = "unclean.leader.election.enable";

/// The keys that decide who is in sync enough, and who may lead.
pub(super) const KEYS: &[&str] = &[MIN_INSYNC_REPLICAS, UNCLEAN_ELECTION];

/// What holds for topics that set nothing themselves.
pub(super) struct Defaults {
    min_insync: usize,
    unclean_election: bool,
}

/// What holds for the partitions of one topic.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub brokers: &'a Brokers,
    /// How many must be in sync for an acknowledgement.
    pub min_insync: usize,
    /// Whether a replica that may miss acknowledged records leads rather than none.
    pub unclean_election: bool,
    /// Whether even one leads that has not been in sync since it was placed: only where an operator asks for a leader.
    pub blank_election: bool,
}

impl Defaults {
    pub fn new(image: &Image, policy: &Policy) -> Defaults {
        let fixed = TopicConfig::resolve(&policy.config, &Overrides::new());
        let all = ConfigResource::all_brokers();
        Defaults {
            min_insync: number(image, &all).unwrap_or(fixed.min_insync_replicas as usize),
            unclean_election: flag(image, &all).unwrap_or(fixed.unclean_leader_election),
        }
    }

    pub fn rules<'a>(&self, image: &'a Image, topic: &str) -> Rules<'a> {
        let own = ConfigResource::topic(topic);
        Rules {
            brokers: &image.brokers,
            min_insync: number(image, &own).unwrap_or(self.min_insync),
            unclean_election: flag(image, &own).unwrap_or(self.unclean_election),
            blank_election: false,
        }
    }
}

/// Writes down how many must be in sync where a topic does not say. A leader that acknowledges with fewer than the
/// controller believes makes replicas eligible that miss records: from the cluster's first entry on, all nodes read one
/// value, whatever their files say.
pub(super) fn min_insync_of_all(policy: &Policy) -> Change {
    let fixed = TopicConfig::resolve(&policy.config, &Overrides::new()).min_insync_replicas;
    let (resource, key) = (ConfigResource::all_brokers(), MIN_INSYNC_REPLICAS.into());
    Change::ConfigSet(ConfigSet { resource, key, value: fixed.to_string() })
}

impl Rules<'_> {
    /// How many of `replicas` must be in sync for an acknowledgement.
    pub fn needed(&self, replicas: usize) -> usize {
        self.min_insync.min(replicas).max(1)
    }
}

/// As a leader reads it: white space around it does not count.
fn number(image: &Image, resource: &ConfigResource) -> Option<usize> {
    image.configs.get(resource, MIN_INSYNC_REPLICAS)?.trim().parse().ok()
}

fn flag(image: &Image, resource: &ConfigResource) -> Option<bool> {
    image.configs.get(resource, UNCLEAN_ELECTION).map(|value| value.trim().eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    /// Values are kept as they were sent.
    #[test]
    fn values_are_read_as_leaders_read_them() {
        let resource = ConfigResource::topic("t");
        let set = |key: &str, value: &str| {
            let (resource, key, value) = (resource.clone(), key.into(), value.into());
            Change::ConfigSet(ConfigSet { resource, key, value })
        };
        let mut image = Image::default();
        image.apply_all(&[set(MIN_INSYNC_REPLICAS, " 3\t"), set(UNCLEAN_ELECTION, "TRUE ")]).unwrap();
        let policy = Policy { config: BrokerConfig::default(), max_partitions_per_request: 1 };
        let rules = Defaults::new(&image, &policy).rules(&image, "t");
        let overrides = Overrides::clone(image.configs.of(&resource).unwrap());
        let topic = TopicConfig::resolve(&policy.config, &overrides);
        assert_eq!((rules.min_insync, rules.unclean_election), (3, true));
        assert_eq!((topic.min_insync_replicas, topic.unclean_leader_election), (3, true));
    }
}
