//! Steps that leave either the old or the new state behind, wherever the power goes.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use super::{Disk, Open};

/// Replaces the file at `path`:
///
/// ```text
///   write path.tmp ─▶ sync it ─▶ rename to path ─▶ sync the directory
/// ```
///
/// A `.tmp` left behind by a crash is overwritten the next time. One caller per path at a time.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let tmp = with_suffix(path, ".tmp");
    let written = write_synced(disk, &tmp, bytes).and_then(|()| disk.rename(&tmp, path));
    if written.is_err() {
        // A full disk gets its bytes back; what matters is the error at hand.
        let _ = disk.remove(&tmp);
    }
    written.and_then(|()| disk.sync_dir(parent(path)))
}

/// Makes `dir` and what is missing above it, each name durable.
pub fn create_dir_durably(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let missing = dir.ancestors().take_while(|at| !at.as_os_str().is_empty() && !disk.has_dir(at)).count();
    disk.create_dir(dir)?;
    dir.ancestors().take(missing).try_for_each(|made| disk.sync_dir(parent(made)))
}

/// Removes a name for good: after a crash it is not there again.
pub fn remove_durably(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.remove(path)?;
    disk.sync_dir(parent(path))
}

/// The directory that holds `path`.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_synced(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(path, Open::Create)?;
    file.set_len(0)?;
    file.write_at(&[IoSlice::new(bytes)], 0)?;
    file.sync()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
