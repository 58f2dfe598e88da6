//! What the table says of one key, and the words in which the table is written.

/// What a key belongs to; the same name may exist in several scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Broker,
    Topic,
    Group,
    ClientMetrics,
}

/// The type of a key's value; the numbers are those of DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool = 1,
    Text = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

/// How a broker key may change while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only by a restart.
    ReadOnly,
    /// For one broker.
    PerBroker,
    /// For one broker or as the default of all.
    ClusterWide,
}

/// What a value must be, besides being of its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// From zero up to this.
    Ratio(f64),
    /// -1 or 1 to 9.
    GzipLevel,
    /// One of these; a list: any of these.
    OneOf(&'static [&'static str]),
    AnyCase(&'static [&'static str]),
    /// `*`, or a list of partition:broker.
    ThrottledReplicas,
    /// earliest, latest or by_duration: and an ISO-8601 duration.
    OffsetReset,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// As it would be written; `None` leaves the key unset.
    pub default: Option<&'static str>,
    pub rule: Rule,
    pub mode: Mode,
    /// The broker key that stands in where a topic or a group does not set this one.
    pub broker: Option<&'static str>,
    /// Broker keys that say the same in several units, this one among them, strongest first. Empty: there are no others.
    pub family: &'static [&'static str],
    /// Shown by DescribeConfigs only where it is set.
    pub internal: bool,
    /// Empty for a key that is known and not acted on.
    pub doc: &'static str,
}

impl Key {
    const fn new(name: &'static str, kind: Kind) -> Key {
        let (rule, mode) = (Rule::Any, Mode::ReadOnly);
        Key { name, kind, default: None, rule, mode, broker: None, family: &[], internal: false, doc: "" }
    }

    /// Whether setting it has an effect.
    pub fn acted_on(&self) -> bool {
        !self.doc.is_empty()
    }

    /// Milliseconds in the unit that the name ends in, where there are keys with other units beside it.
    pub fn unit_ms(&self) -> i64 {
        match self.name.rsplit('.').next() {
            Some("hours") => 3_600_000,
            Some("minutes") => 60_000,
            _ => 1,
        }
    }

    pub(super) const fn default(self, default: &'static str) -> Key {
        Key { default: Some(default), ..self }
    }
    pub(super) const fn at_least(self, least: i64) -> Key {
        Key { rule: Rule::AtLeast(least), ..self }
    }
    pub(super) const fn between(self, least: i64, most: i64) -> Key {
        Key { rule: Rule::Between(least, most), ..self }
    }
    pub(super) const fn ratio(self, most: f64) -> Key {
        Key { rule: Rule::Ratio(most), ..self }
    }
    pub(super) const fn gzip_level(self) -> Key {
        Key { rule: Rule::GzipLevel, ..self }
    }
    pub(super) const fn one_of(self, words: &'static [&'static str]) -> Key {
        Key { rule: Rule::OneOf(words), ..self }
    }
    pub(super) const fn any_case(self, words: &'static [&'static str]) -> Key {
        Key { rule: Rule::AnyCase(words), ..self }
    }
    pub(super) const fn throttled_replicas(self) -> Key {
        Key { rule: Rule::ThrottledReplicas, ..self }
    }
    pub(super) const fn offset_reset(self) -> Key {
        Key { rule: Rule::OffsetReset, ..self }
    }
    pub(super) const fn per_broker(self) -> Key {
        Key { mode: Mode::PerBroker, ..self }
    }
    pub(super) const fn cluster_wide(self) -> Key {
        Key { mode: Mode::ClusterWide, ..self }
    }
    pub(super) const fn broker(self, name: &'static str) -> Key {
        Key { broker: Some(name), ..self }
    }
    pub(super) const fn family(self, names: &'static [&'static str]) -> Key {
        Key { family: names, ..self }
    }
    pub(super) const fn internal(self) -> Key {
        Key { internal: true, ..self }
    }
    pub(super) const fn doc(self, doc: &'static str) -> Key {
        Key { doc, ..self }
    }
}

pub(super) const fn flag(name: &'static str) -> Key {
    Key::new(name, Kind::Bool)
}
pub(super) const fn text(name: &'static str) -> Key {
    Key::new(name, Kind::Text)
}
pub(super) const fn int(name: &'static str) -> Key {
    Key::new(name, Kind::Int)
}
pub(super) const fn short(name: &'static str) -> Key {
    Key::new(name, Kind::Short)
}
pub(super) const fn long(name: &'static str) -> Key {
    Key::new(name, Kind::Long)
}
pub(super) const fn double(name: &'static str) -> Key {
    Key::new(name, Kind::Double)
}
pub(super) const fn list(name: &'static str) -> Key {
    Key::new(name, Kind::List)
}
pub(super) const fn class(name: &'static str) -> Key {
    Key::new(name, Kind::Class)
}
pub(super) const fn password(name: &'static str) -> Key {
    Key::new(name, Kind::Password)
}
