//! A machine: its disk, its clock, its power, and the process of a node that runs on it.

use crate::disk::{Life, Pace, ProcessDisk};
use crate::net::{Machine, Net};
use drave::broker::Broker;
use drave::config::Loaded;
use drave::seam::simulation::{self, Host, Listener, Stream};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use storage::disk::Disk;
use storage::disk::fault::FaultDisk;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// The wall clock when the world begins: some day in 2026, ms.
const WALL: i64 = 1_790_000_000_000;

/// Milliseconds since the world began; clones are the same.
#[derive(Clone, Default)]
pub struct Time(Arc<AtomicU64>);

impl Time {
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn tick(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static MOMENT: Cell<(u64, Machine)> = const { Cell::new((0, 0)) };
}

/// Whose process runs.
pub fn running() -> Machine {
    MOMENT.get().1
}

/// For log lines: the time of the world, and whose process runs.
pub struct Moment;

impl FormatTime for Moment {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        let (now, machine) = MOMENT.get();
        write!(to, "{now:06} {machine:>3}")
    }
}

/// A machine as one process has it.
pub struct Site {
    pub id: Machine,
    pub net: Net,
    pub time: Time,
    pub wall_offset: Arc<AtomicI64>,
    pub boot: String,
    pub disk: Arc<ProcessDisk>,
    pub data: Pace,
    pub metadata: Pace,
}

impl Host for Site {
    fn wall_ms(&self) -> i64 {
        WALL + self.time.now() as i64 + self.wall_offset.load(Ordering::Relaxed)
    }

    fn boot_id(&self) -> String {
        self.boot.clone()
    }

    fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    fn data_turn(&self) -> BoxFuture<'static, ()> {
        self.data.turn()
    }

    fn metadata_turn(&self) -> BoxFuture<'static, ()> {
        self.metadata.turn()
    }

    fn listen(&self, at: SocketAddr) -> io::Result<Arc<dyn Listener>> {
        self.net.listen(at)
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Arc<dyn Stream>>> {
        self.net.connect(self.id, to)
    }
}

/// What runs on a machine, on a runtime and a clock of its own.
pub struct Process {
    site: Arc<Site>,
    runtime: Runtime,
}

impl Process {
    pub fn start(site: Site, main: impl Future<Output = ()> + Send + 'static) -> Process {
        let site = Arc::new(site);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without I/O");
        simulation::within(site.clone(), || runtime.spawn(main));
        Process { site, runtime }
    }

    /// Runs for `ms` of its own time.
    pub fn step(&self, ms: u64) {
        MOMENT.set((self.site.time.now(), self.site.id));
        simulation::within(self.site.clone(), || {
            self.runtime.block_on(async { sleep(Duration::from_millis(ms)).await });
        });
    }

    /// It stood still for `ms` in which its clock went on.
    pub fn oversleep(&self, ms: u64) {
        simulation::within(self.site.clone(), || {
            self.runtime.block_on(tokio::time::advance(Duration::from_millis(ms)));
        });
    }

    /// Ends it at once, at whatever it was.
    pub fn kill(self) {
        self.site.disk.life.end();
        let Process { site, runtime } = self;
        simulation::within(site, || drop(runtime));
    }
}

/// How far a node has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Starting,
    Serving,
    /// By itself, and why.
    Ended(String),
}

/// A node's process, from outside.
#[derive(Clone)]
pub struct Node {
    pub stage: Arc<Mutex<Stage>>,
    pub view: Arc<Mutex<Option<drave::broker::View>>>,
    pub stop: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl Node {
    pub fn new() -> (Node, oneshot::Receiver<()>) {
        let (stop, stopped) = oneshot::channel();
        let node = Node {
            stage: Arc::new(Mutex::new(Stage::Starting)),
            view: Arc::default(),
            stop: Arc::new(Mutex::new(Some(stop))),
        };
        (node, stopped)
    }

    /// What the command does: starts, serves until it fails or is told to stop.
    pub async fn run(self, loaded: Loaded, stopped: oneshot::Receiver<()>) {
        let broker = match Broker::start(loaded).await {
            Ok(broker) => broker,
            Err(error) => return *self.stage.lock() = Stage::Ended(error.to_string()),
        };
        *self.view.lock() = Some(broker.view());
        *self.stage.lock() = Stage::Serving;
        let why = tokio::select! {
            biased;
            _ = stopped => "it was told to stop".to_owned(),
            failure = broker.failure() => failure.to_string(),
        };
        broker.stop().await;
        *self.stage.lock() = Stage::Ended(why);
    }
}

/// The parts of a machine that outlast its processes.
pub struct Hardware {
    pub id: Machine,
    pub disk: FaultDisk,
    /// Of what lies in the log directories.
    pub data: Pace,
    /// Of the metadata log.
    pub metadata: Pace,
    pub wall_offset: Arc<AtomicI64>,
    pub boots: u64,
}

impl Hardware {
    pub fn new(id: Machine, seed: u64) -> Hardware {
        Hardware {
            id,
            disk: FaultDisk::new(seed ^ u64::from(id)),
            data: Pace::new(seed ^ u64::from(id) << 8),
            metadata: Pace::new(seed ^ u64::from(id) << 16),
            wall_offset: Arc::default(),
            boots: 1,
        }
    }

    pub fn site(&self, net: &Net, time: &Time) -> Site {
        let disk = ProcessDisk { disk: self.disk.clone(), life: Life::default() };
        Site {
            id: self.id,
            net: net.clone(),
            time: time.clone(),
            wall_offset: self.wall_offset.clone(),
            boot: format!("boot {} of machine {}", self.boots, self.id),
            disk: Arc::new(disk),
            data: self.data.clone(),
            metadata: self.metadata.clone(),
        }
    }
}
