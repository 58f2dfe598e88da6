//! Where replicas are: the directories of a new partition, and others for those that were lost.

use super::{Outcome, Refusal};
use crate::cluster::Image;
use crate::cluster::image::{Broker, Brokers, PartitionImage, Replica};
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

/// How many partitions each log directory holds: new replicas go where the fewest are.
pub(super) struct Directories(BTreeMap<Uuid, usize>);

impl Directories {
    pub fn count(image: &Image) -> Directories {
        let mut load = BTreeMap::new();
        // Counting is a walk over all partitions: only where there is a choice.
        if image.brokers.iter().any(|broker| broker.directories.len() > 1) {
            let partitions = image.topics.iter().flat_map(|topic| topic.partitions());
            for replica in partitions.flat_map(|partition| &partition.replicas) {
                *load.entry(replica.directory).or_default() += 1;
            }
        }
        Directories(load)
    }

    /// A directory of `broker` for one more replica; nil if it has none.
    pub fn choose(&mut self, broker: Option<&Arc<Broker>>) -> Uuid {
        let directories = broker.map(|broker| broker.directories.as_slice()).unwrap_or_default();
        let load = |directory: &Uuid| self.0.get(directory).copied().unwrap_or(0);
        let Some(chosen) = directories.iter().copied().min_by_key(load) else { return Uuid::nil() };
        *self.0.entry(chosen).or_default() += 1;
        chosen
    }
}

/// The partition with the replica of `broker` in a directory that it has, if the one it is in is lost; there it begins
/// empty. A directory may come back, with its disk: it is given up only where others hold everything acknowledged, and
/// where it is not the last leader's, who is elected once nobody else is known to hold that.
pub(super) fn elsewhere(
    partition: &PartitionImage,
    broker: BrokerId,
    brokers: &Brokers,
    directories: &mut Directories,
) -> Option<PartitionImage> {
    let registered = brokers.get(broker).filter(|registered| !registered.directories.is_empty())?;
    let held: Vec<&BrokerId> = partition.isr.iter().chain(&partition.elr).collect();
    let is_needed = held.is_empty() || held.contains(&&broker) || partition.last_known_leader == Some(broker);
    let is_lost =
        |replica: &Replica| replica.broker == broker && !registered.directories.contains(&replica.directory);
    if is_needed || !partition.replicas.iter().any(is_lost) {
        return None;
    }
    let mut after = partition.clone();
    let lost = after.replicas.iter_mut().filter(|replica| is_lost(replica));
    lost.for_each(|replica| replica.directory = directories.choose(Some(registered)));
    after.blank.retain(|id| *id != broker);
    after.blank.push(broker);
    Some(after)
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
