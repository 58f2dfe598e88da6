//! The regular chores: syncing what is old, retention, checkpoints, unlinking.

use super::checkpoint;
use super::reconcile::Doomed;
use super::replica::Replica;
use super::restless::By;
use super::table::Table;
use crate::config::BrokerConfig;
use crate::seam::{self, Clock};
use crate::types::{Mono, Now, TopicPartition, Uuid};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use storage::checkpoint::OffsetFile;
use storage::dirs::LogDirs;
use tokio::sync::{mpsc, watch};

/// How often the keeper looks around.
const ROUND: Duration = Duration::from_secs(1);

/// Once so many bytes of a directory's logs have been synced, its recovery points are written, however long it is until the
/// next regular time.
const SYNCED_BYTES: u64 = 64 << 20;

/// What the keeper works on.
pub struct Keeper {
    pub table: Arc<Table>,
    pub dirs: Arc<LogDirs>,
    pub config: Arc<BrokerConfig>,
    pub clock: Clock,
    pub doomed: mpsc::UnboundedReceiver<Doomed>,
    state: State,
}

/// When each chore is due, and what waits to be unlinked.
#[derive(Default)]
struct State {
    retention_due: Mono,
    watermarks_due: Mono,
    points_due: Mono,
    starts_due: Mono,
    waiting: Vec<Doomed>,
    /// When to look at partitions again although nothing happens to them.
    later: HashMap<TopicPartition, Mono>,
    /// Checkpoints, by directory, that may no longer say what their logs say.
    outdated: HashSet<(Uuid, &'static str)>,
    /// By directory: what was synced since its recovery points were last written for that reason.
    synced_bytes: HashMap<Uuid, u64>,
}

impl Keeper {
    pub fn new(
        table: Arc<Table>,
        dirs: Arc<LogDirs>,
        config: Arc<BrokerConfig>,
        clock: Clock,
        doomed: mpsc::UnboundedReceiver<Doomed>,
    ) -> Keeper {
        Keeper { table, dirs, config, clock, doomed, state: State::default() }
    }

    /// Works until `stop` says so; a round that is under way is finished. Begins once the partitions are open: before
    /// that, the checkpoints on disk know more than the table.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        self.table.caught_up(1).await;
        while tokio::time::timeout(ROUND, stop.wait_for(|stop| *stop)).await.is_err() {
            let round = seam::blocking(move || {
                self.round(self.clock.now());
                self
            });
            match round.await {
                Ok(keeper) => self = keeper,
                Err(error) => {
                    tracing::error!(%error, "the keeper of the logs has stopped: this is a bug, please report it");
                    return;
                }
            }
        }
    }

    pub(super) fn round(&mut self, now: Now) {
        let restless = self.restless(now.mono);
        flush_old(&restless, now);
        self.note_changes(&restless);
        self.checkpoint_far_points();
        if due(&mut self.state.retention_due, now, self.config.log_retention_check_interval_ms) {
            self.retain(now);
        }
        if due(&mut self.state.watermarks_due, now, self.config.replica_high_watermark_checkpoint_interval_ms)
        {
            self.checkpoint(OffsetFile::HighWatermark);
        }
        if due(&mut self.state.points_due, now, self.config.log_flush_offset_checkpoint_interval_ms.into()) {
            self.checkpoint(OffsetFile::RecoveryPoint);
        }
        if due(
            &mut self.state.starts_due,
            now,
            self.config.log_flush_start_offset_checkpoint_interval_ms.into(),
        ) {
            self.checkpoint(OffsetFile::LogStart);
        }
        unlink_old(&restless, now);
        self.unlink_doomed(now);
        let later = |replica: &Arc<Replica>| Some((replica.id(), replica.next_upkeep()?));
        self.state.later.extend(restless.iter().filter_map(later));
    }

    /// Those that something happened to, and those for which it is time. One may be named twice.
    fn restless(&mut self, now: Mono) -> Vec<Arc<Replica>> {
        let mut restless = self.table.attend(By::Keeper);
        let due = self.state.later.extract_if(|_, due| *due <= now);
        restless.extend(due.filter_map(|(at, _)| self.table.get(at).ok()));
        restless
    }

    fn note_changes(&mut self, restless: &[Arc<Replica>]) {
        for replica in restless {
            let dir = replica.dir().id();
            self.state.outdated.extend(checkpoint::ALL.iter().map(|file| (dir, file.name())));
            *self.state.synced_bytes.entry(dir).or_default() += replica.take_synced_bytes();
        }
    }

    /// Recovery reads what lies behind the points on the disk: they follow what was synced.
    fn checkpoint_far_points(&mut self) {
        for dir in self.dirs.all().iter().filter(|dir| dir.is_online()) {
            let bytes = self.state.synced_bytes.entry(dir.id()).or_default();
            if *bytes < SYNCED_BYTES {
                continue;
            }
            match checkpoint::write(&self.table, dir, &[OffsetFile::RecoveryPoint]) {
                Ok(()) => *bytes = 0,
                Err(error) => {
                    tracing::warn!(dir = %dir.path().display(), %error, "a checkpoint could not be written");
                }
            }
        }
    }

    fn retain(&self, now: Now) {
        for replica in self.table.all() {
            match replica.retain(now) {
                Ok(retained) if retained.segments > 0 => {
                    tracing::info!(partition = %replica.name(), ?retained, "retention removed old segments");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(partition = %replica.name(), %error, "retention could not be applied")
                }
            }
        }
    }

    fn checkpoint(&mut self, file: OffsetFile) {
        for dir in self.dirs.all().iter().filter(|dir| dir.is_online()) {
            let key = (dir.id(), file.name());
            if !self.state.outdated.remove(&key) {
                continue;
            }
            if let Err(error) = checkpoint::write(&self.table, dir, &[file]) {
                tracing::warn!(dir = %dir.path().display(), %error, "a checkpoint could not be written");
                self.state.outdated.insert(key);
            }
        }
    }

    fn unlink_doomed(&mut self, now: Now) {
        while let Ok(doomed) = self.doomed.try_recv() {
            self.state.waiting.push(doomed);
        }
        let is_due = |doomed: &mut Doomed| doomed.due <= now.mono;
        for doomed in self.state.waiting.extract_if(.., is_due) {
            if let Err(error) = doomed.dir.run(|disk| disk.remove(&doomed.path)) {
                tracing::warn!(path = %doomed.path.display(), %error, "a deleted partition could not be unlinked");
            }
        }
    }
}

fn flush_old(restless: &[Arc<Replica>], now: Now) {
    for replica in restless.iter().filter(|replica| replica.is_flush_due(now)) {
        if replica.ask_flush() {
            replica.flush();
        }
    }
}

fn unlink_old(restless: &[Arc<Replica>], now: Now) {
    for replica in restless {
        if let Err(error) = replica.delete_old_files(now) {
            tracing::warn!(partition = %replica.name(), %error, "old files could not be unlinked");
        }
    }
}

/// True once each `interval_ms`.
fn due(at: &mut Mono, now: Now, interval_ms: i64) -> bool {
    if now.mono < *at {
        return false;
    }
    *at = now.mono.plus(Duration::from_millis(interval_ms.max(0) as u64));
    true
}

/// Closes all partitions, writes all checkpoints, and marks each directory that is in order as cleanly stopped. Blocks.
pub fn close_all(table: &Table, dirs: &LogDirs, broker_epoch: i64) {
    let mut in_order: HashMap<Uuid, bool> = HashMap::new();
    for replica in table.all() {
        let closed = replica.close();
        if let Err(error) = &closed {
            tracing::error!(partition = %replica.name(), %error, "a log could not be closed; it is recovered at the next start");
        }
        *in_order.entry(replica.dir().id()).or_insert(true) &= closed.is_ok();
    }
    in_order.extend(table.offline().iter().map(|offline| (offline.dir, false)));
    for dir in dirs.all().iter().filter(|dir| dir.is_online()) {
        let written = checkpoint::write(table, dir, checkpoint::ALL);
        let marked = match in_order.get(&dir.id()).copied().unwrap_or(true) {
            true => written.and_then(|()| dir.mark_clean_shutdown(broker_epoch)),
            false => written,
        };
        if let Err(error) = marked {
            tracing::error!(dir = %dir.path().display(), %error, "a directory could not be marked as cleanly stopped");
        }
    }
}
