//! Broker settings that are right alone and may be wrong together.

use super::broker::{LEADER_SELECTOR, RACK_AWARE_SELECTOR};
use super::check::{Invalid, Value};
use super::listeners::conflict;
use super::read::Reader;

/// What must hold between broker keys.
pub(super) fn check(read: &Reader<'_>) -> Result<(), Invalid> {
    retention(read)?;
    memory(read)?;
    ordered(read, "group.min.session.timeout.ms", "group.max.session.timeout.ms")?;
    ordered(read, "log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms")?;
    connections(read)?;
    plain_text(read)?;
    selector(read)?;
    voters(read)
}

fn ordered(read: &Reader<'_>, less: &'static str, more: &'static str) -> Result<(), Invalid> {
    match (read.long(less), read.long(more)) {
        (low, high) if low > high => {
            Err(conflict(less, format!("{less} is {low}, more than {more}, which is {high}")))
        }
        _ => Ok(()),
    }
}

/// Records of no age at all could never be read.
fn retention(read: &Reader<'_>) -> Result<(), Invalid> {
    let zero = read.layers.family_value("log.retention.ms") == Some(Value::Number(0));
    let set = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
    match set.into_iter().find(|name| zero && read.is_set(name)) {
        Some(name) => Err(conflict(name, format!("{name} is 0: expected -1 for no limit, or a time"))),
        None => Ok(()),
    }
}

/// One request must fit into the memory for all.
fn memory(read: &Reader<'_>) -> Result<(), Invalid> {
    let (queued, request) = (read.long("queued.max.request.bytes"), read.long("socket.request.max.bytes"));
    match queued > 0 && queued < request {
        true => Err(conflict(
            "queued.max.request.bytes",
            format!(
                "queued.max.request.bytes is {queued}, less than socket.request.max.bytes, which is {request}"
            ),
        )),
        false => Ok(()),
    }
}

fn connections(read: &Reader<'_>) -> Result<(), Invalid> {
    let name = "max.connections.per.ip";
    match read.int(name) == 0 && read.per_ip_overrides()?.is_empty() {
        true => {
            Err(conflict(name, format!("{name} is 0 and {name}.overrides is empty: nobody could connect")))
        }
        false => Ok(()),
    }
}

fn plain_text(read: &Reader<'_>) -> Result<(), Invalid> {
    let name = "security.inter.broker.protocol";
    match read.optional_text(name) {
        Some(protocol) if protocol != "PLAINTEXT" => {
            Err(conflict(name, format!("{name} is {protocol}: only PLAINTEXT is served yet")))
        }
        _ => Ok(()),
    }
}

/// Kafka loads any class of this name; here there are those that come with it.
fn selector(read: &Reader<'_>) -> Result<(), Invalid> {
    let name = "replica.selector.class";
    match read.optional_text(name) {
        Some(class) if ![LEADER_SELECTOR, RACK_AWARE_SELECTOR].contains(&&*class) => {
            let why = format!("{name} is {class}: expected {LEADER_SELECTOR} or {RACK_AWARE_SELECTOR}");
            Err(conflict(name, why))
        }
        _ => Ok(()),
    }
}

/// A controller is one of the voters, where these are listed.
fn voters(read: &Reader<'_>) -> Result<(), Invalid> {
    let (voters, id) = (read.voters()?, read.node_id()?);
    let listed = voters.is_empty() || voters.iter().any(|voter| voter.id == id);
    let name = "controller.quorum.voters";
    if !read.roles()?.controller && voters.is_empty() && read.bootstrap_servers()?.is_empty() {
        let why = format!("{name}: a node that is no controller must know where one is");
        return Err(conflict(name, why));
    }
    match read.roles()?.controller && !listed {
        true => Err(conflict(
            name,
            format!("{name} does not list this node, which is a controller: node.id is {id}"),
        )),
        false => Ok(()),
    }
}
