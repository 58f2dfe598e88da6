//! Whether replication throttles (KIP-73) bound this replica.

use super::Replica;

impl Replica {
    /// Whether what it sends to followers counts.
    pub fn is_throttled_leader(&self) -> bool {
        let settings = self.settings.load();
        settings.leader_throttled.include(self.id.partition, self.me)
    }

    /// Whether what it fetches counts.
    pub fn is_throttled_follower(&self) -> bool {
        let settings = self.settings.load();
        settings.follower_throttled.include(self.id.partition, self.me)
    }

    /// Whether it is in sync itself: then it never waits.
    pub fn is_in_sync(&self) -> bool {
        self.inner.lock().state.is_in_sync(self.me)
    }
}
