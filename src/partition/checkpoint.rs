//! The offset checkpoints of the log directories. One at a time writes them, and remembers what they hold.
//!
//! A row speaks of a log by its name only. So the rows of a log that goes are struck before another of that name begins.

use super::replica::{Marked, Replica};
use super::table::Table;
use crate::types::{Offset, Uuid};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use storage::checkpoint::{CheckpointError, OffsetFile, Offsets};
use storage::dirs::{DirHandle, PartitionName};

/// The checkpoints that speak of open logs.
pub const ALL: &[OffsetFile] = &[OffsetFile::RecoveryPoint, OffsetFile::HighWatermark, OffsetFile::LogStart];

/// What the files hold, as far as they have been read or written.
#[derive(Debug, Default)]
pub(super) struct Written(HashMap<(Uuid, &'static str), Offsets>);

impl Written {
    /// What is on disk. A file that makes no sense has no rows that anybody would believe.
    fn known(&mut self, dir: &DirHandle, file: OffsetFile) -> io::Result<Offsets> {
        let key = (dir.id(), file.name());
        if let Some(offsets) = self.0.get(&key) {
            return Ok(offsets.clone());
        }
        let offsets = match dir.read_offsets(file) {
            Ok(offsets) => offsets,
            Err(CheckpointError::Io(error)) => return Err(error),
            Err(_) => Offsets::new(),
        };
        self.0.insert(key, offsets.clone());
        Ok(offsets)
    }

    /// Makes the file hold `offsets`, if it does not. What a write that fails leaves is not known.
    fn replace(&mut self, dir: &DirHandle, file: OffsetFile, offsets: Offsets) -> io::Result<()> {
        if self.known(dir, file)? == offsets {
            return Ok(());
        }
        let key = (dir.id(), file.name());
        self.0.remove(&key);
        dir.write_offsets(file, &offsets)?;
        self.0.insert(key, offsets);
        Ok(())
    }
}

/// Makes `files` of `dir` say what its logs say. Blocks.
pub fn write(table: &Table, dir: &DirHandle, files: &[OffsetFile]) -> io::Result<()> {
    let mut written = table.checkpointing();
    files.iter().try_for_each(|file| written.replace(dir, *file, offsets_of(table, dir, *file)))
}

/// Makes the log starts of these partitions durable, so that they may be told to their leaders. What cannot be written is not
/// told. Blocks.
pub fn write_starts(table: &Table, replicas: &[Arc<Replica>]) {
    let starts: Vec<_> = replicas.iter().map(|replica| (replica, replica.marks().log_start)).collect();
    let dirs: HashMap<Uuid, &Arc<DirHandle>> =
        replicas.iter().map(|replica| (replica.dir().id(), replica.dir())).collect();
    for (id, dir) in dirs {
        match write(table, dir, &[OffsetFile::LogStart]) {
            Ok(()) => {
                let written = starts.iter().filter(|(replica, _)| replica.dir().id() == id);
                written.for_each(|(replica, start)| replica.start_written(*start));
            }
            Err(error) => _ = dir.judge(&error),
        }
    }
}

/// Takes the rows of `names` out of all checkpoints of `dir`. Their logs are no longer in the table. Blocks.
pub(super) fn strike(table: &Table, dir: &DirHandle, names: &BTreeSet<PartitionName>) -> io::Result<()> {
    let mut written = table.checkpointing();
    for file in ALL {
        let mut offsets = written.known(dir, *file)?;
        offsets.retain(|name, _| !names.contains(name));
        written.replace(dir, *file, offsets)?;
    }
    Ok(())
}

/// All partitions of `dir`. Of one that could not be opened, what was known before.
fn offsets_of(table: &Table, dir: &DirHandle, file: OffsetFile) -> Offsets {
    let open = table.all().into_iter().filter(|replica| replica.dir().id() == dir.id());
    let open = open.map(|replica| {
        let name = PartitionName { topic: replica.topic().to_string(), partition: replica.id().partition };
        (name, replica.marked())
    });
    let offline = table.offline().into_iter().filter(|offline| offline.dir == dir.id());
    let all = open.chain(offline.map(|offline| (offline.name, offline.marked)));
    all.filter_map(|(name, marked)| Some((name, row(file, marked)?))).collect()
}

fn row(file: OffsetFile, marked: Marked) -> Option<Offset> {
    match file {
        OffsetFile::RecoveryPoint => Some(marked.recovery_point),
        OffsetFile::HighWatermark => Some(marked.high_watermark),
        OffsetFile::LogStart => (marked.log_start > 0).then_some(marked.log_start),
        OffsetFile::Cleaner => None,
    }
}
