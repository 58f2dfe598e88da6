//! The clocks.

use crate::types::{Mono, Now, Wall};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Reads both clocks. The monotonic one is tokio's, so that a paused runtime also pauses it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic reading starts at zero now.
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    pub fn now(&self) -> Now {
        Now { mono: self.mono(), wall: wall() }
    }

    pub fn mono(&self) -> Mono {
        Mono(self.origin.elapsed().as_millis() as u64)
    }
}

/// The wall clock; readings before 1970 count as 1970.
fn wall() -> Wall {
    #[cfg(feature = "simulation")]
    if let Some(host) = super::simulation::host() {
        return Wall(host.wall_ms());
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(since_epoch.as_millis() as i64)
}
