//! The log below a coordinator shard: a partition that this broker leads.

use super::machine::{Record, Replayed};
use crate::types::{ErrorCode, LeaderEpoch, Now, Offset};
use futures_util::future::BoxFuture;

/// One partition of `__consumer_offsets`, `__transaction_state` …, under one leader epoch after another.
pub trait ShardLog: Send + Sync + 'static {
    /// Appends all `records`, or none, if this broker leads under `epoch`. Returns the log end after them.
    ///
    /// An error says that nothing was appended, with one exception: after `KafkaStorageError` and
    /// `UnknownServerError` that is not known, and the shard loads again.
    fn append(&self, records: Vec<Record>, epoch: LeaderEpoch, now: Now) -> Result<Offset, ErrorCode>;

    /// Hands everything from the log start to the log end to `replay`, in order, and returns that end.
    /// Blocks for as long as reading takes; gives up with `NotLeaderOrFollower` when `epoch` is over.
    fn load(&self, epoch: LeaderEpoch, replay: &mut dyn FnMut(Replayed)) -> Result<Offset, ErrorCode>;

    /// Waits until the high watermark is at or past `end` under the same `epoch`; fails as soon as the epoch is over.
    fn committed(&self, end: Offset, epoch: LeaderEpoch) -> BoxFuture<'static, Result<(), ErrorCode>>;
}
