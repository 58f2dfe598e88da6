//! One request as it came in.

use bytes::Bytes;

use super::header::{HeaderError, RequestHeader};

/// A request, its header read, its body not yet.
#[derive(Clone, Debug)]
pub struct Frame {
    pub header: RequestHeader,
    /// A slice of the received bytes; records decoded from it share them.
    pub body: Bytes,
}

impl Frame {
    /// Reads the header of a frame whose four-byte length has been removed.
    pub fn read(mut bytes: Bytes) -> Result<Frame, HeaderError> {
        let header = RequestHeader::read(&mut bytes)?;
        Ok(Frame { header, body: bytes })
    }
}
