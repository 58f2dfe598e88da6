//! Following leaders, and keeping the ISRs of the partitions that are led here.
//!
//! ```text
//!   reconciler ── roles ──► Fetchers ──► fetcher, one task per leader ──► Fetch ──► leader
//!                                           └─ appends, cuts
//!   followers' fetches ── wants ──┐
//!   lag, looked at regularly ─────┴──► IsrKeeper ──► AlterPartition ──► controller
//! ```

mod contact;
mod fetcher;
mod fetchers;
mod isr;
mod pause;
mod session;
#[cfg(test)]
mod tests;

pub use contact::Contact;
pub use fetcher::{Leaders, Line};
pub use fetchers::{Fetchers, Settings, Site};
pub use isr::{AlterIsr, Answered, Answers, Inbox, IsrKeeper, Proposals};
