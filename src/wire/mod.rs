//! Frames, headers and the only codec: everything that turns messages into bytes and back.

pub mod outgoing;
