//! Two clocks that do not convert into each other.

use std::time::Duration;

/// Milliseconds on a clock that never goes back: sessions, deadlines, lag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

/// Milliseconds since the Unix epoch: what is written into records or compared with them. May step both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub i64);

/// One reading of both clocks, taken at the edge and passed inwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub mono: Mono,
    pub wall: Wall,
}

impl Mono {
    /// The instant `after` from here.
    pub fn plus(self, after: Duration) -> Mono {
        Mono(self.0.saturating_add(after.as_millis() as u64))
    }

    /// Time passed since `earlier`; zero if `earlier` lies ahead.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
