//! Replicas that were moved away: the log says that their directories may be deleted, until they are.

use super::brokers::check_epoch;
use super::draft::Draft;
use super::leadership::changed;
use super::{Command, Decision, Inputs};
use crate::cluster::Image;
use crate::cluster::change::Change;
use crate::cluster::image::{PartitionImage, Replica};
use crate::types::{BrokerId, TopicPartition, Uuid};
use serde::{Deserialize, Serialize};

/// Says that `broker` has put aside what these partitions released of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfirmReleases {
    pub broker: BrokerId,
    pub broker_epoch: i64,
    pub replicas: Vec<Released>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Released {
    pub topic: Uuid,
    pub partition: i32,
    pub directory: Uuid,
}

impl Command for ConfirmReleases {
    type Answer = ();

    fn decide(&self, image: &Image, _inputs: &mut Inputs<'_>) -> Decision<()> {
        check_epoch(image, self.broker, self.broker_epoch)?;
        let mut draft = Draft::upon(image);
        for gone in &self.replicas {
            let at = TopicPartition { topic: gone.topic, partition: gone.partition };
            let replica = Replica { broker: self.broker, directory: gone.directory };
            let change = without(image, draft.image(), at, |released| *released == replica);
            draft.add(change.into_iter().collect());
        }
        Ok((draft.into_changes(), ()))
    }
}

/// Nobody will say what became of the replicas on `broker`. `drafted` is what the decision made of `image` so far.
pub(super) fn forget(image: &Image, drafted: &Image, broker: BrokerId) -> Vec<Change> {
    let partitions = drafted.topics.iter().flat_map(|topic| {
        topic.partitions().map(|one| TopicPartition { topic: topic.id, partition: one.index })
    });
    let is_gone = |released: &Replica| released.broker == broker;
    partitions.filter_map(|at| without(image, drafted, at, is_gone)).collect()
}

/// However often a decision changes a partition, its epoch rises once.
fn without(
    image: &Image,
    drafted: &Image,
    at: TopicPartition,
    is_gone: impl Fn(&Replica) -> bool,
) -> Option<Change> {
    let mut after = PartitionImage::clone(drafted.topics.partition(at)?);
    let known = after.released.len();
    after.released.retain(|released| !is_gone(released));
    after.partition_epoch = image.topics.partition(at)?.partition_epoch + 1;
    (after.released.len() < known).then(|| changed(at.topic, after))
}
