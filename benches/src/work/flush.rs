//! Acknowledgements that wait for the disk.

use super::{KAFKA, Run, Scale, Work, at_least, costs, with_configured_topic};
use crate::load::wire::accepted;
use crate::load::{batch, many};
use crate::measure::spent;
use crate::record::Found;
use crate::system::System;
use anyhow::Result;
use std::time::Instant;

const PARTITIONS: usize = 8;
const COLUMNS: &[&str] = &["acks/s", "acks per sync of the bare disk", "CPU µs/request", "p50 µs", "p99 µs"];

pub const WORKS: &[Work] = &[
    Work {
        id: "flush-1",
        row: 8,
        title: "flush.messages=1, 1 producer",
        columns: COLUMNS,
        goals: &[at_least("acks/s", 1.2, KAFKA)],
        run: Run::Shared(|system, scale, round| durable(system, scale, round, 1)),
    },
    Work {
        id: "flush-16",
        row: 8,
        title: "flush.messages=1, 16 producers over 8 partitions",
        columns: COLUMNS,
        goals: &[at_least("acks/s", 3.0, KAFKA)],
        run: Run::Shared(|system, scale, round| durable(system, scale, round, 16)),
    },
    Work {
        id: "flush-64",
        row: 8,
        title: "flush.messages=1, 64 producers over 8 partitions",
        columns: COLUMNS,
        goals: &[at_least("acks/s", 6.0, KAFKA)],
        run: Run::Shared(|system, scale, round| durable(system, scale, round, 64)),
    },
];

fn durable(system: &System, scale: &Scale, round: usize, producers: usize) -> Result<Found> {
    let topic = format!("flush-{producers}-{round}");
    let batch = batch::of(1 << 10);
    let check = |answer: &[u8]| accepted(batch::code(answer), "a batch");
    // The topic's own: what warms a JVM up does not sync.
    let configs = [("flush.messages", "1")];
    with_configured_topic(system, &topic, PARTITIONS as i32, &configs, |leaders| {
        let frames = || {
            let one = |nth: usize| {
                let partition = nth % PARTITIONS;
                (leaders[partition].clone(), batch::produce(&topic, partition as i32, 1, &batch))
            };
            (0..producers).map(one).collect()
        };
        many::run(frames(), scale.duration / 20, check)?;
        let syncs_per_second = bare_syncs(system, scale)?;
        let (latencies, spent) = spent(&system.pids(), || many::run(frames(), scale.duration / 4, check))?;
        let acks = latencies.len() as usize;
        let acks_per_second = acks as f64 / spent.wall.as_secs_f64();
        Ok(costs(&spent, acks * batch.len(), acks)
            .with_latency(&latencies)
            .with("acks/s", acks_per_second)
            .with("acks per sync of the bare disk", acks_per_second / syncs_per_second))
    })
}

/// How often in a second one thread can append 1 KiB to a file and sync it, beside the system's data.
fn bare_syncs(system: &System, scale: &Scale) -> Result<f64> {
    use std::io::Write;
    let mut file = tempfile::tempfile_in(system.dir())?;
    let (begun, mut syncs) = (Instant::now(), 0);
    while begun.elapsed() < scale.duration / 10 {
        file.write_all(&[b'x'; 1 << 10])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / begun.elapsed().as_secs_f64())
}
