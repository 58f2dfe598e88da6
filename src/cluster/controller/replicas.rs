//! Where replicas are: the directories of a new partition, and others for those that were lost.

use super::{Outcome, Refusal};
use crate::cluster::Image;
use crate::cluster::image::{Broker, Brokers, PartitionImage, Replica, Topics};
use crate::types::{BrokerId, ErrorCode, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Checks the brokers that someone chose for a partition.
pub(super) fn check_brokers(
    index: i32,
    chosen: &[BrokerId],
    factor: usize,
    brokers: &Brokers,
) -> Outcome<()> {
    let refuse = |message| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    if chosen.is_empty() {
        return refuse(format!("Partition {index} is assigned to no broker."));
    }
    if chosen.len() != factor {
        return refuse(format!(
            "Partition {index} has {} replica(s), others {factor}: all must have as many.",
            chosen.len()
        ));
    }
    if let Some(unknown) = chosen.iter().find(|id| brokers.get(**id).is_none()) {
        return refuse(format!(
            "Partition {index} is assigned to broker {unknown}, which is not registered."
        ));
    }
    match chosen.iter().collect::<BTreeSet<_>>().len() == factor {
        true => Ok(()),
        false => refuse(format!("Partition {index} is assigned to the same broker twice.")),
    }
}

/// Where replicas are placed: in the log directory that holds the fewest.
pub(super) struct Directories {
    topics: Topics,
    /// How many replicas each directory holds. Counting is a walk over all partitions: only where there is a choice.
    load: Option<BTreeMap<Uuid, usize>>,
}

impl Directories {
    /// Those of a decision upon `image`.
    pub fn upon(image: &Image) -> Directories {
        Directories { topics: image.topics.clone(), load: None }
    }

    /// A directory of `broker` for one more replica; nil if it has none.
    pub fn choose(&mut self, broker: Option<&Arc<Broker>>) -> Uuid {
        let directories = broker.map(|broker| broker.directories.as_slice()).unwrap_or_default();
        if let [] | [_] = directories {
            return directories.first().copied().unwrap_or_default();
        }
        let load = self.load.get_or_insert_with(|| count(&self.topics));
        let held = |directory: &Uuid| load.get(directory).copied().unwrap_or(0);
        let chosen = directories.iter().copied().min_by_key(held).unwrap_or_default();
        *load.entry(chosen).or_default() += 1;
        chosen
    }
}

fn count(topics: &Topics) -> BTreeMap<Uuid, usize> {
    let mut load = BTreeMap::new();
    let partitions = topics.iter().flat_map(|topic| topic.partitions());
    for replica in partitions.flat_map(|partition| &partition.replicas) {
        *load.entry(replica.directory).or_default() += 1;
    }
    load
}

/// Puts each replica whose directory is lost into one that its broker has, where it begins empty. A directory may come
/// back, with its disk: it is given up only where others hold everything acknowledged, and where it is not the last
/// leader's, who is elected once nobody else is known to hold that.
pub(super) fn place_lost(partition: &mut PartitionImage, brokers: &Brokers, directories: &mut Directories) {
    let PartitionImage { replicas, isr, elr, last_known_leader, blank, .. } = partition;
    let is_held = !isr.is_empty() || !elr.is_empty();
    let is_needed = |id| isr.contains(&id) || elr.contains(&id) || *last_known_leader == Some(id);
    let has_lost = |replica: &Replica| {
        brokers.get(replica.broker).is_some_and(|broker| broker.has_lost(replica.directory))
    };
    let is_to_move = |replica: &&mut Replica| is_held && !is_needed(replica.broker) && has_lost(replica);
    for replica in replicas.iter_mut().filter(is_to_move) {
        replica.directory = directories.choose(brokers.get(replica.broker));
        blank.retain(|id| *id != replica.broker);
        blank.push(replica.broker);
    }
}

/// A partition that begins on these brokers. Those that are active are in sync, the first of them leads.
pub(super) fn new_partition(
    brokers: &Brokers,
    directories: &mut Directories,
    index: i32,
    assigned: &[BrokerId],
) -> Outcome<PartitionImage> {
    let isr: Vec<BrokerId> = assigned.iter().copied().filter(|id| brokers.is_active(*id)).collect();
    let Some(leader) = isr.first().copied() else {
        let message =
            format!("None of the brokers {assigned:?} of partition {index} is active: all are fenced.");
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    };
    let replica = |id: &BrokerId| Replica { broker: *id, directory: directories.choose(brokers.get(*id)) };
    Ok(PartitionImage {
        index,
        replicas: assigned.iter().map(replica).collect(),
        blank: assigned.iter().copied().filter(|id| !isr.contains(id)).collect(),
        isr,
        elr: Vec::new(),
        leader: Some(leader),
        last_known_leader: None,
        leader_epoch: 0,
        partition_epoch: 0,
        adding: Vec::new(),
        removing: Vec::new(),
        released: Vec::new(),
    })
}
