//! Which partitions want somebody's attention. A broker may have tens of thousands that rest: those are not walked over for
//! what there is to do for a few.
//!
//! ```text
//!   partition, under its lock:   change ─► on the list already? no ─► list
//!   whoever attends:             list ─► off the list ─► partition, under its lock: look
//! ```
//! In these orders nothing is missed: what changes before the look is seen by it, what changes after it is on the next list.

use crate::types::TopicPartition;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::sync::{AtomicU8, Mutex};

/// Who attends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// To what was appended, synced or removed, to watermarks that moved, and to new roles and settings.
    Keeper,
    /// To followers that are behind and in the ISR, or waited for.
    IsrKeeper,
    /// To logs that have failed.
    Reconciler,
}

const ATTENDANTS: usize = 3;

/// The lists of one broker.
#[derive(Debug, Default)]
pub struct Restless([Mutex<Vec<TopicPartition>>; ATTENDANTS]);

impl Restless {
    /// The list as it is, which stays.
    pub fn list(&self, by: By) -> Vec<TopicPartition> {
        self.0[by as usize].lock().clone()
    }

    /// Takes the list. Each partition on it is to be told by [`Stir::attended`] before it is looked at.
    pub fn take(&self, by: By) -> Vec<TopicPartition> {
        std::mem::take(&mut *self.0[by as usize].lock())
    }
}

/// What one partition stirs with.
#[derive(Debug)]
pub struct Stir {
    id: TopicPartition,
    /// A bit for each list that it is on.
    listed: AtomicU8,
    restless: Arc<Restless>,
}

impl Stir {
    pub fn new(id: TopicPartition, restless: Arc<Restless>) -> Stir {
        Stir { id, listed: AtomicU8::new(0), restless }
    }

    pub fn id(&self) -> TopicPartition {
        self.id
    }

    /// Under the partition's lock, a list that was taken before that lock was is known to be taken here.
    pub fn is_listed(&self, by: By) -> bool {
        self.listed.load(Ordering::Relaxed) & bit(by) != 0
    }

    pub fn stir(&self, by: By) {
        if !self.is_listed(by) && self.listed.fetch_or(bit(by), Ordering::AcqRel) & bit(by) == 0 {
            self.restless.0[by as usize].lock().push(self.id);
        }
    }

    /// Its list was taken.
    pub fn attended(&self, by: By) {
        self.listed.fetch_and(!bit(by), Ordering::AcqRel);
    }
}

fn bit(by: By) -> u8 {
    1 << by as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    #[test]
    fn who_stirs_is_on_the_list_once_until_it_is_attended_to() {
        let restless = Arc::<Restless>::default();
        let id = TopicPartition { topic: Uuid::from_u128(1), partition: 7 };
        let one = Stir::new(id, restless.clone());
        one.stir(By::Keeper);
        one.stir(By::Keeper);
        assert_eq!(restless.list(By::IsrKeeper), []);
        assert_eq!(restless.take(By::Keeper), [id]);
        one.stir(By::Keeper);
        assert_eq!(restless.list(By::Keeper), [], "it was not told");
        one.attended(By::Keeper);
        one.stir(By::Keeper);
        assert_eq!(restless.take(By::Keeper), [id]);
    }
}
