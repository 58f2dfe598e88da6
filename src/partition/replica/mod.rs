//! One partition on this broker: its log, its role, and the single lock under which they change together.
//!
//! ```text
//!  append, truncate, retain ──► lock ──► log ──► state ──► publish ──► waiters
//!  read ──────────────────────► reader (no lock), cut at the published watermark; a follower's at the log end
//! ```

mod append;
mod follow;
mod isr;
mod offsets;
mod read;
mod settings;
mod throttled;
mod upkeep;

pub use append::{Acks, Append, AppendRefused, Appended};
pub(super) use follow::Cut;
pub use follow::{Asked, LeaderMarks, Position};
pub use offsets::Located;
pub use read::{Fetched, FollowerRead, Found, Isolation, Read, Wanted};
pub use settings::Settings;
pub use upkeep::Marked;

use super::progress::{Marks, Progress};
use super::restless::{By, Stir};
use super::state::{Assignment, Extent, State, Turn};
use crate::types::{BrokerId, ErrorCode, LeaderEpoch, Mono, Now, Offset, TopicPartition};
use std::sync::Arc;
use std::time::Duration;
use storage::dirs::DirHandle;
use storage::log::{LogError, LogReader, LogWriter};
use storage::sync::{ArcSwap, AtomicU8, Mutex};

/// One partition of one topic, as this broker has it.
#[derive(Debug)]
pub struct Replica {
    id: TopicPartition,
    me: BrokerId,
    topic: Arc<str>,
    dir: Arc<DirHandle>,
    reader: LogReader,
    progress: Arc<Progress>,
    settings: ArcSwap<Settings>,
    /// Whether a sync is running or asked for; see `upkeep`.
    flush_state: AtomicU8,
    stir: Stir,
    inner: Mutex<Inner>,
}

/// What changes together, under the lock.
#[derive(Debug)]
struct Inner {
    state: State,
    log: LogWriter,
    /// What was appended since the last sync; `None` if nothing was.
    unsynced: Option<UnsyncedTail>,
    /// Bytes synced that no recovery point on the disk may yet cover.
    synced_bytes: u64,
    /// So far the checkpoint has the log start.
    written_start: Offset,
    /// What lies at or above is about to be cut: its recovery point does not vouch for it.
    vouches_below: Offset,
    /// Given up: its directory is put aside.
    is_retired: bool,
}

/// What a power cut would take.
#[derive(Clone, Copy, Debug)]
struct UnsyncedTail {
    /// When the oldest of it was appended.
    since: Now,
    bytes: u64,
}

impl Replica {
    /// Takes over an open log. `checkpointed` is the high watermark as it was last written down.
    pub fn new(
        stir: Stir,
        topic: Arc<str>,
        me: BrokerId,
        dir: Arc<DirHandle>,
        log: LogWriter,
        settings: Arc<Settings>,
        checkpointed: Offset,
    ) -> Replica {
        let reader = log.reader();
        let view = reader.view();
        let mut state = State::new(me, checkpointed, extent(&log, settings.promises_synced));
        state.set_min_insync(settings.min_insync);
        // What recovery found beyond the recovery point is synced like an append of the process's first moment.
        let is_synced = view.synced_end_offset >= view.log_end_offset;
        let unsynced = (!is_synced).then(|| UnsyncedTail { since: Now::default(), bytes: 0 });
        let vouches_below = Offset::MAX;
        let written_start = log.log_start_offset();
        let inner =
            Inner { state, log, unsynced, synced_bytes: 0, written_start, vouches_below, is_retired: false };
        Replica {
            id: stir.id(),
            me,
            topic,
            dir,
            reader,
            progress: Arc::new(Progress::new(inner.marks())),
            settings: ArcSwap::new(settings),
            flush_state: AtomicU8::new(0),
            stir,
            inner: Mutex::new(inner),
        }
    }

    pub fn id(&self) -> TopicPartition {
        self.id
    }

    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub fn dir(&self) -> &Arc<DirHandle> {
        &self.dir
    }

    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    pub fn marks(&self) -> Marks {
        self.progress.marks()
    }

    /// Bytes of its log on disk.
    pub fn size(&self) -> u64 {
        self.reader.view().size()
    }

    /// Takes over who leads and who is in sync. A new leader's own log counts from here on; what recovery found in it, and
    /// may not promise yet, is synced without waiting for the next append.
    pub fn assume(self: &Arc<Self>, assignment: Assignment, now: Mono) -> Turn {
        let mut inner = self.inner.lock();
        let turn = inner.state.assume(assignment, now);
        match turn {
            Turn::Leads => {
                let epoch = inner.state.assignment().leader_epoch;
                inner.log.begin_epoch(epoch);
                self.flush_if_due(&inner);
            }
            Turn::Follows => inner.log.forget_unwritten_epoch(),
            Turn::Stays | Turn::Stale => {}
        }
        self.settle(&mut inner);
        self.progress.note();
        turn
    }

    /// Whether it has ever heard who leads.
    pub fn has_role(&self) -> bool {
        self.marks().leader_epoch >= 0
    }

    /// Takes over a changed configuration.
    pub fn configure(self: &Arc<Self>, settings: Arc<Settings>) {
        if Arc::ptr_eq(&self.settings.load(), &settings) {
            return;
        }
        let mut inner = self.inner.lock();
        inner.state.set_min_insync(settings.min_insync);
        inner.log.set_config(settings.log.clone());
        self.settings.store(settings);
        self.settle(&mut inner);
        // What is promised only once it is synced from now on, and awaited already.
        self.flush_if_due(&inner);
    }

    /// `file.delete.delay.ms`
    pub fn delete_delay(&self) -> Duration {
        self.settings.load().delete_delay()
    }

    /// Whether this broker may answer as leader for a client that knows `epoch` (-1: does not say).
    pub fn check_leader(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        self.check_dir()?;
        self.marks().check_leader(epoch)
    }

    /// Puts it on every list that it should be on, whether or not it has been on one that was taken before it was known.
    pub(super) fn stir_anew(&self) {
        for by in [By::Keeper, By::IsrKeeper] {
            self.stir.attended(by);
            self.stir.stir(by);
        }
        self.stir.attended(By::Reconciler);
        if self.reader.has_failed() {
            self.stir.stir(By::Reconciler);
        }
    }

    /// Its list was taken, and it is looked at next.
    pub(super) fn attended(&self, by: By) {
        self.stir.attended(by);
    }

    fn check_dir(&self) -> Result<(), ErrorCode> {
        if self.dir.is_online() { Ok(()) } else { Err(ErrorCode::KafkaStorageError) }
    }

    /// Lets the watermark follow the log, and shows where everything stands.
    fn settle(&self, inner: &mut Inner) {
        let extent = extent(&inner.log, self.settings.load().promises_synced);
        let moved = inner.state.promise(extent);
        self.stir.stir(By::Keeper);
        self.show(inner, moved);
    }

    /// Shows where everything stands; `moved`: the watermark did.
    fn show(&self, inner: &mut Inner, moved: bool) {
        if moved {
            inner.log.on_high_watermark(inner.state.high_watermark());
            self.stir.stir(By::Keeper);
        }
        self.progress.publish(inner.marks());
        if !self.stir.is_listed(By::IsrKeeper) && inner.state.is_anyone_behind() {
            self.stir.stir(By::IsrKeeper);
        }
        if inner.log.has_failed() {
            self.stir.stir(By::Reconciler);
        }
    }

    /// A failed log makes its directory unusable, if it is the disk that failed. In any case nobody is to wait for it.
    fn storage_error(&self, inner: &mut Inner, error: &LogError) -> ErrorCode {
        tracing::error!(partition = %self.name(), %error, "a log cannot be used");
        if let LogError::Io(error) = error {
            self.dir.judge(error);
        }
        if inner.log.has_failed() {
            self.resign(inner);
        }
        ErrorCode::KafkaStorageError
    }

    /// Ends its leadership for good.
    fn resign(&self, inner: &mut Inner) {
        inner.state.resign();
        self.settle(inner);
    }
}

/// Where the log stands; with `synced`, only what is synced is promised.
fn extent(log: &LogWriter, synced: bool) -> Extent {
    let (log_start, log_end) = (log.log_start_offset(), log.log_end_offset());
    Extent { log_start, log_end, promised_end: if synced { log.synced_end_offset() } else { log_end } }
}

impl Inner {
    fn note_unsynced(&mut self, bytes: u64, now: Now) {
        self.unsynced.get_or_insert(UnsyncedTail { since: now, bytes: 0 }).bytes += bytes;
    }

    fn marks(&self) -> Marks {
        let Extent { log_start, log_end, promised_end } = self.state.extent();
        let high_watermark = self.state.high_watermark();
        let first_unstable = self.log.view().first_unstable_offset;
        let last_stable = first_unstable.map_or(high_watermark, |first| first.min(high_watermark));
        Marks {
            leads: self.state.leads(),
            follows: self.state.follows(),
            leader_epoch: self.state.assignment().leader_epoch,
            log_start,
            log_end,
            promised_end,
            high_watermark,
            last_stable,
            low_watermark: self.state.low_watermark(),
            is_in_sync: self.state.check_in_sync().is_ok(),
        }
    }
}
