//! What may be set at run time, and what not.

use super::check::{Invalid, Value, check, split_list};
use super::describe::effective;
use super::key::{Kind, Mode, Scope};
use super::layers::Overrides;
use super::{BrokerConfig, keys};

macro_rules! bounds {
    ($kind:literal, $what:literal) => {
        (
            concat!($kind, ".", $what),
            concat!("group.", $kind, ".min.", $what),
            concat!("group.", $kind, ".max.", $what),
        )
    };
}

/// A group's key, and the broker keys that bound it (empty: none does).
const GROUP_BOUNDS: &[(&str, &str, &str)] = &[
    bounds!("consumer", "assignment.interval.ms"),
    bounds!("consumer", "heartbeat.interval.ms"),
    bounds!("consumer", "session.timeout.ms"),
    bounds!("share", "assignment.interval.ms"),
    bounds!("share", "delivery.count.limit"),
    bounds!("share", "heartbeat.interval.ms"),
    bounds!("share", "partition.max.record.locks"),
    bounds!("share", "record.lock.duration.ms"),
    bounds!("share", "session.timeout.ms"),
    bounds!("streams", "assignment.interval.ms"),
    bounds!("streams", "heartbeat.interval.ms"),
    bounds!("streams", "session.timeout.ms"),
    ("streams.num.standby.replicas", "", "group.streams.max.standby.replicas"),
];

/// What a client tells of itself to be chosen by.
const CLIENT_TRAITS: &[&str] = &[
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// How a list is changed by IncrementalAlterConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListChange {
    Append,
    Subtract,
}

/// Whether `value` may be given to `name` as it stands. A broker key that the table does not have is let through,
/// as Kafka does: it may belong to a plugin.
pub fn validate(scope: Scope, name: &str, value: &str) -> Result<(), Invalid> {
    match keys::find(scope, name) {
        Some(key) => check(key, value).map(|_| ()),
        None if scope == Scope::Broker => Ok(()),
        None => Err(Invalid::Unknown { scope, name: name.into() }),
    }
}

/// Whether `name` may change at run time, for one broker or as the default of all.
pub fn validate_dynamic(name: &str, per_broker: bool) -> Result<(), Invalid> {
    match keys::find(Scope::Broker, name).map(|key| key.mode) {
        Some(Mode::ReadOnly) => Err(Invalid::ReadOnly { name: name.into() }),
        Some(Mode::PerBroker) if name.starts_with("ssl.") => Err(Invalid::PerListener { name: name.into() }),
        Some(Mode::PerBroker) if !per_broker => Err(Invalid::PerBroker { name: name.into() }),
        _ => Ok(()),
    }
}

/// Whether all of a topic's, group's or subscription's own settings may stand together, on a broker like `broker`.
pub fn validate_all(scope: Scope, overrides: &Overrides, broker: &BrokerConfig) -> Result<(), Invalid> {
    overrides.iter().try_for_each(|(name, value)| validate(scope, name, value))?;
    match scope {
        Scope::Topic => validate_topic(overrides, broker),
        Scope::Group => validate_group(overrides, broker),
        Scope::ClientMetrics => validate_match(overrides),
        Scope::Broker => Ok(()),
    }
}

fn validate_topic(overrides: &Overrides, broker: &BrokerConfig) -> Result<(), Invalid> {
    ordered(Scope::Topic, "min.compaction.lag.ms", "max.compaction.lag.ms", overrides, broker)?;
    let remote = keys::find(Scope::Topic, "remote.storage.enable");
    match remote.and_then(|key| effective(&broker.layers, key, overrides)) {
        Some(Value::Bool(true)) => Err(Invalid::Conflict {
            name: "remote.storage.enable",
            why: "remote.storage.enable: this broker has no remote storage".into(),
        }),
        _ => Ok(()),
    }
}

fn validate_group(overrides: &Overrides, broker: &BrokerConfig) -> Result<(), Invalid> {
    for (name, least, most) in GROUP_BOUNDS {
        if overrides.contains_key(*name) {
            within(name, least, most, overrides, broker)?;
        }
    }
    for (heartbeat, session) in [
        ("consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"),
        ("share.heartbeat.interval.ms", "share.session.timeout.ms"),
        ("streams.heartbeat.interval.ms", "streams.session.timeout.ms"),
    ] {
        ordered(Scope::Group, heartbeat, session, overrides, broker)?;
    }
    Ok(())
}

/// The value of the group key `name` must lie between those of two broker keys, where these exist.
fn within(
    name: &'static str,
    least: &'static str,
    most: &'static str,
    overrides: &Overrides,
    broker: &BrokerConfig,
) -> Result<(), Invalid> {
    let value = keys::find(Scope::Group, name).and_then(|key| effective(&broker.layers, key, overrides));
    let Some(Value::Number(number)) = value else { return Ok(()) };
    for (bound, is_least) in [(least, true), (most, false)] {
        match broker.layers.own_value(bound) {
            Some(Value::Number(limit)) if is_least && number < limit => {
                return Err(outside(name, number, "less", bound, limit));
            }
            Some(Value::Number(limit)) if !is_least && number > limit => {
                return Err(outside(name, number, "more", bound, limit));
            }
            _ => {}
        }
    }
    Ok(())
}

fn outside(name: &'static str, number: i64, how: &str, bound: &str, limit: i64) -> Invalid {
    Invalid::Conflict { name, why: format!("{name} is {number}, {how} than {bound}, which is {limit}") }
}

/// Clients are chosen by patterns of what they tell of themselves.
fn validate_match(overrides: &Overrides) -> Result<(), Invalid> {
    let patterns = split_list(overrides.get("match").map_or("", String::as_str));
    let is_known = |pattern: &&String| {
        pattern.split_once('=').is_some_and(|(name, _)| CLIENT_TRAITS.contains(&name.trim()))
    };
    match patterns.iter().find(|pattern| !is_known(pattern)) {
        Some(pattern) => Err(Invalid::Value {
            name: "match".into(),
            value: pattern.clone(),
            expected: format!("name=pattern, the name being one of {}", CLIENT_TRAITS.join(", ")),
        }),
        None => Ok(()),
    }
}

/// The value of `less` must not exceed that of `more`.
fn ordered(
    scope: Scope,
    less: &'static str,
    more: &'static str,
    overrides: &Overrides,
    broker: &BrokerConfig,
) -> Result<(), Invalid> {
    let value = |name| effective(&broker.layers, keys::find(scope, name)?, overrides);
    match (value(less), value(more)) {
        (Some(Value::Number(low)), Some(Value::Number(high))) if low > high => Err(Invalid::Conflict {
            name: less,
            why: format!("{less} is {low}, more than {more}, which is {high}"),
        }),
        _ => Ok(()),
    }
}

/// The list that `name` has after `items` were appended to `current` or taken from it; unset, it starts from the default.
pub fn change_list(
    scope: Scope,
    name: &str,
    current: Option<&str>,
    change: ListChange,
    items: &str,
) -> Result<String, Invalid> {
    let key = keys::find(scope, name).ok_or_else(|| Invalid::Unknown { scope, name: name.into() })?;
    if key.kind != Kind::List {
        return Err(Invalid::NotAList { name: name.into() });
    }
    let mut list = split_list(current.or(key.default).unwrap_or(""));
    let items = split_list(items);
    match change {
        ListChange::Append => {
            list.extend(items.into_iter().filter(|item| !list.contains(item)).collect::<Vec<_>>())
        }
        ListChange::Subtract => list.retain(|item| !items.contains(item)),
    }
    Ok(list.join(","))
}
