//! Frames, headers and the only codec: everything that turns messages into bytes and back.

pub mod codec;
pub mod fetch_response;
pub mod frame;
mod guard;
pub mod header;
pub mod outgoing;
pub mod peer;
pub mod replica_fetch;
#[cfg(test)]
mod tests;

pub use codec::{BadRequest, decode, encode_response};
pub use frame::Frame;
pub use header::RequestHeader;
pub use outgoing::{Chunk, Chunks, Outgoing};
pub use peer::Peer;
