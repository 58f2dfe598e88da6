//! The three kinds of index entries.

/// A fixed-size entry of an index file. Offsets in files are relative to the segment's base offset.
pub trait Entry: Copy + std::fmt::Debug + PartialEq + Send + Sync {
    /// Bytes in the file.
    const SIZE: usize;
    fn put(&self, base: i64, out: &mut Vec<u8>);
    /// `None` for bytes that cannot be an entry. `bytes` has [`Self::SIZE`] bytes.
    fn get(base: i64, bytes: &[u8]) -> Option<Self>;
    /// What lookups compare.
    fn key(&self) -> i64;
    /// The log offset that truncation compares.
    fn offset(&self) -> i64;
    /// Whether this entry may stand behind `before`.
    fn follows(&self, before: &Self) -> bool;
}

/// `.index`: relative offset u32, position u32. `offset` is the last offset of the batch at `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    pub offset: i64,
    /// Bytes from the start of the segment file.
    pub position: u32,
}

impl Entry for OffsetEntry {
    const SIZE: usize = 8;

    fn put(&self, base: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&((self.offset - base) as u32).to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn get(base: i64, bytes: &[u8]) -> Option<Self> {
        let position = u32::from_be_bytes(at(bytes, 4)?);
        Some(Self { offset: absolute(base, at(bytes, 0)?)?, position })
    }

    fn key(&self) -> i64 {
        self.offset
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    fn follows(&self, before: &Self) -> bool {
        self.offset > before.offset && self.position > before.position
    }
}

/// `.timeindex`: timestamp i64, relative offset u32. No record before `offset`'s successor is later than `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub offset: i64,
}

impl Entry for TimeEntry {
    const SIZE: usize = 12;

    fn put(&self, base: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&((self.offset - base) as u32).to_be_bytes());
    }

    fn get(base: i64, bytes: &[u8]) -> Option<Self> {
        Some(Self { timestamp: i64::from_be_bytes(at(bytes, 0)?), offset: absolute(base, at(bytes, 8)?)? })
    }

    fn key(&self) -> i64 {
        self.timestamp
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    fn follows(&self, before: &Self) -> bool {
        self.timestamp > before.timestamp && self.offset >= before.offset
    }
}

/// `.txnindex`: version i16 = 0, producer id, first, last and last stable offset i64. Offsets are absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    pub producer_id: i64,
    pub first_offset: i64,
    /// Offset of the abort marker.
    pub last_offset: i64,
    /// The last stable offset once the transaction was aborted.
    pub last_stable_offset: i64,
}

impl Entry for AbortedTxn {
    const SIZE: usize = 34;

    fn put(&self, _base: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&0i16.to_be_bytes());
        for field in [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }

    fn get(base: i64, bytes: &[u8]) -> Option<Self> {
        let version = i16::from_be_bytes(at(bytes, 0)?);
        let txn = Self {
            producer_id: i64::from_be_bytes(at(bytes, 2)?),
            first_offset: i64::from_be_bytes(at(bytes, 10)?),
            last_offset: i64::from_be_bytes(at(bytes, 18)?),
            last_stable_offset: i64::from_be_bytes(at(bytes, 26)?),
        };
        // A transaction may begin in an earlier segment, its marker lies in this one.
        let sane = version == 0 && txn.producer_id >= 0 && txn.first_offset <= txn.last_offset;
        (sane && txn.last_offset >= base).then_some(txn)
    }

    fn key(&self) -> i64 {
        self.last_offset
    }

    fn offset(&self) -> i64 {
        self.last_offset
    }

    fn follows(&self, before: &Self) -> bool {
        self.last_offset > before.last_offset
    }
}

/// Kafka's relative offsets are signed: half the range of the field.
fn absolute(base: i64, relative: [u8; 4]) -> Option<i64> {
    let relative = i32::from_be_bytes(relative);
    if relative < 0 { None } else { base.checked_add(i64::from(relative)) }
}

fn at<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..)?.first_chunk().copied()
}
