//! Bytes in: as many as fit through.

use super::{Run, Scale, Work, costs, settle, with_topic};
use crate::load::batch;
use crate::load::closed::{self, Produce};
use crate::measure::spent;
use crate::record::Found;
use crate::system::{Kind, Programs, Setup, System};
use anyhow::Result;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

const DEPTH: usize = 5;

/// More than the kernel lets wait in memory: the disk decides, and what the broker leaves of it.
pub const SUSTAINED: Work = Work {
    id: "produce-sustained",
    row: 2,
    title: "produce 12 GiB in 256 KiB batches, acks=1, beside the same bytes written without a broker",
    columns: &["MB/s", "bare disk MB/s", "times the bare disk", "CPU s/GB", "p50 µs", "p99 µs"],
    goals: &[],
    run: Run::Alone(sustained),
};

const ROUNDS_OF_BYTES: usize = 12;

/// One producer for each of `partitions`, so that all nodes lead something.
pub fn pipelined(
    system: &System,
    scale: &Scale,
    round: usize,
    batch_bytes: usize,
    acks: i16,
    partitions: usize,
) -> Result<Found> {
    let topic = format!("produce-{}k-{round}", batch_bytes >> 10);
    let batch = batch::of(batch_bytes);
    let requests = (scale.bytes / batch.len() / system.nodes() / partitions).max(DEPTH);
    with_topic(system, &topic, partitions as i32, |leaders| {
        let work = Produce { topic: &topic, partition: 0, acks, batch: &batch, requests, depth: DEPTH };
        // The first request opens files and connections.
        closed::produce_all(leaders, &Produce { requests: 1, ..work })?;
        let (latencies, spent) = spent(&system.pids(), || closed::produce_all(leaders, &work))?;
        let all = requests * partitions;
        Ok(costs(&spent, all * batch.len(), all).with_latency(&latencies))
    })
}

fn sustained(programs: &Programs, kind: &Kind, scale: &Scale) -> Result<Found> {
    let system = System::start(kind, programs, &Setup { nodes: 1, ..Setup::default() })?;
    let bytes = ROUNDS_OF_BYTES * scale.bytes;
    let batch = batch::of(256 << 10);
    settle();
    let bare = written_by_itself(system.dir(), bytes, &batch)?;
    let leaders = system.create("sustained", 1, &[])?;
    let requests = (bytes / batch.len()).max(DEPTH);
    let work = Produce { topic: "sustained", partition: 0, acks: 1, batch: &batch, requests, depth: DEPTH };
    settle();
    let (latencies, spent) = spent(&system.pids(), || closed::produce_all(&leaders, &work))?;
    let found = costs(&spent, requests * batch.len(), requests).with_latency(&latencies);
    let times = found.figures["MB/s"] / bare;
    Ok(found.with("bare disk MB/s", bare).with("times the bare disk", times))
}

/// MB/s of a file that is written as a log would be, as fast as the kernel takes it.
fn written_by_itself(dir: &Path, bytes: usize, piece: &[u8]) -> Result<f64> {
    let path = dir.join("bare");
    let (mut file, begun) = (File::create(&path)?, Instant::now());
    let mut written = 0;
    while written < bytes {
        file.write_all(piece)?;
        written += piece.len();
    }
    let seconds = begun.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(&path)?;
    Ok(written as f64 / 1e6 / seconds)
}
