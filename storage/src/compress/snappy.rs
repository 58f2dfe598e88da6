//! Snappy as Kafka's clients write it: one raw block (librdkafka, Go), or the Java library's framing.
//!
//! ```text
//! 82 'SNAPPY' 00 | version i32 = 1 | oldest reader i32 = 1 | (length i32, raw block) …
//! ```

use std::io::{self, Read, Write};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Magic and two versions.
const HEADER_LEN: usize = 16;
/// What the Java library puts into a block, uncompressed.
const BLOCK_LEN: usize = 32 << 10;
/// No element of a raw block yields more bytes than this per byte it takes (a copy: 64 from 3).
const MAX_RATIO: usize = 22;

/// Decompresses block by block. A raw input is a single block.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        let framed = input.len() >= HEADER_LEN && input.starts_with(&MAGIC);
        let rest = if framed { &input[HEADER_LEN..] } else { input };
        Self { rest, framed, block: Vec::new(), at: 0 }
    }

    fn next_block(&mut self) -> io::Result<()> {
        let block = if self.framed { self.framed_block()? } else { std::mem::take(&mut self.rest) };
        let len = snap::raw::decompress_len(block)?;
        // The claim is allocated, so it must be one that these bytes can keep.
        if len > block.len().saturating_mul(MAX_RATIO) {
            return Err(invalid("block claims more than it can hold"));
        }
        self.block.resize(len, 0);
        self.at = 0;
        let written = snap::raw::Decoder::new().decompress(block, &mut self.block)?;
        self.block.truncate(written);
        Ok(())
    }

    fn framed_block(&mut self) -> io::Result<&'a [u8]> {
        let (len, rest) = self.rest.split_first_chunk().ok_or_else(|| invalid("block length cut off"))?;
        let len = usize::try_from(i32::from_be_bytes(*len)).map_err(|_| invalid("negative block length"))?;
        let (block, rest) = rest.split_at_checked(len).ok_or_else(|| invalid("block cut off"))?;
        self.rest = rest;
        Ok(block)
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.next_block()?;
        }
        let n = buf.len().min(self.block.len() - self.at);
        buf[..n].copy_from_slice(&self.block[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Writes the Java library's framing.
pub(super) struct Writer {
    out: Vec<u8>,
    pending: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl Default for Writer {
    fn default() -> Self {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&1i32.to_be_bytes());
        out.extend_from_slice(&1i32.to_be_bytes());
        Self { out, pending: Vec::with_capacity(BLOCK_LEN), encoder: snap::raw::Encoder::new() }
    }
}

impl Writer {
    pub(super) fn written(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.flush()?;
        Ok(self.out)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pending.len() == BLOCK_LEN {
            self.flush()?;
        }
        let n = bytes.len().min(BLOCK_LEN - self.pending.len());
        self.pending.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let block = self.encoder.compress_vec(&self.pending)?;
        self.out.extend_from_slice(&(block.len() as i32).to_be_bytes());
        self.out.extend_from_slice(&block);
        self.pending.clear();
        Ok(())
    }
}
