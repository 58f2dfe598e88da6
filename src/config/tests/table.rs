//! The table against what Apache Kafka itself defines.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::config::{BrokerConfig, Surroundings, TopicConfig};
use crate::config::{Key, Kind, Layers, Mode, Overrides, Rule, Scope, check, keys};

const SCOPES: [(&str, Scope); 4] = [
    ("broker", Scope::Broker),
    ("topic", Scope::Topic),
    ("group", Scope::Group),
    ("client-metrics", Scope::ClientMetrics),
];

/// Broker keys whose defaults differ on purpose, and ours.
const OWN_DEFAULTS: &[(&str, &str)] = &[
    // One node runs without any configuration.
    ("node.id", "1"),
    ("process.roles", "broker,controller"),
    ("controller.listener.names", ""),
    // Nothing is open to the network and nothing is kept in /tmp unless said so.
    ("listeners", "PLAINTEXT://localhost:9092"),
    ("log.dir", "drave-data"),
    // The kernel adapts buffers to the connection, and bounds the backlog itself.
    ("socket.send.buffer.bytes", "-1"),
    ("socket.receive.buffer.bytes", "-1"),
    ("socket.listen.backlog.size", "1024"),
    // A silent broker is replaced within seconds; its process dying is noticed by its connections.
    ("broker.heartbeat.interval.ms", "250"),
    ("broker.session.timeout.ms", "1500"),
    // Nor do writes wait much longer for one that reaches the controller but not the leader.
    ("replica.lag.time.max.ms", "1500"),
    // What is served.
    ("group.coordinator.rebalance.protocols", "classic"),
    // Names of Java classes.
    ("metric.reporters", ""),
    ("principal.builder.class", "null"),
    ("group.share.persister.class.name", "null"),
    ("remote.log.metadata.manager.class.name", "null"),
    ("sasl.oauthbearer.jwt.retriever.class", "null"),
    ("sasl.oauthbearer.jwt.validator.class", "null"),
];

/// Broker keys that Kafka can change at run time and that are read once here: a change is refused, not ignored.
const READ_ONCE: &[&str] = &[
    "listener.security.protocol.map",
    "listeners",
    "max.connections",
    "max.connections.per.ip",
    "max.connections.per.ip.overrides",
    "num.replica.fetchers",
    "num.recovery.threads.per.data.dir",
];

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "BOOLEAN",
        Kind::Text => "STRING",
        Kind::Int => "INT",
        Kind::Short => "SHORT",
        Kind::Long => "LONG",
        Kind::Double => "DOUBLE",
        Kind::List => "LIST",
        Kind::Class => "CLASS",
        Kind::Password => "PASSWORD",
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::ReadOnly => "read-only",
        Mode::PerBroker => "per-broker",
        Mode::ClusterWide => "cluster-wide",
    }
}

/// The rule as Kafka prints it; `None` where Kafka only looks for text or for items at all.
fn rule_name(key: &Key) -> Option<String> {
    match key.rule {
        Rule::Any => None,
        Rule::AtLeast(least) => Some(format!("[{least},...]")),
        Rule::Between(least, most) => Some(format!("[{least},...,{most}]")),
        Rule::Ratio(most) => Some(format!("[0,...,{most}]")),
        Rule::GzipLevel => Some("[1,...,9] or -1".into()),
        Rule::OneOf(words) => Some(format!("[{}]", words.join(", "))),
        Rule::AnyCase(words) => Some(format!("(case insensitive) [{}]", words.join(", "))),
        Rule::ThrottledReplicas => Some("[partitionId]:[brokerId],[partitionId]:[brokerId],...".into()),
        Rule::OffsetReset => Some("[latest, earliest, by_duration:PnDTnHnMn.nS]".into()),
    }
}

/// The row as it stands in Kafka's list, where what differs on purpose is as `kafka` has it.
fn row(scope: &str, key: &Key, kafka: &[&str]) -> String {
    let is_own = scope == "broker" && OWN_DEFAULTS.iter().any(|(name, _)| *name == key.name);
    let default = if is_own { kafka[3] } else { key.default.unwrap_or("null") };
    let unruled = ["", "null", "non-empty list", "non-empty string", "non-null string"].contains(&kafka[4]);
    // Kafka checks client metrics too, but not where the others are defined.
    let rule = rule_name(key).filter(|_| scope != "client-metrics");
    let rule = rule.unwrap_or_else(|| if unruled { kafka[4] } else { "" }.to_owned());
    let is_read_once = scope == "broker" && READ_ONCE.contains(&key.name);
    let mode = if is_read_once { kafka[5] } else { mode_name(key.mode) };
    let internal = if key.internal { "internal" } else { "" };
    [scope, key.name, type_name(key.kind), default, &rule, mode, internal].join("\t")
}

#[test]
fn what_differs_from_kafka_is_listed() {
    for (name, default) in OWN_DEFAULTS {
        assert_eq!(keys::find(Scope::Broker, name).unwrap().default.unwrap_or("null"), *default, "{name}");
    }
    for name in READ_ONCE {
        assert_eq!(keys::find(Scope::Broker, name).unwrap().mode, Mode::ReadOnly, "{name}");
    }
}

#[test]
fn the_table_is_kafkas() {
    let data = include_str!("../../../tests/data/kafka-configs.tsv");
    let lines = data.lines().filter(|line| !line.starts_with('#'));
    let kafka: BTreeMap<_, Vec<_>> =
        lines.map(|line| line.split('\t').collect::<Vec<_>>()).map(|row| ((row[0], row[1]), row)).collect();
    let ours: Vec<_> =
        SCOPES.iter().flat_map(|(n, scope)| keys::of(*scope).map(move |key| (*n, key))).collect();
    let ours: BTreeMap<_, _> = ours.into_iter().map(|(scope, key)| ((scope, key.name), key)).collect();
    for (id, theirs) in &kafka {
        let key = ours.get(id).unwrap_or_else(|| panic!("missing: {id:?}"));
        assert_eq!(row(id.0, key, theirs), theirs.join("\t"));
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), kafka.keys().collect::<Vec<_>>());
}

#[test]
fn names_are_unique_and_defaults_fit() {
    for (_, scope) in SCOPES {
        for key in keys::of(scope) {
            assert!(std::ptr::eq(keys::find(scope, key.name).unwrap(), key), "twice: {}", key.name);
            let fits = key.default.is_none_or(|default| check(key, default).is_ok());
            assert!(fits, "{}: {:?}", key.name, key.default);
        }
    }
}

#[test]
fn names_in_rows_are_broker_keys_of_one_kind() {
    for (_, scope) in SCOPES {
        for key in keys::of(scope) {
            for name in key.broker.iter().chain(key.family) {
                let other = keys::find(Scope::Broker, name).unwrap();
                let number = |kind| matches!(kind, Kind::Int | Kind::Long);
                assert!(
                    other.kind == key.kind || number(other.kind) && number(key.kind),
                    "{}: {name}",
                    key.name
                );
            }
            assert!(key.family.is_empty() || key.family.contains(&key.name), "{}", key.name);
        }
    }
}

/// Every key that is read typed is in the table with the type it is read as: otherwise this panics.
#[test]
fn all_typed_keys_can_be_read() {
    let config = BrokerConfig::new(Layers::default(), Surroundings::default()).unwrap();
    assert_eq!(config, BrokerConfig::default());
    let topic = TopicConfig::resolve(&config, &Overrides::new());
    assert_eq!(
        (topic.retention_ms, topic.segment_ms, topic.segment_jitter_ms),
        (604_800_000, 604_800_000, 0)
    );
}

/// Beginnings that lead far into the parsers.
const BEGINNINGS: &[&str] = &["", "-1", "1:", "1.5", "by_duration:", "by_duration:p1", "by_duration:p1dt1h"];

proptest! {
    /// Values come from clients: any text is taken or refused, never more.
    #[test]
    fn any_text_is_a_value_or_is_not(begin in prop::sample::select(BEGINNINGS), end in any::<String>()) {
        for (_, scope) in SCOPES {
            keys::of(scope).for_each(|key| drop(check(key, &format!("{begin}{end}"))));
        }
    }
}
