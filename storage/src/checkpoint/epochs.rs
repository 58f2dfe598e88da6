//! `leader-epoch-checkpoint` in a partition directory.

use std::path::Path;

use super::{CheckpointError, Lines, table};
use crate::disk::{Disk, replace_file};
use crate::epochs::EpochEntry;

const NAME: &str = "leader-epoch-checkpoint";

/// The entries in file order; none if there is no file.
pub fn read_epochs(disk: &dyn Disk, partition_dir: &Path) -> Result<Vec<EpochEntry>, CheckpointError> {
    let Some(lines) = Lines::read(disk, &partition_dir.join(NAME))? else { return Ok(Vec::new()) };
    let entry = |row: (usize, &str)| {
        let [epoch, start] = lines.words(row)?;
        let epoch = lines.natural(row.0, "epoch", epoch)?;
        Ok(EpochEntry { epoch, start_offset: lines.natural(row.0, "start offset", start)? })
    };
    lines.rows()?.into_iter().map(entry).collect()
}

/// Replaces the file.
pub fn write_epochs(disk: &dyn Disk, partition_dir: &Path, entries: &[EpochEntry]) -> std::io::Result<()> {
    let rows = entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start_offset)).collect();
    replace_file(disk, &partition_dir.join(NAME), table(rows).as_bytes())
}
