//! The files of the log.
//!
//! ```text
//! 00000000000000000001.wal  00000000000000000002.wal  00000000000000000003.wal
//!  Head records records ...  Head records ...          Head records ... <- appended here
//!  \___ dropped as a whole once all its entries are purged
//! ```

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::disk::{Disk, File, Open, out_of_descriptors};

use super::record::{Head, Record, frame};
use crate::codec::weight;
use crate::settings::Settings;

/// Larger batches are split over frames. Bytes of entries, roughly.
const MAX_FRAME: u64 = 16 << 20;

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub number: u64,
    /// The highest index of any entry in it.
    pub max_index: Option<u64>,
}

/// The writing end. One owner; each [`Wal::write`] is durable when it returns.
#[derive(Debug)]
pub(crate) struct Wal {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) segment_bytes: u64,
    /// What the next file begins with.
    pub(super) head: Head,
    /// Oldest first; the last one is written to.
    pub(super) segments: VecDeque<Segment>,
    /// The last segment's file, if there is one.
    pub(super) file: Option<Arc<dyn File>>,
    /// Bytes in `file`.
    pub(super) end: u64,
    /// Number of the last frame.
    pub(super) frames: u64,
}

impl Wal {
    pub(super) fn empty(disk: Arc<dyn Disk>, settings: &Settings) -> Wal {
        Wal {
            disk,
            dir: settings.dir.clone(),
            segment_bytes: settings.segment_bytes,
            head: Head { node_id: settings.node_id, ..Head::default() },
            segments: VecDeque::new(),
            file: None,
            end: 0,
            frames: 0,
        }
    }

    /// Writes `records` in order and makes them durable. After an error nothing more may be written.
    pub fn write(&mut self, records: &[Record]) -> io::Result<()> {
        for part in split(records) {
            self.write_frame(part)?;
        }
        self.drop_purged()
    }

    fn write_frame(&mut self, records: &[Record]) -> io::Result<()> {
        let head = self.begin_file_if_due()?;
        let records = [head.as_slice(), records].concat();
        let bytes = frame(self.frames + 1, &records);
        if let Some(file) = &self.file {
            file.write_at(&[IoSlice::new(&bytes)], self.end)?;
            file.sync()?;
        }
        self.end += bytes.len() as u64;
        self.frames += 1;
        records.iter().for_each(|record| self.note(record));
        Ok(())
    }

    /// Goes on to the next file if this one is full; returns what is to stand first in it. A shortage of descriptors
    /// is no reason to stop: the old file takes some more.
    fn begin_file_if_due(&mut self) -> io::Result<Option<Record>> {
        if self.file.is_some() && self.end < self.segment_bytes {
            return Ok(None);
        }
        match self.begin_file() {
            Ok(()) => Ok(Some(Record::Head(self.head.clone()))),
            Err(e) if self.file.is_some() && out_of_descriptors(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The file's name is durable before anything is written to it. Until then it may be given up, and tried again. One
    /// that is given up goes at once: a file that has a successor, even an empty one, may not end in a torn write.
    fn begin_file(&mut self) -> io::Result<()> {
        let number = self.segments.back().map_or(1, |last| last.number + 1);
        let path = path(&self.dir, number);
        let file = self.disk.open(&path, Open::Create)?;
        if let Err(e) = self.disk.sync_dir(&self.dir) {
            self.disk.remove(&path)?;
            return Err(e);
        }
        self.file = Some(file);
        self.end = 0;
        self.segments.push_back(Segment { number, max_index: None });
        Ok(())
    }

    /// Keeps what is known of the files in step with a record that stands in the last one.
    pub(super) fn note(&mut self, record: &Record) {
        match record {
            Record::Head(head) => self.head = head.clone(),
            Record::Vote(vote) => self.head.vote = Some(*vote),
            Record::Committed(upto) => self.head.committed = Some(*upto),
            Record::Purge(upto) => self.head.purged = self.head.purged.max(Some(*upto)),
            Record::Truncate(_) => {}
            Record::Entry(entry) => {
                if let Some(last) = self.segments.back_mut() {
                    last.max_index = last.max_index.max(Some(entry.log_id.index));
                }
            }
        }
    }

    /// Removes the oldest files that hold no entry still needed. The record that purged them is durable by now.
    fn drop_purged(&mut self) -> io::Result<()> {
        let purged = self.head.purged.map(|id| id.index);
        while self.segments.len() > 1 && self.segments[0].max_index <= purged {
            self.disk.remove(&path(&self.dir, self.segments[0].number))?;
            self.segments.pop_front();
        }
        Ok(())
    }
}

pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.wal"))
}

/// Cuts `records` into runs of at most [`MAX_FRAME`] bytes, or of one record.
fn split(records: &[Record]) -> Vec<&[Record]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, record) in records.iter().enumerate() {
        let more = if let Record::Entry(entry) = record { weight(entry) } else { 0 };
        if i > start && bytes + more > MAX_FRAME {
            parts.push(&records[start..i]);
            (start, bytes) = (i, 0);
        }
        bytes += more;
    }
    parts.push(&records[start..]);
    parts
}
