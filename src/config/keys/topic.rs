//! Topic keys, each with the broker keys that stand in where a topic does not set it.

use crate::config::key::{Key, double, flag, int, list, long, text};

pub(super) const KEYS: &[Key] = &[
    list("cleanup.policy").default("delete").one_of(&["compact", "delete"]).broker("log.cleanup.policy").doc(
        "What happens to old records: delete, compact, or both; compacted topics keep everything for now.",
    ),
    int("compression.gzip.level")
        .default("-1")
        .gzip_level()
        .broker("compression.gzip.level")
        .doc("Level used where the broker compresses with gzip; -1 is its default."),
    int("compression.lz4.level")
        .default("9")
        .between(1, 17)
        .broker("compression.lz4.level")
        .doc("Level used where the broker compresses with lz4."),
    text("compression.type")
        .default("producer")
        .one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])
        .broker("compression.type")
        .doc("Codec in which batches are stored; producer keeps them as they came."),
    int("compression.zstd.level")
        .default("3")
        .between(-131_072, 22)
        .broker("compression.zstd.level")
        .doc("Level used where the broker compresses with zstd."),
    long("delete.retention.ms").default("86400000").at_least(0).broker("log.cleaner.delete.retention.ms"),
    long("file.delete.delay.ms")
        .default("60000")
        .at_least(0)
        .broker("log.segment.delete.delay.ms")
        .doc("How long the files of a dropped segment stay on disk."),
    long("flush.messages")
        .default("9223372036854775807")
        .at_least(1)
        .broker("log.flush.interval.messages")
        .doc("Records after which a partition is synced to disk; 1 means before each acknowledgement."),
    long("flush.ms")
        .default("9223372036854775807")
        .at_least(0)
        .broker("log.flush.interval.ms")
        .doc("Longest time that a record stays unsynced."),
    list("follower.replication.throttled.replicas").default("").throttled_replicas().doc(
        "Replicas, as partition:broker or * for all, that fetch no faster than follower.replication.throttled.rate.",
    ),
    int("index.interval.bytes")
        .default("4096")
        .at_least(0)
        .broker("log.index.interval.bytes")
        .doc("Bytes of log between two index entries."),
    int("internal.segment.bytes").internal().doc("Segment size below the allowed minimum, for tests."),
    list("leader.replication.throttled.replicas").default("").throttled_replicas().doc(
        "Replicas, as partition:broker or * for all, that send no faster than leader.replication.throttled.rate.",
    ),
    long("local.retention.bytes").default("-2").at_least(-2).broker("log.local.retention.bytes"),
    long("local.retention.ms").default("-2").at_least(-2).broker("log.local.retention.ms"),
    long("max.compaction.lag.ms")
        .default("9223372036854775807")
        .at_least(1)
        .broker("log.cleaner.max.compaction.lag.ms"),
    int("max.message.bytes")
        .default("1048588")
        .at_least(0)
        .broker("message.max.bytes")
        .doc("Largest record batch accepted, after compression."),
    long("message.timestamp.after.max.ms")
        .default("3600000")
        .at_least(0)
        .broker("log.message.timestamp.after.max.ms")
        .doc("How far ahead of the clock a record may be dated."),
    long("message.timestamp.before.max.ms")
        .default("9223372036854775807")
        .at_least(0)
        .broker("log.message.timestamp.before.max.ms")
        .doc("How far behind the clock a record may be dated."),
    text("message.timestamp.type")
        .default("CreateTime")
        .one_of(&["CreateTime", "LogAppendTime"])
        .broker("log.message.timestamp.type")
        .doc("Whether records keep the time of their producer or get that of their append."),
    double("min.cleanable.dirty.ratio").default("0.5").ratio(1.0).broker("log.cleaner.min.cleanable.ratio"),
    long("min.compaction.lag.ms").default("0").at_least(0).broker("log.cleaner.min.compaction.lag.ms"),
    int("min.insync.replicas")
        .default("1")
        .at_least(1)
        .broker("min.insync.replicas")
        .doc("In-sync replicas that a write with acks=all needs."),
    flag("preallocate").default("false").broker("log.preallocate"),
    flag("remote.log.copy.disable").default("false"),
    flag("remote.log.delete.on.disable").default("false"),
    flag("remote.storage.enable").default("false"),
    long("retention.bytes")
        .default("-1")
        .broker("log.retention.bytes")
        .doc("Size above which a partition drops its oldest segments; -1 for no limit."),
    long("retention.ms")
        .default("604800000")
        .at_least(-1)
        .broker("log.retention.ms")
        .doc("Age at which records are dropped; -1 for never."),
    int("segment.bytes")
        .default("1073741824")
        .at_least(1_048_576)
        .broker("log.segment.bytes")
        .doc("Size at which a segment is closed."),
    int("segment.index.bytes")
        .default("10485760")
        .at_least(4)
        .broker("log.index.size.max.bytes")
        .doc("Largest index file; a full one starts a new segment."),
    long("segment.jitter.ms")
        .default("0")
        .at_least(0)
        .broker("log.roll.jitter.ms")
        .doc("Largest random part taken off segment.ms."),
    long("segment.ms")
        .default("604800000")
        .at_least(1)
        .broker("log.roll.ms")
        .doc("Age at which a segment is closed even if not full."),
    flag("unclean.leader.election.enable")
        .default("false")
        .broker("unclean.leader.election.enable")
        .doc("Whether a replica that may miss acknowledged records leads where none else can."),
];
