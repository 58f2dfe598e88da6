//! What a producer felt of a node's death, as `benches/failover.py --trace` wrote it.

use super::axis::Axis;
use super::compare::Spread;
use super::plot::{Line, Plot};
use super::plots::places;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
pub struct Trace {
    /// What happened at zero.
    mishap: String,
    bucket_ms: u32,
    /// For each system: seconds where a bucket begins, records acknowledged in it.
    systems: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Trace {
    pub fn read(file: &Path) -> Result<Trace> {
        let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no trace", file.display()))
    }

    pub fn plot(&self) -> Plot {
        let most = self.most_drawn();
        let line = |(name, points): (&String, &Vec<(f64, f64)>)| Line {
            name: name.clone(),
            points: points.iter().map(|(at, records)| (*at, records.min(most))).collect(),
        };
        let lines: Vec<Line> = self.systems.iter().map(line).collect();
        let amount = format!("records acknowledged per {} ms", self.bucket_ms);
        Plot {
            title: "Failover: one producer, acks=all, three nodes".into(),
            x: Axis::times("time, s", &places(&lines, |at| at.0)),
            y: Axis::amounts(&amount, &places(&lines, |at| at.1)),
            lines,
            marked: false,
            event: Some((0.0, self.mishap.clone())),
        }
    }

    /// What has waited through a gap is acknowledged all at once: drawn in full, nothing else could be seen.
    fn most_drawn(&self) -> f64 {
        let before = self.systems.values().flatten().filter(|(at, _)| *at < 0.0);
        let usual = Spread::of(before.map(|(_, records)| *records));
        usual.map_or(f64::MAX, |usual| 2.0 * usual.median.max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_waited_does_not_hide_the_rest() {
        let points = vec![(-0.2, 90.0), (-0.1, 110.0), (0.0, 0.0), (0.1, 9000.0), (0.2, 150.0)];
        let systems = BTreeMap::from([("Drave".to_owned(), points)]);
        let drawn = Trace { mishap: String::new(), bucket_ms: 100, systems }.plot();
        let drawn: Vec<f64> = drawn.lines[0].points.iter().map(|at| at.1).collect();
        assert_eq!(drawn, [90.0, 110.0, 0.0, 200.0, 150.0]);
    }
}
