//! Bounds what a decoder may be talked into allocating.
//!
//! The crate's decoders reserve an array's memory from its claimed length before they read one element, so that six
//! bytes could ask for 300 GB. [`Guarded`] stands between decoder and body and uses that every element takes at least
//! one byte: a length above the bytes that remain (or above [`FREE`], if that is more) is a lie.
//! - Lengths of compact arrays, and whatever else is an unsigned varint (string lengths, tag counts, tag sizes, tags),
//!   are refused on sight: none of them may honestly exceed what remains.
//! - An `int32` may be an array length or an ordinary number. A suspicious one is replaced by [`NOT_A_LENGTH`], which
//!   decoders refuse as a length and accept as a number. `replaced` then says that the result serves only as a
//!   check, and that the body, now known to be harmless, has to be decoded a second time as it is.

use std::ops::Range;

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::buf::ByteBuf;

/// Claimed lengths up to this are let through: costs little memory, and spares time-outs of 30 s the second decoding.
const FREE: usize = 32_768;
/// Negative, and not the -1 of null.
const NOT_A_LENGTH: i32 = -2;
/// An unsigned varint of 32 bits takes at most this many bytes.
const MAX_VARINT: usize = 5;

pub struct Guarded {
    body: Bytes,
    pub replaced: bool,
}

impl Guarded {
    pub fn new(body: Bytes) -> Guarded {
        Guarded { body, replaced: false }
    }

    fn believable(&self, claimed: usize) -> bool {
        claimed <= FREE.max(self.body.len())
    }
}

/// The varint that would begin at the front of `bytes`.
fn peek_varint(bytes: &[u8]) -> u32 {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(MAX_VARINT).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            break;
        }
    }
    value
}

impl Buf for Guarded {
    fn remaining(&self) -> usize {
        self.body.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.body
    }

    fn advance(&mut self, cnt: usize) {
        self.body.advance(cnt);
    }

    /// Only booleans and the bytes of varints are read as `u8`. Within a varint the rest of it is smaller than the whole,
    /// so that checking at each byte needs no memory of where it began.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let claimed = peek_varint(&self.body) as usize;
        if !self.believable(claimed.saturating_sub(1)) {
            return Err(TryGetError { requested: claimed, available: self.body.len() });
        }
        self.body.try_get_u8()
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let value = self.body.try_get_i32()?;
        if value > 0 && !self.believable(value as usize) {
            self.replaced = true;
            return Ok(NOT_A_LENGTH);
        }
        Ok(value)
    }
}

impl ByteBuf for Guarded {
    fn peek_bytes(&mut self, r: Range<usize>) -> Bytes {
        self.body.slice(r)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.body.split_to(size)
    }
}
