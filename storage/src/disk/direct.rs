//! Reads that go around the page cache (O_DIRECT). Whoever catches up on a long log reads each byte of it once; in the page
//! cache those would push out what everybody else needs, and each page of them has to be found, filled and given back.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{pread, retry_on_intr};

/// Devices want positions, lengths and memory to be multiples of their blocks, which are no larger than this.
const BLOCK: usize = 4096;
/// Bytes of one read at most, beside the rest of the blocks at both of its ends.
pub const MOST: usize = 1 << 20;
/// So many reads are held in memory at once, by however many readers: their clients may be slow to take them.
const MOST_BUFFERS: usize = 16;
/// So many buffers are kept for the next reads.
const KEPT_BUFFERS: usize = 2;

static BUFFERS: Buffers = Buffers(Mutex::new(Stock { lent: 0, kept: Vec::new() }));

struct Buffers(Mutex<Stock>);

struct Stock {
    lent: usize,
    kept: Vec<MmapMut>,
}

/// A buffer that goes back when it is not needed any more.
struct Lent {
    memory: Option<MmapMut>,
    of: &'static Buffers,
}

/// What was read, within the blocks that it lies in.
struct Part {
    buffer: Lent,
    from: usize,
    len: usize,
}

/// Reads `len` bytes from `at`, at most [`MOST`]. `None` if that is impossible here, or too much is held already: then they
/// are to be read as usual. What fails likewise shows there.
pub(super) fn read(file: &fs::File, at: u64, len: usize) -> Option<Bytes> {
    let from = (at % BLOCK as u64) as usize;
    let blocks = (from + len).next_multiple_of(BLOCK);
    let mut buffer = (len <= MOST).then(|| BUFFERS.lend())??;
    let direct = reopen(file).ok()?;
    fill(&direct, &mut buffer.memory.as_mut()?[..blocks], at - from as u64, from + len).ok()?;
    Some(Bytes::from_owner(Part { buffer, from, len }))
}

/// The same file once more: how it is read belongs to the open file, not to the call.
fn reopen(file: &fs::File) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(open(path, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())?)
}

/// Reads until `needed` bytes are there, in whole blocks.
fn fill(file: &OwnedFd, blocks: &mut [u8], at: u64, needed: usize) -> io::Result<()> {
    let mut done = 0;
    while done < needed {
        let read = retry_on_intr(|| pread(file, &mut blocks[done..], at + done as u64))?;
        done += read;
        if read == 0 || done < needed && !done.is_multiple_of(BLOCK) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

impl Buffers {
    fn lend(&'static self) -> Option<Lent> {
        let mut stock = self.0.lock();
        if stock.lent == MOST_BUFFERS {
            return None;
        }
        let memory = match stock.kept.pop() {
            Some(memory) => memory,
            None => MmapOptions::new().len(MOST + 2 * BLOCK).map_anon().ok()?,
        };
        stock.lent += 1;
        Some(Lent { memory: Some(memory), of: self })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut stock = self.of.0.lock();
        stock.lent -= 1;
        if stock.kept.len() < KEPT_BUFFERS {
            stock.kept.extend(self.memory.take());
        }
    }
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        let memory = self.buffer.memory.as_deref().unwrap_or_default();
        memory.get(self.from..self.from + self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file whose bytes tell where they are.
    fn file(len: usize) -> (fs::File, Vec<u8>) {
        let content: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        (file, content)
    }

    /// One at a time: what is lent is counted for the whole process.
    #[test]
    fn any_stretch_is_read_and_only_so_many_are_held() {
        let (file, content) = file(3 * MOST + 100);
        if reopen(&file).is_err() {
            return eprintln!("skipped: this file system reads through the page cache alone");
        }
        let end = content.len() as u64;
        for (at, len) in
            [(0, 1), (1, BLOCK), (4095, 2), (777, MOST), (4096, MOST), (end - 100, 100), (end - 1, 1)]
        {
            let read = read(&file, at, len).expect("a part of the file");
            assert!(read == content[at as usize..at as usize + len], "{len} bytes from {at}");
        }
        assert_eq!(read(&file, end - 10, 11), None, "beyond its end");
        assert_eq!(read(&file, end + 10_000, 1), None);
        assert_eq!(read(&file, 0, MOST + 1), None, "too much at once");
        let mut held: Vec<Bytes> = (0..MOST_BUFFERS).map_while(|_| read(&file, 5, 10)).collect();
        assert_eq!(held.len(), MOST_BUFFERS);
        assert_eq!(read(&file, 5, 10), None);
        held.pop();
        let again = read(&file, 6, 10).expect("what was given back");
        assert!(again == content[6..16] && held.iter().all(|held| *held == content[5..15]));
        drop((held, again));
        assert_eq!(BUFFERS.0.lock().kept.len(), KEPT_BUFFERS);
    }
}
