//! A consumer that catches up from the disk while others produce.

use super::{Run, Scale, Work, absolute};
use crate::load::closed::{self, Produce};
use crate::load::open::{self, Rate};
use crate::load::wire::accepted;
use crate::load::{batch, consume};
use crate::record::Found;
use crate::system::{Confined, Kind, Programs, Setup, System};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub const WORKS: &[Work] = &[
    Work {
        id: "cold-read",
        row: 9,
        title: "2,000 requests/s of 1 KiB while a consumer reads 8 GB that are not in the page cache",
        columns: &[
            "read MB/s",
            "p99 µs without the reader",
            "p99 µs beside one of what is in memory",
            "p99 µs",
            "p99.9 µs",
            "p99 times that without",
        ],
        goals: &[absolute("p99 times that without", 2.0)],
        run: Run::Alone(cold_read),
    },
    Work {
        id: "cold-read-confined",
        row: 9,
        title: "2,000 requests/s of 1 KiB while a consumer reads 8 GB, with 2 GiB for the broker and the page cache",
        columns: &["read MB/s", "p99 µs without the reader", "p99 µs", "p99.9 µs", "p99 times that without"],
        goals: &[absolute("p99 times that without", 2.0)],
        run: Run::Confined(cold_read_confined),
    },
];

const GIGABYTES: usize = 8;
const BATCH: usize = 256 << 10;
/// A JVM's heap is half of it.
const CONFINED_TO: u64 = 2 << 30;

/// How long requests took without a reader and beside one of what is cold.
struct Cold {
    without: Latencies,
    beside: Latencies,
    read_mb_per_second: f64,
    /// Beside one of what was read before, if that is asked for.
    beside_again: Option<Latencies>,
}

type Latencies = hdrhistogram::Histogram<u64>;

fn cold_read(programs: &Programs, kind: &Kind, scale: &Scale) -> Result<Found> {
    let cold = measure(programs, kind, scale, None)?;
    let again = cold.beside_again.as_ref().context("nothing was read again")?;
    Ok(cold.found().with("p99 µs beside one of what is in memory", p99(again)))
}

fn cold_read_confined(programs: &Programs, kind: &Kind, scale: &Scale) -> Result<Found> {
    let confined = Confined::to(CONFINED_TO)?;
    Ok(measure(programs, kind, scale, Some(&confined))?.found())
}

fn measure(programs: &Programs, kind: &Kind, scale: &Scale, confined: Option<&Confined>) -> Result<Cold> {
    let system = System::start(kind, programs, &Setup { nodes: 1, ..Setup::default() })?;
    if let Some(confined) = confined {
        system.pids().into_iter().try_for_each(|pid| confined.take(pid))?;
    }
    let (old, new) = (system.create("old", 1, &[])?, system.create("new", 1, &[])?);
    let one = batch::of(BATCH);
    let bytes = if scale.is_quick { 256 << 20 } else { GIGABYTES * 1_000_000_000 };
    let requests = bytes / one.len();
    closed::produce(
        &old[0],
        &Produce { topic: "old", partition: 0, acks: 1, batch: &one, requests, depth: 5 },
    )?;
    let small = batch::of(1 << 10);
    let frame = batch::produce("new", 0, 1, &small);
    let check = |answer: &[u8]| accepted(batch::code(answer), "a batch");
    let rate = Rate { requests_per_second: 2000, connections: 8 };
    let alone = || open::run(&new[0], &frame, rate, rate.lasting(scale.duration), check);
    evict(system.dir())?;
    // Twice: a JVM compiles during the first.
    alone()?;
    let without = alone()?;
    evict(system.dir())?;
    let beside_reader = || {
        let begun = Instant::now();
        let is_read = AtomicBool::new(false);
        let (with, read) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let read = consume::read(&old[0], "old", 0, requests * one.len(), &one);
                is_read.store(true, Ordering::Relaxed);
                read.map(|_| begun.elapsed())
            });
            let with = open::run(&new[0], &frame, rate, |_| !is_read.load(Ordering::Relaxed), check);
            (with, reader.join().expect("a consumer does not panic"))
        });
        Ok::<_, anyhow::Error>((with?, read?))
    };
    let (beside, read) = beside_reader()?;
    let read_mb_per_second = (requests * one.len()) as f64 / 1e6 / read.as_secs_f64();
    // With little memory it is as cold as before.
    let beside_again = confined.is_none().then(beside_reader).transpose()?.map(|(beside, _)| beside);
    Ok(Cold { without, beside, read_mb_per_second, beside_again })
}

impl Cold {
    fn found(&self) -> Found {
        Found::default()
            .with_latency(&self.beside)
            .with("read MB/s", self.read_mb_per_second)
            .with("p99 µs without the reader", p99(&self.without))
            .with("p99 times that without", p99(&self.beside) / p99(&self.without))
    }
}

fn p99(latencies: &Latencies) -> f64 {
    latencies.value_at_percentile(99.0) as f64 / 1e3
}

/// Writes out what is in `dir` and takes it out of the page cache.
pub(super) fn evict(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            evict(&path)?;
        } else if kind.is_file() {
            let file = match File::open(&path) {
                // A broker that runs renames its checkpoints.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened.with_context(|| path.display().to_string())?,
            };
            file.sync_data()?;
            // SAFETY: advice about a file that is open.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        }
    }
    Ok(())
}
