//! A machine's disk: as one process has it, and how long it takes.

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use storage::disk::fault::{FaultDisk, Rng};
use storage::disk::{Disk, Entry, File, Open};
use tokio::sync::watch;
use tokio::time::sleep;

/// A process. Once it has ended nothing that is left of it reaches the disk.
#[derive(Clone, Debug, Default)]
pub struct Life(Arc<AtomicBool>);

impl Life {
    pub fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(io::Error::other("the process has ended")),
            false => Ok(()),
        }
    }
}

/// A disk as one process has it.
#[derive(Debug)]
pub struct ProcessDisk {
    pub disk: FaultDisk,
    pub life: Life,
}

#[derive(Debug)]
struct ProcessFile {
    file: Arc<dyn File>,
    life: Life,
}

impl Disk for ProcessDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        self.life.check()?;
        let file = self.disk.open(path, how)?;
        Ok(Arc::new(ProcessFile { file, life: self.life.clone() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.life.check()?;
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.life.check()?;
        self.disk.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.life.check()?;
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.life.check()?;
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.life.check()?;
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.life.check()?;
        self.disk.lock(path)
    }
}

impl File for ProcessFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.life.check()?;
        self.file.read_at(buf, at)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.life.check()?;
        self.file.write_at(parts, at)
    }

    fn len(&self) -> io::Result<u64> {
        self.life.check()?;
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.life.check()?;
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.life.check()?;
        self.file.sync()
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>> {
        self.life.check()?;
        self.file.map(len)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// How long what blocks takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// Up to some milliseconds.
    Fast,
    /// Up to so many milliseconds.
    Slow(u64),
    /// For ever.
    Stalled,
}

/// The longest that a fast disk takes, ms.
const FAST: u64 = 2;

/// How fast a disk is for what lies in one place on it; clones are the same.
#[derive(Clone)]
pub struct Pace {
    speed: watch::Sender<Speed>,
    rng: Arc<Mutex<Rng>>,
}

impl Pace {
    pub fn new(seed: u64) -> Pace {
        Pace { speed: watch::Sender::new(Speed::Fast), rng: Arc::new(Mutex::new(Rng::new(seed))) }
    }

    pub fn set(&self, speed: Speed) {
        self.speed.send_replace(speed);
    }

    pub fn turn(&self) -> BoxFuture<'static, ()> {
        let (mut speed, rng) = (self.speed.subscribe(), self.rng.clone());
        async move {
            // The sender lives as long as the machine.
            let longest = match speed.wait_for(|speed| *speed != Speed::Stalled).await.as_deref() {
                Ok(Speed::Slow(longest)) => *longest,
                _ => FAST,
            };
            let taken = rng.lock().below(longest as usize + 1) as u64;
            sleep(Duration::from_millis(taken)).await;
        }
        .boxed()
    }
}
