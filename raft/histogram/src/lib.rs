//! A small stand-in for the crate of this name that openraft records its statistics into.
//!
//! The crate on the registry builds lookup tables for sixteen bucket widths when the first histogram is made: 27 MB
//! of heap, most of an idle broker, for figures that Drave never reads. openraft offers no way around it, so the
//! root `Cargo.toml` patches this crate in its place. It has the version it replaces, since a patch applies to
//! versions that fit alone, and of the interface what openraft uses while its feature `runtime-stats` is off.
//!
//! It can go, with the patch, when an openraft that Drave uses makes its histograms optional or when the crate on
//! the registry builds only the tables that are asked for.
//!
//! ```text
//!   bucket   0  1  2  3 | 4  5  6  7 |  8     9     10    11  |  12     13  ...
//!   values   0  1  2  3 | 4  5  6  7 | 8-9  10-11 12-13 14-15 | 16-19  20-23 ...
//!                         each power of two is divided into four buckets of one width
//! ```

use std::fmt;
use std::marker::PhantomData;

/// A power of two has `1 << FINE_BITS` buckets, so a bucket's bounds differ by less than a quarter.
const FINE_BITS: u32 = 2;
const FINE: usize = 1 << FINE_BITS;
/// Those that any `u64` needs: 2 KiB of counts.
const BUCKETS: usize = bucket_of(u64::MAX) + 1;

/// How often which values were recorded, to within a quarter of the value. `T` is what openraft may attach; nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: Box<[u64]>,
    attached: PhantomData<T>,
}

impl<T> Histogram<T> {
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into_boxed_slice(), attached: PhantomData }
    }

    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    pub fn record_n(&mut self, value: u64, times: u64) {
        let count = &mut self.counts[bucket_of(value)];
        *count = count.saturating_add(times);
    }

    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.samples(),
            p0_1: self.permille(1),
            p1: self.permille(10),
            p5: self.permille(50),
            p10: self.permille(100),
            p50: self.permille(500),
            p90: self.permille(900),
            p99: self.permille(990),
            p99_9: self.permille(999),
        }
    }

    fn samples(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The upper bound of the bucket that holds the sample of this rank; 0 of no samples.
    fn permille(&self, part: u64) -> u64 {
        let rank = (u128::from(self.samples()) * u128::from(part)).div_ceil(1000);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += u128::from(*count);
            *count > 0 && seen >= rank
        });
        reached.map_or(0, largest_in)
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The leading `FINE_BITS + 1` bits of a value choose its bucket; those below them are dropped.
const fn bucket_of(value: u64) -> usize {
    let dropped = (value | FINE as u64).ilog2() - FINE_BITS;
    dropped as usize * FINE + (value >> dropped) as usize
}

const fn largest_in(bucket: usize) -> u64 {
    let dropped = (bucket / FINE).saturating_sub(1);
    let leading = (bucket - dropped * FINE) as u64;
    (leading << dropped) | ((1 << dropped) - 1)
}

/// What a histogram says of its samples, each to within a quarter and never below the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p10, p50, p90, p99, p99_9, .. } = self;
        write!(f, "{samples} samples, p10 {p10}, p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}")
    }
}

/// What openraft gathers to draw, which it does with `runtime-stats` alone: it holds the names and histograms.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart {
    rows: Vec<(&'static str, Histogram)>,
}

impl AsciiChart {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(mut self, name: &'static str, histogram: Histogram) -> Self {
        self.rows.push((name, histogram));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_and_cover_every_value() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let largest = largest_in(bucket);
            assert_eq!((bucket_of(next), bucket_of(largest)), (bucket, bucket));
            assert!(largest - next <= next / 4, "{next} to {largest} is too wide");
            next = largest.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends with u64::MAX");
        assert!(BUCKETS * size_of::<u64>() < 5 * 1024);
    }

    #[test]
    fn a_percentile_is_the_upper_bound_of_the_bucket_of_its_rank() {
        let mut histogram = Histogram::<()>::new();
        (1..=1000).for_each(|value| histogram.record(value));
        let PercentileStats { samples, p0_1, p1, p5, p10, p50, p90, p99, p99_9 } =
            histogram.percentile_stats();
        assert_eq!(samples, 1000);
        for (told, exact) in
            [(p0_1, 1), (p1, 10), (p5, 50), (p10, 100), (p50, 500), (p90, 900), (p99, 990), (p99_9, 999)]
        {
            assert_eq!(told, largest_in(bucket_of(exact)));
        }
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        let mut histogram = Histogram::<()>::new();
        histogram.record_n(9, 0);
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p0_1, stats.p99_9), (0, 0, 0));
    }

    #[test]
    fn many_at_once_weigh_as_much_as_one_by_one() {
        let (mut once, mut each) = (Histogram::<()>::new(), Histogram::new());
        once.record_n(70, 3);
        (0..3).for_each(|_| each.record(70));
        assert_eq!(once, each);
    }

    #[test]
    fn counts_stay_at_their_largest() {
        let mut histogram = Histogram::<()>::new();
        [1, 1, u64::MAX].into_iter().for_each(|value| histogram.record_n(value, u64::MAX));
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p50), (u64::MAX, 1));
    }
}
