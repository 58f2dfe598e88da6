//! Whether a stretch of a file is in memory.

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use rustix::io::{Errno, ReadWriteFlags, preadv2};
use rustix::param::page_size;

/// `cachestat`, the same on every architecture; of Linux 6.5.
const CACHESTAT: libc::c_long = 451;

#[repr(C)]
struct Range {
    at: u64,
    len: u64,
}

/// Counted in pages.
#[repr(C)]
#[derive(Default)]
struct Counts {
    cached: u64,
    _dirty: u64,
    _in_writeback: u64,
    _evicted: u64,
    _recently_evicted: u64,
}

/// Whether `len` bytes from `at`, as far as the file goes, can be read at once. Asks the kernel how much of them it has; one that
/// cannot tell is asked for both ends, which has it read what is not there.
pub(super) fn is_cached(file: &fs::File, at: u64, len: usize) -> bool {
    if len == 0 {
        return true;
    }
    let end = at + len as u64;
    match cached_pages(file, at, len as u64) {
        Some(cached) => cached >= pages(at, end) || cached >= pages(at, end.min(end_of(file))),
        None => is_byte_cached(file, at) && is_byte_cached(file, end - 1),
    }
}

/// How many pages hold the bytes from `at` to `end`.
fn pages(at: u64, end: u64) -> u64 {
    end.div_ceil(page_size() as u64).saturating_sub(at / page_size() as u64)
}

/// 0 if that cannot be told: what is wrong with it shows when it is read.
fn end_of(file: &fs::File) -> u64 {
    file.metadata().map_or(0, |file| file.len())
}

fn cached_pages(file: &fs::File, at: u64, len: u64) -> Option<u64> {
    let (range, mut counts) = (Range { at, len }, Counts::default());
    // SAFETY: the kernel reads the one and writes the other, both of which are laid out as it wants.
    let done = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut counts, 0) };
    (done == 0).then_some(counts.cached)
}

/// Where that cannot be told, it is tried.
fn is_byte_cached(file: &fs::File, at: u64) -> bool {
    let mut byte = [0];
    let read = preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT);
    read != Err(Errno::AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Advice, fadvise};
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    /// Both ends are in memory, what lies between is not.
    #[test]
    fn a_hole_between_what_is_cached_is_seen() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; 4 << 20]).unwrap();
        assert!(is_cached(&file, 0, 4 << 20) && is_cached(&file, 5, 0) && is_cached(&file, 5, 5 << 20));
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        fadvise(&file, 0, None, Advice::Random).unwrap();
        let whole = cached_pages(&file, 0, 4 << 20);
        if whole != Some(0) {
            return eprintln!("skipped: {whole:?} pages are in memory after all were to go");
        }
        file.read_at(&mut [0], 0).unwrap();
        file.read_at(&mut [0], (4 << 20) - 1).unwrap();
        assert!(is_cached(&file, 0, 100) && is_cached(&file, (4 << 20) - 1, 1));
        assert!(!is_cached(&file, 0, 4 << 20));
        assert!(!is_cached(&file, 4095, 2), "the second page");
    }
}
