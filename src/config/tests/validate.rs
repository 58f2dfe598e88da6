use crate::config::{BrokerConfig, ListChange, Overrides, Scope};
use crate::config::{change_list, validate_all, validate_dynamic};

const TOPIC: &[(&str, &str)] = &[
    ("", "ok"),
    ("retention.ms=-1", "ok"),
    ("retention.ms= 77 ", "ok"),
    ("cleanup.policy=compact,compact", "ok"),
    ("cleanup.policy=", "ok"),
    ("internal.segment.bytes=100", "ok"),
    ("leader.replication.throttled.replicas=*", "ok"),
    ("leader.replication.throttled.replicas=0:1,1:2", "ok"),
    ("local.retention.ms=9999999999", "ok"),
    ("retention.ms=-5", "invalid value \"-5\" for retention.ms: expected a whole number of at least -1"),
    ("retention.ms=", "invalid value \"\" for retention.ms: expected a whole number of at least -1"),
    ("no.such=1", "unknown topic configuration: no.such"),
    ("log.retention.ms=1", "unknown topic configuration: log.retention.ms"),
    ("cleanup.policy=none", "invalid value \"none\" for cleanup.policy: expected a list of compact, delete"),
    (
        "segment.bytes=99999999999",
        "invalid value \"99999999999\" for segment.bytes: expected a whole number from 1048576 to 2147483647",
    ),
    ("preallocate=yes", "invalid value \"yes\" for preallocate: expected true or false"),
    (
        "leader.replication.throttled.replicas=x",
        "invalid value \"x\" for leader.replication.throttled.replicas: expected * or a list of partition:broker",
    ),
    (
        "min.compaction.lag.ms=5;max.compaction.lag.ms=1",
        "min.compaction.lag.ms is 5, more than max.compaction.lag.ms, which is 1",
    ),
    ("remote.storage.enable=true", "remote.storage.enable: this broker has no remote storage"),
];

const GROUP: &[(&str, &str)] = &[
    ("consumer.session.timeout.ms=50000", "ok"),
    ("share.auto.offset.reset=by_duration:P1DT2H3M4.5S", "ok"),
    ("share.auto.offset.reset=LATEST", "ok"),
    (
        "share.auto.offset.reset=by_duration:1h",
        "invalid value \"by_duration:1h\" for share.auto.offset.reset: \
         expected earliest, latest or by_duration: and a duration like PT1H",
    ),
    ("nope=1", "unknown group configuration: nope"),
    (
        "consumer.heartbeat.interval.ms=60000",
        "consumer.heartbeat.interval.ms is 60000, more than consumer.session.timeout.ms, which is 45000",
    ),
];

const BROKER: &[(&str, &str)] = &[
    ("no.such.key=1", "ok"),
    ("log.retention.ms=5000", "ok"),
    (
        "background.threads=0",
        "invalid value \"0\" for background.threads: expected a whole number from 1 to 2147483647",
    ),
];

fn overrides(text: &str) -> Overrides {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.into(), value.into())).collect()
}

#[test]
fn settings_are_held_to_their_rules() {
    let broker = BrokerConfig::default();
    for (scope, cases) in [(Scope::Topic, TOPIC), (Scope::Group, GROUP), (Scope::Broker, BROKER)] {
        for (settings, expected) in cases {
            let outcome = validate_all(scope, &overrides(settings), &broker);
            assert_eq!(outcome.map_or_else(|why| why.to_string(), |()| "ok".into()), *expected);
        }
    }
}

#[test]
fn only_dynamic_keys_change_at_run_time() {
    let cases = [
        ("log.retention.ms", false, "ok"),
        ("listeners", true, "ok"),
        ("listeners", false, "listeners can only be changed for one broker, not as the default of all"),
        ("log.retention.hours", true, "log.retention.hours can only be changed by a restart"),
        ("no.such.key", false, "ok"),
    ];
    for (name, per_broker, expected) in cases {
        let outcome = validate_dynamic(name, per_broker);
        assert_eq!(outcome.map_or_else(|why| why.to_string(), |()| "ok".into()), expected);
    }
}

#[test]
fn lists_grow_and_shrink() {
    use ListChange::{Append, Subtract};
    let cases = [
        (None, Append, "compact", "delete,compact"),
        (Some("compact"), Append, "delete,compact", "compact,delete"),
        (Some("compact,delete"), Subtract, "compact", "delete"),
        (Some(""), Append, "compact", "compact"),
        (None, Subtract, "delete", ""),
    ];
    for (current, change, items, expected) in cases {
        let list = change_list(Scope::Topic, "cleanup.policy", current, change, items);
        assert_eq!(list.unwrap(), expected);
    }
    let why = change_list(Scope::Topic, "retention.ms", None, Append, "3").unwrap_err();
    assert_eq!(why.to_string(), "retention.ms is not a list: nothing can be appended to it or taken from it");
}
