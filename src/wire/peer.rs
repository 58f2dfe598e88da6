//! Who is at the other end of a connection, for as long as it lasts.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

/// The client of one connection.
#[derive(Debug)]
pub struct Peer {
    /// Unique within the process.
    pub id: u64,
    pub remote: SocketAddr,
    /// Name of the listener it came in by, as in `listeners`.
    pub listener: Arc<str>,
    software: Mutex<Option<Software>>,
    state: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// What a client says of itself in ApiVersions (KIP-511).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software {
    pub name: String,
    pub version: String,
}

impl Peer {
    pub fn new(id: u64, remote: SocketAddr, listener: Arc<str>) -> Peer {
        Peer { id, remote, listener, software: Mutex::default(), state: OnceLock::new() }
    }

    pub fn set_software(&self, software: Software) {
        *self.software.lock() = Some(software);
    }

    pub fn software(&self) -> Option<Software> {
        self.software.lock().clone()
    }

    /// The service's own state of this connection, made by its default at first use. `None` if a service asks for two types.
    pub fn state<T: Any + Send + Sync + Default>(&self) -> Option<&T> {
        self.state.get_or_init(|| Box::<T>::default()).downcast_ref()
    }
}
