//! What one reader waits at for many partitions: it hears which of them have something new. Some of what is new is worth
//! waking it, some only worth a look when it comes by.

use std::collections::BTreeSet;
use storage::sync::Mutex;
use tokio::sync::Notify;

/// Rung by partitions, each under a number that the reader gave it.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<Rung>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Rung {
    numbers: BTreeSet<usize>,
    /// One of them is worth waking for.
    is_loud: bool,
}

impl Bell {
    /// The partition of this number has something new. Rung again before it was heard, it is heard once.
    pub fn ring(&self, number: usize) {
        let mut rung = self.rung.lock();
        rung.numbers.insert(number);
        rung.is_loud = true;
        drop(rung);
        self.notify.notify_one();
    }

    /// The partition of this number has changed; that is heard with the next that rings, or is taken.
    pub fn note(&self, number: usize) {
        self.rung.lock().numbers.insert(number);
    }

    /// Waits until it is rung.
    pub async fn heard(&self) {
        while !self.rung.lock().is_loud {
            self.notify.notified().await;
        }
    }

    /// The numbers of all partitions that have rung, or were noted, since the last call.
    pub fn take(&self) -> BTreeSet<usize> {
        std::mem::take(&mut *self.rung.lock()).numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn who_rang_is_heard_once() {
        let bell = Bell::default();
        let heard = || bell.heard().now_or_never().map(|()| Vec::from_iter(bell.take()));
        assert_eq!(heard(), None);
        [7, 3, 7].into_iter().for_each(|number| bell.ring(number));
        assert_eq!(heard(), Some(vec![3, 7]));
        assert_eq!(heard(), None);
    }

    #[test]
    fn what_is_noted_is_heard_with_what_rings() {
        let bell = Bell::default();
        bell.note(5);
        assert_eq!(bell.heard().now_or_never(), None);
        bell.ring(7);
        assert_eq!(bell.heard().now_or_never(), Some(()));
        assert_eq!(Vec::from_iter(bell.take()), [5, 7]);
        bell.note(5);
        assert_eq!(Vec::from_iter(bell.take()), [5]);
    }
}
