//! Primitives of Kafka's record schemas: both the fixed and the flexible (compact, tagged) forms.

use crate::types::Uuid;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Reads fields one after the other; `None` when the bytes are not what the schema says.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    /// Lengths are varints and structures end in tagged fields.
    pub flexible: bool,
}

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Reader { rest: bytes, flexible: false }
    }

    pub fn i16(&mut self) -> Option<i16> {
        self.rest.try_get_i16().ok()
    }

    pub fn i32(&mut self) -> Option<i32> {
        self.rest.try_get_i32().ok()
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.rest.try_get_i64().ok()
    }

    pub fn string(&mut self) -> Option<String> {
        self.nullable_string()?
    }

    /// The outer `None` is malformed, the inner one null.
    pub fn nullable_string(&mut self) -> Option<Option<String>> {
        let length = if self.flexible { self.varint_length()? } else { i64::from(self.i16()?) };
        match self.nullable(length)? {
            Some(bytes) => Some(Some(String::from_utf8(bytes.into()).ok()?)),
            None => Some(None),
        }
    }

    pub fn bytes(&mut self) -> Option<Bytes> {
        let length = self.length()?;
        self.nullable(length)?
    }

    /// The number of elements that follow; more than bytes are left is malformed, so nothing large is set aside.
    pub fn array(&mut self) -> Option<usize> {
        usize::try_from(self.length()?).ok().filter(|&count| count <= self.rest.len())
    }

    /// The tagged fields at the end of a flexible structure.
    pub fn tags(&mut self, mut known: impl FnMut(u32, &Bytes)) -> Option<()> {
        let count = if self.flexible { self.varint()? } else { 0 };
        for _ in 0..count {
            let tag = self.varint()?;
            let length = self.varint()?;
            let value = self.nullable(i64::from(length))??;
            known(tag, &value);
        }
        Some(())
    }

    fn length(&mut self) -> Option<i64> {
        if self.flexible { self.varint_length() } else { self.i32().map(i64::from) }
    }

    /// A flexible length is one more than it says, so that 0 is null.
    fn varint_length(&mut self) -> Option<i64> {
        self.varint().map(|length| i64::from(length) - 1)
    }

    fn nullable(&mut self, length: i64) -> Option<Option<Bytes>> {
        if length < 0 {
            return Some(None);
        }
        let length = usize::try_from(length).ok().filter(|&length| length <= self.rest.len())?;
        Some(Some(self.rest.split_to(length)))
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.rest.try_get_u8().ok()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// The sixteen bytes of a tagged uuid.
pub fn uuid(bytes: &Bytes) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

/// Appends one field in the fixed form.
pub trait Write {
    fn string(&mut self, text: &str);
    fn nullable_string(&mut self, text: Option<&str>);
    fn byte_array(&mut self, bytes: &[u8]);
    /// An unsigned varint.
    fn varint(&mut self, value: u32);
}

impl Write for BytesMut {
    fn string(&mut self, text: &str) {
        self.put_i16(text.len() as i16);
        self.put_slice(text.as_bytes());
    }

    fn nullable_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None => self.put_i16(-1),
        }
    }

    fn byte_array(&mut self, bytes: &[u8]) {
        self.put_i32(bytes.len() as i32);
        self.put_slice(bytes);
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }
}
