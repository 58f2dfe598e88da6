//! Moving partitions to other brokers.
//!
//! ```text
//!   replicas 1 2 ──► target 2 3:   2 3 1, adding 3, removing 1 ──► all of the adding in sync ──► 2 3, released 1
//! ```
//! The end comes with whatever change of the partition completes it (`leadership`).

use super::draft::Draft;
use super::leadership::{changed, settle};
use super::replicas::{Directories, check_brokers};
use super::rules::{Defaults, Rules};
use super::{Command, Decision, Inputs, Outcome, Refusal};
use crate::cluster::Image;
use crate::cluster::image::{Brokers, PartitionImage, Replica, TopicImage};
use crate::types::{BrokerId, ErrorCode};
use serde::{Deserialize, Serialize};

/// Begins, changes or cancels reassignments, each on its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlterReassignments {
    pub partitions: Vec<Reassignment>,
    /// Whether a partition may get more or fewer replicas than it has.
    pub allow_replication_factor_change: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reassignment {
    pub topic: String,
    pub partition: i32,
    /// Brokers of all replicas, the preferred leader first; `None` cancels.
    pub target: Option<Vec<BrokerId>>,
}

impl Command for AlterReassignments {
    /// One for each partition, in order.
    type Answer = Vec<Outcome<()>>;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        let mut site = Site {
            draft: Draft::upon(image),
            directories: Directories::upon(image),
            defaults: Defaults::new(image, inputs.policy),
            may_resize: self.allow_replication_factor_change,
        };
        let answers = self.partitions.iter().map(|asked| site.alter(asked)).collect();
        Ok((site.draft.into_changes(), answers))
    }
}

/// Reassignments being decided.
struct Site {
    draft: Draft,
    directories: Directories,
    defaults: Defaults,
    may_resize: bool,
}

impl Site {
    fn alter(&mut self, asked: &Reassignment) -> Outcome<()> {
        let image = self.draft.image();
        let topic = image.topics.by_name(&asked.topic).ok_or_else(|| unknown_topic(&asked.topic))?;
        let before = topic.partition(asked.partition).ok_or_else(|| unknown_partition(asked))?;
        let rules = self.defaults.rules(image, &topic.name);
        let wanted = match &asked.target {
            Some(target) => {
                check_target(before, target, self.may_resize, &image.brokers)?;
                begun(before, target, &image.brokers, &mut self.directories)
            }
            None => cancelled(topic, before, &rules)?,
        };
        let settled = settle(before, wanted, &rules, &mut self.directories);
        let settled = settled.map(|after| changed(topic.id, after));
        self.draft.add(settled.into_iter().collect());
        Ok(())
    }
}

fn unknown_topic(name: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("There is no topic '{name}'."))
}

fn unknown_partition(asked: &Reassignment) -> Refusal {
    let message = format!("Topic '{}' has no partition {}.", asked.topic, asked.partition);
    Refusal::new(ErrorCode::UnknownTopicOrPartition, message)
}

fn check_target(
    before: &PartitionImage,
    target: &[BrokerId],
    may_resize: bool,
    brokers: &Brokers,
) -> Outcome<()> {
    check_brokers(before.index, target, target.len(), brokers)?;
    let present = before.settled_replicas().count();
    match may_resize || target.len() == present {
        true => Ok(()),
        false => Err(Refusal::new(
            ErrorCode::InvalidReplicationFactor,
            format!("The replication factor would change from {present} to {}.", target.len()),
        )),
    }
}

/// On its way to `target`: whoever leaves stays until the others are in sync.
fn begun(
    before: &PartitionImage,
    target: &[BrokerId],
    brokers: &Brokers,
    directories: &mut Directories,
) -> PartitionImage {
    let settled: Vec<BrokerId> = before.settled_replicas().collect();
    let leaves = |replica: &&Replica| !target.contains(&replica.broker);
    let leaving: Vec<Replica> = before.replicas.iter().filter(leaves).copied().collect();
    let mut place = |id: &BrokerId| {
        let directory = || Replica { broker: *id, directory: directories.choose(brokers.get(*id)) };
        before.replica_on(*id).copied().unwrap_or_else(directory)
    };
    let mut after = before.clone();
    after.replicas = target.iter().map(&mut place).collect();
    after.replicas.extend(&leaving);
    after.adding = target.iter().copied().filter(|id| !settled.contains(id)).collect();
    after.removing = leaving.iter().map(|replica| replica.broker).collect();
    after.released.retain(|old| !target.contains(&old.broker));
    after.blank.extend(target.iter().filter(|id| before.replica_on(**id).is_none()));
    after
}

/// Back to the replicas from before, unless only those that were being added hold everything.
fn cancelled(topic: &TopicImage, before: &PartitionImage, rules: &Rules<'_>) -> Outcome<PartitionImage> {
    if !before.is_reassigning() {
        let message = "No reassignment of this partition is in progress.";
        return Err(Refusal::new(ErrorCode::NoReassignmentInProgress, message));
    }
    let goes = |id: &BrokerId| before.adding.contains(id);
    let mut holders = before.isr.iter().chain(&before.elr).chain(&before.last_known_leader).peekable();
    if !rules.unclean_election && holders.peek().is_some() && holders.all(goes) {
        let message = format!(
            "The reassignment of {}-{} cannot be cancelled: the replicas from before miss records.",
            topic.name, before.index
        );
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    let mut after = before.clone();
    after.release(&before.adding);
    after.adding.clear();
    after.removing.clear();
    Ok(after)
}
