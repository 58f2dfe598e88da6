//! Topics and their partitions, by name and by id, and the ids whose directories may be deleted.

use crate::types::{BrokerId, LeaderEpoch, PartitionEpoch, TopicPartition, Uuid};
use rpds::{RedBlackTreeMapSync, VectorSync};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::sync::Arc;

/// All topics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topics {
    by_id: RedBlackTreeMapSync<Uuid, Arc<TopicImage>>,
    by_name: RedBlackTreeMapSync<String, Uuid>,
    /// Deleted topics, each with the brokers that may still hold directories of it.
    deleted: RedBlackTreeMapSync<Uuid, Arc<Vec<BrokerId>>>,
    partition_count: usize,
}

/// One topic. Partitions are numbered from 0 without gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicImage {
    pub id: Uuid,
    pub name: String,
    partitions: VectorSync<Arc<PartitionImage>>,
}

/// Where one partition lives and who leads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionImage {
    /// Its number in the topic.
    pub index: i32,
    /// In order of preference: the first is the preferred leader.
    pub replicas: Vec<Replica>,
    /// In the order of `replicas`.
    pub isr: Vec<BrokerId>,
    /// Out of the ISR, but known to hold everything acknowledged (KIP-966).
    pub elr: Vec<BrokerId>,
    pub leader: Option<BrokerId>,
    /// Whom to elect when ISR and ELR are empty.
    pub last_known_leader: Option<BrokerId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// Those of the replicas that a reassignment brings in.
    pub adding: Vec<BrokerId>,
    /// Those that it takes out when all others are in sync.
    pub removing: Vec<BrokerId>,
    /// What were replicas once and are none since: the log says that these directories may be deleted.
    pub released: Vec<Replica>,
    /// Replicas that have not been in sync since they were placed: nothing says that they hold anything.
    pub blank: Vec<BrokerId>,
}

/// A copy of a partition: the broker and the log directory it lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    pub broker: BrokerId,
    pub directory: Uuid,
}

impl PartitionImage {
    /// The brokers of all replicas, in order of preference.
    pub fn replica_brokers(&self) -> impl Iterator<Item = BrokerId> {
        self.replicas.iter().map(|replica| replica.broker)
    }

    /// The replica that `broker` holds.
    pub fn replica_on(&self, broker: BrokerId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.broker == broker)
    }

    /// Whether no replica moves, and none was moved whose directory may be left.
    pub fn is_at_rest(&self) -> bool {
        !self.is_reassigning() && self.released.is_empty() && self.blank.is_empty()
    }

    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The brokers of the replicas without those that a reassignment brings in.
    pub fn settled_replicas(&self) -> impl Iterator<Item = BrokerId> {
        self.replica_brokers().filter(|id| !self.adding.contains(id))
    }

    /// The brokers that may have directories of it.
    pub fn holders(&self) -> impl Iterator<Item = BrokerId> {
        self.replicas.iter().chain(&self.released).map(|replica| replica.broker)
    }

    /// Whether `broker` had a replica in `directory` and has had none since.
    pub fn is_released(&self, broker: BrokerId, directory: Uuid) -> bool {
        self.released.contains(&Replica { broker, directory })
    }

    /// Takes the replicas on `brokers` out.
    pub(in crate::cluster) fn release(&mut self, brokers: &[BrokerId]) {
        let goes = |replica: &mut Replica| brokers.contains(&replica.broker);
        self.released.extend(self.replicas.extract_if(.., goes));
        self.isr.retain(|id| !brokers.contains(id));
        self.blank.retain(|id| !brokers.contains(id));
    }
}

impl TopicImage {
    pub fn new(id: Uuid, name: String) -> Self {
        TopicImage { id, name, partitions: VectorSync::new_sync() }
    }

    pub fn partition(&self, index: i32) -> Option<&Arc<PartitionImage>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// All partitions, by rising number.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = &Arc<PartitionImage>> {
        self.partitions.iter()
    }

    pub fn partition_count(&self) -> i32 {
        self.partitions.len() as i32
    }
}

impl Topics {
    pub fn by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.by_id.get(&id)
    }

    pub fn by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.by_id(*self.by_name.get(name)?)
    }

    pub fn partition(&self, at: TopicPartition) -> Option<&Arc<PartitionImage>> {
        self.by_id(at.topic)?.partition(at.partition)
    }

    /// Every topic, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.by_name.values().filter_map(|id| self.by_id.get(id))
    }

    /// Names that sort at or after `start`, for paged listings.
    pub fn from_name(&self, start: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.by_name.range(start.to_owned()..).filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Every topic, by id.
    pub(super) fn ids(&self) -> impl Iterator<Item = (Uuid, &Arc<TopicImage>)> {
        self.by_id.iter().map(|(id, topic)| (*id, topic))
    }

    pub fn len(&self) -> usize {
        self.by_id.size()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Partitions of all topics together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Whether the log says that this topic was deleted: only then may its directories go.
    pub fn is_deleted(&self, id: Uuid) -> bool {
        self.deleted.contains_key(&id)
    }

    /// The deleted topics whose directories `broker` has not yet said to be gone.
    pub fn deletions_of(&self, broker: BrokerId) -> impl Iterator<Item = Uuid> {
        self.deleted.iter().filter(move |(_, brokers)| brokers.contains(&broker)).map(|(id, _)| *id)
    }

    /// Every partition that has a replica on `broker`.
    pub fn hosted_by(
        &self,
        broker: BrokerId,
    ) -> impl Iterator<Item = (&Arc<TopicImage>, &Arc<PartitionImage>)> {
        self.iter()
            .flat_map(|topic| topic.partitions().map(move |partition| (topic, partition)))
            .filter(move |(_, partition)| partition.replica_on(broker).is_some())
    }

    /// Every deleted topic that is remembered, and who may still hold directories of it.
    pub(super) fn deleted(&self) -> impl Iterator<Item = (Uuid, &Arc<Vec<BrokerId>>)> {
        self.deleted.iter().map(|(id, held_by)| (*id, held_by))
    }

    /// False if the name or the id is taken.
    pub(super) fn create(&mut self, id: Uuid, name: &str) -> bool {
        if self.by_id.contains_key(&id) || self.by_name.contains_key(name) {
            return false;
        }
        self.by_id.insert_mut(id, Arc::new(TopicImage::new(id, name.to_owned())));
        self.by_name.insert_mut(name.to_owned(), id);
        true
    }

    /// Adds the next partition or replaces one; false if the topic is unknown or numbers would be left out.
    pub(super) fn put_partition(&mut self, topic: Uuid, partition: PartitionImage) -> bool {
        let Some(topic) = self.by_id.get_mut(&topic).map(Arc::make_mut) else { return false };
        let Ok(index) = usize::try_from(partition.index) else { return false };
        match index.cmp(&topic.partitions.len()) {
            Ordering::Less => topic.partitions.set_mut(index, Arc::new(partition)),
            Ordering::Equal => {
                topic.partitions.push_back_mut(Arc::new(partition));
                self.partition_count += 1;
                true
            }
            Ordering::Greater => false,
        }
    }

    /// Removes the topic, if there is one, and remembers that it was deleted for as long as someone holds it.
    pub(super) fn delete(&mut self, id: Uuid, held_by: Vec<BrokerId>) {
        if let Some(topic) = self.by_id.get(&id).cloned() {
            self.by_id.remove_mut(&id);
            self.by_name.remove_mut(&topic.name);
            self.partition_count -= topic.partitions.len();
        }
        if !held_by.is_empty() {
            self.deleted.insert_mut(id, Arc::new(held_by));
        }
    }

    /// `broker` holds nothing of the deleted topic any more.
    pub(super) fn confirm_deletion(&mut self, id: Uuid, broker: BrokerId) {
        let Some(held_by) = self.deleted.get_mut(&id).map(Arc::make_mut) else { return };
        held_by.retain(|holder| *holder != broker);
        if held_by.is_empty() {
            self.deleted.remove_mut(&id);
        }
    }
}
