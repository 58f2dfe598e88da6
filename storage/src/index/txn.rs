//! Which aborted transactions a read_committed fetch must be told.

use super::AbortedTxn;

/// What one segment contributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aborted {
    pub txns: Vec<AbortedTxn>,
    /// No later segment can add anything for this fetch.
    pub complete: bool,
}

/// The transactions of one segment's `.txnindex` that overlap the fetched offsets `from..below`.
///
/// A transaction aborted after the last stable offset had passed `below` began after it, and so did all that follow.
pub fn collect_aborted(entries: &[AbortedTxn], from: i64, below: i64) -> Aborted {
    let mut found = Aborted::default();
    for txn in entries {
        if txn.last_offset >= from && txn.first_offset < below {
            found.txns.push(*txn);
        }
        if txn.last_stable_offset >= below {
            found.complete = true;
            break;
        }
    }
    found
}
