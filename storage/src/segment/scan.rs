//! Walks the batches of a log file by their headers, with few and small reads.

use std::io::{self, IoSlice};
use std::sync::Arc;

use thiserror::Error;

use crate::batch::{BatchError, BatchHeader, CRC_FROM, HEADER_LEN};
use crate::disk::File;

/// Bytes read at once: about the distance of two index entries.
const STEP: usize = 4096;
/// Bytes read at once where a body must be read.
const BODY_STEP: usize = 256 << 10;

/// A batch and the byte at which it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub at: u64,
    pub header: BatchHeader,
}

impl Found {
    /// The byte behind the batch.
    pub fn end(&self) -> u64 {
        self.at + self.header.size() as u64
    }
}

#[derive(Debug, Error)]
pub(crate) enum ScanError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("at byte {at}: {source}")]
    Broken { at: u64, source: BatchError },
}

/// The batches from byte `at` up to byte `end`; nothing follows the first error.
#[derive(Debug)]
pub(crate) struct Scan {
    file: Arc<dyn File>,
    at: u64,
    end: u64,
    buf: Vec<u8>,
    /// Where in the file `buf` begins.
    buf_at: u64,
}

impl Scan {
    pub fn new(file: Arc<dyn File>, at: u64, end: u64) -> Scan {
        Scan { file, at, end, buf: Vec::new(), buf_at: at }
    }

    fn step(&mut self) -> Result<Found, ScanError> {
        let at = self.at;
        let broken = |source| ScanError::Broken { at, source };
        let header = BatchHeader::parse(self.peek()?).map_err(broken)?;
        let have = (self.end - at) as usize;
        if header.size() > have {
            return Err(broken(BatchError::Short { need: header.size(), have }));
        }
        let found = Found { at, header };
        self.at = found.end();
        Ok(found)
    }

    /// At least a header's bytes from the current position, fewer only at the end.
    fn peek(&mut self) -> io::Result<&[u8]> {
        let want = (self.end - self.at).min(HEADER_LEN as u64);
        if self.at < self.buf_at || self.at + want > self.buf_at + self.buf.len() as u64 {
            self.buf.resize((self.end - self.at).min(STEP as u64) as usize, 0);
            self.file.read_exact_at(&mut self.buf, self.at)?;
            self.buf_at = self.at;
        }
        Ok(&self.buf[(self.at - self.buf_at) as usize..])
    }
}

impl Iterator for Scan {
    type Item = Result<Found, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.at = self.end;
        }
        Some(step)
    }
}

/// Compares a batch's CRC with its bytes in the file, in bounded memory. What was compared is written again in place, so that
/// the next sync brings just that to the disk: after a failed one the page cache may hold, and call clean, what the disk lacks.
pub(crate) fn check_and_rewrite(file: &dyn File, batch: &Found) -> Result<(), ScanError> {
    let mut head = [0; CRC_FROM];
    file.read_exact_at(&mut head, batch.at)?;
    file.write_at(&[IoSlice::new(&head)], batch.at)?;
    let mut at = batch.at + CRC_FROM as u64;
    let mut computed = 0;
    let mut buf = vec![0; BODY_STEP.min(batch.header.size())];
    while at < batch.end() {
        let part = (batch.end() - at).min(buf.len() as u64) as usize;
        file.read_exact_at(&mut buf[..part], at)?;
        computed = crc32c::crc32c_append(computed, &buf[..part]);
        file.write_at(&[IoSlice::new(&buf[..part])], at)?;
        at += part as u64;
    }
    let BatchHeader { base_offset, crc: stored, .. } = batch.header;
    if computed == stored {
        return Ok(());
    }
    Err(ScanError::Broken { at: batch.at, source: BatchError::Crc { base_offset, stored, computed } })
}

/// Reads a whole batch.
pub(crate) fn read_batch(file: &dyn File, batch: &Found) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; batch.header.size()];
    file.read_exact_at(&mut buf, batch.at)?;
    Ok(buf)
}
