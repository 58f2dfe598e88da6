//! What may be set at run time, and what not.

use super::check::{Invalid, Value, check, split_list};
use super::describe::effective;
use super::key::{Kind, Mode, Scope};
use super::layers::Overrides;
use super::{BrokerConfig, keys};

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
        Scope::Broker | Scope::ClientMetrics => Ok(()),
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
    for (heartbeat, session) in [
        ("consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"),
        ("share.heartbeat.interval.ms", "share.session.timeout.ms"),
        ("streams.heartbeat.interval.ms", "streams.session.timeout.ms"),
    ] {
        ordered(Scope::Group, heartbeat, session, overrides, broker)?;
    }
    Ok(())
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
