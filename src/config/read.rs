//! Typed reading of broker keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::broker::{InternalTopic, RACK_AWARE_SELECTOR, ReplicationFactor, Roles, ThrottledRates};
use super::check::{Invalid, Value, split_list};
use super::layers::Layers;
use super::listeners::{HostPort, conflict};

/// One of `controller.quorum.voters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub id: i32,
    pub address: HostPort,
}

/// The table gives every key read here its type and (numbers and flags) a default, and the check holds each value to
/// that type: what cannot happen is marked `unreachable`, and a test reads every key.
pub(super) struct Reader<'a> {
    pub layers: &'a Layers,
}

impl Reader<'_> {
    pub fn is_set(&self, name: &'static str) -> bool {
        self.layers.is_set(name)
    }

    pub fn long(&self, name: &'static str) -> i64 {
        match self.layers.own_value(name) {
            Some(Value::Number(number)) => number,
            _ => unreachable!("{name} is a number with a default"),
        }
    }

    /// The table bounds keys of 32 bits.
    pub fn int(&self, name: &'static str) -> i32 {
        self.long(name) as i32
    }

    pub fn flag(&self, name: &'static str) -> bool {
        matches!(self.layers.own_value(name), Some(Value::Bool(true)))
    }

    pub fn list(&self, name: &'static str) -> Vec<String> {
        match self.layers.own_value(name) {
            Some(Value::List(items)) => items,
            _ => Vec::new(),
        }
    }

    /// `None` if unset or empty.
    pub fn optional_text(&self, name: &'static str) -> Option<String> {
        self.layers.own_value(name).map(|value| value.to_string()).filter(|text| !text.is_empty())
    }

    pub fn sends_to_nearest(&self) -> bool {
        self.optional_text("replica.selector.class").as_deref() == Some(RACK_AWARE_SELECTOR)
    }

    pub fn throttled_rates(&self) -> ThrottledRates {
        ThrottledRates {
            leader: self.long("leader.replication.throttled.rate"),
            follower: self.long("follower.replication.throttled.rate"),
        }
    }

    pub fn node_id(&self) -> Result<i32, Invalid> {
        let (node, broker) = (self.int("node.id"), self.int("broker.id"));
        match (self.is_set("node.id"), self.is_set("broker.id") && broker >= 0) {
            (true, true) if node != broker => Err(conflict(
                "broker.id",
                format!("broker.id is {broker} and node.id is {node}: they must agree"),
            )),
            (false, true) => Ok(broker),
            _ => Ok(node),
        }
    }

    pub fn roles(&self) -> Result<Roles, Invalid> {
        let roles = self.list("process.roles");
        let has = |role: &str| roles.iter().any(|item| item == role);
        match roles.is_empty() {
            true => Err(conflict(
                "process.roles",
                "process.roles is empty: expected broker, controller or both".into(),
            )),
            false => Ok(Roles { broker: has("broker"), controller: has("controller") }),
        }
    }

    pub fn voters(&self) -> Result<Vec<Voter>, Invalid> {
        let items = self.list("controller.quorum.voters");
        let expected = "a list of id@host:port";
        items
            .iter()
            .map(|item| voter(item).ok_or_else(|| bad("controller.quorum.voters", item, expected)))
            .collect()
    }

    pub fn bootstrap_servers(&self) -> Result<Vec<HostPort>, Invalid> {
        let name = "controller.quorum.bootstrap.servers";
        let address = |item: &String| dialable(item).ok_or_else(|| bad(name, item, "a list of host:port"));
        self.list(name).iter().map(address).collect()
    }

    /// `log.dirs`, else `log.dir`, made absolute.
    pub fn log_dirs(&self, working_dir: &Path) -> Result<Vec<PathBuf>, Invalid> {
        let name = if self.is_set("log.dirs") { "log.dirs" } else { "log.dir" };
        let dirs: Vec<_> = self.list(name).iter().map(|dir| working_dir.join(dir)).collect();
        let twice = dirs.iter().enumerate().find(|(at, dir)| dirs[..*at].contains(dir));
        match (self.list(name).iter().any(String::is_empty) || dirs.is_empty(), twice) {
            (true, _) => Err(conflict(name, format!("{name}: a directory has no name"))),
            (_, Some((_, dir))) => Err(conflict(name, format!("{name} names {} twice", dir.display()))),
            _ => Ok(dirs),
        }
    }

    pub fn offsets_topic(&self) -> InternalTopic {
        InternalTopic {
            partitions: self.int("offsets.topic.num.partitions"),
            replication_factor: ReplicationFactor {
                wanted: self.long("offsets.topic.replication.factor") as i16,
                explicit: self.is_set("offsets.topic.replication.factor"),
            },
            segment_bytes: self.int("offsets.topic.segment.bytes"),
        }
    }

    pub fn per_ip_overrides(&self) -> Result<BTreeMap<String, i32>, Invalid> {
        let name = "max.connections.per.ip.overrides";
        let text = self.optional_text(name).unwrap_or_default();
        let limit = |item: &String| {
            let (host, count) = item.rsplit_once(':')?;
            Some((host.trim().to_owned(), count.trim().parse().ok().filter(|count| *count >= 0)?))
        };
        let expected = "a list of host:count";
        split_list(&text).iter().map(|item| limit(item).ok_or_else(|| bad(name, item, expected))).collect()
    }
}

fn voter(item: &str) -> Option<Voter> {
    let (id, address) = item.split_once('@')?;
    let id = id.trim().parse().ok().filter(|id| *id >= 0)?;
    Some(Voter { id, address: dialable(address)? })
}

/// An address that one can connect to: with a host.
fn dialable(text: &str) -> Option<HostPort> {
    HostPort::parse(text).filter(|address| !address.host.is_empty())
}

fn bad(name: &str, item: &str, expected: &str) -> Invalid {
    Invalid::Value { name: name.into(), value: item.into(), expected: expected.into() }
}
