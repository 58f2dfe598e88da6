//! Log lines about what strangers do, so few that a flood of bad clients is no flood of the log.

use std::fmt::Display;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;

const WINDOW: Duration = Duration::from_secs(10);
const LINES: u32 = 10;

/// Lets through [`LINES`] warnings per [`WINDOW`] and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    said: u32,
    swallowed: u32,
}

impl Quiet {
    pub fn warn(&self, line: impl Display) {
        let Some(swallowed) = self.state.lock().admit(Instant::now()) else {
            return;
        };
        if swallowed > 0 {
            warn!("{swallowed} warnings about connections were left out");
        }
        warn!("{line}");
    }
}

impl State {
    /// Whether a line may be said now, and how many were not since the last window.
    fn admit(&mut self, now: Instant) -> Option<u32> {
        let mut swallowed = 0;
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            swallowed = self.swallowed;
            *self = State { since: Some(now), said: 0, swallowed: 0 };
        }
        if self.said == LINES {
            self.swallowed += 1;
            return None;
        }
        self.said += 1;
        Some(swallowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_a_few_lines_and_then_how_many_it_left_out() {
        let start = Instant::now();
        let mut state = State::default();
        let said = (0..100).filter(|_| state.admit(start).is_some()).count();
        assert_eq!(said, LINES as usize);
        assert_eq!(state.admit(start + WINDOW), Some(100 - LINES));
        assert_eq!(state.admit(start + WINDOW), Some(0));
    }
}
