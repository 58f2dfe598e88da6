//! Feeds the machine with what was committed, and turns it into snapshots and back.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use parking_lot::Mutex;
use storage::disk::{Verdict, verdict};

use crate::codec::malformed;
use crate::machine::{At, Frozen, Machine};
use crate::settings::Lane;
use crate::snapshot::{Data, Snapshots, Stored};
use crate::types::{Entry, LogId, SnapshotMeta, StoredMembership, Types};

pub(crate) type RaftSnapshot = openraft::type_config::alias::SnapshotOf<Types, Data>;

/// The machine, and how far it has come. It lives in memory: a restart begins with the newest snapshot.
pub(crate) struct Applier {
    /// Never contended; the lock only makes it shareable for the compiler.
    machine: Mutex<Box<dyn Machine>>,
    applied: Option<LogId>,
    membership: StoredMembership,
    snapshots: Arc<Snapshots>,
    lane: Lane,
}

impl Applier {
    pub fn new(machine: Box<dyn Machine>, snapshots: Arc<Snapshots>, lane: Lane) -> Applier {
        let membership = StoredMembership::default();
        Applier { machine: Mutex::new(machine), applied: None, membership, snapshots, lane }
    }

    fn apply_one(&mut self, entry: Entry) -> io::Result<Bytes> {
        let log_id = entry.log_id;
        let answer = match entry.payload {
            EntryPayload::Blank => Bytes::new(),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(log_id), membership);
                Bytes::new()
            }
            EntryPayload::Normal(command) => {
                let machine = self.machine.get_mut();
                guarded(|| machine.apply(at(log_id), &command.0))?
            }
        };
        self.applied = Some(log_id);
        Ok(answer)
    }

    fn builder(&mut self) -> Builder {
        Builder {
            meta: SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() },
            frozen: Mutex::new(Some(self.machine.get_mut().freeze())),
            snapshots: self.snapshots.clone(),
            lane: self.lane.clone(),
        }
    }
}

/// openraft does not notice when the task that applies dies; it stops on an error. After a panic nobody looks at the
/// machine again.
fn guarded<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    caught.map_err(|_| io::Error::other("the state machine has panicked"))
}

pub(crate) fn at(log_id: LogId) -> At {
    At { term: log_id.leader_id.term, index: log_id.index }
}

impl RaftStateMachine<Types> for Applier {
    type SnapshotData = Data;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
    {
        while let Some((entry, proposer)) = entries.try_next().await? {
            let answer = self.apply_one(entry)?;
            if let Some(proposer) = proposer {
                proposer.send(answer);
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        (force || self.applied.is_some()).then(|| self.builder())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Data) -> io::Result<()> {
        let bytes = self.lane.run({
            let (snapshots, meta) = (self.snapshots.clone(), meta.clone());
            move || keep(&snapshots, meta, &data)
        });
        let bytes = bytes.await?;
        let place = meta.last_log_id.map(at).unwrap_or_default();
        let machine = self.machine.get_mut();
        let restored = guarded(|| machine.restore(place, &bytes))?;
        restored.map_err(|e| malformed(format!("the snapshot up to {place:?} cannot be read: {e}")))?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        Ok(self.snapshots.newest().map(hand_out))
    }
}

/// Reads a snapshot, and makes it durable if it is not the one that is.
fn keep(snapshots: &Snapshots, meta: SnapshotMeta, data: &Data) -> io::Result<Bytes> {
    let bytes = data.read()?;
    snapshots.write(meta, |out| out.write_all(&bytes))?;
    Ok(bytes)
}

fn hand_out(stored: Stored) -> RaftSnapshot {
    Snapshot { meta: stored.meta, snapshot: Data::Stored(stored.data) }
}

/// Tells openraft that there is no newer snapshot than before.
fn nothing() -> RaftSnapshot {
    Snapshot { meta: SnapshotMeta::default(), snapshot: Data::Received(Bytes::new()) }
}

/// Writes one frozen view down while the machine goes on.
pub(crate) struct Builder {
    meta: SnapshotMeta,
    frozen: Mutex<Option<Frozen>>,
    snapshots: Arc<Snapshots>,
    lane: Lane,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Data;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot> {
        let frozen =
            self.frozen.get_mut().take().ok_or_else(|| malformed("a view is written down only once"))?;
        let (snapshots, meta) = (self.snapshots.clone(), self.meta.clone());
        match self.lane.run(move || snapshots.write(meta, frozen)).await {
            Err(e) if verdict(&e) == Verdict::Process => {
                tracing::warn!(error = %e, "no snapshot this time");
                Ok(self.snapshots.newest().map_or_else(nothing, hand_out))
            }
            stored => stored.map(hand_out),
        }
    }
}
