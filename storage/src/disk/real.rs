//! The operating system's file system.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use memmap2::MmapOptions;
use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev, retry_on_intr};

use super::cached;
use super::direct;
use super::error::at_path;
use super::patience::{may_wait, refuse};
use super::{Disk, Entry, File, Open};

/// Most parts the kernel takes in one call.
const IOV_MAX: usize = 1024;
/// Of what is being read from a device, each stretch of so many bytes is waited for by one of them.
const STRETCH: usize = 64 * 1024;

/// The real disk; every error names the path.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    path: PathBuf,
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let file = options(how).open(path).map_err(|e| at_path(path, e))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in fs::read_dir(dir).map_err(|e| at_path(dir, e))? {
            let found = found.map_err(|e| at_path(dir, e))?;
            entries.extend(entry(&found)?);
        }
        Ok(entries)
    }

    fn has_dir(&self, dir: &Path) -> bool {
        fs::metadata(dir).is_ok_and(|meta| meta.is_dir())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir).map_err(|e| at_path(dir, e))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to).map_err(|e| at_path(from, e))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let is_dir = fs::symlink_metadata(path).map_err(|e| at_path(path, e))?.is_dir();
        let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.map_err(|e| at_path(path, e))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir).and_then(|dir| retry(|| dir.sync_all())).map_err(|e| at_path(dir, e))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = options(Open::Create).open(path).map_err(|e| at_path(path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(at_path(path, io::ErrorKind::WouldBlock)),
            Err(TryLockError::Error(e)) => Err(at_path(path, e)),
        }
    }
}

fn options(how: Open) -> OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    match how {
        Open::Read => &mut options,
        Open::Write => options.write(true),
        Open::Create => options.write(true).create(true),
        Open::CreateNew => options.write(true).create_new(true),
    };
    options
}

/// `None` if it was removed since it was listed.
fn entry(found: &fs::DirEntry) -> io::Result<Option<Entry>> {
    let meta = match fs::metadata(found.path()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| at_path(&found.path(), e))?,
    };
    let len = if meta.is_dir() { 0 } else { meta.len() };
    Ok(Some(Entry { name: found.file_name().to_string_lossy().into_owned(), is_dir: meta.is_dir(), len }))
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let read =
            if may_wait() { retry(|| self.file.read_at(buf, at)) } else { read_cached(&self.file, buf, at) };
        read.map_err(|e| at_path(&self.path, e))
    }

    fn write_at(&self, parts: &[IoSlice<'_>], mut at: u64) -> io::Result<()> {
        for parts in parts.chunks(IOV_MAX) {
            at += write_parts(&self.file, parts, at).map_err(|e| at_path(&self.path, e))?;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().map_err(|e| at_path(&self.path, e))?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        retry(|| self.file.set_len(len)).map_err(|e| at_path(&self.path, e))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data().map_err(|e| at_path(&self.path, e))
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>> {
        if self.len()? < len as u64 {
            return Err(at_path(&self.path, io::ErrorKind::UnexpectedEof));
        }
        if len == 0 {
            return Ok(Box::new([]));
        }
        // SAFETY: the caller maps only bytes that were written (no holes) and does not cut them while the view lives.
        let map = unsafe { MmapOptions::new().len(len).map(&self.file) };
        Ok(Box::new(map.map_err(|e| at_path(&self.path, e))?))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn is_cached(&self, at: u64, len: usize) -> bool {
        cached::is_cached(&self.file, at, len)
    }

    fn load(&self, at: u64, len: usize) -> Option<Bytes> {
        let past_the_cache = direct::read(&self.file, at, len);
        if past_the_cache.is_some() {
            return past_the_cache;
        }
        // Half of it is read while the other half is sent. Without the advice the bytes below are still waited for.
        let _ = fadvise(&self.file, at, NonZeroU64::new(2 * len as u64), Advice::WillNeed);
        for done in (0..len).step_by(STRETCH).chain(len.checked_sub(1)) {
            let _ = self.file.read_at(&mut [0], at + done as u64);
        }
        None
    }
}

/// Reads what is in memory: fewer bytes than asked for where it ends. Where that cannot be told, as usual.
fn read_cached(file: &fs::File, buf: &mut [u8], at: u64) -> io::Result<usize> {
    let read = retry_on_intr(|| preadv2(file, &mut [IoSliceMut::new(buf)], at, ReadWriteFlags::NOWAIT));
    match read {
        Err(Errno::AGAIN) => {
            refuse();
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => retry(|| file.read_at(buf, at)),
        read => Ok(read?),
    }
}

/// Writes all of `parts` and returns their length. One call in nearly every case; the rest follows a short write.
fn write_parts(file: &fs::File, parts: &[IoSlice<'_>], at: u64) -> io::Result<u64> {
    let mut skip = retry_on_intr(|| pwritev(file, parts, at))?;
    let mut end = at;
    for part in parts {
        let done = skip.min(part.len());
        skip -= done;
        file.write_all_at(&part[done..], end + done as u64)?;
        end += part.len() as u64;
    }
    Ok(end - at)
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::without_waiting;

    #[test]
    fn what_is_not_in_memory_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&dir.path().join("log"), Open::CreateNew).unwrap();
        file.write_at(&[IoSlice::new(&[7; 1 << 20])], 0).unwrap();
        file.sync().unwrap();
        let mut buf = [0; 4096];
        assert_eq!(without_waiting(|| file.read_at(&mut buf, 8192).unwrap()), Some(4096));
        fadvise(file.fd().unwrap(), 0, None, Advice::DontNeed).unwrap();
        if file.is_cached(8192, 4096) {
            return eprintln!("skipped: this file system keeps everything in memory");
        }
        let mut refused = None;
        assert_eq!(without_waiting(|| refused = file.read_at(&mut buf, 8192).err()), None);
        assert_eq!(refused.unwrap().kind(), io::ErrorKind::WouldBlock);
        // Once it is over, one waits again.
        assert_eq!((file.read_at(&mut buf, 8192).unwrap(), buf[4095]), (4096, 7));
        assert_eq!(without_waiting(|| file.read_at(&mut buf, 8192).unwrap()), Some(4096));
    }
}
