//! A partition of this broker as the log of a coordinator's shard.

use super::log::ShardLog;
use super::machine::{Record, Replayed};
use crate::partition::replica::Replica;
use crate::types::{ErrorCode, LeaderEpoch, Now, Offset};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use std::sync::Arc;
use storage::batch::{BatchBuilder, EndTxn, Outcome, RawBatch, batches, records};
use storage::compress::Compression;

/// Read at once while loading.
const CHUNK_BYTES: u64 = 1 << 20;
/// What the records of one batch of a coordinator may decompress to.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// Lets a shard append to, read and wait for a replica.
pub struct ReplicaLog(pub Arc<Replica>);

impl ShardLog for ReplicaLog {
    fn append(&self, records: Vec<Record>, epoch: LeaderEpoch, now: Now) -> Result<Offset, ErrorCode> {
        let mut batch = BatchBuilder::new(Compression::NONE);
        for record in &records {
            batch.push(now.wall.0, Some(&record.key), record.value.as_deref(), &[]);
        }
        let batch = batch.finish().map_err(|_| ErrorCode::RecordListTooLarge)?;
        self.0.append_own(batch, epoch, now)
    }

    fn load(&self, epoch: LeaderEpoch, replay: &mut dyn FnMut(Replayed)) -> Result<Offset, ErrorCode> {
        let mut next = self.0.marks().log_start;
        loop {
            let marks = self.0.marks();
            if !marks.leads || marks.leader_epoch != epoch {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            if next >= marks.log_end {
                return Ok(next);
            }
            next = self.replay_chunk(next, marks.log_end, replay)?;
        }
    }

    fn committed(&self, end: Offset, epoch: LeaderEpoch) -> BoxFuture<'static, Result<(), ErrorCode>> {
        self.0.progress().clone().committed(end, epoch).boxed()
    }
}

impl ReplicaLog {
    /// Replays some batches from `from` on; returns where to go on.
    fn replay_chunk(
        &self,
        from: Offset,
        end: Offset,
        replay: &mut dyn FnMut(Replayed),
    ) -> Result<Offset, ErrorCode> {
        let Some(slice) = self.0.read_own(from, end, CHUNK_BYTES)? else { return Ok(end) };
        let bytes = Bytes::from(slice.read().map_err(|_| ErrorCode::KafkaStorageError)?);
        let mut next = from;
        for batch in batches(&bytes) {
            let batch = batch.map_err(|_| ErrorCode::CorruptMessage)?;
            replay_batch(&batch, replay).map_err(|error| {
                tracing::error!(partition = %self.0.name(), %error, "a coordinator's records cannot be read");
                ErrorCode::CorruptMessage
            })?;
            next = batch.header.next_offset();
        }
        // Without progress loading would never end.
        if next > from { Ok(next) } else { Err(ErrorCode::CorruptMessage) }
    }
}

fn replay_batch(
    batch: &RawBatch,
    replay: &mut dyn FnMut(Replayed),
) -> Result<(), storage::batch::RecordError> {
    let producer_id = match batch.header.attributes.is_transactional() {
        true => batch.header.producer_id,
        false => -1,
    };
    let is_control = batch.header.attributes.is_control();
    for record in &records(batch, MAX_BATCH_BYTES)? {
        let record = record?;
        if is_control {
            if let Some(EndTxn { outcome, .. }) = EndTxn::parse(&record) {
                replay(Replayed::Marker { producer_id, committed: outcome == Outcome::Commit });
            }
        } else if let Some(key) = record.key {
            let value = record.value.map(Bytes::copy_from_slice);
            replay(Replayed::Record {
                producer_id,
                record: Record { key: Bytes::copy_from_slice(key), value },
            });
        }
    }
    Ok(())
}
