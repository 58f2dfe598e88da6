//! Bytes in: as many as fit through.

use super::{Scale, costs, with_topic};
use crate::load::batch;
use crate::load::closed::{self, Produce};
use crate::measure::spent;
use crate::record::Found;
use crate::system::System;
use anyhow::Result;

const DEPTH: usize = 5;

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
