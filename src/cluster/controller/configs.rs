//! Dynamic configuration: what may be set, and what becomes of a change.

use super::draft::{Draft, distinct};
use super::leadership::settle_topics;
use super::names::name_fault;
use super::{Command, Decision, Inputs, Outcome, Policy, Refusal, rules};
use crate::cluster::change::{Change, ConfigRemoved, ConfigSet};
use crate::cluster::image::{ConfigResource, Image, ResourceKind};
use crate::config::{self, Invalid, ListChange, Overrides, Scope};
use crate::types::ErrorCode;
use serde::{Deserialize, Serialize};

/// Bytes that a key or value may have: strings of the older versions of DescribeConfigs cannot hold more.
const LONGEST_TEXT: usize = i16::MAX as usize;

/// Changes single keys (IncrementalAlterConfigs).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlterConfigs {
    pub resources: Vec<ResourceChanges>,
    /// Only say what would happen.
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceChanges {
    pub resource: ConfigResource,
    pub changes: Vec<KeyChange>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyChange {
    pub key: String,
    pub operation: ConfigOperation,
    pub value: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigOperation {
    Set,
    Delete,
    /// Adds to a list.
    Append,
    /// Takes out of a list.
    Subtract,
}

/// Replaces all values of each resource (the legacy AlterConfigs).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplaceConfigs {
    pub resources: Vec<ResourceValues>,
    /// Only say what would happen.
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceValues {
    pub resource: ConfigResource,
    pub values: Vec<(String, Option<String>)>,
}

/// One outcome for each resource, in the order of their first mention.
type Answers = Vec<(ConfigResource, Outcome<()>)>;

impl Command for AlterConfigs {
    type Answer = Answers;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<Answers> {
        let resource = |item: &ResourceChanges| item.resource.clone();
        decide_each(&self.resources, resource, self.validate_only, image, inputs, |item, present| {
            item.changes.iter().try_for_each(|change| change.check_value())?;
            check_repeats(item.changes.iter().map(|change| &change.key))?;
            let mut values = present.clone();
            for change in &item.changes {
                change.apply(item.resource.kind, &mut values)?;
            }
            Ok(values)
        })
    }
}

impl Command for ReplaceConfigs {
    type Answer = Answers;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<Answers> {
        let resource = |item: &ResourceValues| item.resource.clone();
        decide_each(&self.resources, resource, self.validate_only, image, inputs, |item, _| {
            check_repeats(item.values.iter().map(|(key, _)| key))?;
            let given = |(key, value): &(String, Option<String>)| {
                Ok((key.clone(), value.clone().ok_or_else(|| no_value(key))?))
            };
            item.values.iter().map(given).collect()
        })
    }
}

/// Finds the values that each item wants its resource to have, and the changes that lead there.
fn decide_each<T>(
    items: &[T],
    resource: impl Fn(&T) -> ConfigResource,
    validate_only: bool,
    image: &Image,
    inputs: &Inputs<'_>,
    wanted: impl Fn(&T, &Overrides) -> Outcome<Overrides>,
) -> Decision<Answers> {
    let mut draft = Draft::upon(image);
    let mut answers = Vec::new();
    for (resource, item) in distinct(items, resource) {
        let outcome =
            item.ok_or_else(|| invalid_request("The request names this resource twice.")).and_then(|item| {
                check_resource(&resource, image)?;
                let present = values_of(image, &resource);
                let values = wanted(item, &present)?;
                check_lengths(&values)?;
                check_values(&resource, &present, &values, image, inputs.policy)?;
                draft.add(differences(&resource, &present, &values));
                settle_if_needed(&resource, &present, &values, &mut draft, inputs);
                Ok(())
            });
        answers.push((resource, outcome));
    }
    let changes = if validate_only { Vec::new() } else { draft.into_changes() };
    Ok((changes, answers))
}

impl KeyChange {
    fn check_value(&self) -> Outcome<()> {
        match (self.operation, &self.value) {
            (ConfigOperation::Delete, _) | (_, Some(_)) => Ok(()),
            (_, None) => Err(no_value(&self.key)),
        }
    }

    fn apply(&self, kind: ResourceKind, values: &mut Overrides) -> Outcome<()> {
        let value = self.value.as_deref().unwrap_or_default();
        let list = |change| {
            let present = values.get(&self.key).map(String::as_str);
            config::change_list(scope(kind), &self.key, present, change, value).map_err(invalid_config)
        };
        let new = match self.operation {
            ConfigOperation::Set => value.to_owned(),
            ConfigOperation::Append => list(ListChange::Append)?,
            ConfigOperation::Subtract => list(ListChange::Subtract)?,
            ConfigOperation::Delete => {
                values.remove(&self.key);
                return Ok(());
            }
        };
        values.insert(self.key.clone(), new);
        Ok(())
    }
}

/// Only what exists can be configured; groups exist by being named.
fn check_resource(resource: &ConfigResource, image: &Image) -> Outcome<()> {
    let name = &resource.name;
    match resource.kind {
        ResourceKind::Broker if name.is_empty() => Ok(()),
        ResourceKind::Broker => match name.parse() {
            Ok(id) if image.brokers.get(id).is_some() => Ok(()),
            Ok(id) => Err(invalid_request(format!("Broker {id} is not registered."))),
            Err(_) => Err(invalid_request(format!("'{name}' is not the number of a broker."))),
        },
        _ if name.is_empty() => {
            Err(invalid_request("Only brokers have a default resource: a name is needed."))
        }
        ResourceKind::Topic => check_topic(name, image),
        ResourceKind::Group | ResourceKind::ClientMetrics => Ok(()),
    }
}

fn check_topic(name: &str, image: &Image) -> Outcome<()> {
    if let Some(fault) = name_fault(name) {
        return Err(Refusal::new(ErrorCode::InvalidTopicException, fault));
    }
    match image.topics.by_name(name) {
        Some(_) => Ok(()),
        None => Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("There is no topic '{name}'."))),
    }
}

/// What is stored can be told to every client.
pub(super) fn check_lengths(values: &Overrides) -> Outcome<()> {
    for (key, value) in values {
        let longest = key.len().max(value.len());
        if longest > LONGEST_TEXT {
            let name: String = key.chars().take(100).collect();
            let message =
                format!("'{name}' and its value may have {LONGEST_TEXT} bytes each, one has {longest}.");
            return Err(invalid_request(message));
        }
    }
    Ok(())
}

fn check_values(
    resource: &ConfigResource,
    present: &Overrides,
    values: &Overrides,
    image: &Image,
    policy: &Policy,
) -> Outcome<()> {
    check_min_insync(resource, present, values)?;
    match resource.kind {
        ResourceKind::Broker => check_broker(resource, present, values, image, policy)
            .map_err(|invalid| Refusal::new(ErrorCode::InvalidRequest, invalid.to_string())),
        kind => config::validate_all(scope(kind), values, &policy.config).map_err(invalid_config),
    }
}

/// All nodes must read one value of it: no broker has its own, and once set for all it stays set, as files need not agree.
fn check_min_insync(resource: &ConfigResource, present: &Overrides, values: &Overrides) -> Outcome<()> {
    let (old, new) = (present.get(rules::MIN_INSYNC_REPLICAS), values.get(rules::MIN_INSYNC_REPLICAS));
    let message = match resource.kind {
        ResourceKind::Broker if old == new => return Ok(()),
        ResourceKind::Broker if !resource.name.is_empty() => {
            "A broker has no min.insync.replicas of its own."
        }
        ResourceKind::Broker if new.is_none() => "The min.insync.replicas of all brokers cannot be removed.",
        _ => return Ok(()),
    };
    Err(Refusal::new(ErrorCode::InvalidConfig, message))
}

/// Broker keys: each alone, and for the node at hand also all together.
fn check_broker(
    resource: &ConfigResource,
    present: &Overrides,
    values: &Overrides,
    image: &Image,
    policy: &Policy,
) -> Result<(), Invalid> {
    let is_default = resource.name.is_empty();
    let changed = |key: &&String| present.get(*key) != values.get(*key);
    for key in present.keys().chain(values.keys()).filter(changed) {
        config::validate_dynamic(key, !is_default)?;
        values.get(key).map_or(Ok(()), |value| config::validate(Scope::Broker, key, value))?;
    }
    let own = ConfigResource::broker(policy.config.node_id);
    let of =
        |other: ConfigResource| if other == *resource { values.clone() } else { values_of(image, &other) };
    match is_default || *resource == own {
        true => policy.config.with_dynamic(&of(ConfigResource::all_brokers()), &of(own)).map(|_| ()),
        false => Ok(()),
    }
}

fn check_repeats<'a>(keys: impl Iterator<Item = &'a String>) -> Outcome<()> {
    let mut keys: Vec<_> = keys.collect();
    keys.sort();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(invalid_request(format!("The request names '{}' twice for this resource.", pair[0])))
        }
        None => Ok(()),
    }
}

fn differences(resource: &ConfigResource, present: &Overrides, values: &Overrides) -> Vec<Change> {
    let removed = present
        .keys()
        .filter(|key| !values.contains_key(*key))
        .map(|key| Change::ConfigRemoved(ConfigRemoved { resource: resource.clone(), key: key.clone() }));
    let set = values.iter().filter(|(key, value)| present.get(*key) != Some(value)).map(|(key, value)| {
        Change::ConfigSet(ConfigSet { resource: resource.clone(), key: key.clone(), value: value.clone() })
    });
    removed.chain(set).collect()
}

/// Some settings decide who leads, or may.
fn settle_if_needed(
    resource: &ConfigResource,
    present: &Overrides,
    values: &Overrides,
    draft: &mut Draft,
    inputs: &Inputs<'_>,
) {
    if rules::KEYS.iter().all(|key| present.get(*key) == values.get(*key)) {
        return;
    }
    match resource.kind {
        ResourceKind::Topic => settle_topics(draft, inputs, |name| name == resource.name),
        ResourceKind::Broker => settle_topics(draft, inputs, |_| true),
        ResourceKind::Group | ResourceKind::ClientMetrics => {}
    }
}

/// What was set on `resource`.
fn values_of(image: &Image, resource: &ConfigResource) -> Overrides {
    image.configs.of(resource).map(|values| Overrides::clone(values)).unwrap_or_default()
}

fn scope(kind: ResourceKind) -> Scope {
    match kind {
        ResourceKind::Topic => Scope::Topic,
        ResourceKind::Broker => Scope::Broker,
        ResourceKind::Group => Scope::Group,
        ResourceKind::ClientMetrics => Scope::ClientMetrics,
    }
}

fn invalid_request(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn invalid_config(invalid: Invalid) -> Refusal {
    Refusal::new(ErrorCode::InvalidConfig, invalid.to_string())
}

fn no_value(key: &str) -> Refusal {
    invalid_request(format!("A value is needed for '{key}'."))
}
