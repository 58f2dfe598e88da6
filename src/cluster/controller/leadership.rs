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
use super::draft::Draft;
use super::replicas::{Directories, place_lost};
use super::rules::{Defaults, Rules};
use crate::cluster::change::{Change, PartitionChanged};
use crate::cluster::image::{Brokers, PartitionImage, Replica};
use crate::types::{BrokerId, Uuid};

/// Brings every partition with a replica on `broker`, which came or went, in line with who can serve now.
pub(super) fn settle_replicas_of(draft: &mut Draft, broker: BrokerId, inputs: &Inputs<'_>) {
    settle_hosted(draft, broker, None, inputs);
}

/// The same at the start of a broker. Unclean: what it had acknowledged may be missing from its disks.
pub(super) fn settle_started(draft: &mut Draft, broker: BrokerId, unclean: bool, inputs: &Inputs<'_>) {
    settle_hosted(draft, broker, unclean.then_some(broker), inputs);
}

fn settle_hosted(draft: &mut Draft, broker: BrokerId, unclean: Option<BrokerId>, inputs: &Inputs<'_>) {
    let image = draft.image();
    let defaults = Defaults::new(image, inputs.policy);
    let mut directories = Directories::upon(image);
    let settled = image.topics.hosted_by(broker).filter_map(|(topic, before)| {
        let (rules, asked) = (defaults.rules(image, &topic.name), PartitionImage::clone(before));
        let settled = settle_after(before, asked, &rules, &mut directories, unclean);
        settled.map(|after| changed(topic.id, after))
    });
    let settled = settled.collect();
    draft.add(settled);
}

/// Does the same for every partition of the topics chosen by name.
pub(super) fn settle_topics(draft: &mut Draft, inputs: &Inputs<'_>, chosen: impl Fn(&str) -> bool) {
    let image = draft.image();
    let defaults = Defaults::new(image, inputs.policy);
    let mut directories = Directories::upon(image);
    let mut changes = Vec::new();
    for topic in image.topics.iter().filter(|topic| chosen(&topic.name)) {
        let rules = defaults.rules(image, &topic.name);
        let settled = topic
            .partitions()
            .filter_map(|before| settle(before, PartitionImage::clone(before), &rules, &mut directories));
        changes.extend(settled.map(|after| changed(topic.id, after)));
    }
    draft.add(changes);
}

pub(super) fn changed(topic: Uuid, partition: PartitionImage) -> Change {
    Change::PartitionChanged(PartitionChanged { topic, partition })
}

/// What becomes of a partition that is `before` and shall be `asked`: none that cannot serve stays in sync, someone leads
/// if anyone may, and a replica whose directory is lost begins anew once it is not needed. `None` if that is what it is.
pub(super) fn settle(
    before: &PartitionImage,
    asked: PartitionImage,
    rules: &Rules<'_>,
    directories: &mut Directories,
) -> Option<PartitionImage> {
    settle_after(before, asked, rules, directories, None)
}

/// The same after an unclean start of a broker.
fn settle_after(
    before: &PartitionImage,
    asked: PartitionImage,
    rules: &Rules<'_>,
    directories: &mut Directories,
    unclean: Option<BrokerId>,
) -> Option<PartitionImage> {
    let mut after = asked;
    after.isr = in_sync(&after, rules.brokers);
    complete_reassignment(&mut after, rules);
    after.elr = eligible(before, &after, rules.brokers, unclean);
    after.leader = after.leader.filter(|id| after.isr.contains(id));
    if after.leader.is_none() {
        elect(&mut after, rules);
    }
    after.blank.retain(|id| !after.isr.contains(id));
    if after.isr.len() >= rules.needed(after.replicas.len()) {
        // From here on the ISR acknowledges without them.
        after.elr.clear();
    }
    after.last_known_leader = match after.leader {
        Some(_) => None,
        None => before.leader.or(before.last_known_leader),
    };
    place_lost(&mut after, rules.brokers, directories);
    if after == *before {
        return None;
    }
    after.partition_epoch = before.partition_epoch + 1;
    let begins_anew = after.leader != before.leader || loses_replica(before, &after);
    after.leader_epoch = before.leader_epoch + i32::from(begins_anew);
    Some(after)
}

/// Whether one that was a replica is none any more, or in another directory. In the same epoch its late fetches would be
/// promises, of what it has put aside, if it became one again.
fn loses_replica(before: &PartitionImage, after: &PartitionImage) -> bool {
    before.replicas.iter().any(|replica| !after.replicas.contains(replica))
}

/// Those of the ISR that can serve, in the order of the replicas. If none is left, a leader that shuts down goes on
/// until it is gone.
fn in_sync(partition: &PartitionImage, brokers: &Brokers) -> Vec<BrokerId> {
    let serves = |id: &BrokerId| partition.isr.contains(id) && can_serve(partition, *id, brokers);
    let isr: Vec<BrokerId> = partition.replica_brokers().filter(serves).collect();
    let still_leads = |id: &BrokerId| {
        partition.isr.contains(id) && brokers.is_alive(*id) && has_replica(partition, *id, brokers)
    };
    match isr.is_empty() {
        true => partition.leader.filter(still_leads).into_iter().collect(),
        false => isr,
    }
}

/// Ends a reassignment once all who were added are in sync, and enough are so without those who leave.
fn complete_reassignment(partition: &mut PartitionImage, rules: &Rules<'_>) {
    let stays = |id: &BrokerId| !partition.removing.contains(id);
    let target = partition.replica_brokers().filter(stays).count();
    let in_sync = partition.isr.iter().filter(|id| stays(id)).count();
    let added = partition.adding.iter().all(|id| partition.isr.contains(id));
    if !partition.is_reassigning() || !added || in_sync < rules.needed(target) {
        return;
    }
    let removed = std::mem::take(&mut partition.removing);
    partition.release(&removed);
    partition.adding.clear();
}

pub(super) fn can_serve(partition: &PartitionImage, broker: BrokerId, brokers: &Brokers) -> bool {
    brokers.is_active(broker) && has_replica(partition, broker, brokers)
}

fn has_replica(partition: &PartitionImage, broker: BrokerId, brokers: &Brokers) -> bool {
    partition.replica_on(broker).is_some_and(|replica| has_directory(replica, brokers))
}

/// Whether its directory is one of those its broker registered. Nothing is known of the directories of a broker that is not
/// registered.
fn has_directory(replica: &Replica, brokers: &Brokers) -> bool {
    brokers.get(replica.broker).is_none_or(|broker| broker.can_use(replica.directory))
}

/// Those in sync or eligible before, and not in sync now, that still hold everything; in the order of the replicas.
fn eligible(
    before: &PartitionImage,
    after: &PartitionImage,
    brokers: &Brokers,
    unclean: Option<BrokerId>,
) -> Vec<BrokerId> {
    let held_all = |id: &BrokerId| before.isr.contains(id) || before.elr.contains(id);
    let holds_all = |id: &BrokerId| Some(*id) != unclean && has_replica(after, *id, brokers);
    let is_out = |id: &BrokerId| !after.isr.contains(id);
    after.replica_brokers().filter(|id| held_all(id) && holds_all(id) && is_out(id)).collect()
}

/// Gives the partition a leader, if anyone can be: in sync, else eligible, else, if there is neither, the last one; else,
/// where that is allowed, anyone who has been in sync since it was placed. One that has not may hold nothing, and would have
/// the others cut what they hold.
fn elect(partition: &mut PartitionImage, rules: &Rules<'_>) {
    let serves = |id: &BrokerId| can_serve(partition, *id, rules.brokers);
    let first_of = |set: &[BrokerId]| partition.replica_brokers().find(|id| set.contains(id) && serves(id));
    let nobody = partition.isr.is_empty() && partition.elr.is_empty();
    let is_blank = |id: &BrokerId| partition.blank.contains(id);
    let last = partition.last_known_leader.filter(|id| nobody && serves(id) && !is_blank(id));
    let clean = first_of(&partition.isr).or_else(|| first_of(&partition.elr)).or(last);
    let anyone = || {
        let mut serving: Vec<BrokerId> = partition.replica_brokers().filter(serves).collect();
        serving.sort_by_key(is_blank);
        let first = serving.first().copied().filter(|id| rules.blank_election || !is_blank(id));
        first.filter(|_| rules.unclean_election)
    };
    let Some(leader) = clean.or_else(anyone) else { return };
    partition.leader = Some(leader);
    if !partition.isr.contains(&leader) {
        partition.isr = vec![leader];
        partition.elr.retain(|id| *id != leader);
    }
    if clean.is_none() {
        // What the eligible hold is no longer what the partition is.
        partition.elr.clear();
    }
}
