//! From the start of a process until it acknowledges the next batch.

use super::cold::evict;
use super::{Goal, Run, Scale, Work, absolute};
use crate::load::batch;
use crate::load::closed::{self, Produce};
use crate::load::wire::{Wire, accepted};
use crate::record::Found;
use crate::system::{Kind, Programs, Setup, System, said_by};
use anyhow::{Result, ensure};
use std::io::{Seek, Write};
use std::time::{Duration, Instant};

pub const WORKS: &[Work] = &[
    work(
        "start-empty",
        "start with one empty topic",
        &[acknowledges_within(100.0)],
        |programs, kind, scale| {
            start(programs, kind, scale, Left { gigabytes: 0, is_killed: false, is_cold: false })
        },
    ),
    work(
        "start-clean",
        "start with 10 GB, after a clean stop, page cache warm",
        &[acknowledges_within(300.0)],
        |programs, kind, scale| start(programs, kind, scale, Left { is_killed: false, ..LEFT }),
    ),
    work(
        "start-killed",
        "start with 10 GB, after kill -9, page cache warm",
        &[acknowledges_within(1000.0)],
        |programs, kind, scale| start(programs, kind, scale, LEFT),
    ),
    work(
        "start-clean-cold",
        "start with 10 GB, after a clean stop, none of it in the page cache",
        &[],
        |programs, kind, scale| {
            start(programs, kind, scale, Left { is_killed: false, is_cold: true, ..LEFT })
        },
    ),
    work(
        "start-killed-cold",
        "start with 10 GB, after kill -9, none of it in the page cache",
        &[],
        |programs, kind, scale| start(programs, kind, scale, Left { is_cold: true, ..LEFT }),
    ),
];

type Start = fn(&Programs, &Kind, &Scale) -> Result<Found>;

const fn work(id: &'static str, title: &'static str, goals: &'static [Goal], run: Start) -> Work {
    Work { id, row: 12, title, columns: COLUMNS, goals, run: Run::Alone(run) }
}

const fn acknowledges_within(ms: f64) -> Goal {
    absolute("acknowledges after ms", ms)
}

const COLUMNS: &[&str] = &["accepts after ms", "acknowledges after ms", "kcat has produced after ms", "MiB"];
/// Kafka waits for a killed broker's registration to expire.
const PATIENCE: Duration = Duration::from_secs(120);

/// How the process before left its data.
#[derive(Clone, Copy)]
struct Left {
    gigabytes: usize,
    is_killed: bool,
    is_cold: bool,
}

const LEFT: Left = Left { gigabytes: 10, is_killed: true, is_cold: false };

fn start(programs: &Programs, kind: &Kind, scale: &Scale, left: Left) -> Result<Found> {
    let gigabytes = if scale.is_quick { left.gigabytes.min(1) } else { left.gigabytes };
    let mut system = System::start(kind, programs, &Setup { nodes: 1, ..Setup::default() })?;
    let leaders = system.create("kept", 10, &[])?;
    fill(&leaders, gigabytes)?;
    system.end(left.is_killed)?;
    if left.is_cold {
        evict(system.dir())?;
    }
    let begun = Instant::now();
    system.start_again()?;
    let (accepts, acknowledges, kcat) = std::thread::scope(|scope| {
        let kcat = programs.kcat.is_some().then(|| scope.spawn(|| kcat_has_produced(&system, begun)));
        let accepts = accepts(system.address(), begun);
        let acknowledges = acknowledges(system.address(), begun);
        (accepts, acknowledges, kcat.map(|kcat| kcat.join().expect("it does not panic")))
    });
    let found = Found::default()
        .with("accepts after ms", 1e3 * accepts?.as_secs_f64())
        .with("acknowledges after ms", 1e3 * acknowledges?.as_secs_f64())
        .with("MiB", system.resident()?);
    Ok(match kcat.transpose()? {
        Some(kcat) => found.with("kcat has produced after ms", 1e3 * kcat.as_secs_f64()),
        None => found,
    })
}

/// When a client of librdkafka has had a record acknowledged; it gives up where nobody listens, and is started again.
fn kcat_has_produced(system: &System, begun: Instant) -> Result<Duration> {
    let attempt = || {
        let mut record = tempfile::tempfile()?;
        record.write_all(b"a record\n")?;
        record.rewind()?;
        let mut kcat = system.kcat()?;
        kcat.args(["-P", "-b", system.address(), "-t", "kept", "-p", "0", "-X", "acks=1"]);
        said_by(&mut kcat, record.into())
    };
    while let Err(error) = attempt() {
        ensure!(begun.elapsed() < PATIENCE, "kcat has produced nothing after {PATIENCE:?}: {error:#}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(begun.elapsed())
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
