//! Leaders that have just fallen silent, before the controller has decided what becomes of their partitions.
//!
//! Clients whose leader dies ask at once who leads now, before anyone has decided. Told the dead one's name once more, most stay
//! with it for a second.

use crate::types::BrokerId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// For so long this broker's own eyes count for more than the metadata. Later it may be this broker that is cut off.
const DOUBT: Duration = Duration::from_secs(1);
/// For so long a leader counts as gone only lately.
const LATELY: Duration = Duration::from_secs(4);

/// What the fetchers of this broker see of leaders.
#[derive(Debug, Default)]
pub struct Contact {
    lost: Mutex<HashMap<BrokerId, Instant>>,
    found: Notify,
}

impl Contact {
    /// A leader that answered does so no more.
    pub fn lose(&self, leader: BrokerId) {
        self.lost.lock().insert(leader, Instant::now());
    }

    /// It answers.
    pub fn find(&self, leader: BrokerId) {
        self.lost.lock().remove(&leader);
        self.found.notify_waiters();
    }

    /// Ends when a leader answers again, from this call on.
    pub fn found(&self) -> impl Future<Output = ()> {
        self.found.notified()
    }

    /// The leaders that answered until a moment ago.
    pub fn lost(&self) -> Vec<BrokerId> {
        self.lost_within(DOUBT)
    }

    /// Those, and some that have been gone for longer.
    pub fn lately_lost(&self) -> Vec<BrokerId> {
        self.lost_within(LATELY)
    }

    fn lost_within(&self, time: Duration) -> Vec<BrokerId> {
        let lost = self.lost.lock();
        lost.iter().filter(|(_, since)| since.elapsed() < time).map(|(leader, _)| *leader).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_lost_until_it_answers_or_the_doubt_is_over() {
        let contact = Contact::default();
        assert!(contact.lost().is_empty());
        contact.lose(1);
        contact.lose(2);
        let found = contact.found();
        contact.find(2);
        assert_eq!(found.now_or_never(), Some(()));
        assert_eq!(contact.lost(), [1]);
        tokio::time::advance(DOUBT).await;
        assert!(contact.lost().is_empty(), "it may be this broker that is cut off");
        assert_eq!(contact.lately_lost(), [1]);
        tokio::time::advance(LATELY - DOUBT).await;
        assert!(contact.lately_lost().is_empty());
        contact.lose(1);
        assert_eq!(contact.lost(), [1], "once more");
    }
}
