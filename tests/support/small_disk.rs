//! Disks that a test can fill.

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

const OPTIONS: &std::ffi::CStr = c"size=128m";
/// Bytes of the last pieces that a disk is filled with: it gives room by pages.
const PAGE: usize = 4096;
const PIECE: usize = 256 * PAGE;

/// A file system of its own, in memory, for as long as this lives.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Only root may, and not in every container.
    pub fn mount(at: PathBuf) -> io::Result<SmallDisk> {
        std::fs::create_dir_all(&at)?;
        mount("tmpfs", at.as_path(), "tmpfs", MountFlags::empty(), OPTIONS)?;
        Ok(SmallDisk { at })
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for size in [PIECE, PAGE] {
            let full = std::iter::repeat_with(|| ballast.write_all(&vec![0; size])).find_map(Result::err);
            assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::StorageFull));
        }
    }

    /// Gives it back.
    pub fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has it open keeps it to the end.
        if let Err(error) = unmount(self.at.as_path(), UnmountFlags::DETACH) {
            eprintln!("{}: not unmounted: {error}", self.at.display());
        }
    }
}
