//! One request as it came in.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use super::header::{HeaderError, RequestHeader};

/// A request, its header read, its body not yet.
#[derive(Clone, Debug)]
pub struct Frame {
    pub header: RequestHeader,
    /// A slice of the received bytes; records decoded from it share them.
    pub body: Bytes,
    /// Of what nodes say to each other: what its bytes are charged to, given back when nobody holds it any more. To be held by
    /// whoever keeps the body for longer than its handler runs.
    pub hold: Option<Hold>,
}

/// Part of a memory budget.
pub type Hold = Arc<dyn Any + Send + Sync>;

impl Frame {
    /// Reads the header of a frame whose four-byte length has been removed.
    pub fn read(mut bytes: Bytes) -> Result<Frame, HeaderError> {
        let header = RequestHeader::read(&mut bytes)?;
        Ok(Frame { header, body: bytes, hold: None })
    }
}
