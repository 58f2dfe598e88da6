//! Offset checkpoints of a log directory, a line per partition in it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::{CheckpointError, Lines, table};
use crate::dirs::PartitionName;
use crate::disk::{Disk, replace_file};

/// An offset per partition of a directory.
pub type Offsets = BTreeMap<PartitionName, i64>;

/// Which offsets a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetFile {
    /// Up to where a log was synced: recovery checks what lies beyond.
    RecoveryPoint,
    /// The high watermark.
    HighWatermark,
    /// The log start where it is not a segment's start: else deleted records would come back.
    LogStart,
    /// Up to where a log was compacted.
    Cleaner,
}

impl OffsetFile {
    pub fn name(self) -> &'static str {
        match self {
            OffsetFile::RecoveryPoint => "recovery-point-offset-checkpoint",
            OffsetFile::HighWatermark => "replication-offset-checkpoint",
            OffsetFile::LogStart => "log-start-offset-checkpoint",
            OffsetFile::Cleaner => "cleaner-offset-checkpoint",
        }
    }

    /// The offsets in the file; none if there is no file.
    pub fn read(self, disk: &dyn Disk, dir: &Path) -> Result<Offsets, CheckpointError> {
        let Some(lines) = Lines::read(disk, &dir.join(self.name()))? else { return Ok(Offsets::new()) };
        let mut offsets = Offsets::new();
        for row in lines.rows()? {
            let [topic, partition, offset] = lines.words(row)?;
            let partition = lines.natural(row.0, "partition", partition)?;
            let name = PartitionName { topic: topic.to_owned(), partition };
            if offsets.insert(name, lines.natural(row.0, "offset", offset)?).is_some() {
                return Err(lines.bad(row.0, format!("{topic}-{partition} appears twice")));
            }
        }
        Ok(offsets)
    }

    /// Replaces the file.
    pub fn write(self, disk: &dyn Disk, dir: &Path, offsets: &Offsets) -> io::Result<()> {
        let row = |(at, offset): (&PartitionName, &i64)| format!("{} {} {offset}", at.topic, at.partition);
        replace_file(disk, &dir.join(self.name()), table(offsets.iter().map(row).collect()).as_bytes())
    }
}
