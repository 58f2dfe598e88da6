//! Giving up records that the leader does not have, in an order that a crash may interrupt anywhere.
//!
//! ```text
//!   recovery point in the checkpoint lowered ─► log cut ─► recovery point that of the cut log ─► appended to
//! ```
//! A checkpoint that vouched for more than the log has would vouch for what is appended there next, before it is synced.

use super::checkpoint;
use super::replica::{Asked, Cut, Replica};
use super::table::Table;
use crate::types::{ErrorCode, LeaderEpoch, Now, Offset};
use storage::checkpoint::OffsetFile;

/// Cuts a follower's log where its leader says that it diverges: behind the end of `epoch`. Returns the
/// log end. Where the follower does not know that epoch, it may take some rounds to find the last one that both have.
/// Blocks.
pub fn truncate_by_epoch(
    table: &Table,
    replica: &Replica,
    asked: Asked,
    (epoch, end): (LeaderEpoch, Offset),
    now: Now,
) -> Result<Offset, ErrorCode> {
    cut(table, replica, asked, Cut::ByEpoch { epoch, end }, now)
}

/// Drops all of a follower's log, which goes on at `offset`: the leader's log begins behind its end. Blocks.
pub fn restart_at(
    table: &Table,
    replica: &Replica,
    asked: Asked,
    offset: Offset,
    now: Now,
) -> Result<Offset, ErrorCode> {
    cut(table, replica, asked, Cut::RestartAt(offset), now)
}

fn cut(table: &Table, replica: &Replica, asked: Asked, cut: Cut, now: Now) -> Result<Offset, ErrorCode> {
    if !replica.prepare_cut(asked, cut)? {
        return Ok(replica.marks().log_end);
    }
    lower(table, replica)?;
    let log_end = replica.cut(asked, cut, now)?;
    lower(table, replica)?;
    Ok(log_end)
}

/// A directory whose checkpoint cannot be lowered is not to be used.
fn lower(table: &Table, replica: &Replica) -> Result<(), ErrorCode> {
    checkpoint::write(table, replica.dir(), &[OffsetFile::RecoveryPoint]).map_err(|error| {
        replica.dir().fail(&error);
        ErrorCode::KafkaStorageError
    })
}
