//! What stands in the log, and the frames that it stands in.
//!
//! ```text
//! frame:   crc32c of the rest (4) | "DWL1" (4) | payload length (4) | frame number (8) | payload
//! payload: records, each: kind (1) | version (1) | length (4) | body
//! ```
//!
//! A frame is what one write and one fdatasync made durable. The next frame is written only after that, so a valid
//! frame proves that all before it were synced, and at most the last one of a log can be torn.

use std::io;

use bytes::{Buf, BufMut, Bytes};

use crate::codec::{Coded, decode, malformed};
use crate::types::{Entry, LogId, Vote};

pub(crate) const HEADER: usize = 20;
const MAGIC: &[u8; 4] = b"DWL1";

/// One step of the log. What the log says is the fold of its records ([`super::state::State::apply`]).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// First in each file: what the files before it, which may be gone, said besides entries.
    Head(Head),
    Vote(Vote),
    Entry(Entry),
    /// All entries behind this one are void.
    Truncate(Option<LogId>),
    /// All entries up to this one are in a snapshot and no longer needed.
    Purge(LogId),
    Committed(LogId),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Head {
    pub node_id: u64,
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
}

/// The version of all record bodies so far.
const VERSION: u8 = 1;

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Record::Head(_) => 1,
            Record::Vote(_) => 2,
            Record::Entry(_) => 3,
            Record::Truncate(_) => 4,
            Record::Purge(_) => 5,
            Record::Committed(_) => 6,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(self.kind());
        out.put_u8(VERSION);
        let mut body = Vec::new();
        match self {
            Record::Head(head) => head.put(&mut body),
            Record::Vote(vote) => vote.put(&mut body),
            Record::Entry(entry) => entry.put(&mut body),
            Record::Truncate(after) => after.put(&mut body),
            Record::Purge(upto) => upto.put(&mut body),
            Record::Committed(upto) => upto.put(&mut body),
        }
        Bytes::from(body).put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<Record> {
        let (kind, version) = (from.try_get_u8()?, from.try_get_u8()?);
        let body = Bytes::get(from)?;
        match (kind, version) {
            (1, VERSION) => decode(body).map(Record::Head),
            (2, VERSION) => decode(body).map(Record::Vote),
            (3, VERSION) => decode(body).map(Record::Entry),
            (4, VERSION) => decode(body).map(Record::Truncate),
            (5, VERSION) => decode(body).map(Record::Purge),
            (6, VERSION) => decode(body).map(Record::Committed),
            _ => {
                Err(malformed(format!("record kind {kind} version {version} was written by a newer release")))
            }
        }
    }
}

impl Coded for Head {
    fn put(&self, out: &mut Vec<u8>) {
        self.node_id.put(out);
        self.vote.put(out);
        self.committed.put(out);
        self.purged.put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<Head> {
        Ok(Head {
            node_id: u64::get(from)?,
            vote: Option::get(from)?,
            committed: Option::get(from)?,
            purged: Option::get(from)?,
        })
    }
}

/// The bytes of a frame that holds `records`.
pub(crate) fn frame(number: u64, records: &[Record]) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    records.iter().for_each(|record| record.put(&mut out));
    let len = u32::try_from(out.len() - HEADER).expect("the writer splits what is larger");
    out[4..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&len.to_be_bytes());
    out[12..20].copy_from_slice(&number.to_be_bytes());
    let crc = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&crc.to_be_bytes());
    out
}

/// A frame whose checksum holds.
pub(crate) struct Frame {
    pub number: u64,
    /// Bytes, header included.
    pub len: usize,
    pub payload: Bytes,
}

impl Frame {
    /// The frame at the start of `bytes`; `None` if there is no whole and unharmed one.
    pub fn parse(bytes: &Bytes) -> Option<Frame> {
        if bytes.len() < HEADER || &bytes[4..8] != MAGIC {
            return None;
        }
        let mut header = bytes.slice(..HEADER);
        let crc = header.get_u32();
        header.advance(4);
        let len = HEADER + header.get_u32() as usize;
        if len > bytes.len() || crc32c::crc32c(&bytes[4..len]) != crc {
            return None;
        }
        Some(Frame { number: header.get_u64(), len, payload: bytes.slice(HEADER..len) })
    }

    pub fn records(&self) -> io::Result<Vec<Record>> {
        let mut rest = self.payload.clone();
        let mut records = Vec::new();
        while !rest.is_empty() {
            records.push(Record::get(&mut rest)?);
        }
        Ok(records)
    }
}

/// Whether a frame with a number above `number` starts anywhere in `bytes`.
pub(crate) fn holds_frame_after(bytes: &Bytes, number: u64) -> bool {
    bytes
        .windows(MAGIC.len())
        .enumerate()
        .filter(|(at, window)| *at >= 4 && window == MAGIC)
        .filter_map(|(at, _)| Frame::parse(&bytes.slice(at - 4..)))
        .any(|frame| frame.number > number)
}
