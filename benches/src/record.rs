//! What a run writes down: raw figures, one JSON file, from which tables and plots are made.

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A whole run of the harness.
#[derive(Serialize, Deserialize)]
pub struct Record {
    pub machine: Machine,
    /// A short run, whose figures are a smoke test only.
    pub quick: bool,
    pub rounds: Vec<Round>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
    /// Day of the run, UTC.
    pub day: String,
    /// What each system calls itself.
    pub versions: BTreeMap<String, String>,
}

impl Record {
    pub fn read(file: &Path) -> Result<Record> {
        let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} holds no figures", file.display()))
    }
}

impl Machine {
    /// The same in everything but the day.
    pub fn is_like(&self, other: &Machine) -> bool {
        *self == Machine { day: self.day.clone(), ..other.clone() }
    }
}

/// One system through one piece of work once.
#[derive(Serialize, Deserialize)]
pub struct Round {
    /// Identifier of the work: [`crate::work::Work::id`].
    pub work: String,
    pub system: String,
    /// Rounds of the same number ran one after the other: ratios are taken within one.
    pub round: usize,
    /// By name with unit, as `CPU s/GB`.
    pub figures: BTreeMap<String, f64>,
    /// Latency: percentile, microseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<(f64, f64)>,
    /// Resident memory over time: seconds, MiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<(f64, f64)>,
    /// Why it came to nothing, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What a piece of work found, before it is known whose and which round's it is.
#[derive(Default)]
pub struct Found {
    pub figures: BTreeMap<String, f64>,
    pub latency: Vec<(f64, f64)>,
    pub memory: Vec<(f64, f64)>,
}

impl Found {
    pub fn with(mut self, name: &str, value: f64) -> Found {
        self.figures.insert(name.into(), value);
        self
    }

    /// Adds the latencies, which `histogram` has in nanoseconds.
    pub fn with_latency(mut self, histogram: &Histogram<u64>) -> Found {
        let micros = |percentile| histogram.value_at_percentile(percentile) as f64 / 1e3;
        for (name, percentile) in [("p50 µs", 50.0), ("p99 µs", 99.0), ("p99.9 µs", 99.9)] {
            self.figures.insert(name.into(), micros(percentile));
        }
        const DRAWN: [f64; 12] = [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99];
        self.latency = DRAWN.iter().map(|percentile| (*percentile, micros(*percentile))).collect();
        self
    }
}
