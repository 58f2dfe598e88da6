//! Producers that send the next request when an earlier one is answered: a thread and a socket each.

use super::batch;
use super::wire::{Wire, accepted};
use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::time::Instant;

/// Longer latencies than a minute are counted as one.
const LONGEST_NS: u64 = 60_000_000_000;

/// Latencies in nanoseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST_NS, 3).expect("the bounds are sound")
}

/// A producer's work.
pub struct Produce<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub acks: i16,
    pub batch: &'a Bytes,
    pub requests: usize,
    /// Requests under way at once.
    pub depth: usize,
}

/// Sends all requests to `leader` and answers how long each took.
pub fn produce(leader: &str, work: &Produce<'_>) -> Result<Histogram<u64>> {
    let frame = batch::produce(work.topic, work.partition, work.acks, work.batch);
    pipelined(leader, &frame, work.requests, work.depth, |answer| accepted(batch::code(answer), "a batch"))
}

/// Sends `frame` again and again, `depth` ahead of the answers.
pub fn pipelined(
    address: &str,
    frame: &[u8],
    requests: usize,
    depth: usize,
    check: impl Fn(&[u8]) -> Result<()>,
) -> Result<Histogram<u64>> {
    let mut wire = Wire::connect(address)?;
    let mut latencies = histogram();
    let mut sent = VecDeque::with_capacity(depth);
    let mut to_send = requests;
    for _ in 0..requests {
        while to_send > 0 && sent.len() < depth {
            sent.push_back(Instant::now());
            wire.write(frame)?;
            to_send -= 1;
        }
        check(wire.read()?)?;
        let begun = sent.pop_front().context("an answer to nothing")?;
        latencies.saturating_record(begun.elapsed().as_nanos() as u64);
    }
    Ok(latencies)
}

/// Several producers at once, a partition each.
pub fn produce_all(leaders: &[String], work: &Produce<'_>) -> Result<Histogram<u64>> {
    std::thread::scope(|scope| {
        let one = |(index, leader): (usize, &String)| {
            let (leader, work) = (leader.clone(), Produce { partition: index as i32, ..*work });
            scope.spawn(move || produce(&leader, &work))
        };
        let threads: Vec<_> = leaders.iter().enumerate().map(one).collect();
        let mut all = histogram();
        for thread in threads {
            all.add(thread.join().expect("a producer does not panic")?)?;
        }
        Ok(all)
    })
}
