//! Pauses between attempts that fail: short first, so that a change of leader costs little.

use std::time::Duration;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause {
    last: Duration,
    until: Option<Instant>,
}

impl Pause {
    /// Something failed: each time in a row twice as long, up to `longest`.
    pub fn failed(&mut self, longest: Duration) {
        self.last = (self.last * 2).max(FIRST).min(longest);
        self.until = Some(Instant::now() + self.last);
    }

    pub fn succeeded(&mut self) {
        *self = Pause::default();
    }

    /// When it ends; `None` if it has.
    pub fn until(&self) -> Option<Instant> {
        self.until.filter(|until| *until > Instant::now())
    }
}
