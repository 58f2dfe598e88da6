//! Sockets: what listens, reads frames and writes replies. Knows nothing of what requests mean.

mod accept;
pub mod budget;
mod connection;
mod hang_up;
pub mod listener;
mod quiet;
mod reader;
mod registry;
mod replies;
mod send;
pub mod server;
#[cfg(test)]
mod tests;

pub use listener::{BindError, Listener};
pub use server::{Server, Service, Settings};
