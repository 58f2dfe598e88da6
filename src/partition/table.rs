//! The partitions of this broker. One writer (the reconciler), snapshots for everyone else.

use super::checkpoint::Written;
use super::replica::{Marked, Replica};
use super::restless::{By, Restless};
use crate::quota::Throttles;
use crate::types::{ErrorCode, TopicPartition, Uuid};
use rpds::HashTrieMapSync;
use std::collections::HashSet;
use std::sync::Arc;
use storage::dirs::PartitionName;
use storage::sync::{ArcSwap, Mutex, MutexGuard};
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

/// Those that can be used, and those that cannot, of which there are few.
#[derive(Clone, Debug)]
struct Slots {
    open: HashTrieMapSync<TopicPartition, Arc<Replica>>,
    offline: HashTrieMapSync<TopicPartition, Offline>,
}

/// All partitions of this broker.
#[derive(Debug)]
pub struct Table {
    slots: ArcSwap<Slots>,
    /// Index of the newest image whose partitions are all as it says.
    applied: watch::Sender<u64>,
    /// What the checkpoints on disk hold.
    checkpointing: Mutex<Written>,
    throttles: Throttles,
    restless: Arc<Restless>,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            slots: ArcSwap::from_pointee(Slots {
                open: HashTrieMapSync::new_sync(),
                offline: HashTrieMapSync::new_sync(),
            }),
            applied: watch::Sender::new(0),
            checkpointing: Mutex::default(),
            throttles: Throttles::default(),
            restless: Arc::default(),
        }
    }
}

impl Table {
    pub fn get(&self, at: TopicPartition) -> Result<Arc<Replica>, ErrorCode> {
        let slots = self.slots.load();
        match slots.open.get(&at) {
            Some(replica) => Ok(replica.clone()),
            None if slots.offline.contains_key(&at) => Err(ErrorCode::KafkaStorageError),
            None => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// The bounds on what is replicated from here and to here.
    pub fn throttles(&self) -> &Throttles {
        &self.throttles
    }

    /// Every open partition, in no order.
    pub fn all(&self) -> Vec<Arc<Replica>> {
        self.slots.load().open.values().cloned().collect()
    }

    /// The open partitions that want `by`'s attention, which they get now. In no order, and perhaps one twice.
    pub fn attend(&self, by: By) -> Vec<Arc<Replica>> {
        let (listed, slots) = (self.restless.take(by), self.slots.load());
        let open = listed.iter().filter_map(|at| slots.open.get(at));
        open.inspect(|replica| replica.attended(by)).cloned().collect()
    }

    /// Whether a log that has failed can be opened again.
    pub(super) fn has_failed(&self) -> bool {
        let (listed, slots) = (self.restless.list(By::Reconciler), self.slots.load());
        listed.iter().any(|at| slots.open.get(at).is_some_and(|replica| replica.is_to_be_reopened()))
    }

    /// The lists of the open partitions that want attention.
    pub(super) fn restless(&self) -> &Arc<Restless> {
        &self.restless
    }

    /// Every partition that cannot be used.
    pub fn offline(&self) -> Vec<Offline> {
        self.slots.load().offline.values().cloned().collect()
    }

    /// The topics of partitions that may be opened later.
    pub(super) fn waiting(&self) -> HashSet<Uuid> {
        let slots = self.slots.load();
        slots.offline.iter().filter(|(_, offline)| offline.waits).map(|(at, _)| at.topic).collect()
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
        let slots = self.slots.load();
        let open = slots.open.get(&at).cloned().map(Slot::Open);
        open.or_else(|| slots.offline.get(&at).cloned().map(Slot::Offline))
    }

    /// Puts many at once. Only the reconciler writes, so that nothing is lost between reading and storing.
    pub(super) fn put(&self, slots: impl IntoIterator<Item = (TopicPartition, Slot)>) {
        let mut next = Slots::clone(&self.slots.load());
        let mut opened = vec![];
        for (at, slot) in slots {
            match slot {
                Slot::Open(replica) => {
                    next.offline.remove_mut(&at);
                    next.open.insert_mut(at, replica.clone());
                    opened.push(replica);
                }
                Slot::Offline(offline) => {
                    next.open.remove_mut(&at);
                    next.offline.insert_mut(at, offline);
                }
            }
        }
        self.slots.store(Arc::new(next));
        // Only now is one on a list found here.
        opened.iter().for_each(|replica| replica.stir_anew());
    }

    pub(super) fn remove(&self, at: TopicPartition) {
        let mut next = Slots::clone(&self.slots.load());
        next.open.remove_mut(&at);
        next.offline.remove_mut(&at);
        self.slots.store(Arc::new(next));
    }

    pub(super) fn reached(&self, index: u64) {
        self.applied.send_replace(index);
    }
}
