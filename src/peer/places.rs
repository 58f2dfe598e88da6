//! Where the configured controllers are asked.

use super::link::resolve;
use super::members::Address;
use crate::config::HostPort;
use crate::types::{BrokerId, Uuid};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// In the address of a node whose id is not known yet.
const UNKNOWN: BrokerId = -1;

/// One address at which a controller should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Bootstrap servers have no known id.
    pub node: Option<BrokerId>,
    pub at: HostPort,
    /// The configured name, if it has several addresses: of one node, or of several.
    pub shared: Option<HostPort>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shared {
            Some(name) => write!(f, "{} ({name})", self.at),
            None => self.at.fmt(f),
        }
    }
}

impl Place {
    pub fn address(&self) -> String {
        let (node, at, directory) = (self.node.unwrap_or(UNKNOWN), self.at.clone(), Uuid::nil());
        Address { node, at, directory, is_controller: true }.to_string()
    }
}

/// One place for each controller that is configured, and one for each address of a name that several nodes share: whoever
/// asks by such a name may reach itself alone for ever.
pub(super) async fn places(configured: &[(Option<BrokerId>, HostPort)]) -> Vec<Place> {
    let found = configured.iter().map(|(node, at)| async {
        let addresses = if node.is_none() { resolve(at).await } else { vec![] };
        expand(*node, at, &addresses)
    });
    futures_util::future::join_all(found).await.concat()
}

fn expand(node: Option<BrokerId>, at: &HostPort, addresses: &[IpAddr]) -> Vec<Place> {
    let nodes: BTreeSet<&IpAddr> = addresses.iter().filter(|ip| !ip.is_loopback()).collect();
    // One node may have an address of each family.
    let most = |is_one: fn(&IpAddr) -> bool| nodes.iter().filter(|ip| is_one(ip)).count();
    if most(IpAddr::is_ipv4).max(most(IpAddr::is_ipv6)) <= 1 {
        return vec![Place { node, at: at.clone(), shared: None }];
    }
    let one = |ip: &IpAddr| HostPort { host: ip.to_string(), port: at.port };
    nodes.into_iter().map(|ip| Place { node, at: one(ip), shared: Some(at.clone()) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_several_nodes_is_asked_at_each_of_its_addresses() {
        let at = HostPort { host: "controllers".into(), port: 9093 };
        let asked = |addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
            expand(None, &at, &addresses)
        };
        let alone = vec![Place { node: None, at: at.clone(), shared: None }];
        for one in [&[][..], &["10.0.0.1"], &["10.0.0.1", "fd00::1"], &["127.0.0.1", "127.0.1.1", "::1"]] {
            assert_eq!(asked(one), alone);
        }
        let several = asked(&["10.0.0.2", "10.0.0.1", "10.0.0.2", "fd00::1"]);
        let places: Vec<String> = several.iter().map(Place::address).collect();
        assert_eq!(places, ["-1@10.0.0.1:9093", "-1@10.0.0.2:9093", "-1@[fd00::1]:9093"]);
        assert!(several.iter().all(|place| place.shared.as_ref() == Some(&at)));
    }
}
