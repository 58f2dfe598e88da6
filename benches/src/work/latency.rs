//! Small requests: what each costs and how long it takes.

use super::{Scale, costs, with_topic};
use crate::load::closed::{self, Produce};
use crate::load::open::{self, Rate};
use crate::load::wire::{accepted, frame};
use crate::load::{batch, many, topics};
use crate::measure::spent;
use crate::record::Found;
use crate::system::System;
use anyhow::Result;

const SMALL: usize = 100;
const KIB: usize = 1 << 10;

fn is_accepted(answer: &[u8]) -> Result<()> {
    accepted(batch::code(answer), "a batch")
}

/// 64 connections, each with one record under way, over 8 partitions.
pub fn single_records(system: &System, scale: &Scale, round: usize) -> Result<Found> {
    const CONNECTIONS: usize = 64;
    const PARTITIONS: usize = 8;
    let topic = format!("single-{round}");
    let batch = batch::of(SMALL);
    with_topic(system, &topic, PARTITIONS as i32, |leaders| {
        let frames = || {
            let one = |nth: usize| {
                let partition = nth % PARTITIONS;
                (leaders[partition].clone(), batch::produce(&topic, partition as i32, 1, &batch))
            };
            (0..CONNECTIONS).map(one).collect()
        };
        many::run(frames(), scale.duration / 10, is_accepted)?;
        let (latencies, spent) =
            spent(&system.pids(), || many::run(frames(), scale.duration / 2, is_accepted))?;
        let requests = latencies.len() as usize;
        Ok(costs(&spent, requests * batch.len(), requests).with_latency(&latencies))
    })
}

pub fn one_at_a_time(system: &System, scale: &Scale, round: usize, acks: i16) -> Result<Found> {
    let topic = format!("one-{round}");
    let batch = batch::of(KIB);
    // A request takes about as long whatever the machine: 10,000 in a second or two.
    let requests = 3000 * scale.duration.as_secs() as usize;
    with_topic(system, &topic, 1, |leaders| {
        let work = Produce { topic: &topic, partition: 0, acks, batch: &batch, requests, depth: 1 };
        closed::produce(&leaders[0], &Produce { requests: requests / 10, ..work })?;
        let (latencies, spent) = spent(&system.pids(), || closed::produce(&leaders[0], &work))?;
        Ok(costs(&spent, requests * batch.len(), requests).with_latency(&latencies))
    })
}

pub fn open_loop(system: &System, scale: &Scale, round: usize, acks: i16) -> Result<Found> {
    let topic = format!("open-{round}");
    let batch = batch::of(KIB);
    let rate = Rate { requests_per_second: 2000, connections: 8, duration: scale.duration };
    with_topic(system, &topic, 1, |leaders| {
        let frame = batch::produce(&topic, 0, acks, &batch);
        open::run(&leaders[0], &frame, &Rate { duration: scale.duration / 10, ..rate }, is_accepted)?;
        let (latencies, spent) =
            spent(&system.pids(), || open::run(&leaders[0], &frame, &rate, is_accepted))?;
        Ok(costs(&spent, rate.requests() * batch.len(), rate.requests()).with_latency(&latencies))
    })
}

/// Clients that ask who leads one topic.
pub fn metadata(system: &System, scale: &Scale, round: usize) -> Result<Found> {
    const CONNECTIONS: usize = 8;
    let topic = format!("metadata-{round}");
    with_topic(system, &topic, 1, |leaders| {
        let frame = frame(topics::METADATA, &topics::about(&topic));
        let frames = || vec![(leaders[0].clone(), frame.clone()); CONNECTIONS];
        many::run(frames(), scale.duration / 10, |_| Ok(()))?;
        let (latencies, spent) =
            spent(&system.pids(), || many::run(frames(), scale.duration / 2, |_| Ok(())))?;
        let requests = latencies.len() as usize;
        Ok(costs(&spent, requests * frame.len(), requests).with_latency(&latencies))
    })
}
