//! The seam to the file system. Logs, checkpoints and the metadata log see nothing below it.
//!
//! What an implementation must promise, and a fault-injecting one must not exceed:
//! - A write is readable at once, and durable only after [`File::sync`] on that file returned `Ok`.
//! - A created, renamed or removed name is durable only after [`Disk::sync_dir`] on its directory returned `Ok`.
//! - After a failed `sync` nothing may be assumed of that file's unsynced bytes, and it must not be tried again.

mod cached;
mod direct;
mod durable;
mod error;
#[cfg(feature = "testing")]
pub mod fault;
mod patience;
mod real;

pub use direct::MOST as MOST_LOADED;
pub use durable::{create_dir_durably, parent, remove_durably, replace_file};
pub use error::{Verdict, at_path, os_code, out_of_descriptors, verdict};
pub use patience::{is_refused, without_waiting};
pub use real::RealDisk;

use bytes::Bytes;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

/// How [`Disk::open`] treats a file that exists or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Read only; it must exist.
    Read,
    /// Read and write; it must exist.
    Write,
    /// Read and write; made empty if missing.
    Create,
    /// Read and write; it must not exist.
    CreateNew,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub is_dir: bool,
    /// Bytes; 0 for a directory.
    pub len: u64,
}

/// A file system, or the part of it below some directories.
pub trait Disk: Send + Sync + Debug + 'static {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>>;
    /// The names in `dir`, in no promised order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Whether there is such a directory. Where listing it costs more than asking, a disk has a way of its own.
    fn has_dir(&self, dir: &Path) -> bool {
        self.list(dir).is_ok()
    }
    /// Makes `dir` and what is missing above it; no error if it exists.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Atomically gives `from` the name `to`, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file, or a directory with all that is in it.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock file at `path`, made if missing; held until dropped. `WouldBlock` if another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file. Positions are bytes from its start; there is no cursor.
pub trait File: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes; 0 at or past the end.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all of `parts`, one behind the other, from `at`. On an error any prefix may have been written.
    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes all bytes written and the length durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// The first `len` bytes, all of them written before and not cut for as long as the view lives.
    fn map(&self, len: usize) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>>;
    /// For sendfile and read-ahead hints; `None` where the file is not the kernel's.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether `len` bytes from `at` are likely to be read without waiting for a device.
    fn is_cached(&self, _at: u64, _len: usize) -> bool {
        true
    }

    /// Reads them from the device, at most [`MOST_LOADED`]: past the page cache, so that what others need stays there. Without
    /// an answer they are in the page cache now, as far as that was possible: what fails shows when they are read.
    fn load(&self, _at: u64, _len: usize) -> Option<Bytes> {
        None
    }

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `at`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(&mut buf[done..], at + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        Ok(())
    }
}

/// A stretch of an open file, kept readable by holding the file: what a fetch sends.
#[derive(Clone, Debug)]
pub struct FileSlice {
    pub file: Arc<dyn File>,
    /// Byte position of its start.
    pub at: u64,
    /// Bytes.
    pub len: usize,
}

impl FileSlice {
    /// Reads the whole slice into memory.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut buf = vec![0; self.len];
        self.file.read_exact_at(&mut buf, self.at)?;
        Ok(buf)
    }
}
