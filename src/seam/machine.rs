//! The machine that a node runs on.

use std::sync::Arc;
use storage::disk::{Disk, RealDisk};

/// The kernel's id of the running boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The file systems of this machine.
pub fn disk() -> Arc<dyn Disk> {
    #[cfg(feature = "simulation")]
    if let Some(host) = super::simulation::host() {
        return host.disk();
    }
    Arc::new(RealDisk)
}

/// Names the time since the machine was switched on; empty if it has no name.
pub fn boot_id() -> String {
    #[cfg(feature = "simulation")]
    if let Some(host) = super::simulation::host() {
        return host.boot_id();
    }
    std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}
