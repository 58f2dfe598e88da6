//! The one way in which an image comes to differ from the one before: an entry of the log.

use super::{Image, Position};
use crate::cluster::change::{Change, Entry};

/// An entry that has no effect: it was decided upon something else than what is here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("decided in term {term} upon entry {predecessor}, found in term {found_term} upon entry {found}")]
pub struct Refused {
    pub term: u64,
    pub predecessor: u64,
    pub found_term: u64,
    pub found: u64,
}

/// A change that contradicts the image: the log or this release is broken, and going on would spread it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the metadata log contradicts itself at {0:?}")]
pub struct Inconsistent(pub Box<Change>);

impl Image {
    /// Applies the entry that stands at `at`, whole or not at all. The same everywhere: it depends on nothing else.
    pub fn apply_entry(&mut self, at: Position, entry: &Entry) -> Result<Result<(), Refused>, Inconsistent> {
        self.applied = at;
        if entry.term != at.term || entry.predecessor != self.last_entry {
            return Ok(Err(Refused {
                term: entry.term,
                predecessor: entry.predecessor,
                found_term: at.term,
                found: self.last_entry,
            }));
        }
        self.apply_all(&entry.changes)?;
        self.last_entry = at.index;
        Ok(Ok(()))
    }

    /// Applies changes in their order.
    pub fn apply_all(&mut self, changes: &[Change]) -> Result<(), Inconsistent> {
        changes.iter().try_for_each(|change| match self.apply(change) {
            true => Ok(()),
            false => Err(Inconsistent(Box::new(change.clone()))),
        })
    }

    /// False if the change cannot be: what it speaks of is not there.
    fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::ClusterFormed(formed) => self.cluster_id = Some(formed.cluster_id.clone()),
            Change::ControllerElected(elected) => self.controller = Some(elected.node),
            Change::BrokerRegistered(broker) => self.brokers.put(broker.clone()),
            Change::BrokerFencingChanged(fencing) => return self.brokers.set_fencing(fencing),
            Change::BrokerUnregistered(gone) => return self.brokers.remove(gone.broker),
            Change::TopicCreated(topic) => return self.topics.create(topic.id, &topic.name),
            Change::PartitionChanged(new) => {
                return self.topics.put_partition(new.topic, new.partition.clone());
            }
            Change::TopicDeleted(topic) => self.topics.delete(topic.id, topic.held_by.clone()),
            Change::DeletionConfirmed(gone) => self.topics.confirm_deletion(gone.id, gone.broker),
            Change::ConfigSet(set) => self.configs.set(set),
            Change::ConfigRemoved(removed) => self.configs.remove(removed),
            Change::ProducerIdsAllocated(allocated) => self.next_producer_id = allocated.next,
            Change::FeatureLevel(feature) => self.set_feature(&feature.name, feature.level),
        }
        true
    }

    fn set_feature(&mut self, name: &str, level: i16) {
        match level {
            0 => _ = self.features.remove_mut(name),
            _ => self.features.insert_mut(name.to_owned(), level),
        }
    }
}
