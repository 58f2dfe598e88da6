//! Kafka's small text files: offsets per partition, leader epochs, a partition's topic id, a directory's identity.
//!
//! All are replaced whole and atomically. Reading is bounded, and what cannot be is refused with file and line.

mod epochs;
mod meta;
mod offsets;
mod partition;

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use crate::disk::{Disk, Open};

pub use epochs::{read_epochs, write_epochs};
pub use meta::{CleanShutdown, MetaProperties};
pub use offsets::{OffsetFile, Offsets};
pub use partition::{read_topic_id, write_topic_id};

/// Longest file that is read, in bytes: a hundred times what 4,000 partitions need.
const MAX_LEN: u64 = 64 << 20;

/// Why a small file could not be read.
#[derive(Debug, Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{}, line {line}: {what}", path.display())]
    Malformed { path: PathBuf, line: usize, what: String },
    #[error("{}: {len} bytes are too many for such a file", path.display())]
    TooLong { path: PathBuf, len: u64 },
}

/// The lines of a small file, each known by its number.
struct Lines {
    path: PathBuf,
    text: String,
}

impl Lines {
    /// `None` if there is no such file.
    fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Lines>, CheckpointError> {
        let file = match disk.open(path, Open::Read) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let len = file.len()?;
        if len > MAX_LEN {
            return Err(CheckpointError::TooLong { path: path.to_owned(), len });
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let (path, text) = (path.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        Ok(Some(Lines { path, text }))
    }

    /// Lines with their numbers, from 1.
    fn all(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    fn bad(&self, line: usize, what: impl Into<String>) -> CheckpointError {
        CheckpointError::Malformed { path: self.path.clone(), line, what: what.into() }
    }

    fn number<T: FromStr>(&self, line: usize, what: &str, text: &str) -> Result<T, CheckpointError> {
        text.trim().parse().map_err(|_| self.bad(line, format!("{what} {text:?} is not a number in range")))
    }

    /// The rows of a checkpoint: version 0, their count, then one a line. An empty file (Kafka makes such) has none.
    fn rows(&self) -> Result<Vec<(usize, &str)>, CheckpointError> {
        let mut lines = self.all();
        let Some((line, version)) = lines.next() else { return Ok(Vec::new()) };
        if version.trim() != "0" {
            return Err(self.bad(line, format!("version {version:?} is not known")));
        }
        let (line, count) = lines.next().ok_or_else(|| self.bad(2, "the count of entries is missing"))?;
        let count: usize = self.number(line, "count", count)?;
        let rows: Vec<_> = lines.collect();
        if rows.len() != count {
            return Err(self.bad(line, format!("{count} entries announced, {} there", rows.len())));
        }
        Ok(rows)
    }

    /// Splits a row into `N` words.
    fn words<'a, const N: usize>(
        &self,
        (line, row): (usize, &'a str),
    ) -> Result<[&'a str; N], CheckpointError> {
        let words: Vec<&str> = row.split_ascii_whitespace().collect();
        words.try_into().map_err(|_| self.bad(line, format!("{row:?} is not {N} fields")))
    }

    /// A number that cannot be negative: an offset, an epoch, a partition.
    fn natural<T: FromStr + PartialOrd + Default>(
        &self,
        line: usize,
        what: &str,
        text: &str,
    ) -> Result<T, CheckpointError> {
        let number = self.number(line, what, text)?;
        if number < T::default() {
            Err(self.bad(line, format!("{what} {text} is negative")))
        } else {
            Ok(number)
        }
    }
}

/// The text of a checkpoint: the other end of [`Lines::rows`].
fn table(rows: Vec<String>) -> String {
    let mut text = format!("0\n{}\n", rows.len());
    rows.iter().for_each(|row| text.extend([row.as_str(), "\n"]));
    text
}
