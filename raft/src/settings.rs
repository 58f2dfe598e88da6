//! What a quorum is started with.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Where blocking disk work runs.
#[derive(Clone, Debug, Default)]
pub enum Lane {
    /// On threads of its own, so that a slow disk stalls no timer.
    #[default]
    Threads,
    /// At once, on the caller's task: for tests that must be the same each time.
    Inline,
    /// On the caller's runtime, after a while: for a simulation of disks that take their time, the same each time too.
    Paced(Pace),
}

/// What each piece of disk work waits for first.
#[derive(Clone)]
pub struct Pace(Arc<dyn Fn() -> Turn + Send + Sync>);

type Turn = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Pace {
    pub fn new(turn: impl Fn() -> Turn + Send + Sync + 'static) -> Pace {
        Pace(Arc::new(turn))
    }

    pub(crate) async fn turn(&self) {
        (self.0)().await
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pace")
    }
}

impl Lane {
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        match self {
            Lane::Inline => work(),
            Lane::Paced(pace) => {
                pace.turn().await;
                work()
            }
            Lane::Threads => {
                tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
            }
        }
    }
}

/// Settings of one member. The defaults are for production.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This member's id: minted when `dir` is formatted and never used again by another.
    pub node_id: u64,
    /// The directory of the log and its snapshots; made if missing. Nobody else writes there.
    pub dir: PathBuf,
    pub lane: Lane,
    pub heartbeat: Duration,
    /// A follower that hears nothing stands for election after a time between these two.
    pub election_min: Duration,
    pub election_max: Duration,
    /// A snapshot is taken when this many entries were committed since the last one, ...
    pub snapshot_entries: u64,
    /// ... or this many bytes of log were written since.
    pub snapshot_bytes: u64,
    /// Entries kept although a snapshot holds them, for followers that lag: at most so many, ...
    pub keep_entries: u64,
    /// ... and at most so many bytes.
    pub keep_bytes: u64,
    /// A new log file is begun at this size; whole files are dropped.
    pub segment_bytes: u64,
}

impl Settings {
    pub fn new(node_id: u64, dir: impl Into<PathBuf>) -> Settings {
        Settings {
            node_id,
            dir: dir.into(),
            lane: Lane::Threads,
            heartbeat: Duration::from_millis(250),
            election_min: Duration::from_millis(1000),
            election_max: Duration::from_millis(2000),
            snapshot_entries: 50_000,
            snapshot_bytes: 64 << 20,
            keep_entries: 100_000,
            keep_bytes: 64 << 20,
            segment_bytes: 16 << 20,
        }
    }
}
