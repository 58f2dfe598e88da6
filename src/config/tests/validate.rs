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
    (
        "share.auto.offset.reset=by_duration:p1€",
        "invalid value \"by_duration:p1€\" for share.auto.offset.reset: \
         expected earliest, latest or by_duration: and a duration like PT1H",
    ),
    ("nope=1", "unknown group configuration: nope"),
    (
        "consumer.heartbeat.interval.ms=60000",
        "consumer.heartbeat.interval.ms is 60000, more than group.consumer.max.heartbeat.interval.ms, which is 15000",
    ),
    (
        "consumer.session.timeout.ms=1",
        "consumer.session.timeout.ms is 1, less than group.consumer.min.session.timeout.ms, which is 45000",
    ),
    (
        "streams.num.standby.replicas=3",
        "streams.num.standby.replicas is 3, more than group.streams.max.standby.replicas, which is 2",
    ),
];

const CLIENT_METRICS: &[(&str, &str)] = &[
    ("interval.ms=1000;metrics=org.apache;match=client_id=a.*,client_source_port=1", "ok"),
    ("interval.ms=5", "invalid value \"5\" for interval.ms: expected a whole number from 100 to 3600000"),
    (
        "match=x=y",
        "invalid value \"x=y\" for match: expected name=pattern, the name being one of client_instance_id, client_id, \
         client_software_name, client_software_version, client_source_address, client_source_port",
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
    let scopes = [
        (Scope::Topic, TOPIC),
        (Scope::Group, GROUP),
        (Scope::Broker, BROKER),
        (Scope::ClientMetrics, CLIENT_METRICS),
    ];
    for (scope, cases) in scopes {
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
        ("principal.builder.class", true, "ok"),
        (
            "principal.builder.class",
            false,
            "principal.builder.class can only be changed for one broker, not as the default of all",
        ),
        ("log.retention.hours", true, "log.retention.hours can only be changed by a restart"),
        ("no.such.key", false, "ok"),
        (
            "ssl.keystore.password",
            true,
            "ssl.keystore.password can only be changed for one listener, as listener.name.<listener>.ssl.keystore.password",
        ),
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
