//! The records of a batch of which only the numbers are wanted, decompressed a piece at a time.

use super::record::{Parts, RecordError, Source, count, parse};
use super::{HEADER_LEN, RawBatch};
use crate::compress::{Codec, Decompressor};

/// Bytes of the longest record length.
const MAX_VARINT_LEN: usize = 5;

/// Decompressed records, skipped over as they come. `tap` is shown all bytes on the way.
pub(crate) struct Stream<'a, T> {
    inner: Decompressor<'a>,
    /// Bytes of the current chunk not yet taken.
    chunk: usize,
    /// Bytes of the current record not yet taken.
    left: usize,
    tap: T,
}

impl<'a, T: FnMut(&[u8]) -> Result<(), RecordError>> Stream<'a, T> {
    /// What comes out of `body` may be `limit` bytes.
    pub fn new(codec: Codec, body: &'a [u8], limit: usize, tap: T) -> Result<Self, RecordError> {
        Ok(Stream { inner: Decompressor::new(codec, body, limit)?, chunk: 0, left: 0, tap })
    }

    /// The next record.
    pub fn record(&mut self) -> Result<Parts<()>, RecordError> {
        self.left = MAX_VARINT_LEN;
        self.left = count(self)? as usize;
        parse(self)
    }

    /// Bytes at hand; 0 only at the end of the stream.
    pub fn available(&mut self) -> Result<usize, RecordError> {
        if self.chunk == 0 {
            let chunk = self.inner.chunk()?;
            (self.tap)(chunk)?;
            self.chunk = chunk.len();
        }
        Ok(self.chunk)
    }

    #[inline]
    fn consume(&mut self, len: usize) {
        self.inner.consume(len);
        self.chunk -= len;
        self.left -= len;
    }
}

impl<T: FnMut(&[u8]) -> Result<(), RecordError>> Source for Stream<'_, T> {
    type Span = ();

    #[inline]
    fn byte(&mut self) -> Result<u8, RecordError> {
        if self.left == 0 || (self.chunk == 0 && self.available()? == 0) {
            return Err(RecordError::Short);
        }
        let byte = self.inner.peek();
        self.consume(1);
        Ok(byte)
    }

    fn take(&mut self, mut len: usize) -> Result<(), RecordError> {
        if len > self.left {
            return Err(RecordError::Short);
        }
        while len > 0 {
            let n = len.min(self.available()?);
            if n == 0 {
                return Err(RecordError::Short);
            }
            self.consume(n);
            len -= n;
        }
        Ok(())
    }

    fn rest(&self) {}

    fn left(&self) -> usize {
        self.left
    }
}

/// Timestamp and offset of each record of a batch, in bounded memory; ends after the first error. What is compressed may
/// grow to `limit` bytes.
pub(crate) fn record_times(
    batch: &RawBatch,
    limit: usize,
) -> Result<impl Iterator<Item = Result<(i64, i64), RecordError>>, RecordError> {
    let header = batch.header;
    let codec = header.attributes.codec().ok_or(RecordError::Codec(header.attributes.0 & 7))?;
    let mut stream = Stream::new(codec, &batch.bytes[HEADER_LEN..], limit, |_: &[u8]| Ok(()))?;
    let mut is_sound = true;
    Ok((0..header.count).map_while(move |_| {
        if !is_sound {
            return None;
        }
        let record = stream.record();
        is_sound = record.is_ok();
        Some(record.map(|record| {
            let offset = header.base_offset.wrapping_add(i64::from(record.offset_delta));
            (header.timestamp_of(record.timestamp_delta), offset)
        }))
    }))
}
