//! Broker keys named `log.`: defaults of the topic keys, and how logs are kept.

use crate::config::key::{Key, int, list, long, text};

const RETENTION: &[&str] = &["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
const ROLL: &[&str] = &["log.roll.ms", "log.roll.hours"];
const JITTER: &[&str] = &["log.roll.jitter.ms", "log.roll.jitter.hours"];
const FLUSH: &[&str] = &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"];

pub(super) const KEYS: &[Key] = &[
    list("log.cleanup.policy").default("delete").one_of(&["compact", "delete"]).cluster_wide().doc(
        "What happens to old records: delete, compact, or both; compacted topics keep everything for now.",
    ),
    long("log.flush.interval.messages")
        .default("9223372036854775807")
        .at_least(1)
        .cluster_wide()
        .doc("Records after which a partition is synced to disk; 1 means before each acknowledgement."),
    long("log.flush.interval.ms")
        .cluster_wide()
        .family(FLUSH)
        .doc("Longest time that a record stays unsynced."),
    long("log.flush.scheduler.interval.ms")
        .default("9223372036854775807")
        .doc("Stands in for log.flush.interval.ms where that is not set."),
    int("log.flush.offset.checkpoint.interval.ms")
        .default("60000")
        .at_least(0)
        .doc("How often recovery points are written to disk."),
    int("log.flush.start.offset.checkpoint.interval.ms")
        .default("60000")
        .at_least(0)
        .doc("How often log start offsets are written to disk."),
    int("log.index.interval.bytes")
        .default("4096")
        .at_least(0)
        .cluster_wide()
        .doc("Bytes of log between two index entries."),
    int("log.index.size.max.bytes")
        .default("10485760")
        .at_least(4)
        .cluster_wide()
        .doc("Largest index file; a full one starts a new segment."),
    text("log.message.timestamp.type")
        .default("CreateTime")
        .one_of(&["CreateTime", "LogAppendTime"])
        .cluster_wide()
        .doc("Whether records keep the time of their producer or get that of their append."),
    long("log.message.timestamp.before.max.ms")
        .default("9223372036854775807")
        .at_least(0)
        .cluster_wide()
        .doc("How far behind the clock a record may be dated."),
    long("log.message.timestamp.after.max.ms")
        .default("3600000")
        .at_least(0)
        .cluster_wide()
        .doc("How far ahead of the clock a record may be dated."),
    long("log.retention.bytes")
        .default("-1")
        .cluster_wide()
        .doc("Size above which a partition drops its oldest segments; -1 for no limit."),
    long("log.retention.ms")
        .cluster_wide()
        .family(RETENTION)
        .doc("Age at which records are dropped; -1 for never."),
    int("log.retention.minutes")
        .family(RETENTION)
        .doc("log.retention.ms in minutes, used if that is not set."),
    int("log.retention.hours")
        .default("168")
        .family(RETENTION)
        .doc("log.retention.ms in hours, used if neither that nor the minutes are set."),
    long("log.retention.check.interval.ms")
        .default("300000")
        .at_least(1)
        .doc("How often old segments are looked for."),
    long("log.roll.ms").cluster_wide().family(ROLL).doc("Age at which a segment is closed even if not full."),
    int("log.roll.hours")
        .default("168")
        .at_least(1)
        .family(ROLL)
        .doc("log.roll.ms in hours, used if that is not set."),
    long("log.roll.jitter.ms")
        .cluster_wide()
        .family(JITTER)
        .doc("Largest random part taken off log.roll.ms."),
    int("log.roll.jitter.hours")
        .default("0")
        .at_least(0)
        .family(JITTER)
        .doc("log.roll.jitter.ms in hours, used if that is not set."),
    int("log.segment.bytes")
        .default("1073741824")
        .at_least(1_048_576)
        .cluster_wide()
        .doc("Size at which a segment is closed."),
    long("log.segment.delete.delay.ms")
        .default("60000")
        .at_least(0)
        .cluster_wide()
        .doc("How long the files of a dropped segment stay on disk."),
];
