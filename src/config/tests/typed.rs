//! What the rest of the broker reads.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use clap::Parser;

use crate::config::{
    Args, BrokerConfig, CompressionType, Layers, Listener, Surroundings, TimestampType, TopicConfig,
};
use crate::config::{Overrides, load};

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn overrides(pairs: Pairs<'_>) -> Overrides {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn broker(pairs: Pairs<'_>) -> BrokerConfig {
    let surroundings = Surroundings { host_name: "host".into(), working_dir: "/cwd".into() };
    BrokerConfig::new(Layers { fixed: overrides(pairs), ..Layers::default() }, surroundings).unwrap()
}

fn show(listeners: &[Listener]) -> String {
    listeners
        .iter()
        .map(|listener| format!("{}={}", listener.name, listener.address))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn listeners_and_what_clients_are_told() {
    const CONTROLLER: (&str, &str) = ("controller.listener.names", "CONTROLLER");
    let cases: &[(Pairs<'_>, &str, &str, &str)] = &[
        (&[], "PLAINTEXT=localhost:9092", "PLAINTEXT=localhost:9092", "PLAINTEXT"),
        (&[("listeners", "PLAINTEXT://:9092")], "PLAINTEXT=:9092", "PLAINTEXT=host:9092", "PLAINTEXT"),
        (&[("listeners", "plaintext://[::]:0")], "PLAINTEXT=[::]:0", "PLAINTEXT=host:0", "PLAINTEXT"),
        (&[("advertised.listeners", "PLAINTEXT://a.b:1")], "PLAINTEXT=:9092", "PLAINTEXT=a.b:1", "PLAINTEXT"),
        (
            &[CONTROLLER, ("listeners", "CONTROLLER://:9093,PLAINTEXT://[::1]:9092")],
            "CONTROLLER=:9093 PLAINTEXT=[::1]:9092",
            "PLAINTEXT=[::1]:9092",
            "PLAINTEXT",
        ),
        (
            &[
                CONTROLLER,
                ("listeners", "IN://:1,OUT://:2,CONTROLLER://:3"),
                ("advertised.listeners", "IN://a:1,OUT://b:2,CONTROLLER://c:3"),
                ("listener.security.protocol.map", "IN:PLAINTEXT,OUT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
                ("inter.broker.listener.name", "out"),
            ],
            "IN=:1 OUT=:2 CONTROLLER=:3",
            "IN=a:1 OUT=b:2",
            "OUT",
        ),
    ];
    for (settings, bound, told, inter_broker) in cases {
        let config = broker(settings);
        assert_eq!(show(&config.listeners), *bound);
        assert_eq!(show(&config.advertised_listeners), *told);
        assert_eq!(config.inter_broker_listener_name, *inter_broker);
    }
}

#[test]
fn directories_are_absolute() {
    let cases: &[(Pairs<'_>, &[&str], &str)] = &[
        (&[], &["/cwd/drave-data"], "/cwd/drave-data"),
        (&[("log.dir", "a")], &["/cwd/a"], "/cwd/a"),
        (&[("log.dir", "a"), ("log.dirs", "/b, c"), ("metadata.log.dir", "m")], &["/b", "/cwd/c"], "/cwd/m"),
    ];
    for (settings, dirs, metadata) in cases {
        let config = broker(settings);
        assert_eq!(config.log_dirs, dirs.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(config.metadata_log_dir, PathBuf::from(metadata));
    }
}

#[test]
fn a_factor_that_nobody_chose_fits_the_brokers_there_are() {
    let (chosen, not) = (broker(&[("offsets.topic.replication.factor", "3")]), broker(&[]));
    let factor =
        |config: &BrokerConfig, brokers| config.offsets_topic.replication_factor.with_brokers(brokers);
    assert_eq!([0, 1, 2, 3, 9].map(|brokers| factor(&not, brokers)), [1, 1, 2, 3, 3]);
    assert_eq!([1, 3, 9].map(|brokers| factor(&chosen, brokers)), [3, 3, 3]);
}

#[test]
fn lists_are_taken_apart() {
    let config = broker(&[
        ("node.id", "2"),
        ("controller.quorum.voters", "1@a:1, 2@[::1]:2"),
        ("controller.quorum.bootstrap.servers", "a:1,b:2"),
        ("max.connections.per.ip.overrides", "10.0.0.1:5, ::1:6"),
    ]);
    let voters: Vec<_> =
        config.controller_quorum_voters.iter().map(|v| (v.id, v.address.to_string())).collect();
    assert_eq!(voters, [(1, "a:1".into()), (2, "[::1]:2".into())]);
    assert_eq!(config.controller_quorum_bootstrap_servers.len(), 2);
    let limits: Vec<_> = config.max_connections_per_ip_overrides.into_iter().collect();
    assert_eq!(limits, [("10.0.0.1".into(), 5), ("::1".into(), 6)]);
}

#[test]
fn topics_choose_codec_and_time() {
    let config = broker(&[]);
    let codec =
        |name| TopicConfig::resolve(&config, &overrides(&[("compression.type", name)])).compression.codec;
    use CompressionType::{Gzip, Lz4, Producer, Snappy, Uncompressed, Zstd};
    let names = ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"];
    assert_eq!(names.map(codec), [Producer, Uncompressed, Gzip, Snappy, Lz4, Zstd]);
    let topic = TopicConfig::resolve(
        &config,
        &overrides(&[
            ("cleanup.policy", "compact"),
            ("message.timestamp.type", "LogAppendTime"),
            ("segment.bytes", "2000000"),
            ("internal.segment.bytes", "1000"),
        ]),
    );
    assert_eq!((topic.compact, topic.delete, topic.segment_bytes), (true, false, 1000));
    assert_eq!(topic.message_timestamp_type, TimestampType::LogAppendTime);
}

#[test]
fn dynamic_settings_come_and_go() {
    let fixed = broker(&[("fetch.max.bytes", "5000")]);
    let changed = fixed.with_dynamic(&overrides(&[("fetch.max.bytes", "6000")]), &overrides(&[])).unwrap();
    let own = changed
        .with_dynamic(&overrides(&[("fetch.max.bytes", "6000")]), &overrides(&[("fetch.max.bytes", "7000")]));
    assert_eq!((changed.fetch_max_bytes, own.unwrap().fetch_max_bytes), (6000, 7000));
    assert_eq!(changed.with_dynamic(&overrides(&[]), &overrides(&[])).unwrap(), fixed);
}

#[test]
fn the_command_line_and_a_file_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.properties");
    std::fs::write(&path, "node.id=7\nnum.partitions=2\n").unwrap();
    let line =
        ["drave", path.to_str().unwrap(), "--override", "num.partitions = 3", "--override=broker.rack=a=b"];
    let args = Args::try_parse_from(line).unwrap();
    let no_text = OsString::from_vec(vec![0xff]);
    let variables = [("CLUSTER_ID".into(), " abc ".into()), ("OTHER".into(), no_text.clone())];
    let loaded = load(&args, variables).unwrap();
    let config = loaded.config;
    assert_eq!((config.node_id, config.num_partitions, config.rack.as_deref()), (7, 3, Some("a=b")));
    assert_eq!((loaded.cluster_id.as_deref(), loaded.warnings.len()), (Some("abc"), 0));
    assert!(config.log_dirs[0].is_absolute());

    let why = load(&args, [("KAFKA_NODE_ID".into(), no_text)]).unwrap_err().to_string();
    assert!(
        why.ends_with(
            "for node.id: expected a whole number from 0 to 2147483647 (environment KAFKA_NODE_ID)"
        ),
        "{why}"
    );

    let missing = Args { file: Some(dir.path().join("none")), ..Args::default() };
    let why = load(&missing, []).unwrap_err().to_string();
    assert!(why.starts_with("cannot read /") && !why.contains('\n'), "{why}");
    assert!(Args::try_parse_from(["drave", "--override", "no-assignment"]).is_err());
}
