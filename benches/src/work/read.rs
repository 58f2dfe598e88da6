//! Bytes out.

use super::{Scale, costs, with_topic};
use crate::load::closed::{self, Produce};
use crate::load::{batch, consume};
use crate::measure::spent;
use crate::record::Found;
use crate::system::System;
use anyhow::Result;

const BATCH: usize = 16 << 10;

/// Reads what has just been produced, by several consumers at once, each all of it.
pub fn cached(system: &System, scale: &Scale, round: usize, consumers: usize) -> Result<Found> {
    let topic = format!("fetch-{consumers}-{round}");
    let one = batch::of(BATCH);
    let requests = scale.bytes / one.len() / consumers;
    let bytes = requests * one.len();
    with_topic(system, &topic, 1, |leaders| {
        let leader = &leaders[0];
        closed::produce(
            leader,
            &Produce { topic: &topic, partition: 0, acks: 1, batch: &one, requests, depth: 5 },
        )?;
        let all = || {
            std::thread::scope(|scope| {
                let read = || scope.spawn(|| consume::read(leader, &topic, 0, bytes, &one));
                let readers: Vec<_> = (0..consumers).map(|_| read()).collect();
                readers
                    .into_iter()
                    .map(|reader| reader.join().expect("a consumer does not panic"))
                    .sum::<Result<usize>>()
            })
        };
        let (requests, spent) = spent(&system.pids(), all)?;
        Ok(costs(&spent, bytes * consumers, requests))
    })
}
