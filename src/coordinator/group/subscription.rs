//! The one thing the coordinator looks up in a consumer's metadata: its topics.

use crate::coordinator::codec::Reader;
use bytes::Bytes;

/// The protocol type of consumers.
pub const CONSUMER: &str = "consumer";

/// The topics of a ConsumerProtocolSubscription of any version; `None` if it is not one.
pub fn topics(metadata: &Bytes) -> Option<Vec<String>> {
    let mut reader = Reader::new(metadata.clone());
    reader.i16().filter(|&version| version >= 0)?;
    (0..reader.array()?).map(|_| reader.string()).collect()
}
