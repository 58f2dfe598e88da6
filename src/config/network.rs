//! The listeners of a broker, from the keys that together make them.

use super::check::{Invalid, split_list};
use super::listeners::{HostPort, Listener, ProtocolMap, check_addresses, check_advertised, conflict, parse};
use super::read::Reader;

const ALL_INTERFACES: &str = "PLAINTEXT://:9092";

pub(super) struct Network {
    pub listeners: Vec<Listener>,
    pub advertised: Vec<Listener>,
    pub advertised_controller: Option<HostPort>,
    pub controller_names: Vec<String>,
    pub inter_broker_name: String,
}

impl Network {
    pub fn read(read: &Reader<'_>, host_name: &str) -> Result<Network, Invalid> {
        let controller_names = upper(read.list("controller.listener.names"));
        let map = protocol_map(read, &controller_names)?;
        let listeners = parse("listeners", &listeners(read), &map)?;
        check_addresses(&listeners)?;
        check_controller(read, &listeners, &controller_names)?;
        let is_public = |listener: &Listener| !controller_names.contains(&listener.name);
        let mut advertised = match read.is_set("advertised.listeners") {
            true => parse("advertised.listeners", &read.list("advertised.listeners"), &map)?,
            false => reachable(&listeners, host_name),
        };
        let is_first = |listener: &&Listener| controller_names.first() == Some(&listener.name);
        let told = advertised.iter().find(is_first).filter(|_| read.is_set("advertised.listeners"));
        let advertised_controller = told.map(|listener| listener.address.clone());
        advertised.retain(is_public);
        check_advertised(&advertised)?;
        check_bound(read, &advertised, &listeners)?;
        let inter_broker_name = inter_broker_name(read, &advertised)?;
        Ok(Network { listeners, advertised, advertised_controller, controller_names, inter_broker_name })
    }
}

/// Who says what others shall connect to wants to be reached by them: without `listeners`, on all interfaces.
fn listeners(read: &Reader<'_>) -> Vec<String> {
    match read.is_set("advertised.listeners") && !read.is_set("listeners") {
        true => vec![ALL_INTERFACES.into()],
        false => read.list("listeners"),
    }
}

/// A map that is not set lets the controller's listeners speak plain text, whatever their name.
fn protocol_map(read: &Reader<'_>, controller_names: &[String]) -> Result<ProtocolMap, Invalid> {
    let plain = if read.is_set("listener.security.protocol.map") { &[] } else { controller_names };
    ProtocolMap::parse(&read.optional_text("listener.security.protocol.map").unwrap_or_default(), plain)
}

/// What clients are told if nothing was said: each listener, all interfaces being this host's name.
fn reachable(listeners: &[Listener], host_name: &str) -> Vec<Listener> {
    let named = |listener: &Listener| match listener.address.host.as_str() {
        "" | "0.0.0.0" | "::" => {
            let address = HostPort { host: host_name.into(), port: listener.address.port };
            Listener { address, ..listener.clone() }
        }
        _ => listener.clone(),
    };
    listeners.iter().map(named).collect()
}

fn check_controller(read: &Reader<'_>, listeners: &[Listener], names: &[String]) -> Result<(), Invalid> {
    let roles = read.roles()?;
    let bound = |name: &&String| listeners.iter().any(|listener| listener.name == **name);
    let name = "controller.listener.names";
    match names.first() {
        Some(first) if roles.controller && !bound(&first) => {
            Err(conflict(name, format!("{name}: {first} is not in listeners")))
        }
        Some(_) if !roles.controller && names.iter().any(|name| bound(&name)) => Err(conflict(
            name,
            format!("{name}: a node without the controller role has no controller in listeners"),
        )),
        None if listeners.is_empty() => Err(conflict("listeners", "listeners is empty".into())),
        _ => Ok(()),
    }
}

fn check_bound(read: &Reader<'_>, advertised: &[Listener], listeners: &[Listener]) -> Result<(), Invalid> {
    if !read.roles()?.broker {
        return Ok(());
    }
    let bound = |listener: &&Listener| listeners.iter().any(|other| other.name == listener.name);
    match advertised.iter().find(|listener| !bound(listener)) {
        Some(Listener { name, .. }) => {
            Err(conflict("advertised.listeners", format!("advertised.listeners: {name} is not in listeners")))
        }
        None if advertised.is_empty() => Err(conflict(
            "listeners",
            "listeners: none is left for clients, all belong to the controller".into(),
        )),
        None => Ok(()),
    }
}

/// Named, else the one called PLAINTEXT, else the first.
fn inter_broker_name(read: &Reader<'_>, advertised: &[Listener]) -> Result<String, Invalid> {
    let key = "inter.broker.listener.name";
    let has = |name: &str| advertised.iter().any(|listener| listener.name == name);
    match read.optional_text(key).map(|name| name.to_uppercase()) {
        Some(name) if has(&name) || !read.roles()?.broker => Ok(name),
        Some(name) => Err(conflict(key, format!("{key}: {name} is not in advertised.listeners"))),
        None if has("PLAINTEXT") => Ok("PLAINTEXT".into()),
        None => Ok(advertised.first().map_or(String::new(), |listener| listener.name.clone())),
    }
}

fn upper(names: Vec<String>) -> Vec<String> {
    names.into_iter().flat_map(|name| split_list(&name.to_uppercase())).collect()
}
