//! The four codecs of record batches, always with a bound on what comes out.
//!
//! | codec | format | level |
//! |---|---|---|
//! | gzip | gzip members | 1-9, -1 is the library's default (6) |
//! | snappy | reads raw blocks and the Java client's framing, writes the framing | none |
//! | lz4 | lz4 frame | the crate has one speed; `compression.lz4.level` is accepted and changes nothing |
//! | zstd | zstd frame | -131072 to 22; 0 is 3 |

mod snappy;

use std::io::{self, Read, Write};

use bytes::Bytes;
use thiserror::Error;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The id in a batch's attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// The name in `compression.type`.
    pub fn name(self) -> &'static str {
        ["uncompressed", "gzip", "snappy", "lz4", "zstd"][self as usize]
    }

    /// By its name; `none` is a client's word for `uncompressed`.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "none" {
            Some(Self::None)
        } else {
            Self::ALL.into_iter().find(|codec| codec.name() == name)
        }
    }
}

/// A codec and how hard it tries; `None` is the codec's default level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    pub codec: Codec,
    pub level: Option<i32>,
}

impl Compression {
    pub const NONE: Self = Self { codec: Codec::None, level: None };
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        Self { codec, level: None }
    }
}

/// Why bytes cannot be (de)compressed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompressError {
    #[error("records decompress to more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("{} data is corrupt: {why}", codec.name())]
    Corrupt { codec: Codec, why: String },
}

/// zstd refuses frames that want a longer window: 2^27 bytes, its own default and the Java client's.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const CHUNK: usize = 64 << 10;

/// All of `input`, decompressed; refused once it grows beyond `limit` bytes. Uncompressed input is passed through.
pub fn decompress(codec: Codec, input: Bytes, limit: usize) -> Result<Bytes, CompressError> {
    if codec == Codec::None {
        return Ok(input);
    }
    let mut stream = Decompressor::new(codec, &input, limit)?;
    let mut out = Vec::new();
    loop {
        let chunk = stream.chunk()?;
        if chunk.is_empty() {
            return Ok(out.into());
        }
        out.extend_from_slice(chunk);
        let len = chunk.len();
        stream.consume(len);
    }
}

/// Compresses `input`.
pub fn compress(with: Compression, input: Bytes) -> Result<Bytes, CompressError> {
    if with.codec == Codec::None {
        return Ok(input);
    }
    let mut encoder = Compressor::new(with)?;
    encoder.write(&input)?;
    Ok(encoder.finish()?.into())
}

/// Decompresses a piece at a time, so that memory does not follow the size of what comes out.
pub struct Decompressor<'a> {
    codec: Codec,
    inner: Box<dyn Read + 'a>,
    buf: Vec<u8>,
    at: usize,
    filled: usize,
    limit: usize,
    left: usize,
}

impl<'a> Decompressor<'a> {
    pub fn new(codec: Codec, input: &'a [u8], limit: usize) -> Result<Self, CompressError> {
        let inner = open(codec, input).map_err(|e| corrupt(codec, &e))?;
        Ok(Self { codec, inner, buf: vec![0; CHUNK], at: 0, filled: 0, limit, left: limit })
    }

    /// Decompressed bytes not yet consumed; empty only at the end.
    pub fn chunk(&mut self) -> Result<&[u8], CompressError> {
        if self.at == self.filled {
            self.fill()?;
        }
        Ok(&self.buf[self.at..self.filled])
    }

    /// The first byte of a chunk that is not empty.
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.buf[self.at]
    }

    #[inline]
    pub fn consume(&mut self, len: usize) {
        self.at = (self.at + len).min(self.filled);
    }

    fn fill(&mut self) -> Result<(), CompressError> {
        self.at = 0;
        self.filled = 0;
        self.filled = self.inner.read(&mut self.buf).map_err(|e| corrupt(self.codec, &e))?;
        self.left =
            self.left.checked_sub(self.filled).ok_or(CompressError::TooLarge { limit: self.limit })?;
        Ok(())
    }
}

fn open<'a>(codec: Codec, input: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match codec {
        Codec::None => Box::new(input),
        Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Codec::Snappy => Box::new(snappy::Reader::new(input)),
        Codec::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(input)),
        Codec::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

fn corrupt(codec: Codec, why: &dyn std::fmt::Display) -> CompressError {
    CompressError::Corrupt { codec, why: why.to_string() }
}

/// Compresses what is written to it.
pub struct Compressor {
    codec: Codec,
    inner: Encoder,
}

enum Encoder {
    None(Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Snappy(Box<snappy::Writer>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    pub fn new(with: Compression) -> Result<Self, CompressError> {
        let inner = match with.codec {
            Codec::None => Encoder::None(Vec::new()),
            Codec::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(Vec::new(), gzip_level(with.level))),
            Codec::Snappy => Encoder::Snappy(Box::default()),
            Codec::Lz4 => Encoder::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
            Codec::Zstd => Encoder::Zstd(
                zstd::Encoder::new(Vec::new(), with.level.unwrap_or(0))
                    .map_err(|e| corrupt(with.codec, &e))?,
            ),
        };
        Ok(Self { codec: with.codec, inner })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CompressError> {
        match &mut self.inner {
            Encoder::None(out) => out.write_all(bytes),
            Encoder::Gzip(out) => out.write_all(bytes),
            Encoder::Snappy(out) => out.write_all(bytes),
            Encoder::Lz4(out) => out.write_all(bytes),
            Encoder::Zstd(out) => out.write_all(bytes),
        }
        .map_err(|e| corrupt(self.codec, &e))
    }

    /// Bytes that have come out so far.
    pub fn written(&self) -> usize {
        match &self.inner {
            Encoder::None(out) => out.len(),
            Encoder::Gzip(out) => out.get_ref().len(),
            Encoder::Snappy(out) => out.written(),
            Encoder::Lz4(out) => out.get_ref().len(),
            Encoder::Zstd(out) => out.get_ref().len(),
        }
    }

    pub fn finish(self) -> Result<Vec<u8>, CompressError> {
        match self.inner {
            Encoder::None(out) => Ok(out),
            Encoder::Gzip(out) => out.finish().map_err(|e| corrupt(self.codec, &e)),
            Encoder::Snappy(out) => out.finish().map_err(|e| corrupt(self.codec, &e)),
            Encoder::Lz4(out) => out.finish().map_err(|e| corrupt(self.codec, &e)),
            Encoder::Zstd(out) => out.finish().map_err(|e| corrupt(self.codec, &e)),
        }
    }
}

fn gzip_level(level: Option<i32>) -> flate2::Compression {
    match level.and_then(|level| u32::try_from(level).ok()) {
        Some(level) => flate2::Compression::new(level.min(9)),
        None => flate2::Compression::default(),
    }
}
