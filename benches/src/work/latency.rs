//! Small requests: what each costs and how long it takes.

use super::{Scale, costs, with_topic};
use crate::load::closed::{self, Produce};
use crate::load::open::{self, Rate};
use crate::load::wire::{Wire, accepted, decode, frame};
use crate::load::{batch, many, topics};
use crate::measure::spent;
use crate::record::Found;
use crate::system::{Kind, System};
use anyhow::{Result, ensure};

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
    let rate = Rate { requests_per_second: 2000, connections: 8 };
    with_topic(system, &topic, 1, |leaders| {
        let frame = batch::produce(&topic, 0, acks, &batch);
        open::run(&leaders[0], &frame, rate, rate.lasting(scale.duration / 10), is_accepted)?;
        let measured = || open::run(&leaders[0], &frame, rate, rate.lasting(scale.duration), is_accepted);
        let (latencies, spent) = spent(&system.pids(), measured)?;
        let requests = latencies.len() as usize;
        Ok(costs(&spent, requests * batch.len(), requests).with_latency(&latencies))
    })
}

/// Clients that ask who leads one topic.
pub fn metadata(system: &System, scale: &Scale, round: usize) -> Result<Found> {
    const CONNECTIONS: usize = 8;
    let topic = format!("metadata-{round}");
    with_topic(system, &topic, 1, |leaders| {
        let frame = frame(topics::METADATA, &topics::about(&topic));
        let frames = || vec![(leaders[0].clone(), frame.clone()); CONNECTIONS];
        let check = same_as(sound_answer(system, &leaders[0], &frame, &topic)?);
        many::run(frames(), scale.duration / 10, check.clone())?;
        let (latencies, spent) = spent(&system.pids(), || many::run(frames(), scale.duration / 2, check))?;
        let requests = latencies.len() as usize;
        Ok(costs(&spent, requests * frame.len(), requests).with_latency(&latencies))
    })
}

/// An answer to `frame` that says who leads `topic`; a floor has none that says anything.
fn sound_answer(system: &System, leader: &str, frame: &[u8], topic: &str) -> Result<Vec<u8>> {
    let mut wire = Wire::connect(leader)?;
    wire.write(frame)?;
    let answer = wire.read()?.to_vec();
    if system.kind != Kind::Floor {
        let leaders = topics::leaders(&decode(&answer, topics::METADATA)?, topic, 1, 1);
        ensure!(leaders.is_some(), "metadata do not say who leads {topic}");
    }
    Ok(answer)
}

/// All that ask the same are answered the same: to compare costs the load less than to decode.
fn same_as(sound: Vec<u8>) -> impl Fn(&[u8]) -> Result<()> + Clone + 'static {
    move |answer| {
        ensure!(answer == sound, "metadata differ from those of before");
        Ok(())
    }
}
