//! The high watermark, as a consumer is told it, goes back only where Kafka's does, too.
//!
//! ```text
//!   leader epoch   4 4 4 | 5 5 5 5
//!   Fetch          7 8 9 | 8 8 9 9     never back within an epoch, by whatever connection
//!   ListOffsets    7   9 | -   - 9     never back at all: nothing, until the new leader has caught up (KIP-207)
//! ```
//! A new leader knows what the last one said to be committed when it last fetched from it: it holds more than it may show.
//! What lies below a watermark that was told once is there in the end.

use crate::history::Name;
use std::collections::BTreeMap;

/// The highest that was told, by leader epoch. A partition has one consumer, which asks once at a time.
#[derive(Default)]
pub struct Watermarks(BTreeMap<Name, BTreeMap<i32, i64>>);

impl Watermarks {
    /// The leader of `epoch` told it with a Fetch.
    pub fn fetched(&mut self, name: &Name, epoch: i32, told: i64) -> Option<String> {
        let before = self.highest(name, epoch..=epoch);
        self.told(name, epoch, told, before)
    }

    /// The leader of `epoch` told it as the latest offset.
    pub fn listed(&mut self, name: &Name, epoch: i32, told: i64) -> Option<String> {
        let before = self.highest(name, i32::MIN..=epoch);
        self.told(name, epoch, told, before)
    }

    /// Whatever leader told it.
    pub fn end(&self, name: &Name) -> i64 {
        self.highest(name, ..).unwrap_or(0)
    }

    fn highest(&self, name: &Name, epochs: impl std::ops::RangeBounds<i32>) -> Option<i64> {
        self.0.get(name)?.range(epochs).map(|(_, told)| *told).max()
    }

    fn told(&mut self, name: &Name, epoch: i32, told: i64, before: Option<i64>) -> Option<String> {
        let highest = self.0.entry(name.clone()).or_default().entry(epoch).or_insert(told);
        *highest = told.max(*highest);
        let before = before.filter(|before| *before > told)?;
        Some(format!("{name:?}: the high watermark went from {before} to {told}, told in epoch {epoch}"))
    }
}
