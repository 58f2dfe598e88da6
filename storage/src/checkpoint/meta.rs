//! `meta.properties` and `.kafka_cleanshutdown` in a log directory: whose it is, and how it was left.

use std::io;
use std::path::Path;

use uuid::Uuid;

use super::{CheckpointError, Lines};
use crate::disk::{Disk, remove_durably, replace_file};
use crate::kafka_uuid;

/// The identity of a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    pub node_id: i32,
    /// Absent where Kafka before 3.7 formatted the directory.
    pub directory_id: Option<Uuid>,
    /// Absent until the node has learned its cluster.
    pub cluster_id: Option<String>,
}

impl MetaProperties {
    pub const NAME: &str = "meta.properties";

    /// `None` if there is no file: the directory is not formatted.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<MetaProperties>, CheckpointError> {
        let Some(lines) = Lines::read(disk, &dir.join(Self::NAME))? else { return Ok(None) };
        let (mut version, mut node_id, mut directory_id, mut cluster_id) = (None, None, None, None);
        for (line, text) in lines.all() {
            let Some((key, value)) = property(text) else { continue };
            match key {
                "version" => version = Some((line, value)),
                "node.id" => node_id = Some(lines.natural(line, "node.id", &value)?),
                "cluster.id" => cluster_id = Some(value),
                "directory.id" => {
                    let id = kafka_uuid::decode(&value);
                    directory_id =
                        Some(id.ok_or_else(|| lines.bad(line, format!("{value:?} is no directory id")))?);
                }
                _ => {}
            }
        }
        let (line, version) = version.ok_or_else(|| lines.bad(1, "version is missing"))?;
        if version != "1" {
            return Err(lines.bad(line, format!("version {version} is not known")));
        }
        let node_id = node_id.ok_or_else(|| lines.bad(1, "node.id is missing"))?;
        Ok(Some(MetaProperties { node_id, directory_id, cluster_id }))
    }

    /// Replaces the file.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let mut text = format!("version=1\nnode.id={}\n", self.node_id);
        if let Some(id) = self.directory_id {
            text += &format!("directory.id={}\n", kafka_uuid::encode(id));
        }
        if let Some(id) = &self.cluster_id {
            text += &format!("cluster.id={}\n", escaped(id));
        }
        replace_file(disk, &dir.join(Self::NAME), text.as_bytes())
    }
}

/// Key and value of a line of a Java properties file; `None` for comments and blank lines. Values on several lines
/// and `\u` escapes do not occur in these files.
fn property(line: &str) -> Option<(&str, String)> {
    let line = line.trim();
    let (key, value) = line.split_once(['=', ':']).filter(|_| !line.starts_with(['#', '!']))?;
    let mut backslash = false;
    let mut unescaped = |c: char| {
        backslash = c == '\\' && !backslash;
        !backslash
    };
    Some((key.trim_end(), value.trim_start().chars().filter(|c| unescaped(*c)).collect()))
}

fn escaped(value: &str) -> String {
    let parts = value.chars().map(|c| if "\\=:#! ".contains(c) { format!("\\{c}") } else { c.to_string() });
    parts.collect()
}

/// The mark that a broker leaves when it has synced and closed all logs of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The incarnation that left it.
    pub broker_epoch: i64,
}

impl CleanShutdown {
    pub const NAME: &str = ".kafka_cleanshutdown";

    /// Takes the mark away for good and returns it. One that cannot be read counts for none: checking a log
    /// without need costs time only.
    pub fn take(disk: &dyn Disk, dir: &Path) -> Result<Option<CleanShutdown>, CheckpointError> {
        let path = dir.join(Self::NAME);
        let Some(lines) = Lines::read(disk, &path)? else { return Ok(None) };
        remove_durably(disk, &path)?;
        Ok(Self::parse(&lines.text))
    }

    pub fn write(self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let text = format!(r#"{{"version":0,"brokerEpoch":{}}}"#, self.broker_epoch);
        replace_file(disk, &dir.join(Self::NAME), text.as_bytes())
    }

    /// A JSON object of numbers: version 0, and the broker's epoch.
    fn parse(text: &str) -> Option<CleanShutdown> {
        let fields = text.trim().strip_prefix('{')?.strip_suffix('}')?.split(',');
        let fields: Option<Vec<(&str, &str)>> = fields.map(|field| field.split_once(':')).collect();
        let fields: Vec<_> = fields?.into_iter().map(|(key, value)| (key.trim(), value.trim())).collect();
        let find = |wanted| fields.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        let broker_epoch = find(r#""brokerEpoch""#)?.parse().ok()?;
        find(r#""version""#).filter(|version| *version == "0").map(|_| CleanShutdown { broker_epoch })
    }
}
