//! The partitions of this broker. One writer (the reconciler), snapshots for everyone else.

use super::checkpoint::Written;
use super::replica::{Marked, Replica};
use crate::quota::Throttles;
use crate::types::{ErrorCode, TopicPartition, Uuid};
use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use rpds::HashTrieMapSync;
use std::collections::HashSet;
use std::sync::Arc;
use storage::dirs::PartitionName;
use tokio::sync::watch;

/// A partition that this broker has a replica of.
#[derive(Clone, Debug)]
pub enum Slot {
    Open(Arc<Replica>),
    /// Its log could not be opened, or its log directory is missing.
    Offline(Offline),
}

/// A partition that cannot be used.
#[derive(Clone, Debug)]
pub struct Offline {
    /// The id of the log directory it is assigned to.
    pub dir: Uuid,
    pub name: PartitionName,
    /// What the checkpoints say of it.
    pub marked: Marked,
    /// The process lacked something, such as descriptors: it may be opened later. Otherwise only the next start can.
    pub waits: bool,
}

impl Slot {
    pub(super) fn waits(&self) -> bool {
        matches!(self, Slot::Offline(offline) if offline.waits)
    }

    /// The id of the log directory it is assigned to.
    pub(super) fn dir(&self) -> Uuid {
        match self {
            Slot::Open(replica) => replica.dir().id(),
            Slot::Offline(offline) => offline.dir,
        }
    }
}

type Slots = HashTrieMapSync<TopicPartition, Slot>;

/// All partitions of this broker.
#[derive(Debug)]
pub struct Table {
    slots: ArcSwap<Slots>,
    /// Index of the newest image whose partitions are all as it says.
    applied: watch::Sender<u64>,
    /// What the checkpoints on disk hold.
    checkpointing: Mutex<Written>,
    throttles: Throttles,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            slots: ArcSwap::from_pointee(Slots::new_sync()),
            applied: watch::Sender::new(0),
            checkpointing: Mutex::default(),
            throttles: Throttles::default(),
        }
    }
}

impl Table {
    pub fn get(&self, at: TopicPartition) -> Result<Arc<Replica>, ErrorCode> {
        match self.slots.load().get(&at) {
            Some(Slot::Open(replica)) => Ok(replica.clone()),
            Some(Slot::Offline(_)) => Err(ErrorCode::KafkaStorageError),
            None => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// The bounds on what is replicated from here and to here.
    pub fn throttles(&self) -> &Throttles {
        &self.throttles
    }

    /// Every open partition, in no order.
    pub fn all(&self) -> Vec<Arc<Replica>> {
        let open = |slot: &Slot| match slot {
            Slot::Open(replica) => Some(replica.clone()),
            Slot::Offline(_) => None,
        };
        self.slots.load().values().filter_map(open).collect()
    }

    /// Every partition that cannot be used.
    pub fn offline(&self) -> Vec<Offline> {
        let offline = |slot: &Slot| match slot {
            Slot::Open(_) => None,
            Slot::Offline(offline) => Some(offline.clone()),
        };
        self.slots.load().values().filter_map(offline).collect()
    }

    /// The topics of partitions that may be opened later.
    pub(super) fn waiting(&self) -> HashSet<Uuid> {
        let slots = self.slots.load();
        slots.iter().filter(|(_, slot)| slot.waits()).map(|(at, _)| at.topic).collect()
    }

    /// Held while checkpoints are collected and written, so that an older one never replaces a newer.
    pub(super) fn checkpointing(&self) -> MutexGuard<'_, Written> {
        self.checkpointing.lock()
    }

    /// Waits until the partitions are as the image of `index` (or a newer one) says.
    pub async fn caught_up(&self, index: u64) {
        // The sender lives as long as this table: waiting cannot fail.
        let _ = self.applied.subscribe().wait_for(|applied| *applied >= index).await;
    }

    pub(super) fn slot(&self, at: TopicPartition) -> Option<Slot> {
        self.slots.load().get(&at).cloned()
    }

    /// Puts many at once. Only the reconciler writes, so that nothing is lost between reading and storing.
    pub(super) fn put(&self, slots: impl IntoIterator<Item = (TopicPartition, Slot)>) {
        let mut next = (**self.slots.load()).clone();
        slots.into_iter().for_each(|(at, slot)| next.insert_mut(at, slot));
        self.slots.store(Arc::new(next));
    }

    pub(super) fn remove(&self, at: TopicPartition) {
        self.slots.store(Arc::new(self.slots.load().remove(&at)));
    }

    pub(super) fn reached(&self, index: u64) {
        self.applied.send_replace(index);
    }
}
