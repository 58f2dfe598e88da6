//! The plots that a record has something for.

use super::axis::Axis;
use super::compare::{Rounds, Spread};
use super::failover::Trace;
use super::plot::{Line, Plot};
use crate::record::{Record, Round};
use crate::work::{Bed, Work};
use anyhow::Result;

pub struct Image {
    pub file: String,
    pub title: String,
    pub svg: String,
    /// Identifier of the work that it shows, if it shows a single one.
    pub work: Option<&'static str>,
}

/// Works that differ in the size of their batches: how their identifiers begin.
const BY_SIZE: &[(&str, &str)] = &[
    ("produce-", "Throughput by size of batch"),
    ("replicated-", "Throughput by size of batch, 3 replicas"),
];

pub fn all(record: &Record, beds: &[Bed], trace: Option<&Trace>) -> Result<Vec<Image>> {
    let works: Vec<&Work> = beds.iter().flat_map(|bed| bed.works).collect();
    let mut images = vec![];
    for work in &works {
        images.extend(image("latency", Some(work), latency(work, record))?);
        images.extend(image("memory", Some(work), memory(work, record))?);
    }
    for (start, title) in BY_SIZE {
        let works = works.iter().filter(|work| work.id.starts_with(start) && work.columns.contains(&"MB/s"));
        images.extend(image(&format!("{start}throughput"), None, throughput(title, works, record))?);
    }
    images.extend(image("failover", None, trace.map(Trace::plot))?);
    Ok(images)
}

fn image(kind: &str, work: Option<&Work>, plot: Option<Plot>) -> Result<Option<Image>> {
    let Some(plot) = plot else { return Ok(None) };
    let work = work.map(|work| work.id);
    let file = work.map_or(format!("{kind}.svg"), |work| format!("{kind}-{work}.svg"));
    Ok(Some(Image { file, title: plot.title.clone(), svg: plot.svg()?, work }))
}

fn latency(work: &Work, record: &Record) -> Option<Plot> {
    let rounds = Rounds::of(record, work.id);
    let line = |system: &str| Line { name: system.into(), points: middle_latencies(&rounds, system) };
    let lines = with_points(rounds.systems().into_iter().map(line))?;
    Some(Plot {
        title: format!("Latency: {}", work.title),
        x: Axis::nines("percentile of requests", &places(&lines, |at| at.0)),
        y: Axis::durations("latency (logarithmic)", &places(&lines, |at| at.1)),
        lines,
        marked: true,
        event: None,
    })
}

/// Of each percentile the median of the rounds.
fn middle_latencies(rounds: &Rounds<'_>, system: &str) -> Vec<(f64, f64)> {
    let drawn = rounds.by(system).next().map(|round| round.latency.as_slice()).unwrap_or_default();
    let at = |percentile: f64| {
        let of = |round: &Round| round.latency.iter().find(|at| at.0 == percentile).map(|at| at.1);
        Some((percentile, Spread::of(rounds.by(system).filter_map(of))?.median))
    };
    drawn.iter().filter_map(|(percentile, _)| at(*percentile)).collect()
}

/// Memory over time in the last round that watched it: rounds take different times.
fn memory(work: &Work, record: &Record) -> Option<Plot> {
    let rounds = Rounds::of(record, work.id);
    let line = |system: &str| {
        let watched = rounds.by(system).filter(|round| !round.memory.is_empty());
        let points = watched.last().map(|round| round.memory.clone()).unwrap_or_default();
        Line { name: system.into(), points }
    };
    let lines = with_points(rounds.systems().into_iter().map(line))?;
    Some(Plot {
        title: format!("Memory: {}", work.title),
        x: Axis::times("time, s", &places(&lines, |at| at.0)),
        y: Axis::amounts("resident memory of all nodes, MiB", &places(&lines, |at| at.1)),
        lines,
        marked: false,
        event: None,
    })
}

fn throughput<'a>(title: &str, works: impl Iterator<Item = &'a &'a Work>, record: &Record) -> Option<Plot> {
    let rounds: Vec<Rounds<'_>> = works.map(|work| Rounds::of(record, work.id)).collect();
    let mut names: Vec<&str> = vec![];
    rounds.iter().flat_map(Rounds::systems).for_each(|name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    let line = |system: &&str| {
        let mut points: Vec<_> = rounds.iter().filter_map(|rounds| at_size(rounds, system)).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        Line { name: (*system).into(), points }
    };
    let lines = with_points(names.iter().map(line))?;
    let mut sizes = places(&lines, |at| at.0);
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    (sizes.len() > 1).then(|| Plot {
        title: title.into(),
        x: Axis::sizes("batch", &sizes),
        y: Axis::amounts("throughput, MB/s", &places(&lines, |at| at.1)),
        lines,
        marked: true,
        event: None,
    })
}

/// Bytes of a batch and MB/s. What a batch has is what a request has.
fn at_size(rounds: &Rounds<'_>, system: &str) -> Option<(f64, f64)> {
    let megabytes = rounds.figure(system, "MB/s")?.median;
    let size = |round: &Round| Some(1e6 * round.figures.get("MB/s")? / round.figures.get("requests/s")?);
    let size = Spread::of(rounds.by(system).filter_map(size))?.median;
    Some((size.round(), megabytes))
}

/// Nothing if no line has any point.
fn with_points(lines: impl Iterator<Item = Line>) -> Option<Vec<Line>> {
    let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
    (!lines.is_empty()).then_some(lines)
}

pub fn places(lines: &[Line], coordinate: fn(&(f64, f64)) -> f64) -> Vec<f64> {
    lines.iter().flat_map(|line| line.points.iter().map(coordinate)).collect()
}
