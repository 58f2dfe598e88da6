//! Reading while the owner writes: everything starts from one view and needs no lock.

use std::io;
use std::sync::Arc;

use crate::disk::FileSlice;
use crate::index::{AbortedTxn, collect_aborted};
use crate::segment::Segment;
use crate::segment::scan::{Found, Scan, ScanError};

use super::Offset;
use super::error::ReadError;
use super::view::LogView;
use super::writer::Shared;

/// Reads one log; clones share it.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
}

/// What a read gives: whole batches of one segment.
#[derive(Clone, Debug)]
pub struct Read {
    /// `None` if nothing lies between the two offsets, or the first batch was larger than allowed.
    pub slice: Option<FileSlice>,
    /// All offsets in the slice are below; with nothing in it, the offset that was asked for.
    pub end_offset: Offset,
    pub stop: Stop,
    /// The view it was read from.
    pub view: Arc<LogView>,
}

/// Why a read gives no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// There is no more between the two offsets.
    Range,
    /// The next batch would exceed the bytes allowed.
    Bytes,
    /// The rest lies in later segments, which one read does not reach.
    Segment,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> LogReader {
        LogReader { shared }
    }

    /// A write or sync failed: nothing but reading goes on.
    pub fn has_failed(&self) -> bool {
        self.shared.has_failed()
    }

    /// The log as it is now.
    pub fn view(&self) -> Arc<LogView> {
        self.shared.view.load_full()
    }

    /// Whole batches from the one that holds `from` up to those that begin at or above `below`, at most `max_bytes` of them.
    /// With `at_least_one` the first batch is given whatever its size, so that a reader always gets on.
    pub fn read(
        &self,
        from: Offset,
        below: Offset,
        max_bytes: u64,
        at_least_one: bool,
    ) -> Result<Read, ReadError> {
        self.steady(|view| {
            check_range(view, from)?;
            let below = below.min(view.log_end_offset);
            let taken = take(view, from, below, max_bytes, at_least_one)?;
            let stop = taken.as_ref().map_or(Stop::Range, |t| t.stop);
            let slice = taken.and_then(|t| Some((t.slice?, t.end_offset)));
            let (slice, end_offset) = slice.map_or((None, from), |(slice, end)| (Some(slice), end));
            Ok(Read { slice, end_offset, stop, view: view.clone() })
        })
    }

    /// The aborted transactions that overlap `from..below`, by the offset of their marker.
    pub fn aborted_transactions(&self, from: Offset, below: Offset) -> Result<Vec<AbortedTxn>, ReadError> {
        self.steady(|view| {
            check_range(view, from)?;
            let mut found = Vec::new();
            for segment in &view.segments[view.segment_of(from)..] {
                let some = collect_aborted(&segment.aborted_txns()?, from, below);
                found.extend(some.txns);
                if some.complete {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// Asks of the newest view; again of a newer one where files vanished or shrank under an old one.
    pub(super) fn steady<T>(
        &self,
        mut ask: impl FnMut(&Arc<LogView>) -> Result<T, Trouble>,
    ) -> Result<T, ReadError> {
        loop {
            let view = self.view();
            let trouble = match ask(&view) {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            if !trouble.may_be_age() || !self.is_outdated(&view) {
                return Err(trouble.into());
            }
        }
    }

    /// Whether files that `seen` covers have been taken away, or are just being.
    fn is_outdated(&self, seen: &LogView) -> bool {
        let _after_surgery = self.shared.surgery.read();
        seen.surgeries != self.shared.view.load().surgeries
    }
}

/// Why a question could not be answered from one view.
#[derive(Debug)]
pub(super) enum Trouble {
    Read(ReadError),
    Scan(ScanError),
}

impl Trouble {
    /// Whether it may come from asking files that have changed since the view was published.
    fn may_be_age(&self) -> bool {
        match self {
            Trouble::Read(_) => false,
            Trouble::Scan(ScanError::Broken { .. }) => true,
            Trouble::Scan(ScanError::Io(e)) => {
                matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
            }
        }
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Trouble {
        Trouble::Read(error)
    }
}

impl<E: Into<ScanError>> From<E> for Trouble {
    fn from(error: E) -> Trouble {
        Trouble::Scan(error.into())
    }
}

impl From<Trouble> for ReadError {
    fn from(trouble: Trouble) -> ReadError {
        match trouble {
            Trouble::Read(e) => e,
            Trouble::Scan(ScanError::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => ReadError::WouldWait,
            Trouble::Scan(ScanError::Io(e)) => ReadError::Io(e),
            Trouble::Scan(ScanError::Broken { source, .. }) => ReadError::Malformed(source),
        }
    }
}

pub(super) fn check_range(view: &LogView, offset: Offset) -> Result<(), ReadError> {
    let (start, end) = (view.log_start_offset, view.log_end_offset);
    if offset < start || offset > end {
        return Err(ReadError::OutOfRange { offset, start, end });
    }
    Ok(())
}

struct Taken {
    slice: Option<FileSlice>,
    end_offset: Offset,
    stop: Stop,
}

/// Finds the first segment with something in the range, and cuts a slice from it.
fn take(
    view: &LogView,
    from: Offset,
    below: Offset,
    max: u64,
    at_least_one: bool,
) -> Result<Option<Taken>, Trouble> {
    let mut nth = view.segment_of(from);
    while from < below && nth < view.segments.len() && view.segments[nth].base_offset() < below {
        if let Some(start) = view.segments[nth].find(from, view.len_of(nth))? {
            let span = Span::new(view, nth, start, below)?;
            return span.cut(max, at_least_one).map(Some);
        }
        // Nothing at or behind `from` in it: a gap up to the next segment.
        nth += 1;
    }
    Ok(None)
}

/// The batches of one segment that may be given.
struct Span<'a> {
    segment: &'a Segment,
    start: u64,
    /// Byte behind the last batch below the limit.
    end: u64,
    end_offset: Offset,
    stop: Stop,
}

impl Span<'_> {
    fn new(view: &LogView, nth: usize, start: u64, below: Offset) -> Result<Span<'_>, Trouble> {
        let (segment, len) = (&*view.segments[nth], view.len_of(nth));
        let segment_end = view.end_offset_of(nth);
        let end = if below >= segment_end { len } else { segment.find(below, len)?.unwrap_or(len) };
        let stop = if below > segment_end { Stop::Segment } else { Stop::Range };
        Ok(Span { segment, start, end, end_offset: below.min(segment_end), stop })
    }

    fn cut(mut self, max: u64, at_least_one: bool) -> Result<Taken, Trouble> {
        if self.end.saturating_sub(self.start) > max {
            self.shorten(max, at_least_one)?;
        }
        let slice = match self.end.saturating_sub(self.start) as usize {
            0 => None,
            len => Some(FileSlice { file: self.segment.file()?, at: self.start, len }),
        };
        Ok(Taken { slice, end_offset: self.end_offset, stop: self.stop })
    }

    /// Ends at the last batch boundary within `max` bytes: from memory, else by walking from the index entry before it.
    fn shorten(&mut self, max: u64, at_least_one: bool) -> Result<(), Trouble> {
        let limit = self.start + max;
        let known = self.segment.boundary(limit)?.filter(|at| *at > self.start).unwrap_or(self.start);
        let walk = Scan::new(self.segment.file()?, known, self.end);
        self.end = known;
        for found in walk {
            let found: Found = found?;
            let first = at_least_one && self.end == self.start;
            if found.end() > limit && !first {
                self.end_offset = found.header.base_offset;
                if self.stop == Stop::Range {
                    self.stop = Stop::Bytes;
                }
                break;
            }
            self.end = found.end();
        }
        Ok(())
    }
}
