//! The regular chores over all partitions: syncing what is old, retention, checkpoints, unlinking.

use super::reconcile::Doomed;
use super::table::Table;
use crate::config::{BrokerConfig, Overrides, TopicConfig};
use crate::seam::Clock;
use crate::types::{Mono, Now, Offset, Uuid};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use storage::checkpoint::{OffsetFile, Offsets};
use storage::dirs::{DirHandle, LogDirs, PartitionName};
use tokio::sync::{mpsc, watch};

/// How often the keeper looks around.
const ROUND: Duration = Duration::from_secs(1);

/// What the keeper works on.
pub struct Keeper {
    pub table: Arc<Table>,
    pub dirs: Arc<LogDirs>,
    pub config: Arc<BrokerConfig>,
    pub clock: Clock,
    pub doomed: mpsc::UnboundedReceiver<Doomed>,
    state: State,
}

/// When each chore is due, and what was written last.
#[derive(Default)]
struct State {
    retention_due: Mono,
    watermarks_due: Mono,
    points_due: Mono,
    starts_due: Mono,
    waiting: Vec<Doomed>,
    written: HashMap<(Uuid, &'static str), Offsets>,
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
            let round = tokio::task::spawn_blocking(move || {
                self.round();
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

    fn round(&mut self) {
        let now = self.clock.now();
        self.flush_old(now);
        if due(&mut self.state.retention_due, now, self.config.log_retention_check_interval_ms) {
            self.retain(now);
        }
        if due(&mut self.state.watermarks_due, now, self.config.replica_high_watermark_checkpoint_interval_ms)
        {
            self.checkpoint(&[OffsetFile::HighWatermark]);
        }
        if due(&mut self.state.points_due, now, self.config.log_flush_offset_checkpoint_interval_ms.into()) {
            self.checkpoint(&[OffsetFile::RecoveryPoint]);
        }
        if due(
            &mut self.state.starts_due,
            now,
            self.config.log_flush_start_offset_checkpoint_interval_ms.into(),
        ) {
            self.checkpoint(&[OffsetFile::LogStart]);
        }
        self.unlink(now);
    }

    fn flush_old(&self, now: Now) {
        for replica in self.table.all().iter().filter(|replica| replica.is_flush_due(now)) {
            if replica.ask_flush() {
                replica.flush();
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

    fn checkpoint(&mut self, files: &[OffsetFile]) {
        let _one_writer = self.table.checkpointing();
        for dir in self.dirs.all().iter().filter(|dir| dir.is_online()) {
            for file in files {
                let offsets = offsets_of(&self.table, dir, *file);
                let key = (dir.id(), file.name());
                if self.state.written.get(&key) == Some(&offsets) {
                    continue;
                }
                match dir.write_offsets(*file, &offsets) {
                    Ok(()) => drop(self.state.written.insert(key, offsets)),
                    Err(error) => {
                        tracing::warn!(dir = %dir.path().display(), %error, "a checkpoint could not be written")
                    }
                }
            }
        }
    }

    fn unlink(&mut self, now: Now) {
        for replica in self.table.all() {
            if let Err(error) = replica.delete_old_files(now) {
                tracing::warn!(partition = %replica.name(), %error, "old files could not be unlinked");
            }
        }
        while let Ok(doomed) = self.doomed.try_recv() {
            self.state.waiting.push(doomed);
        }
        let delay = Duration::from_millis(
            TopicConfig::resolve(&self.config, &Overrides::new()).file_delete_delay_ms.max(0) as u64,
        );
        let is_due = |doomed: &mut Doomed| now.mono.since(doomed.at.mono) >= delay;
        for doomed in self.state.waiting.extract_if(.., is_due) {
            if let Err(error) = doomed.dir.run(|disk| disk.remove(&doomed.path)) {
                tracing::warn!(path = %doomed.path.display(), %error, "a deleted partition could not be unlinked");
            }
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

/// What a checkpoint of `dir` has to say: all its partitions.
fn offsets_of(table: &Table, dir: &DirHandle, file: OffsetFile) -> Offsets {
    let here = table.all().into_iter().filter(|replica| replica.dir().id() == dir.id());
    let row = |replica: Arc<super::replica::Replica>| {
        let name = PartitionName { topic: replica.topic().to_string(), partition: replica.id().partition };
        let marked = replica.marked();
        let offset: Option<Offset> = match file {
            OffsetFile::RecoveryPoint => Some(marked.recovery_point),
            OffsetFile::HighWatermark => Some(marked.high_watermark),
            OffsetFile::LogStart => (marked.log_start > 0).then_some(marked.log_start),
            OffsetFile::Cleaner => None,
        };
        Some((name, offset?))
    };
    let mut offsets: Offsets = here.filter_map(row).collect();
    keep_offline(table, dir, file, &mut offsets);
    offsets
}

/// What the checkpoint says of partitions that could not be opened stays as it is.
fn keep_offline(table: &Table, dir: &DirHandle, file: OffsetFile, offsets: &mut Offsets) {
    let offline: Vec<_> = table.offline().into_iter().filter(|offline| offline.dir == dir.id()).collect();
    if offline.is_empty() {
        return;
    }
    let written = dir.read_offsets(file).unwrap_or_default();
    let row = |offline: super::table::Offline| Some((offline.name.clone(), *written.get(&offline.name)?));
    offsets.extend(offline.into_iter().filter_map(row));
}

/// Makes the recovery points on disk those of the open logs, if they are not. Blocks.
pub fn checkpoint_recovery_points(table: &Table, dir: &DirHandle) -> io::Result<()> {
    let _one_writer = table.checkpointing();
    let offsets = offsets_of(table, dir, OffsetFile::RecoveryPoint);
    match dir.read_offsets(OffsetFile::RecoveryPoint) {
        Ok(written) if written == offsets => Ok(()),
        _ => dir.write_offsets(OffsetFile::RecoveryPoint, &offsets),
    }
}

/// Writes down at once where the logs of `dir` start: deleted records must not come back. Blocks.
pub fn checkpoint_log_starts(table: &Table, dir: &DirHandle) -> io::Result<()> {
    let _one_writer = table.checkpointing();
    dir.write_offsets(OffsetFile::LogStart, &offsets_of(table, dir, OffsetFile::LogStart))
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
    let _one_writer = table.checkpointing();
    for dir in dirs.all().iter().filter(|dir| dir.is_online()) {
        let files = [OffsetFile::RecoveryPoint, OffsetFile::HighWatermark, OffsetFile::LogStart];
        let written =
            files.iter().try_for_each(|file| dir.write_offsets(*file, &offsets_of(table, dir, *file)));
        let marked = match in_order.get(&dir.id()).copied().unwrap_or(true) {
            true => written.and_then(|()| dir.mark_clean_shutdown(broker_epoch)),
            false => written,
        };
        if let Err(error) = marked {
            tracing::error!(dir = %dir.path().display(), %error, "a directory could not be marked as cleanly stopped");
        }
    }
}
