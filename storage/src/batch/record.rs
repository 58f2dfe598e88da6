//! The records inside a batch.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint |
//! key length varint, key | value length varint, value | header count varint, (key, value) …
//! ```
//! Varints are zigzag; a length of -1 is null. One grammar ([`parse`]) serves both readers: spans of a slice for
//! whoever wants the records, and nothing at all for the check of a decompressing stream.

use bytes::Bytes;
use thiserror::Error;

use super::{BatchHeader, RawBatch};
use crate::compress::{self, CompressError};

/// What is wrong with the records of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    #[error("codec id {0} is not known")]
    Codec(i16),
    #[error(transparent)]
    Compress(#[from] CompressError),
    #[error("a record ends behind its batch or its fields behind the record")]
    Short,
    #[error("a record's fields end {0} bytes before the record")]
    Rest(usize),
    #[error("a varint is longer than its type")]
    Varint,
    #[error("a length or count of {0}")]
    Length(i32),
    #[error("header says {said} records")]
    Count { said: i32 },
    #[error("{0} bytes or more follow the last record")]
    Trailing(usize),
}

/// Where the bytes of records come from.
pub(crate) trait Source {
    /// A stretch of bytes, or nothing where they are only skipped.
    type Span: Copy;
    fn byte(&mut self) -> Result<u8, RecordError>;
    fn take(&mut self, len: usize) -> Result<Self::Span, RecordError>;
    /// What has not been taken.
    fn rest(&self) -> Self::Span;
    /// Bytes not yet taken from the current record.
    fn left(&self) -> usize;
}

/// A record's fields; spans as the source gives them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<S> {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<S>,
    pub value: Option<S>,
    pub header_count: u32,
    /// Begins with the first header.
    pub headers: S,
}

/// Reads one record from a source that holds exactly that.
pub(crate) fn parse<S: Source>(source: &mut S) -> Result<Parts<S::Span>, RecordError> {
    source.byte()?; // attributes: none is defined
    let timestamp_delta = varlong(source)?;
    let offset_delta = varint(source)?;
    let key = nullable(source)?;
    let value = nullable(source)?;
    let header_count = count(source)?;
    let headers = source.rest();
    for _ in 0..header_count {
        let len = count(source)?;
        source.take(len as usize)?;
        nullable(source)?;
    }
    match source.left() {
        0 => Ok(Parts { timestamp_delta, offset_delta, key, value, header_count, headers }),
        left => Err(RecordError::Rest(left)),
    }
}

fn nullable<S: Source>(source: &mut S) -> Result<Option<S::Span>, RecordError> {
    match varint(source)? {
        -1 => Ok(None),
        len if len < -1 => Err(RecordError::Length(len)),
        len => source.take(len as usize).map(Some),
    }
}

/// A length or count that cannot be null.
pub(crate) fn count<S: Source>(source: &mut S) -> Result<u32, RecordError> {
    let n = varint(source)?;
    u32::try_from(n).map_err(|_| RecordError::Length(n))
}

pub(crate) fn varint<S: Source>(source: &mut S) -> Result<i32, RecordError> {
    let raw = u32::try_from(unsigned(source, 5)?).map_err(|_| RecordError::Varint)?;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

fn varlong<S: Source>(source: &mut S) -> Result<i64, RecordError> {
    let raw = unsigned(source, 10)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// At most `most` bytes of seven bits each, the lowest first. Most take one byte, and there are many per record.
#[inline]
fn unsigned<S: Source>(source: &mut S, most: u32) -> Result<u64, RecordError> {
    match source.byte()? {
        byte if byte < 0x80 => Ok(u64::from(byte)),
        byte => longer(source, u64::from(byte & 0x7f), most),
    }
}

fn longer<S: Source>(source: &mut S, mut value: u64, most: u32) -> Result<u64, RecordError> {
    for nth in 1..most {
        let byte = source.byte()?;
        let bits = u64::from(byte & 0x7f);
        if nth == 9 && bits > 1 {
            return Err(RecordError::Varint);
        }
        value |= bits << (7 * nth);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(RecordError::Varint)
}

/// Bytes in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice<'a>(pub &'a [u8]);

impl<'a> Source for Slice<'a> {
    type Span = &'a [u8];

    #[inline]
    fn byte(&mut self) -> Result<u8, RecordError> {
        let (first, rest) = self.0.split_first().ok_or(RecordError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RecordError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn left(&self) -> usize {
        self.0.len()
    }
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: i64,
    /// Milliseconds since the epoch, by the batch's timestamp type.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// The headers of a record, already checked: an iterator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    left: u32,
    rest: &'a [u8],
}

/// A record header's key and value.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        let mut source = Slice(self.rest);
        let len = count(&mut source).ok()?;
        let key = source.take(len as usize).ok()?;
        let value = nullable(&mut source).ok()?;
        self.rest = source.0;
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// The records of one batch, decompressed: iterate with [`Records::iter`].
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    data: Bytes,
}

/// Opens a batch's records; what is compressed may grow to `limit` bytes.
pub fn records(batch: &RawBatch, limit: usize) -> Result<Records, RecordError> {
    let header = batch.header;
    let codec = header.attributes.codec().ok_or(RecordError::Codec(header.attributes.0 & 7))?;
    Ok(Records { header, data: compress::decompress(codec, batch.body(), limit)? })
}

impl Records {
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records one behind the other, uncompressed.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Ends after the first error. Bytes behind the last record are an error too.
    pub fn iter(&self) -> Iter<'_> {
        Iter { header: &self.header, rest: &self.data, left: Some(i64::from(self.header.count)) }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Record<'a>, RecordError>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// See [`Records::iter`].
#[derive(Debug)]
pub struct Iter<'a> {
    header: &'a BatchHeader,
    rest: &'a [u8],
    /// Records still to come, if the header is right; `None` once the iterator is done.
    left: Option<i64>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.left.take()?;
        let item = match left {
            0 if self.rest.is_empty() => return None,
            0 => Err(RecordError::Trailing(self.rest.len())),
            1.. => self.record(),
            _ => Err(RecordError::Count { said: self.header.count }),
        };
        self.left = item.is_ok().then_some(left - 1);
        Some(item)
    }
}

impl<'a> Iter<'a> {
    fn record(&mut self) -> Result<Record<'a>, RecordError> {
        let mut source = Slice(self.rest);
        let len = count(&mut source)?;
        let parts = parse(&mut Slice(source.take(len as usize)?))?;
        self.rest = source.0;
        Ok(Record {
            offset: self.header.base_offset.wrapping_add(i64::from(parts.offset_delta)),
            timestamp: self.header.timestamp_of(parts.timestamp_delta),
            key: parts.key,
            value: parts.value,
            headers: Headers { left: parts.header_count, rest: parts.headers },
        })
    }
}
