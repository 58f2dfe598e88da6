//! Who leads a partition, who is in sync, and who may lead when nobody in sync is left (KIP-966).
//!
//! ```text
//!         cannot serve, ISR ≥ min ISR without it         cannot serve, ISR < min ISR without it
//!   out ◄──────────────────────────────────────── ISR ────────────────────────────────────────► ELR
//!                                                  ▲                                             │
//!                                                  └── elected, as none of the ISR can serve ────┘
//! ```
//! A member of the ELR holds everything acknowledged: nothing is acknowledged while so few are in sync. With as many as
//! min ISR in sync there is no ELR, whichever way they came to be.

use super::Inputs;
use super::configs::MinInsyncReplicas;
use super::draft::Draft;
use crate::cluster::change::{Change, PartitionChanged};
use crate::cluster::image::{Brokers, PartitionImage, Replica};
use crate::types::BrokerId;

/// Brings every partition with a replica on `broker`, which came or went, in line with who can serve now.
/// Unclean: what it had acknowledged may be missing from its disks.
pub(super) fn settle_replicas_of(draft: &mut Draft, broker: BrokerId, unclean: bool, inputs: &Inputs<'_>) {
    let image = draft.image();
    let least = MinInsyncReplicas::new(image, inputs.policy);
    let settled = image.topics.hosted_by(broker).filter_map(|(topic, before)| {
        let unclean = unclean.then_some(broker);
        let partition = settle(before, &image.brokers, unclean, least.of(image, &topic.name))?;
        Some(Change::PartitionChanged(PartitionChanged { topic: topic.id, partition }))
    });
    draft.add(settled.collect());
}

/// Does the same for every partition of the topics chosen by name.
pub(super) fn settle_topics(draft: &mut Draft, inputs: &Inputs<'_>, chosen: impl Fn(&str) -> bool) {
    let image = draft.image();
    let least = MinInsyncReplicas::new(image, inputs.policy);
    let mut changes = Vec::new();
    for topic in image.topics.iter().filter(|topic| chosen(&topic.name)) {
        let least = least.of(image, &topic.name);
        let settled = topic.partitions().filter_map(|before| settle(before, &image.brokers, None, least));
        changes.extend(
            settled
                .map(|partition| Change::PartitionChanged(PartitionChanged { topic: topic.id, partition })),
        );
    }
    draft.add(changes);
}

/// The partition as it must be now; `None` if it is.
fn settle(
    before: &PartitionImage,
    brokers: &Brokers,
    unclean: Option<BrokerId>,
    least: usize,
) -> Option<PartitionImage> {
    let replica = |id: &BrokerId| before.replica_on(*id);
    let serves = |id: &BrokerId| replica(id).is_some_and(|replica| can_serve(replica, brokers));
    let has_all =
        |id: &BrokerId| Some(*id) != unclean && replica(id).is_some_and(|r| has_directory(r, brokers));
    let mut after = before.clone();
    after.isr.retain(serves);
    after.elr = out_of_sync(before, &after.isr).filter(has_all).collect();
    after.leader = before.leader.filter(|id| after.isr.contains(id));
    if after.leader.is_none() {
        elect(&mut after, serves);
    }
    // From now on enough acknowledge without the others.
    if after.isr.len() >= least.clamp(1, before.replicas.len()) {
        after.elr.clear();
    }
    after.last_known_leader = match after.leader {
        Some(_) => None,
        None => before.leader.or(before.last_known_leader),
    };
    if after == *before {
        return None;
    }
    after.partition_epoch += 1;
    after.leader_epoch += i32::from(after.leader != before.leader);
    Some(after)
}

fn can_serve(replica: &Replica, brokers: &Brokers) -> bool {
    brokers.is_active(replica.broker) && has_directory(replica, brokers)
}

/// Whether its directory is one of those its broker registered. Nil: not placed yet. Nothing is known of the
/// directories of a broker that is not registered.
fn has_directory(replica: &Replica, brokers: &Brokers) -> bool {
    let registered = brokers.get(replica.broker).map(|broker| &broker.directories);
    replica.directory.is_nil()
        || registered.is_none_or(|directories| directories.contains(&replica.directory))
}

/// Those in sync or eligible before, and not in sync now; in the order of the replicas.
fn out_of_sync<'a>(before: &'a PartitionImage, isr: &'a [BrokerId]) -> impl Iterator<Item = BrokerId> + 'a {
    let held_all = |id: &BrokerId| before.isr.contains(id) || before.elr.contains(id);
    before.replica_brokers().filter(held_all).filter(|id| !isr.contains(id))
}

/// Gives the partition a leader, if anyone can be: in sync, else eligible, else, if there is neither, the last one.
fn elect(partition: &mut PartitionImage, serves: impl Fn(&BrokerId) -> bool) {
    let first_of = |set: &[BrokerId]| partition.replica_brokers().find(|id| set.contains(id) && serves(id));
    let nobody = partition.isr.is_empty() && partition.elr.is_empty();
    let last = partition.last_known_leader.filter(|id| nobody && serves(id));
    let Some(leader) = first_of(&partition.isr).or_else(|| first_of(&partition.elr)).or(last) else { return };
    partition.leader = Some(leader);
    if !partition.isr.contains(&leader) {
        partition.isr = vec![leader];
        partition.elr.retain(|id| *id != leader);
    }
}
