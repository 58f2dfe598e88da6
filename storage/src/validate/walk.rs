//! One pass over all records of a batch.

use super::{Invalid, NO_TIMESTAMP, RawBatch, Recoder, RecordError, Rules, TimestampType, Wall};
use crate::batch::{BatchHeader, HEADER_LEN, Parts, Slice, Source, Stream, count, parse};
use crate::compress::Codec;

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
    let mut stream =
        Stream::new(codec, body, check.rules.max_decompressed_bytes, |chunk: &[u8]| recoder.write(chunk))?;
    for index in 0..check.header.count {
        check.record(index, &stream.record()?);
    }
    match stream.available()? {
        0 => Ok(()),
        more => Err(RecordError::Trailing(more)),
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
