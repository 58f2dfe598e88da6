//! The cluster's metadata: what the log says (`change`), what it adds up to (`image`), what comes next
//! (`controller`), and the live handle over them (`metadata`).
//!
//! ```text
//!  Command ──► controller (pure) ──► Entry of Changes ──► raft ──► Image ──► readers, reconcilers
//!      ▲           ▲ scratch image                                  │
//!      │           └──────────────── rebuilt from ◄─────────────────┘
//!      └── forwarded by every node to the one that leads the quorum
//! ```

mod balance;
pub mod change;
pub mod controller;
mod forward;
#[cfg(test)]
mod golden;
pub mod image;
#[cfg(test)]
mod live;
pub mod liveness;
mod machine;
mod metadata;
mod office;
mod round;

pub use balance::keep_balanced;
pub use change::{Change, Entry};
pub use forward::{Alone, Unsent, Way};
pub use image::Image;
pub use machine::{Images, MetadataMachine};
pub use metadata::Metadata;
pub use office::Seat;
