//! A consumer that catches up from the disk while others produce.

use super::{Run, Scale, Work, absolute};
use crate::load::closed::{self, Produce};
use crate::load::open::{self, Rate};
use crate::load::wire::accepted;
use crate::load::{batch, consume};
use crate::record::Found;
use crate::system::{Kind, Programs, Setup, System};
use anyhow::{Context, Result};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub const WORKS: &[Work] = &[Work {
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
}];

const GIGABYTES: usize = 8;
const BATCH: usize = 256 << 10;

fn cold_read(programs: &Programs, kind: &Kind, scale: &Scale) -> Result<Found> {
    let system = System::start(kind, programs, &Setup { nodes: 1, ..Setup::default() })?;
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
    let (with, read) = beside_reader()?;
    // What was read is in memory now.
    let (beside_warm, _) = beside_reader()?;
    let p99 = |latencies: &hdrhistogram::Histogram<u64>| latencies.value_at_percentile(99.0) as f64 / 1e3;
    Ok(Found::default()
        .with_latency(&with)
        .with("read MB/s", (requests * one.len()) as f64 / 1e6 / read.as_secs_f64())
        .with("p99 µs without the reader", p99(&without))
        .with("p99 µs beside one of what is in memory", p99(&beside_warm))
        .with("p99 times that without", p99(&with) / p99(&without)))
}

/// Writes out what is in `dir` and takes it out of the page cache.
fn evict(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            evict(&path)?;
        } else if kind.is_file() {
            let file = File::open(&path).with_context(|| path.display().to_string())?;
            file.sync_data()?;
            // SAFETY: advice about a file that is open.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        }
    }
    Ok(())
}
