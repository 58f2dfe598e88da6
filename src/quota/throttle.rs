//! Bounds on replication (KIP-73): only who is not in sync waits, whose moves would else keep others from their share.

use super::bucket::Bucket;
use crate::types::Mono;
use parking_lot::Mutex;
use std::time::Duration;

/// What this broker sends, and what it fetches, of partitions that are throttled.
#[derive(Debug, Default)]
pub struct Throttles {
    pub leader: Throttle,
    pub follower: Throttle,
}

/// One bound, shared by all that it counts.
#[derive(Debug)]
pub struct Throttle(Mutex<Bucket>);

impl Default for Throttle {
    /// Without a limit.
    fn default() -> Throttle {
        Throttle(Mutex::new(Bucket::new(None, Mono::default())))
    }
}

impl Throttle {
    /// `rate` is in bytes each second. Kafka's largest is its word for no limit.
    pub fn set_rate(&self, rate: i64, now: Mono) {
        let rate = (rate < i64::MAX).then(|| rate.max(0) as u64);
        self.0.lock().set_rate(rate, now);
    }

    pub fn take(&self, bytes: usize, now: Mono) {
        self.0.lock().take(bytes as u64, now);
    }

    /// Whether there is nothing left for now.
    pub fn is_exhausted(&self, now: Mono) -> bool {
        self.0.lock().wait(now) != Some(Duration::ZERO)
    }

    /// How long there will be nothing: at most `longest`, as the rate may change meanwhile.
    pub fn wait(&self, now: Mono, longest: Duration) -> Duration {
        self.0.lock().wait(now).map_or(longest, |wait| wait.min(longest))
    }
}
