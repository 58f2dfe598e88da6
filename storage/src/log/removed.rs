//! Files taken out of the log: renamed at once, unlinked when no reader can still be about to open them.

use std::io;

use crate::segment::Segment;
use crate::segment::directory::{Directory, if_exists};
use crate::segment::names::DELETED;
use crate::time::{Mono, Now};

use super::writer::LogWriter;

/// Names to unlink, and when.
#[derive(Debug)]
pub(super) struct Removed {
    names: Vec<String>,
    due: Mono,
}

impl LogWriter {
    /// Unlinks what was removed `file.delete.delay.ms` ago or earlier.
    pub fn delete_old_files(&mut self, now: Now) -> io::Result<()> {
        let due = |removed: &Removed| removed.due <= now.mono;
        for old in self.removed.iter().filter(|r| due(r)) {
            for name in &old.names {
                if_exists(self.shared.dir.remove_file(name))?;
            }
        }
        self.removed.retain(|r| !due(r));
        Ok(())
    }

    /// When files are next to be unlinked.
    pub fn next_deletion(&self) -> Option<Mono> {
        self.removed.iter().map(|removed| removed.due).min()
    }

    /// Takes the files of `segment`, already out of the list of segments, out of the way of a successor of the same name.
    pub(super) fn remove_files(&mut self, segment: &Segment, now: Now) -> io::Result<()> {
        segment.set_gone();
        let delay = std::time::Duration::from_millis(self.config.file_delete_delay_ms);
        let mut removed = Removed { names: Vec::new(), due: now.mono.plus(delay) };
        for name in segment.file_names() {
            removed.names.extend(move_away(segment.dir(), &name)?);
        }
        self.removed.push(removed);
        self.pending.names_changed();
        Ok(())
    }
}

/// The name that a file is unlinked under; `None` if there is none.
fn move_away(dir: &Directory, name: &str) -> io::Result<Option<String>> {
    let to = format!("{name}{DELETED}");
    Ok(if_exists(dir.rename_file(name, &to))?.map(|()| to))
}
