//! Broker settings by origin, and which of them is in effect.

use std::collections::BTreeMap;

use super::check::{Value, check};
use super::describe::Source;
use super::key::{Key, Scope};
use super::keys;

/// Values set at run time, by key: a topic's own, a broker's, or the default of all brokers.
pub type Overrides = BTreeMap<String, String>;

/// What is set for a broker: `own` beats `default` beats `fixed` beats the table's default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layers {
    /// From the file, the environment and the command line.
    pub fixed: Overrides,
    /// Dynamic, for all brokers.
    pub default: Overrides,
    /// Dynamic, for this broker.
    pub own: Overrides,
}

/// One value that a broker key has in one layer.
pub struct Candidate<'a> {
    pub key: &'static Key,
    /// As written.
    pub text: &'a str,
    pub value: Value,
    pub source: Source,
}

impl Layers {
    pub fn weakest_first(&self) -> [(&Overrides, Source); 3] {
        [
            (&self.fixed, Source::StaticBroker),
            (&self.default, Source::DynamicDefaultBroker),
            (&self.own, Source::DynamicBroker),
        ]
    }

    /// Whether some layer has a value for `name` itself.
    pub fn is_set(&self, name: &'static str) -> bool {
        self.candidates(name).any(|c| c.key.name == name && c.source != Source::Default)
    }

    /// All values of `name` and of the keys that say the same in another unit, the one in effect first.
    /// A value that does not fit is passed over: it can only come from another release.
    pub fn candidates(&self, name: &'static str) -> impl Iterator<Item = Candidate<'_>> {
        let set = self.weakest_first().into_iter().rev().flat_map(move |(layer, source)| {
            family(name).filter_map(move |key| candidate(key, layer.get(key.name)?, source))
        });
        let defaults = family(name).filter_map(|key| candidate(key, key.default?, Source::Default));
        set.chain(defaults)
    }

    /// The value in effect for `name` itself, whatever other units say.
    pub fn own_value(&self, name: &'static str) -> Option<Value> {
        self.candidates(name).find(|candidate| candidate.key.name == name).map(|candidate| candidate.value)
    }

    /// The value in effect for `name`, taken from the strongest key of its family; times are milliseconds.
    pub fn family_value(&self, name: &'static str) -> Option<Value> {
        self.candidates(name).next().map(|candidate| in_ms(candidate.key, candidate.value))
    }
}

fn candidate<'a>(key: &'static Key, text: &'a str, source: Source) -> Option<Candidate<'a>> {
    Some(Candidate { key, text, value: check(key, text).ok()?, source })
}

fn family(name: &'static str) -> impl Iterator<Item = &'static Key> {
    let key = keys::find(Scope::Broker, name);
    let others = key.map_or(&[][..], |key| key.family);
    let alone = key.filter(|_| others.is_empty());
    alone.into_iter().chain(others.iter().filter_map(|name| keys::find(Scope::Broker, name)))
}

/// Hours and minutes as milliseconds; a negative time means no limit.
fn in_ms(key: &Key, value: Value) -> Value {
    match value {
        Value::Number(number) if !key.family.is_empty() && number < 0 => Value::Number(-1),
        Value::Number(number) if !key.family.is_empty() => {
            Value::Number(number.saturating_mul(key.unit_ms()))
        }
        other => other,
    }
}
