//! What happened, as one number: two runs that did the same have the same.

use parking_lot::Mutex;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Clones are the same trace.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    hasher: DefaultHasher,
    events: u64,
}

impl Trace {
    /// `event` happened at `now`.
    pub fn note(&self, now: u64, event: &impl Hash) {
        let mut noted = self.0.lock();
        now.hash(&mut noted.hasher);
        event.hash(&mut noted.hasher);
        noted.events += 1;
    }

    /// How many events, and what they were.
    pub fn sum(&self) -> (u64, u64) {
        let noted = self.0.lock();
        (noted.events, noted.hasher.finish())
    }
}
