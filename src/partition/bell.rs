//! What one reader waits at for many partitions: it hears which of them have something new.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use tokio::sync::Notify;

/// Rung by partitions, each under a number that the reader gave it.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<BTreeSet<usize>>,
    notify: Notify,
}

impl Bell {
    /// The partition of this number has something new. Rung again before it was heard, it is heard once.
    pub fn ring(&self, number: usize) {
        self.rung.lock().insert(number);
        self.notify.notify_one();
    }

    /// Waits until it is rung; the numbers of all partitions that did.
    pub async fn heard(&self) -> BTreeSet<usize> {
        loop {
            let rung = std::mem::take(&mut *self.rung.lock());
            if !rung.is_empty() {
                return rung;
            }
            self.notify.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn who_rang_is_heard_once() {
        let bell = Bell::default();
        let heard = || bell.heard().now_or_never().map(Vec::from_iter);
        assert_eq!(heard(), None);
        [7, 3, 7].into_iter().for_each(|number| bell.ring(number));
        assert_eq!(heard(), Some(vec![3, 7]));
        assert_eq!(heard(), None);
    }
}
