//! The quorum as its users see it.

mod common;
mod net;
mod single;
mod three;
mod voters;
