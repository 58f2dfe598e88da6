//! From the start of a process until it acknowledges the next batch.

use super::{Run, Scale, Work, absolute};
use crate::load::batch;
use crate::load::closed::{self, Produce};
use crate::load::wire::{Wire, accepted};
use crate::record::Found;
use crate::system::{Kind, Programs, Setup, System};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

pub const WORKS: &[Work] = &[
    Work {
        id: "start-empty",
        row: 12,
        title: "start with one empty topic",
        columns: COLUMNS,
        goals: &[absolute("acknowledges after ms", 100.0)],
        run: Run::Alone(|programs, kind, scale| start(programs, kind, scale, 0, false)),
    },
    Work {
        id: "start-clean",
        row: 12,
        title: "start with 10 GB, after a clean stop, page cache warm",
        columns: COLUMNS,
        goals: &[absolute("acknowledges after ms", 300.0)],
        run: Run::Alone(|programs, kind, scale| start(programs, kind, scale, 10, false)),
    },
    Work {
        id: "start-killed",
        row: 12,
        title: "start with 10 GB, after kill -9, page cache warm",
        columns: COLUMNS,
        goals: &[absolute("acknowledges after ms", 1000.0)],
        run: Run::Alone(|programs, kind, scale| start(programs, kind, scale, 10, true)),
    },
];

const COLUMNS: &[&str] = &["accepts after ms", "acknowledges after ms", "MiB"];
/// Kafka waits for a killed broker's registration to expire.
const PATIENCE: Duration = Duration::from_secs(120);

fn start(programs: &Programs, kind: &Kind, scale: &Scale, gigabytes: usize, killed: bool) -> Result<Found> {
    let gigabytes = if scale.is_quick { gigabytes.min(1) } else { gigabytes };
    let mut system = System::start(kind, programs, &Setup { nodes: 1, ..Setup::default() })?;
    let leaders = system.create("kept", 10, &[])?;
    fill(&leaders, gigabytes)?;
    system.end(killed)?;
    let begun = Instant::now();
    system.start_again()?;
    let accepts = accepts(system.address(), begun)?;
    let acknowledges = acknowledges(system.address(), begun)?;
    Ok(Found::default()
        .with("accepts after ms", 1e3 * accepts.as_secs_f64())
        .with("acknowledges after ms", 1e3 * acknowledges.as_secs_f64())
        .with("MiB", system.resident()?))
}

fn fill(leaders: &[String], gigabytes: usize) -> Result<()> {
    let batch = batch::of(256 << 10);
    let requests = (gigabytes * 1_000_000_000 / batch.len() / leaders.len()).max(1);
    let work = Produce { topic: "kept", partition: 0, acks: 1, batch: &batch, requests, depth: 5 };
    closed::produce_all(leaders, &work).map(drop)
}

/// When a connection is accepted; tries each millisecond.
fn accepts(address: &str, begun: Instant) -> Result<Duration> {
    while std::net::TcpStream::connect(address).is_err() {
        ensure!(begun.elapsed() < PATIENCE, "nobody listens on {address} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(begun.elapsed())
}

/// When a batch is acknowledged; asks again as soon as one is refused.
fn acknowledges(address: &str, begun: Instant) -> Result<Duration> {
    let frame = batch::produce("kept", 0, 1, &batch::of(1 << 10));
    let attempt = || {
        let mut wire = Wire::connect(address)?;
        wire.write(&frame)?;
        accepted(batch::code(wire.read()?), "a batch")
    };
    while let Err(error) = attempt() {
        ensure!(begun.elapsed() < PATIENCE, "nothing is acknowledged after {PATIENCE:?}: {error:#}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(begun.elapsed())
}
