//! A token bucket, without a clock of its own.
//!
//! ```text
//!   rate ──► │~~~~~│  at most what one second brings
//!            │     │
//!            └──┬──┘
//!               ▼  taken, perhaps more than there is: what is owed has to flow in first
//! ```

use crate::types::Mono;
use std::time::Duration;

/// Parts of a byte that are counted, so that a millisecond's share of any rate is whole.
const PARTS: i128 = 1000;
/// More than so many seconds bring is owed only for what is taken at once.
const DEBT_SECONDS: i128 = 10;

/// Bytes that may still flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Bytes each second; `None`: no limit.
    rate: Option<u64>,
    /// In [`PARTS`] of a byte; what is below zero is owed.
    level: i128,
    filled_at: Mono,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Option<u64>, now: Mono) -> Bucket {
        let mut bucket = Bucket { rate, level: 0, filled_at: now };
        bucket.level = bucket.capacity();
        bucket
    }

    /// From now on it fills at another rate. It begins full where it had no limit.
    pub fn set_rate(&mut self, rate: Option<u64>, now: Mono) {
        if self.rate == rate {
            return;
        }
        self.fill(now);
        let was_unlimited = self.rate.is_none();
        self.rate = rate;
        self.level = if was_unlimited { self.capacity() } else { self.level.min(self.capacity()) };
    }

    /// Takes bytes out, whether or not they are there. Much that is taken bit by bit is not all owed: what never waits must
    /// not keep what does from flowing for hours.
    pub fn take(&mut self, bytes: u64, now: Mono) {
        self.fill(now);
        if self.rate.is_some() {
            let taken = i128::from(bytes) * PARTS;
            let most_owed = taken.max(DEBT_SECONDS * self.capacity());
            self.level = (self.level - taken).max(-most_owed);
        }
    }

    /// How long until something may flow again: zero now, `None` never.
    pub fn wait(&mut self, now: Mono) -> Option<Duration> {
        self.fill(now);
        match self.rate {
            None => Some(Duration::ZERO),
            Some(_) if self.level > 0 => Some(Duration::ZERO),
            Some(0) => None,
            Some(rate) => {
                let missing_ms = (1 - self.level).div_euclid(i128::from(rate)) + 1;
                Some(Duration::from_millis(u64::try_from(missing_ms).unwrap_or(u64::MAX)))
            }
        }
    }

    fn fill(&mut self, now: Mono) {
        let elapsed_ms = now.since(self.filled_at).as_millis() as i128;
        self.filled_at = self.filled_at.max(now);
        // A thousandth of a byte for each byte of the rate and each millisecond.
        let filled = i128::from(self.rate.unwrap_or(0)) * elapsed_ms;
        self.level = (self.level + filled).min(self.capacity());
    }

    /// What one second brings.
    fn capacity(&self) -> i128 {
        i128::from(self.rate.unwrap_or(0)) * PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Option<Duration> = |ms| Some(Duration::from_millis(ms));

    #[test]
    fn what_was_taken_too_much_flows_in_first() {
        let mut bucket = Bucket::new(Some(1000), Mono(0));
        bucket.take(999, Mono(0));
        assert_eq!(bucket.wait(Mono(0)), MS(0), "one byte is left");
        bucket.take(2001, Mono(0));
        assert_eq!(bucket.wait(Mono(0)), MS(2001));
        assert_eq!(bucket.wait(Mono(2000)), MS(1), "nothing is owed, and nothing is there");
        assert_eq!(bucket.wait(Mono(2001)), MS(0));
    }

    #[test]
    fn much_that_is_taken_bit_by_bit_is_not_all_owed() {
        let mut bucket = Bucket::new(Some(1000), Mono(0));
        (0..100).for_each(|_| bucket.take(1000, Mono(0)));
        assert_eq!(bucket.wait(Mono(0)), Some(Duration::from_millis(10_001)), "what ten seconds bring");
        let mut bucket = Bucket::new(Some(1000), Mono(0));
        bucket.take(101_000, Mono(0));
        assert_eq!(
            bucket.wait(Mono(0)),
            Some(Duration::from_millis(100_001)),
            "at once, all that was too much"
        );
    }

    #[test]
    fn it_holds_no_more_than_a_second_brings() {
        let mut bucket = Bucket::new(Some(1000), Mono(0));
        bucket.take(1000, Mono(1_000_000));
        assert_eq!(bucket.wait(Mono(1_000_000)), MS(1));
    }

    #[test]
    fn without_a_limit_nothing_waits_and_nothing_is_owed() {
        let mut bucket = Bucket::new(None, Mono(0));
        bucket.take(u64::MAX, Mono(0));
        assert_eq!(bucket.wait(Mono(0)), MS(0));
        bucket.set_rate(Some(1000), Mono(5));
        assert_eq!(bucket.wait(Mono(5)), MS(0), "it begins full");
        bucket.take(1500, Mono(5));
        bucket.set_rate(Some(10), Mono(5));
        assert_eq!(bucket.wait(Mono(5)), MS(50_001), "what is owed stays owed");
        bucket.set_rate(None, Mono(6));
        assert_eq!(bucket.wait(Mono(6)), MS(0));
    }

    #[test]
    fn at_a_rate_of_nothing_nothing_flows() {
        assert_eq!(Bucket::new(Some(0), Mono(0)).wait(Mono(1_000_000)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn who_waits_as_told_takes_no_more_than_the_rate(
            rate in 1..10_000_000u64,
            pieces in prop::collection::vec(0..5_000_000u64, 1..50),
        ) {
            let (mut bucket, mut now, mut taken) = (Bucket::new(Some(rate), Mono(0)), Mono(0), 0u64);
            let largest = pieces.iter().copied().max().unwrap_or(0);
            for bytes in pieces {
                now = now.plus(bucket.wait(now).unwrap());
                prop_assert_eq!(bucket.wait(now), Some(Duration::ZERO));
                bucket.take(bytes, now);
                taken += bytes;
                let brought = u128::from(rate) * (1000 + u128::from(now.0)) / 1000;
                prop_assert!(u128::from(taken) <= brought + u128::from(largest));
            }
        }
    }
}
