//! Axes: what is where, and what is written at it.

use super::table::rounded;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

pub struct Axis {
    title: String,
    warp: fn(f64) -> f64,
    range: Range<f64>,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Amounts: from zero to a tick above the greatest.
    pub fn amounts(title: &str, values: &[f64]) -> Axis {
        let most = values.iter().copied().fold(1e-3, f64::max);
        let step = step(most / 5.0);
        let last = (most / step).ceil();
        Axis::linear(title, 0.0..last * step, step)
    }

    /// Times in seconds: no further than there are any.
    pub fn times(title: &str, values: &[f64]) -> Axis {
        let least = values.iter().copied().fold(0.0, f64::min);
        let most = values.iter().copied().fold(1e-3, f64::max);
        Axis::linear(title, least..most, step((most - least) / 8.0))
    }

    fn linear(title: &str, range: Range<f64>, step: f64) -> Axis {
        // A multiple of the step may come out as a little less.
        let least = (range.start / step - 1e-9).ceil() as i64;
        let most = (range.end / step + 1e-9).floor() as i64;
        let tick = |number: i64| (number as f64 * step, rounded(number as f64 * step));
        let ticks = (least..=most).map(tick).collect();
        Axis { title: title.into(), warp: |value| value, range, ticks }
    }

    /// Durations in microseconds, logarithmic.
    pub fn durations(title: &str, values: &[f64]) -> Axis {
        let least = values.iter().copied().fold(f64::MAX, f64::min).max(0.1);
        let most = values.iter().copied().fold(least, f64::max);
        let (first, last) = (mark_below(least), mark_above(most));
        let marks = decades(first, last).filter(|mark| (first..=last).contains(mark));
        Axis {
            title: title.into(),
            warp: f64::log10,
            range: first..last,
            ticks: marks.map(|mark| (mark, duration(mark))).collect(),
        }
    }

    /// Percentiles, each nine as wide as the one before.
    pub fn nines(title: &str, values: &[f64]) -> Axis {
        const MARKS: [f64; 6] = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99];
        let most = values.iter().copied().fold(99.0, f64::max);
        let marks = MARKS.iter().filter(|mark| **mark <= most);
        Axis {
            title: title.into(),
            warp: |percentile| -(1.0 - percentile / 100.0).log10(),
            range: 0.0..most,
            ticks: marks.map(|mark| (*mark, format!("{mark} %"))).collect(),
        }
    }

    /// Sizes in bytes, logarithmic, each of them marked.
    pub fn sizes(title: &str, values: &[f64]) -> Axis {
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        let most = values.iter().copied().fold(least, f64::max);
        Axis {
            title: title.into(),
            warp: f64::log2,
            range: least / 1.3..most * 1.3,
            ticks: values.iter().map(|value| (*value, size(*value))).collect(),
        }
    }

    pub fn title(&self) -> &str {
        &self.title
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let (start, end) = ((self.warp)(self.range.start), (self.warp)(self.range.end));
        let part = ((self.warp)(value.max(self.range.start)) - start) / (end - start);
        from + (part * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|(value, _)| *value).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|(tick, _)| tick == value);
        tick.map(|(_, label)| label.clone()).unwrap_or_default()
    }
}

/// The next of 1, 2, 5, 10, 20, 50, … and of their tenths that is not less.
fn step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].iter().map(|digit| digit * decade).find(|step| *step >= least).unwrap_or(10.0 * decade)
}

const DIGITS: [f64; 3] = [1.0, 2.0, 5.0];

fn decades(from: f64, to: f64) -> impl Iterator<Item = f64> {
    let exponents = from.log10().floor() as i32..=to.log10().ceil() as i32;
    let digits: &[f64] = if to / from > 1000.0 { &DIGITS[..1] } else { &DIGITS };
    exponents.flat_map(move |exponent| digits.iter().map(move |digit| digit * 10_f64.powi(exponent)))
}

fn mark_below(value: f64) -> f64 {
    decades(value / 10.0, value).filter(|mark| *mark <= value).last().unwrap_or(value)
}

fn mark_above(value: f64) -> f64 {
    decades(value, value * 10.0).find(|mark| *mark > value).unwrap_or(value)
}

fn duration(micros: f64) -> String {
    match micros {
        micros if micros < 1e3 => format!("{} µs", rounded(micros)),
        micros if micros < 1e6 => format!("{} ms", rounded(micros / 1e3)),
        micros => format!("{} s", rounded(micros / 1e6)),
    }
}

/// A batch is made as large as fits, a little less than the power of two that it is called.
fn size(bytes: f64) -> String {
    let power = bytes.log2().round().exp2();
    let bytes = if (bytes / power - 1.0).abs() < 0.03 { power } else { bytes };
    match bytes / 1024.0 {
        kib if kib < 1024.0 => format!("{} KiB", kib.round()),
        kib => format!("{} MiB", rounded((kib / 102.4).round() / 10.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> String {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn ticks_are_round() {
        let cases = [
            (Axis::amounts("", &[30.0, 90.0]), "0, 20, 40, 60, 80, 100"),
            (Axis::amounts("", &[0.7]), "0, 0.2, 0.4, 0.6, 0.8"),
            (Axis::amounts("", &[12_345.0]), "0, 5,000, 10,000, 15,000"),
            (Axis::times("", &[-2.1, 13.9]), "-2, 0, 2, 4, 6, 8, 10, 12"),
            (Axis::times("", &[0.0, 0.65]), "0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6"),
            (Axis::durations("", &[30.0, 900.0]), "20 µs, 50 µs, 100 µs, 200 µs, 500 µs, 1 ms"),
            (Axis::durations("", &[30.0, 2e6]), "100 µs, 1 ms, 10 ms, 100 ms, 1 s"),
            (Axis::nines("", &[1.0, 99.95]), "0 %, 50 %, 90 %, 99 %, 99.9 %"),
            (Axis::sizes("", &[16_300.0, 100_000.0, 1_040_000.0, 1.6e6]), "16 KiB, 98 KiB, 1 MiB, 1.5 MiB"),
        ];
        for (axis, expected) in cases {
            assert_eq!(labels(&axis), expected);
        }
    }

    #[test]
    fn each_nine_is_as_wide() {
        let axis = Axis::nines("", &[99.99]);
        let places: Vec<i32> =
            [0.0, 90.0, 99.0, 99.9, 99.99].iter().map(|at| axis.map(at, (0, 400))).collect();
        assert_eq!(places, [0, 100, 200, 300, 400]);
    }
}
