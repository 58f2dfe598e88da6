//! A bound socket that waits for connections.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use thiserror::Error;

use crate::seam::net::{TcpListener, listen};

/// A listener that is bound but does not accept yet.
#[derive(Debug)]
pub struct Listener {
    pub(super) name: Arc<str>,
    pub(super) socket: TcpListener,
    pub(super) for_peers: bool,
}

/// Why a listener cannot be opened, with what to do about it.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("listener {name}: host {host:?} has no address ({source}); correct `listeners`")]
    Unresolved { name: Arc<str>, host: String, source: io::Error },
    #[error(
        "listener {name}: {address} is already in use; stop the process that holds it, or choose another port in `listeners`"
    )]
    Busy { name: Arc<str>, address: SocketAddr },
    #[error("listener {name}: cannot listen on {address}: {source}")]
    Failed { name: Arc<str>, address: SocketAddr, source: io::Error },
}

impl Listener {
    /// Binds `host:port`; an empty host means every address, port 0 any free port. Needs a tokio runtime around it.
    /// `backlog` connections are kept by the kernel between two accepts, which cuts it to `net.core.somaxconn`.
    pub fn bind(name: &str, host: &str, port: u16, backlog: i32) -> Result<Listener, BindError> {
        let name: Arc<str> = name.into();
        let address = resolve(&name, host, port)?;
        let socket = listen(address, backlog).or_else(|error| without_ipv6(address, backlog, error));
        let socket = socket.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Busy { name: name.clone(), address },
            _ => BindError::Failed { name: name.clone(), address, source },
        })?;
        Ok(Listener { name, socket, for_peers: false })
    }

    /// Takes what brokers send each other as well. Elsewhere such a request closes its connection before it is received: it would
    /// use up the room that is kept for brokers.
    #[must_use]
    pub fn for_peers(self) -> Listener {
        Listener { for_peers: true, ..self }
    }

    /// As in `listeners`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Every address for an empty host; a name's first IPv4 address, as Java prefers it, or else its first.
fn resolve(name: &Arc<str>, host: &str, port: u16) -> Result<SocketAddr, BindError> {
    if host.is_empty() {
        return Ok((Ipv6Addr::UNSPECIFIED, port).into());
    }
    let unresolved = |source| BindError::Unresolved { name: name.clone(), host: host.to_owned(), source };
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<_> = (literal, port).to_socket_addrs().map_err(unresolved)?.collect();
    let chosen = found.iter().find(|address| address.is_ipv4()).or(found.first());
    chosen.copied().ok_or_else(|| unresolved(io::ErrorKind::NotFound.into()))
}

/// "Every address" on a machine without IPv6 is every IPv4 address.
fn without_ipv6(address: SocketAddr, backlog: i32, error: io::Error) -> io::Result<TcpListener> {
    if error.kind() == io::ErrorKind::AddrInUse || address.ip() != Ipv6Addr::UNSPECIFIED {
        return Err(error);
    }
    listen((Ipv4Addr::UNSPECIFIED, address.port()).into(), backlog)
}
