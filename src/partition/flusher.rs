//! fsync, off the hot path: on threads that may block, one at a time for each partition.

use super::replica::Replica;
use crate::seam;
use std::sync::Arc;

/// Syncs `replica` soon. To be called by whom [`Replica::ask_flush`] told to.
pub(super) fn flush_soon(replica: Arc<Replica>) {
    seam::blocking(move || replica.flush());
}
