//! `partition.metadata` in a partition directory: which topic, by id, the directory belongs to.

use std::io;
use std::path::Path;

use uuid::Uuid;

use super::{CheckpointError, Lines};
use crate::disk::{Disk, replace_file};
use crate::kafka_uuid;

const NAME: &str = "partition.metadata";

/// The topic's id; `None` if there is no file.
pub fn read_topic_id(disk: &dyn Disk, partition_dir: &Path) -> Result<Option<Uuid>, CheckpointError> {
    let Some(lines) = Lines::read(disk, &partition_dir.join(NAME))? else { return Ok(None) };
    let (mut version, mut id) = (None, None);
    for (line, text) in lines.all() {
        match text.split_once(": ") {
            Some(("version", "0")) => version = Some(0),
            Some(("version", other)) => {
                return Err(lines.bad(line, format!("version {other:?} is not known")));
            }
            Some(("topic_id", text)) => {
                id = Some(
                    kafka_uuid::decode(text)
                        .ok_or_else(|| lines.bad(line, format!("{text:?} is no topic id")))?,
                );
            }
            _ => return Err(lines.bad(line, format!("{text:?} is neither version nor topic_id"))),
        }
    }
    match (version, id) {
        (Some(_), Some(id)) => Ok(Some(id)),
        _ => Err(lines.bad(1, "version or topic_id is missing")),
    }
}

/// Replaces the file.
pub fn write_topic_id(disk: &dyn Disk, partition_dir: &Path, id: Uuid) -> io::Result<()> {
    let text = format!("version: 0\ntopic_id: {}", kafka_uuid::encode(id));
    replace_file(disk, &partition_dir.join(NAME), text.as_bytes())
}
