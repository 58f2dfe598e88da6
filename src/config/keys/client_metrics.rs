//! Keys of client metrics subscriptions.

use crate::config::key::{Key, int, list};

pub(super) const KEYS: &[Key] = &[
    int("interval.ms").default("300000").between(100, 3_600_000),
    list("match").default(""),
    list("metrics").default(""),
];
