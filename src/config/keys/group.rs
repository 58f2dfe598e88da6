//! Keys of consumer, share and streams groups.

use crate::config::key::{Key, flag, int, text};

pub(super) const KEYS: &[Key] = &[
    int("consumer.assignment.interval.ms")
        .default("1000")
        .at_least(0)
        .broker("group.consumer.assignment.interval.ms"),
    int("consumer.heartbeat.interval.ms")
        .default("5000")
        .at_least(1)
        .broker("group.consumer.heartbeat.interval.ms"),
    int("consumer.session.timeout.ms")
        .default("45000")
        .at_least(1)
        .broker("group.consumer.session.timeout.ms"),
    int("share.assignment.interval.ms")
        .default("1000")
        .at_least(0)
        .broker("group.share.assignment.interval.ms"),
    text("share.auto.offset.reset").default("latest").offset_reset(),
    int("share.delivery.count.limit").default("5").at_least(2).broker("group.share.delivery.count.limit"),
    int("share.heartbeat.interval.ms")
        .default("5000")
        .at_least(1)
        .broker("group.share.heartbeat.interval.ms"),
    text("share.isolation.level").default("read_uncommitted").one_of(&["read_committed", "read_uncommitted"]),
    int("share.partition.max.record.locks")
        .default("2000")
        .at_least(100)
        .broker("group.share.partition.max.record.locks"),
    int("share.record.lock.duration.ms")
        .default("30000")
        .at_least(1_000)
        .broker("group.share.record.lock.duration.ms"),
    flag("share.renew.acknowledge.enable").default("true"),
    int("share.session.timeout.ms").default("45000").at_least(1).broker("group.share.session.timeout.ms"),
    int("streams.assignment.interval.ms")
        .default("1000")
        .at_least(0)
        .broker("group.streams.assignment.interval.ms"),
    int("streams.heartbeat.interval.ms")
        .default("5000")
        .at_least(1)
        .broker("group.streams.heartbeat.interval.ms"),
    int("streams.initial.rebalance.delay.ms")
        .default("3000")
        .at_least(0)
        .broker("group.streams.initial.rebalance.delay.ms"),
    int("streams.num.standby.replicas").default("0").at_least(0).broker("group.streams.num.standby.replicas"),
    int("streams.session.timeout.ms").default("45000").at_least(1).broker("group.streams.session.timeout.ms"),
];
