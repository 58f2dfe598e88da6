//! Where a broker listens and what it tells clients.

use std::collections::BTreeMap;
use std::fmt;

use super::check::Invalid;

/// What is spoken on a listener. Only plain text is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    Plaintext,
}

/// An address as written in the configuration; names are resolved at every dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Empty means all interfaces (in `listeners`); without the brackets of an IPv6 literal.
    pub host: String,
    /// 0 lets the kernel choose (in `listeners`).
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

impl HostPort {
    /// Reads `host:port`, `[v6]:port` or `:port`.
    pub fn parse(text: &str) -> Option<HostPort> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let good = host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:%".contains(c));
        Some(HostPort { host: host.to_owned(), port: port.parse().ok()? }).filter(|_| good)
    }
}

/// Name of a listener → what is spoken there, as `listener.security.protocol.map` says it.
pub(super) struct ProtocolMap(BTreeMap<String, String>);

impl ProtocolMap {
    /// `plain` are listeners that speak plain text although the map does not name them.
    pub fn parse(text: &str, plain: &[String]) -> Result<ProtocolMap, Invalid> {
        let mut map: BTreeMap<_, _> = plain.iter().map(|name| (name.clone(), "PLAINTEXT".into())).collect();
        for item in super::check::split_list(text) {
            let pair = item.split_once(':').filter(|(_, protocol)| is_protocol(protocol));
            let (name, protocol) = pair.ok_or_else(|| bad_map(text))?;
            map.insert(name.trim().to_uppercase(), protocol.trim().to_uppercase());
        }
        Ok(ProtocolMap(map))
    }

    fn protocol(&self, key: &'static str, listener: &str) -> Result<SecurityProtocol, Invalid> {
        let why = match self.0.get(listener).map(String::as_str) {
            Some("PLAINTEXT") => return Ok(SecurityProtocol::Plaintext),
            Some(other) => format!("{key}: listener {listener} speaks {other}, only PLAINTEXT is served yet"),
            None => format!("{key}: listener {listener} is not in listener.security.protocol.map"),
        };
        Err(Invalid::Conflict { name: key, why })
    }
}

fn is_protocol(text: &str) -> bool {
    ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"].contains(&text.trim().to_uppercase().as_str())
}

fn bad_map(text: &str) -> Invalid {
    Invalid::Value {
        name: "listener.security.protocol.map".into(),
        value: text.into(),
        expected: "a list of NAME:PROTOCOL with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL".into(),
    }
}

/// Reads the items of `listeners` or `advertised.listeners`.
pub(super) fn parse(
    key: &'static str,
    items: &[String],
    map: &ProtocolMap,
) -> Result<Vec<Listener>, Invalid> {
    let listeners = items.iter().map(|item| parse_one(key, item, map)).collect::<Result<Vec<_>, _>>()?;
    let names = listeners.iter().map(|listener| &listener.name);
    match first_twice(names) {
        Some(name) => Err(conflict(key, format!("{key}: two listeners have the name {name}"))),
        None => Ok(listeners),
    }
}

fn parse_one(key: &'static str, item: &str, map: &ProtocolMap) -> Result<Listener, Invalid> {
    let parts = item.split_once("://").and_then(|(name, rest)| Some((name, HostPort::parse(rest)?)));
    let (name, address) = parts.filter(|(name, _)| !name.is_empty()).ok_or_else(|| Invalid::Value {
        name: key.into(),
        value: item.into(),
        expected: "NAME://host:port, with commas between several".into(),
    })?;
    let name = name.to_uppercase();
    Ok(Listener { protocol: map.protocol(key, &name)?, name, address })
}

/// No two listeners may want the same port of the same host.
pub(super) fn check_addresses(listeners: &[Listener]) -> Result<(), Invalid> {
    let addresses = listeners.iter().map(|listener| &listener.address).filter(|address| address.port != 0);
    match first_twice(addresses) {
        Some(address) => {
            Err(conflict("listeners", format!("listeners: two listeners have the address {address}")))
        }
        None => Ok(()),
    }
}

/// Clients can reach a broker only by an address that means it everywhere.
pub(super) fn check_advertised(listeners: &[Listener]) -> Result<(), Invalid> {
    match listeners.iter().find(|listener| ["0.0.0.0", "::"].contains(&listener.address.host.as_str())) {
        None => Ok(()),
        Some(Listener { address, .. }) => Err(conflict(
            "advertised.listeners",
            format!("advertised.listeners: clients cannot connect to {address}, name a host they can reach"),
        )),
    }
}

pub(super) fn conflict(name: &'static str, why: String) -> Invalid {
    Invalid::Conflict { name, why }
}

fn first_twice<T: PartialEq>(items: impl Iterator<Item = T> + Clone) -> Option<T> {
    items
        .clone()
        .enumerate()
        .find(|(at, item)| items.clone().take(*at).any(|other| other == *item))
        .map(|(_, i)| i)
}
