//! Bounds on how fast bytes flow.

mod bucket;
mod throttle;

pub use bucket::Bucket;
pub use throttle::{Throttle, Throttles};
