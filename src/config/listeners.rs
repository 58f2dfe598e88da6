//! Where a broker listens and what it tells clients.

use std::fmt;

/// What is spoken on a listener. Only plain text is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    Plaintext,
}

/// An address as written in the configuration; names are resolved at every dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Empty means all interfaces (in `listeners`), without the brackets of an IPv6 literal.
    pub host: String,
    pub port: u16,
}

/// A named listener: one of `listeners` or `advertised.listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Upper case.
    pub name: String,
    pub protocol: SecurityProtocol,
    pub address: HostPort,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
