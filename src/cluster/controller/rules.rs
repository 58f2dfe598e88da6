//! What the configuration says about who is in sync enough, and who may lead: by the topic's own setting, else that
//! of all brokers, else this controller's.

use super::Policy;
use crate::cluster::Image;
use crate::cluster::image::{Brokers, ConfigResource};
use crate::config::{Overrides, TopicConfig};
use std::str::FromStr;

pub(super) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// What holds for topics that set nothing themselves.
pub(super) struct Defaults {
    min_insync: usize,
}

/// What holds for the partitions of one topic.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub brokers: &'a Brokers,
    /// How many must be in sync for an acknowledgement.
    pub min_insync: usize,
}

impl Defaults {
    pub fn new(image: &Image, policy: &Policy) -> Defaults {
        let fixed = TopicConfig::resolve(&policy.config, &Overrides::new());
        let all = ConfigResource::all_brokers();
        Defaults {
            min_insync: value(image, &all, MIN_INSYNC_REPLICAS).unwrap_or(fixed.min_insync_replicas as usize),
        }
    }

    pub fn rules<'a>(&self, image: &'a Image, topic: &str) -> Rules<'a> {
        let own = ConfigResource::topic(topic);
        Rules {
            brokers: &image.brokers,
            min_insync: value(image, &own, MIN_INSYNC_REPLICAS).unwrap_or(self.min_insync),
        }
    }
}

impl Rules<'_> {
    /// How many of `replicas` must be in sync for an acknowledgement.
    pub fn needed(&self, replicas: usize) -> usize {
        self.min_insync.min(replicas).max(1)
    }
}

fn value<T: FromStr>(image: &Image, resource: &ConfigResource, key: &str) -> Option<T> {
    image.configs.get(resource, key)?.parse().ok()
}
