//! One pass over all records of a batch.

use super::{Invalid, NO_TIMESTAMP, RawBatch, Recoder, RecordError, Rules, TimestampType, Wall};
use crate::batch::{BatchHeader, HEADER_LEN, Parts, Slice, Source, count, parse};
use crate::compress::{Codec, Decompressor};

/// More faulty records than this are not named one by one.
const MAX_NAMED: usize = 1000;

/// What the records say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// -1 if no record has a timestamp.
    pub max_timestamp: i64,
    /// Offset deltas are 0, 1, 2 …
    pub numbered: bool,
}

/// Checks each record; `recoder` is given their bytes.
pub(super) fn walk(
    batch: &RawBatch,
    rules: &Rules,
    now: Wall,
    recoder: &mut Recoder,
) -> Result<Tally, Invalid> {
    let mut check = Check::new(&batch.header, rules, now);
    let body = &batch.bytes[HEADER_LEN..];
    let walked = match batch.header.attributes.codec() {
        None => Err(RecordError::Codec(batch.header.attributes.0)),
        Some(Codec::None) => walk_slice(body, &mut check, recoder),
        Some(codec) => walk_stream(codec, body, &mut check, recoder),
    };
    walked.map_err(Invalid::Records)?;
    check.verdict()
}

fn walk_slice(body: &[u8], check: &mut Check<'_>, recoder: &mut Recoder) -> Result<(), RecordError> {
    let mut source = Slice(body);
    for index in 0..check.header.count {
        let len = count(&mut source)?;
        check.record(index, &parse(&mut Slice(source.take(len as usize)?))?);
    }
    match source.left() {
        0 => recoder.write(body),
        left => Err(RecordError::Trailing(left)),
    }
}

fn walk_stream(
    codec: Codec,
    body: &[u8],
    check: &mut Check<'_>,
    recoder: &mut Recoder,
) -> Result<(), RecordError> {
    let inner = Decompressor::new(codec, body, check.rules.max_decompressed_bytes)?;
    let mut stream = Stream { inner, chunk: 0, left: 0, recoder };
    for index in 0..check.header.count {
        stream.left = MAX_VARINT_LEN;
        stream.left = count(&mut stream)? as usize;
        check.record(index, &parse(&mut stream)?);
    }
    match stream.available()? {
        0 => Ok(()),
        more => Err(RecordError::Trailing(more)),
    }
}

/// Bytes of the longest record length.
const MAX_VARINT_LEN: usize = 5;

/// Decompressed records, skipped over as they come.
struct Stream<'a> {
    inner: Decompressor<'a>,
    /// Bytes of the current chunk not yet taken.
    chunk: usize,
    /// Bytes of the current record not yet taken.
    left: usize,
    recoder: &'a mut Recoder,
}

impl Stream<'_> {
    /// Bytes at hand; 0 only at the end of the stream.
    fn available(&mut self) -> Result<usize, RecordError> {
        if self.chunk == 0 {
            let chunk = self.inner.chunk()?;
            self.recoder.write(chunk)?;
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

impl Source for Stream<'_> {
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

/// The rules for single records, and what has been found.
struct Check<'a> {
    header: &'a BatchHeader,
    rules: &'a Rules,
    now: Wall,
    tally: Tally,
    faulty: Vec<i32>,
    bad_time: bool,
}

impl<'a> Check<'a> {
    fn new(header: &'a BatchHeader, rules: &'a Rules, now: Wall) -> Self {
        let tally = Tally { max_timestamp: NO_TIMESTAMP, numbered: true };
        Self { header, rules, now, tally, faulty: Vec::new(), bad_time: false }
    }

    fn record<S>(&mut self, index: i32, record: &Parts<S>) {
        let timestamp = self.header.base_timestamp.wrapping_add(record.timestamp_delta);
        self.tally.max_timestamp = self.tally.max_timestamp.max(timestamp);
        self.tally.numbered &= record.offset_delta == index;
        let no_key = self.rules.compacted && record.key.is_none();
        let bad_time = !no_key && !self.accepts(timestamp);
        self.bad_time |= bad_time;
        if (no_key || bad_time) && self.faulty.len() < MAX_NAMED {
            self.faulty.push(index);
        }
    }

    fn accepts(&self, timestamp: i64) -> bool {
        if self.header.attributes.timestamp_type() == TimestampType::LogAppendTime {
            return false; // only a broker may claim that
        }
        if self.rules.timestamp_type == TimestampType::LogAppendTime || timestamp == NO_TIMESTAMP {
            return true;
        }
        let age = self.now.0.saturating_sub(timestamp);
        age <= self.rules.before_max_ms && age.saturating_neg() <= self.rules.after_max_ms
    }

    fn verdict(self) -> Result<Tally, Invalid> {
        match (self.faulty.is_empty(), self.bad_time) {
            (true, _) => Ok(self.tally),
            (false, true) => Err(Invalid::Timestamps { at: self.faulty }),
            (false, false) => Err(Invalid::NoKeys { at: self.faulty }),
        }
    }
}
