//! The seams to what a simulation replaces: clocks, sockets, the machine and its threads.
//!
//! Without the feature `simulation` each of these is what the system has, and nothing else exists. With it a thread may
//! stand for the machines of a whole cluster (`simulation`); on any other thread all is as ever.

mod clock;
mod machine;
pub mod net;
#[cfg(feature = "simulation")]
pub mod simulation;
mod work;

pub use clock::Clock;
pub use machine::{boot_id, disk};
pub use work::{Thread, blocking, can_block, disk_lane, reading};
