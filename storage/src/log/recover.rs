//! Opening a log: what the files hold, and how much of it may be believed.

use std::path::PathBuf;
use std::sync::Arc;

use crate::epochs::EpochCache;
use crate::producers::Producers;
use crate::segment::Segment;
use crate::segment::directory::Directory;
use crate::time::Now;

use super::active::Active;
use super::error::LogError;
use super::flush::Pending;
use super::roll::new_segment;
use super::view::LogView;
use super::writer::{LogWriter, Shared};
use super::{LogConfig, LogEnv, Offset};

/// What the broker's checkpoints say of a log that is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// All below was durable.
    pub recovery_point: Offset,
    /// Records below were deleted, whether or not files still hold them.
    pub log_start_offset: Offset,
    /// The broker closed its logs, and nothing can have happened to the files since.
    pub clean: bool,
}

impl LogWriter {
    /// Opens the log in `dir`, made if missing; repairs what a crash left. Where the files end, the log ends.
    pub fn open(
        env: LogEnv,
        dir: PathBuf,
        config: LogConfig,
        start: Start,
        now: Now,
    ) -> Result<LogWriter, LogError> {
        let dir = Directory::open(env, dir)?;
        let base = start.log_start_offset;
        let first = new_segment(&dir, base, &config)?;
        let segments = Arc::new(vec![first.clone()]);
        Ok(LogWriter::assemble(dir, config, segments, Active::new(first, now.wall), base))
    }

    fn assemble(
        dir: Arc<Directory>,
        config: LogConfig,
        segments: Arc<Vec<Arc<Segment>>>,
        active: Active,
        base: Offset,
    ) -> LogWriter {
        let epochs = Arc::new(EpochCache::default());
        let view = LogView {
            log_start_offset: base,
            log_end_offset: base,
            synced_end_offset: base,
            first_unstable_offset: None,
            epochs: epochs.clone(),
            segments: segments.clone(),
            active_len: active.len(),
        };
        LogWriter {
            shared: Arc::new(Shared::new(dir, view)),
            config,
            segments,
            active,
            log_start_offset: base,
            log_end_offset: base,
            synced_end_offset: base,
            epochs,
            producers: Producers::starting_at(base),
            pending: Pending::default(),
            removed: Vec::new(),
        }
    }
}
