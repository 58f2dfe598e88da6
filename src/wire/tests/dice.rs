//! Messages by chance: a decoder is asked to decode what dice say, so that every field gets a value without anybody knowing the schema.

use std::ops::Range;

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

/// An endless buffer of small numbers and short words.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Xorshift.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// Less than `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn small(&mut self) -> u8 {
        self.below(4) as u8
    }
}

/// A message of `version` with something in most of its fields.
pub fn throw<M: Decodable>(dice: &mut Dice, version: i16) -> M {
    // A tag that a version does not know is refused; the next throw has another.
    loop {
        if let Ok(message) = M::decode(dice, version) {
            return message;
        }
    }
}

impl Buf for Dice {
    fn remaining(&self) -> usize {
        1 << 20
    }

    fn chunk(&self) -> &[u8] {
        &[0; 16]
    }

    fn advance(&mut self, _: usize) {}

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        Ok(self.small())
    }

    fn try_get_i8(&mut self) -> Result<i8, TryGetError> {
        Ok(self.small() as i8 - 1)
    }

    fn try_get_i16(&mut self) -> Result<i16, TryGetError> {
        Ok(self.small().into())
    }

    fn try_get_u16(&mut self) -> Result<u16, TryGetError> {
        Ok(self.small().into())
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        Ok(self.small().into())
    }

    fn try_get_u32(&mut self) -> Result<u32, TryGetError> {
        Ok(self.next() as u32)
    }

    fn try_get_i64(&mut self) -> Result<i64, TryGetError> {
        Ok(self.next() as i64)
    }

    fn try_get_f64(&mut self) -> Result<f64, TryGetError> {
        Ok(self.small().into())
    }

    fn try_copy_to_slice(&mut self, dst: &mut [u8]) -> Result<(), TryGetError> {
        dst.fill_with(|| self.small() + b'a');
        Ok(())
    }
}

impl ByteBuf for Dice {
    fn peek_bytes(&mut self, r: Range<usize>) -> Bytes {
        vec![b'x'; r.len()].into()
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        (0..size).map(|_| self.small() + b'a').collect()
    }
}
