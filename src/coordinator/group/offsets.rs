//! The committed offsets of a shard's groups.

use super::records::{Event, OffsetCommit, OffsetKey};
use crate::types::Uuid;
use std::collections::{BTreeMap, HashMap};

/// Topic → partition → what was committed.
pub type Topics = BTreeMap<String, BTreeMap<i32, Placed>>;

/// An offset and where it stands among all others of the log: of two for one key the later one counts, whichever
/// transaction ends first.
#[derive(Clone, Debug)]
pub struct Placed {
    pub commit: OffsetCommit,
    place: u64,
}

#[derive(Debug, Default)]
pub struct Offsets {
    committed: HashMap<String, Topics>,
    /// By producer: what becomes committed if its transaction commits.
    pending: HashMap<i64, BTreeMap<OffsetKey, Placed>>,
    places: u64,
}

impl Offsets {
    pub fn of(&self, group: &str) -> Option<&Topics> {
        self.committed.get(group)
    }

    /// What is committed, by group.
    pub fn all(&self) -> impl Iterator<Item = (&String, &Topics)> {
        self.committed.iter()
    }

    /// The topic that an offset was committed for; of one that is only pending, the topic that it is pending for.
    pub fn topic_id(&self, key: &OffsetKey) -> Option<Uuid> {
        let committed = self.get(&key.group, &key.topic, key.partition);
        let pending = || self.pending.values().find_map(|offsets| offsets.get(key));
        committed.or_else(|| pending().map(|placed| &placed.commit)).map(|commit| commit.topic_id)
    }

    pub fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&OffsetCommit> {
        Some(&self.committed.get(group)?.get(topic)?.get(&partition)?.commit)
    }

    /// What is committed, without its place.
    #[cfg(test)]
    pub fn commits(&self, group: &str) -> Vec<(String, i32, OffsetCommit)> {
        let each = |(topic, partitions): (&String, &BTreeMap<i32, Placed>)| {
            let commit = |(at, placed): (&i32, &Placed)| (topic.clone(), *at, placed.commit.clone());
            partitions.iter().map(commit).collect::<Vec<_>>()
        };
        self.of(group).into_iter().flatten().flat_map(each).collect()
    }

    /// Whether an open transaction may still change this offset.
    pub fn is_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let key = OffsetKey { group: group.to_owned(), topic: topic.to_owned(), partition };
        self.pending.values().any(|offsets| offsets.contains_key(&key))
    }

    /// Whether an open transaction has offsets of `group`.
    pub fn in_transaction(&self, group: &str) -> bool {
        self.pending.values().any(|offsets| offsets.keys().any(|key| key.group == group))
    }

    pub fn put(&mut self, key: &OffsetKey, commit: OffsetCommit) {
        let placed = self.place(commit);
        self.put_placed(key, placed);
    }

    fn put_placed(&mut self, key: &OffsetKey, placed: Placed) {
        let topics = self.committed.entry(key.group.clone()).or_default();
        let partitions = topics.entry(key.topic.clone()).or_default();
        if partitions.get(&key.partition).is_none_or(|before| before.place < placed.place) {
            partitions.insert(key.partition, placed);
        }
    }

    fn place(&mut self, commit: OffsetCommit) -> Placed {
        self.places += 1;
        Placed { commit, place: self.places }
    }

    /// Forgets what is committed and what is pending.
    pub fn remove(&mut self, key: &OffsetKey) {
        self.pending.values_mut().for_each(|offsets| {
            offsets.remove(key);
        });
        let Some(topics) = self.committed.get_mut(&key.group) else { return };
        if let Some(partitions) = topics.get_mut(&key.topic) {
            partitions.remove(&key.partition);
            if partitions.is_empty() {
                topics.remove(&key.topic);
            }
        }
        if topics.is_empty() {
            self.committed.remove(&key.group);
        }
    }

    pub fn put_pending(&mut self, producer_id: i64, key: &OffsetKey, commit: OffsetCommit) {
        let placed = self.place(commit);
        self.pending.entry(producer_id).or_default().insert(key.clone(), placed);
    }

    pub fn end_transaction(&mut self, producer_id: i64, committed: bool) {
        let pending = self.pending.remove(&producer_id).unwrap_or_default();
        if committed {
            pending.into_iter().for_each(|(key, placed)| self.put_placed(&key, placed));
        }
    }

    /// Tombstones for all offsets of `group`, pending ones included.
    pub fn tombstones(&self, group: &str) -> Vec<Event> {
        let committed = self.of(group).into_iter().flat_map(|topics| keys(group, topics));
        let pending = self.pending.values().flat_map(BTreeMap::keys).filter(|key| key.group == group);
        let pending = pending.filter(|key| self.get(group, &key.topic, key.partition).is_none()).cloned();
        committed.chain(pending).map(|key| Event::Offset { key, value: None }).collect()
    }

    /// Groups with anything committed or pending for one of `topics`.
    pub fn groups_with(&self, topics: &[String]) -> Vec<String> {
        let mut groups: Vec<String> = self
            .committed
            .iter()
            .filter(|(_, committed)| topics.iter().any(|topic| committed.contains_key(topic)))
            .map(|(group, _)| group.clone())
            .collect();
        let pending = self.pending.values().flat_map(BTreeMap::keys);
        groups.extend(pending.filter(|key| topics.contains(&key.topic)).map(|key| key.group.clone()));
        groups.sort();
        groups.dedup();
        groups
    }
}

fn keys<'a>(group: &'a str, topics: &'a Topics) -> impl Iterator<Item = OffsetKey> + 'a {
    topics.iter().flat_map(move |(topic, partitions)| {
        partitions.keys().map(move |&partition| OffsetKey {
            group: group.to_owned(),
            topic: topic.clone(),
            partition,
        })
    })
}
