//! fsync, off the hot path: on threads that may block, one at a time for each partition.

use super::replica::Replica;
use std::sync::Arc;

/// Syncs `replica` soon. To be called by whom [`Replica::ask_flush`] told to.
pub(super) fn flush_soon(replica: Arc<Replica>) {
    tokio::task::spawn_blocking(move || replica.flush());
}
