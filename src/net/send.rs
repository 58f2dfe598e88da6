//! Puts chunks on a socket: memory by one vectored write, segment files by sendfile.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use storage::disk::{FileSlice, MOST_LOADED};

use crate::seam::net::{self, Output};
use crate::wire::Chunk;

/// Pieces of memory in one system call.
const PIECES: usize = 64;
/// Bytes of a file in one system call, so that one fast reader does not keep a thread to itself.
const FILE_STEP: usize = MOST_LOADED;
/// A stretch of a file that is shorter than this is sent without a look at whether it is in memory.
const LOOKED_AT: usize = 64 << 10;
/// Bytes read at a time from a file that is not the kernel's.
const COPY_STEP: usize = 64 * 1024;

/// Puts what was read of the front from a device in its place.
pub(super) fn replace(chunks: &mut VecDeque<Chunk>, loaded: Bytes) {
    consume(chunks, loaded.len());
    chunks.push_front(Chunk::Bytes(loaded));
}

/// What has to be read from a device before the next system call: nobody else's requests may wait for that.
pub(super) fn cold(chunks: &VecDeque<Chunk>) -> Option<FileSlice> {
    let Some(Chunk::File(slice)) = chunks.front() else { return None };
    let len = slice.len.min(FILE_STEP);
    let is_cold = len >= LOOKED_AT && !slice.file.is_cached(slice.at, len);
    is_cold.then(|| FileSlice { len, ..slice.clone() })
}

/// One system call's worth from the front of `chunks`: the bytes sent, `WouldBlock` if the socket is full, `UnexpectedEof` if
/// a file is shorter than its slice. Must not be called without chunks.
pub(super) fn send_some(socket: Output<'_>, chunks: &mut VecDeque<Chunk>) -> io::Result<usize> {
    if let Some(Chunk::File(slice)) = chunks.front_mut() {
        if let Some(fd) = slice.file.fd() {
            let sent = net::send_file(socket, fd, slice.at, slice.len.min(FILE_STEP))?;
            if sent == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            consume(chunks, sent);
            return Ok(sent);
        }
        let part = read_part(slice)?;
        chunks.push_front(Chunk::Bytes(part));
    }
    let sent = send_memory(socket, chunks)?;
    consume(chunks, sent);
    Ok(sent)
}

/// Reads the front of `slice` and takes it off.
fn read_part(slice: &mut FileSlice) -> io::Result<Bytes> {
    let mut part = vec![0; slice.len.min(COPY_STEP)];
    slice.file.read_exact_at(&mut part, slice.at)?;
    slice.at += part.len() as u64;
    slice.len -= part.len();
    Ok(part.into())
}

fn send_memory(socket: Output<'_>, chunks: &VecDeque<Chunk>) -> io::Result<usize> {
    let mut pieces = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    for (piece, chunk) in pieces.iter_mut().zip(chunks) {
        let Chunk::Bytes(bytes) = chunk else { break };
        *piece = IoSlice::new(bytes);
        count += 1;
    }
    // What a file follows waits for it in the kernel: one segment, one wake-up of the reader.
    net::send_memory(socket, &pieces[..count], chunks.len() > count)
}

/// Takes `sent` bytes, and chunks that are empty, off the front.
fn consume(chunks: &mut VecDeque<Chunk>, mut sent: usize) {
    while let Some(chunk) = chunks.front_mut() {
        let len = chunk.len();
        if sent < len {
            skip(chunk, sent);
            return;
        }
        sent -= len;
        chunks.pop_front();
    }
}

fn skip(chunk: &mut Chunk, bytes: usize) {
    match chunk {
        Chunk::Bytes(rest) => rest.advance(bytes),
        Chunk::File(slice) => {
            slice.at += bytes as u64;
            slice.len -= bytes;
        }
    }
}
