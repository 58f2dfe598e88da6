//! The configuration as DescribeConfigs shows it.

use std::collections::BTreeMap;

use super::check::{Value, check};
use super::key::{Key, Kind, Mode, Scope};
use super::layers::{Candidate, Layers, Overrides};
use super::{BrokerConfig, keys};

/// Where a value comes from; the numbers are those of DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    ClientMetrics = 7,
    Group = 8,
}

/// A value that would apply if those before it were not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: String,
    /// `None` for a password.
    pub value: Option<String>,
    pub source: Source,
}

/// One key and its effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// `None` if unset, and for a password.
    pub value: Option<String>,
    pub source: Source,
    pub read_only: bool,
    pub sensitive: bool,
    /// `None` for a key that the table does not know; shown as type 0.
    pub kind: Option<Kind>,
    /// Strongest first; the first is the one in effect.
    pub synonyms: Vec<Synonym>,
    pub documentation: &'static str,
}

const NOT_ACTED_ON: &str = "Known from Kafka; has no effect here.";

impl Described {
    /// What v0 calls `is_default`.
    pub fn is_default(&self) -> bool {
        self.source == Source::Default
    }

    fn of(key: &Key, value: Option<String>, synonyms: Vec<Synonym>) -> Described {
        let sensitive = key.kind == Kind::Password;
        Described {
            name: key.name.into(),
            value: value.filter(|_| !sensitive),
            source: synonyms.first().map_or(Source::Default, |first| first.source),
            read_only: false,
            sensitive,
            kind: Some(key.kind),
            synonyms,
            documentation: if key.acted_on() { key.doc } else { NOT_ACTED_ON },
        }
    }
}

impl BrokerConfig {
    /// This broker's settings.
    pub fn describe(&self) -> Vec<Described> {
        let is_shown = |key: &&Key| !key.internal || self.layers.is_set(key.name);
        let known = keys::of(Scope::Broker).filter(is_shown).map(|key| broker_key(&self.layers, key));
        known.chain(unknown(&self.layers)).collect()
    }

    /// The settings that hold as the default of all brokers: only what is set.
    pub fn describe_cluster_default(&self) -> Vec<Described> {
        let names = self.layers.default.keys();
        let keys = names.filter_map(|name| keys::find(Scope::Broker, name));
        let only = Layers { default: self.layers.default.clone(), ..Layers::default() };
        keys.map(|key| default_of_all(&only, key)).collect()
    }

    /// A topic's settings, `overrides` being its own.
    pub fn describe_topic(&self, overrides: &Overrides) -> Vec<Described> {
        let keys = shown(Scope::Topic, overrides);
        keys.map(|key| inherited(&self.layers, key, overrides, Source::Topic)).collect()
    }

    /// A group's settings, `overrides` being its own.
    pub fn describe_group(&self, overrides: &Overrides) -> Vec<Described> {
        let described = |key: &'static Key| {
            let mut described = inherited(&self.layers, key, overrides, Source::Group);
            if key.broker.is_none() {
                described.synonyms.extend(table_default(key));
            }
            described
        };
        shown(Scope::Group, overrides).map(described).collect()
    }

    /// A client metrics subscription's settings.
    pub fn describe_client_metrics(&self, overrides: &Overrides) -> Vec<Described> {
        let keys = shown(Scope::ClientMetrics, overrides);
        keys.map(|key| inherited(&self.layers, key, overrides, Source::ClientMetrics)).collect()
    }
}

/// The value in effect for a topic's or group's key: its own, else its broker's, else the table's.
pub(super) fn effective(layers: &Layers, key: &Key, overrides: &Overrides) -> Option<Value> {
    let own = overrides.get(key.name).and_then(|text| check(key, text).ok());
    let broker = || key.broker.and_then(|name| layers.family_value(name));
    own.or_else(broker).or_else(|| key.default.and_then(|text| check(key, text).ok()))
}

fn shown(scope: Scope, overrides: &Overrides) -> impl Iterator<Item = &'static Key> {
    keys::of(scope).filter(|key| !key.internal || overrides.contains_key(key.name))
}

fn broker_key(layers: &Layers, key: &'static Key) -> Described {
    let value = layers.own_value(key.name).map(|value| value.to_string());
    let read_only = key.mode == Mode::ReadOnly;
    Described { read_only, ..Described::of(key, value, synonyms(layers, key.name)) }
}

fn default_of_all(only: &Layers, key: &'static Key) -> Described {
    let mut described = broker_key(only, key);
    described.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
    described
}

fn inherited(layers: &Layers, key: &'static Key, overrides: &Overrides, source: Source) -> Described {
    let value = effective(layers, key, overrides).map(|value| value.to_string());
    let is_own = overrides.get(key.name).is_some_and(|text| check(key, text).is_ok());
    let own = is_own.then(|| Synonym { name: key.name.into(), value: value.clone(), source });
    let broker = key.broker.map_or(Vec::new(), |name| synonyms(layers, name));
    Described::of(key, value, own.into_iter().chain(broker).collect())
}

/// As Kafka lists them: nothing before the first that carries the key's own name, so that a time set in hours
/// alone does not show up under its milliseconds.
fn synonyms(layers: &Layers, name: &'static str) -> Vec<Synonym> {
    layers.candidates(name).skip_while(|candidate| candidate.key.name != name).map(synonym).collect()
}

fn synonym(candidate: Candidate<'_>) -> Synonym {
    let sensitive = candidate.key.kind == Kind::Password;
    let value = (!sensitive).then(|| candidate.text.to_owned());
    Synonym { name: candidate.key.name.into(), value, source: candidate.source }
}

fn table_default(key: &Key) -> Option<Synonym> {
    let value = Some(key.default?.to_owned());
    Some(Synonym { name: key.name.into(), value, source: Source::Default })
}

/// Settings that the table does not have: named, their values hidden, because they may be secret.
fn unknown(layers: &Layers) -> impl Iterator<Item = Described> {
    let mut sources = BTreeMap::new();
    for (layer, source) in layers.weakest_first() {
        sources.extend(layer.keys().map(|name| (name.clone(), source)));
    }
    sources.retain(|name, _| keys::find(Scope::Broker, name).is_none());
    sources.into_iter().map(|(name, source)| hidden(&name, source))
}

fn hidden(name: &str, source: Source) -> Described {
    let synonyms = vec![Synonym { name: name.into(), value: None, source }];
    let (read_only, sensitive) = (true, true);
    Described {
        name: name.into(),
        value: None,
        source,
        read_only,
        sensitive,
        kind: None,
        synonyms,
        documentation: "",
    }
}
