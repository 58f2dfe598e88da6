//! What leaves a connection for one request.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use storage::disk::FileSlice;

/// A run of a frame's bytes, in memory or still in a segment file.
#[derive(Debug)]
pub enum Chunk {
    Bytes(Bytes),
    File(FileSlice),
}

/// One whole response frame, its four-byte length included.
#[derive(Debug, Default)]
pub struct Chunks(pub Vec<Chunk>);

/// The outcome of one request, once its effect has taken place.
pub enum Outgoing {
    /// Send this.
    Now(Chunks),
    /// The effect is done, its acknowledgement waits: later requests go on, this reply keeps its place in the order.
    /// If it comes to nothing, no bytes, the connection cannot go on.
    Later(BoxFuture<'static, Chunks>),
    /// The client expects no reply (Produce with acks=0).
    Nothing,
    /// The connection cannot go on; the reason is for the log.
    Close(&'static str),
}

impl Chunks {
    /// Bytes of the frame.
    pub fn len(&self) -> usize {
        self.0.iter().map(Chunk::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Chunk {
    pub fn len(&self) -> usize {
        match self {
            Chunk::Bytes(bytes) => bytes.len(),
            Chunk::File(slice) => slice.len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
