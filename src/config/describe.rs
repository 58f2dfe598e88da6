//! The configuration as DescribeConfigs shows it.

use super::{Kind, Scope};

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
    pub name: &'static str,
    /// `None` for a password.
    pub value: Option<String>,
    pub source: Source,
}

/// One key and its effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub scope: Scope,
    pub name: String,
    /// `None` if unset, and for a password.
    pub value: Option<String>,
    pub source: Source,
    pub read_only: bool,
    pub sensitive: bool,
    pub kind: Option<Kind>,
    /// Strongest first; the first is the one in effect.
    pub synonyms: Vec<Synonym>,
    pub documentation: &'static str,
}

impl Described {
    /// What v0 calls `is_default`.
    pub fn is_default(&self) -> bool {
        self.source == Source::Default
    }
}
