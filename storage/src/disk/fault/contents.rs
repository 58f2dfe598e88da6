//! The bytes of one file: what readers see, what the medium has, and the changes in between.
//!
//! ```text
//!   durable ──── pending[0], pending[1], … ────▶ live
//!      ▲ sync applies all of them                 ▲ reads
//!      └ crash applies, block by block, those up to some point in time, and a length of some point in time
//! ```

use super::rng::{Rng, mix};

#[derive(Default)]
pub(super) struct Contents {
    pub(super) live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// No name leads here any more; it no longer counts against the capacity.
    pub(super) unlinked: bool,
}

enum Change {
    Write { at: usize, bytes: Box<[u8]> },
    SetLen(usize),
}

impl Contents {
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        put(&mut self.live, at, bytes);
        self.pending.push(Change::Write { at, bytes: bytes.into() });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.live.resize(len, 0);
        self.pending.push(Change::SetLen(len));
    }

    /// All changes reach the medium. Bytes that an earlier failed sync gave up stay lost.
    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write { at, bytes } => put(&mut self.durable, at, &bytes),
                Change::SetLen(len) => self.durable.resize(len, 0),
            }
        }
        self.durable.resize(self.live.len(), 0);
    }

    /// As after a failed fsync on Linux: some changes reached the medium, the rest is taken for clean and never
    /// written again, though readers still see it.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        self.durable = self.surviving(rng);
        self.pending.clear();
    }

    /// Power was lost: only what reached the medium is left.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        if !self.pending.is_empty() {
            self.durable = self.surviving(rng);
            self.pending.clear();
        }
        self.live.clone_from(&self.durable);
        self.unlinked = false;
    }

    fn surviving(&self, rng: &mut Rng) -> Vec<u8> {
        let fate = Fate::roll(rng, self.pending.len());
        let (mut image, mut len) = (self.durable.clone(), self.durable.len());
        // Where a cut did not survive, the blocks written behind it afterwards belong to no file.
        let mut bound = usize::MAX;
        for (time, change) in self.pending.iter().enumerate() {
            match change {
                Change::Write { at, bytes } => {
                    fate.write(&mut image, time, *at, &bytes[..bytes.len().min(bound.saturating_sub(*at))]);
                    len = len.max(fate.end(time, *at, bytes.len()));
                }
                Change::SetLen(to) if time < fate.length => {
                    image.truncate(*to);
                    len = *to;
                }
                Change::SetLen(to) => bound = bound.min(*to),
            }
        }
        image.resize(len, 0);
        image
    }
}

/// Writes `bytes` at `at`, with zeros before it where the image is shorter.
fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if image.len() < end {
        image.resize(at.max(image.len().min(end)), 0);
        let overlap = image.len() - at;
        image[at..].copy_from_slice(&bytes[..overlap]);
        image.extend_from_slice(&bytes[overlap..]);
    } else {
        image[at..end].copy_from_slice(bytes);
    }
}

/// Which unsynced changes of a file a crash leaves. A block holds its state at some point in time (never a later
/// write without an earlier one to the same block: the page held both), other blocks that of other times.
struct Fate {
    seed: u64,
    /// Bytes that are written whole or not at all.
    block: usize,
    changes: usize,
    /// Changes whose effect on the length survives.
    length: usize,
    /// Changes that survive whole; `None`: each block has its own time.
    whole: Option<usize>,
}

impl Fate {
    fn roll(rng: &mut Rng, changes: usize) -> Fate {
        let some = rng.below(changes + 1);
        let (whole, length) = match rng.below(8) {
            0 => (Some(0), 0),
            1 => (Some(changes), changes),
            2 => (Some(some), some),
            3 | 4 => (Some(some), some + 1),
            5 => (None, changes),
            _ => (None, some),
        };
        Fate { seed: rng.next_u64(), block: 512 << rng.below(4), changes, length, whole }
    }

    fn write(&self, image: &mut Vec<u8>, time: usize, at: usize, bytes: &[u8]) {
        let mut from = 0;
        while from < bytes.len() {
            let block = (at + from) / self.block;
            let to = bytes.len().min((block + 1) * self.block - at);
            if self.keeps(time, block) {
                put(image, at + from, &bytes[from..to]);
            }
            from = to;
        }
    }

    /// How long the file surely is by the write at `time`: the last one that counts may have got only part of the way.
    fn end(&self, time: usize, at: usize, len: usize) -> usize {
        let part = self.seed as usize % (len + 1) + at;
        match () {
            () if time < self.length => at + len,
            () if time == self.length && self.whole.is_none() => part - part % self.block,
            () => 0,
        }
    }

    /// Whether the change at `time` survives in `block`.
    fn keeps(&self, time: usize, block: usize) -> bool {
        let dice = mix(self.seed ^ mix(block as u64));
        match self.whole {
            Some(whole) if self.length > whole => time < whole || (time == whole && dice & 1 == 0),
            Some(whole) => time < whole,
            None => match dice % 3 {
                0 => false,
                1 => true,
                _ => time < (dice >> 8) as usize % (self.changes + 1),
            },
        }
    }
}
